"""Inpainting: a road user or debris drawn into a frame where a mask asks for it; every pixel off the mask stays as it was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.protocol import GenerateInput, Output, Parameter
from generators.diffusion import BLOCKED, DiffusersGenerator, require_class
from generators.loading import FILL, Task

WEIGHTS = "stable-diffusion-v1-5/stable-diffusion-inpainting"
CLASSES = ("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline", "FluxInpaintPipeline")
FEATHER_PX, LEAST_PX = 2.0, 64
Window = tuple[int, int, int, int]


class InpaintGenerator(DiffusersGenerator):
    """Draws a planned object into each frame; the request says which, and where it stands.

    Only a window around the mask is drawn, `around` times the mask's longer side wider on each side and `side_px` square, because
    these models draw small objects badly in a whole street. Other options are those of `DiffusersGenerator`.
    """

    NAME: ClassVar[str] = "inpaint"
    TASK: ClassVar[Task] = FILL
    RECORDED: ClassVar[Mapping[str, Parameter]] = {"prompts": "object"}

    def __init__(
        self, pipeline: str | Path = WEIGHTS, *, strength: float = 1.0, side_px: int = 512, around: float = 0.75, **options: Any
    ) -> None:  # fmt: skip
        self._side_px, self._around = side_px, around
        super().__init__(pipeline, strength=strength, **options)
        require_class(self._pipeline, CLASSES, engine=self.NAME)

    def _recorded(self) -> Mapping[str, Parameter]:
        return {**self.RECORDED, "side_px": self._side_px, "around": self._around, "feather_px": FEATHER_PX}

    def _draw(self, items: list[GenerateInput]) -> list[Output]:
        windows = [window(_mask(item), around=self._around) for item in items]
        drawn = super()._draw([self._cut(item, place) for item, place in zip(items, windows, strict=True)])
        return [
            BLOCKED if not isinstance(output, np.ndarray) else pasted(item.rgb, output, _mask(item), place)
            for item, output, place in zip(items, drawn, windows, strict=True)
        ]

    def _cut(self, item: GenerateInput, place: Window) -> GenerateInput:
        """The item seen through its window, at the drawing size."""
        x0, y0, x1, y1 = place
        return GenerateInput(
            rgb=_sized(item.rgb[y0:y1, x0:x1], self._side_px), source=item.source, target=item.target, prompt=item.prompt,
            negative_prompt=item.negative_prompt, seed=item.seed,
            mask=_sized(_mask(item)[y0:y1, x0:x1].astype(np.uint8) * 255, self._side_px) > 127,
        )  # fmt: skip

    def _offered(self, items: Sequence[GenerateInput]) -> dict[str, Any]:
        from PIL import Image

        masks = [Image.fromarray(_mask(item).astype(np.uint8) * 255) for item in items]
        return {**super()._offered(items), "mask_image": masks}


def _mask(item: GenerateInput) -> NDArray[np.bool_]:
    if item.mask is None or item.mask.shape != item.rgb.shape[:2] or not item.mask.any():
        raise BadData("the input has no mask: this engine draws planned objects only (plan with a recipe that inserts, or set `insert`)")
    return item.mask


def window(mask: NDArray[np.bool_], *, around: float) -> Window:
    """(x0, y0, x1, y1) of the square around the mask, widened on each side, as far as the image reaches."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = max(int(longer * (1 + 2 * around)), LEAST_PX)
    spans = []
    for ends, size in ((columns, mask.shape[1]), (rows, mask.shape[0])):
        start = int(np.clip((ends[0] + ends[-1] + 1) // 2 - side // 2, 0, max(size - side, 0)))
        spans.append((start, min(start + side, size)))
    (x0, x1), (y0, y1) = spans
    return x0, y0, x1, y1


def pasted(rgb: NDArray[np.uint8], drawn: NDArray[np.uint8], mask: NDArray[np.bool_], place: Window) -> NDArray[np.uint8]:
    """The frame with the window's drawing inside the mask, its rim blended inwards; off the mask the frame is untouched."""
    cv2 = require("cv2", extra="generate")
    x0, y0, x1, y1 = place
    inside = mask[y0:y1, x0:x1].astype(np.float32)
    share = (cv2.GaussianBlur(inside, (0, 0), FEATHER_PX) * 2 - 1).clip(0, 1)[..., None] * inside[..., None]
    small = cv2.resize(drawn, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32)
    found = rgb.copy()
    found[y0:y1, x0:x1] = np.rint(rgb[y0:y1, x0:x1] * (1 - share) + small * share).astype(np.uint8)
    return found


def _sized(image: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    cv2 = require("cv2", extra="generate")
    kind = cv2.INTER_AREA if image.shape[0] > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side_px, side_px), interpolation=kind), np.uint8)
