"""Flux-class transformers: FLUX.1 [schnell] redraws image to image; a Kontext model edits by an instruction."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from flywheel.generate.protocol import GenerateInput, Parameter
from generators.diffusion import DiffusersGenerator, require_class

WEIGHTS = "black-forest-labs/FLUX.1-schnell"
CLASSES = ("FluxImg2ImgPipeline", "FluxKontextPipeline")
MULTIPLE_PX = 16


class FluxGenerator(DiffusersGenerator):
    """Redraws with a Flux pipeline in bfloat16; the defaults are those of schnell (distilled: few steps, no guidance).

    What not to show counts only with `true_cfg_scale` above 1, which doubles the work. A Kontext model takes no `strength`,
    speaks instructions, and draws at the size it is given instead of one of its own.
    """

    NAME: ClassVar[str] = "flux"

    def __init__(
        self, pipeline: str | Path = WEIGHTS, *, strength: float = 0.6, guidance_scale: float = 0.0, num_inference_steps: int = 6,
        dtype: str | None = "bfloat16", max_sequence_length: int = 256, long_side_px: int = 1024, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            pipeline, strength=strength, guidance_scale=guidance_scale, num_inference_steps=num_inference_steps, dtype=dtype,
            max_sequence_length=max_sequence_length, long_side_px=long_side_px, multiple_px=MULTIPLE_PX, **options,
        )  # fmt: skip
        require_class(self._pipeline, CLASSES, engine=self.NAME)

    def _recorded(self) -> Mapping[str, Parameter]:
        return {"prompts": "instruction"} if "_auto_resize" in self._accepts else {}

    def _offered(self, items: Sequence[GenerateInput]) -> dict[str, Any]:
        offered = super()._offered(items)
        return {**offered, "max_area": offered["width"] * offered["height"], "_auto_resize": False}
