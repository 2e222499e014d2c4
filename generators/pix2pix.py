"""InstructPix2Pix: edits by an instruction ("make it a rainy night"), close to the frame without a depth or edge control."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from flywheel.errors import require
from flywheel.generate.protocol import GenerateInput, Parameter
from generators.diffusion import DiffusersGenerator, require_class
from generators.shared_noise import along, moves

WEIGHTS = "timbrooks/instruct-pix2pix"
CLASSES = ("StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline")


class Pix2PixGenerator(DiffusersGenerator):
    """Redraws by an instruction; `image_guidance_scale` holds on to the frame, `guidance_scale` to the instruction.

    Other options are those of `DiffusersGenerator`.
    """

    NAME: ClassVar[str] = "pix2pix"
    RECORDED: ClassVar[Mapping[str, Parameter]] = {"prompts": "instruction"}

    def __init__(self, pipeline: str | Path = WEIGHTS, *, image_guidance_scale: float = 1.5, num_inference_steps: int = 20, **options: Any):
        super().__init__(pipeline, image_guidance_scale=image_guidance_scale, num_inference_steps=num_inference_steps, **options)
        require_class(self._pipeline, CLASSES, engine=self.NAME)

    def _offered(self, items: Sequence[GenerateInput]) -> dict[str, Any]:
        """This pipeline starts from pure noise: that of a clip's later frames is drawn here, and carried."""
        offered, torch = super()._offered(items), require("torch", extra="generate")
        if not moves(items):
            return offered
        vae, seeds = self._pipeline.vae, [item.seed for item in items]
        scale = 2 ** (len(vae.config.block_out_channels) - 1)
        shape = (1, vae.config.latent_channels, offered["height"] // scale, offered["width"] // scale)
        noise = torch.cat([torch.randn(shape, generator=one, dtype=self._pipeline.dtype) for one in offered["generator"]])
        return {**offered, "latents": along(noise, [item.clip for item in items], seeds)}
