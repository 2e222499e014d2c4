"""SDXL-class image-to-image: two text encoders, a picture of about 1024 px; the base model, Turbo or a fine-tune."""

from pathlib import Path
from typing import Any, ClassVar

from generators.diffusion import DiffusersGenerator, require_class

WEIGHTS = "stabilityai/stable-diffusion-xl-base-1.0"
CLASSES = ("StableDiffusionXLImg2ImgPipeline",)


class SdxlGenerator(DiffusersGenerator):
    """Redraws with an SDXL pipeline; options are those of `DiffusersGenerator`.

    The defaults are the base model's. For SDXL Turbo (not for commercial use): num_inference_steps=4, guidance_scale=0,
    long_side_px=768.
    """

    NAME: ClassVar[str] = "sdxl"

    def __init__(
        self, pipeline: str | Path = WEIGHTS, *, guidance_scale: float = 6.0, long_side_px: int = 1024, **options: Any
    ) -> None:  # fmt: skip
        super().__init__(pipeline, guidance_scale=guidance_scale, long_side_px=long_side_px, **options)
        require_class(self._pipeline, CLASSES, engine=self.NAME)
