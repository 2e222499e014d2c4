"""Scores of a frame that an object was drawn into: everything else as it was, and something new where the label says.

The other gates ask whether a redrawn frame kept its content; here the frame must be the parent off the object, and differ inside.
"""

import numpy as np
from numpy.typing import NDArray

from flywheel.geometry import ImageBox

Rgb = NDArray[np.uint8]
# The mask is the outline of the object's box in space, slightly widened: it may reach out of the label by so much of its size.
AROUND, LEAST_PX = 0.12, 3.0


def inside(box: ImageBox, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the label and what of the mask may lie around it."""
    wide, high = (max(AROUND * size, LEAST_PX) for size in (box.x1_px - box.x0_px, box.y1_px - box.y0_px))
    rows = slice(max(int(box.y0_px - high), 0), min(int(np.ceil(box.y1_px + high)), shape[0]))
    return rows, slice(max(int(box.x0_px - wide), 0), min(int(np.ceil(box.x1_px + wide)), shape[1]))


def without(parent: Rgb, output: Rgb, box: ImageBox) -> Rgb:
    """The output with the parent's pixels put back where the object is: what the gates for redrawn frames look at."""
    place = inside(box, parent.shape)
    found = output.copy()
    found[place] = parent[place]
    return found


def untouched(parent: Rgb, output: Rgb, box: ImageBox) -> float:
    """Share of the pixels off the object that are the parent's own; images of different size share none."""
    if parent.shape != output.shape:
        return 0.0
    place = inside(box, parent.shape)
    off = np.ones(parent.shape[:2], np.bool_)
    off[place] = False
    return float((parent == output).all(axis=2)[off].mean())


def cut_out(image: Rgb, box: ImageBox) -> Rgb:
    """The pixels where the object is, a copy."""
    return np.ascontiguousarray(image[inside(box, image.shape)])
