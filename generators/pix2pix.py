"""InstructPix2Pix: edits by an instruction ("make it a rainy night"), close to the frame without a depth or edge control."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from flywheel.generate.protocol import Parameter
from generators.diffusion import DiffusersGenerator, require_class

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
