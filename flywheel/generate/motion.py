"""Does a generated clip move as its parent does: flow against flow, and new motion where nothing moved. Video only.

The share of hallucinated motion follows NVIDIA's cosmos-evaluator (blur 7, difference 10, opening 3, tolerance 7 px), whose
default accepts from 0.682 on. Where the camera drives everything moves, so the flow is compared as well.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require

Rgb = NDArray[np.uint8]
Plane = NDArray[np.float32]
BLUR_PX, DIFFERENCE, OPENING_PX, TOLERANCE_PX = 7, 10, 3, 7
APART_PX, APART_SHARE, TEXTURE_LEVELS = 2.0, 0.25, 4.0


class Motion(NamedTuple):
    """Scores of one clip, in 0..1 and higher for better; `flow` is None where nothing can be followed."""

    motion: float
    flow: float | None


def motion_kept(parent: Sequence[Rgb], output: Sequence[Rgb]) -> Motion:
    """Scores of a clip against its parent, frame by frame; ValueError for clips of other lengths or sizes, or of one frame."""
    if len(parent) != len(output) or len(parent) < 2 or any(a.shape != b.shape for a, b in zip(parent, output, strict=True)):
        raise ValueError(f"clips of {len(parent)} and {len(output)} frames cannot be compared: same length, same size, two frames or more")
    was, now = ([_gray(frame) for frame in clip] for clip in (parent, output))
    steps = range(len(was) - 1)
    invented = [_invented(was[k], was[k + 1], now[k], now[k + 1]) for k in steps]
    moving, new = (sum(pair[n] for pair in invented) for n in (0, 1))
    flows = [share for k in steps if (share := _alike(was[k], was[k + 1], now[k], now[k + 1])) is not None]
    return Motion(motion=1 - new / moving if moving else 1.0, flow=min(flows) if flows else None)


def warp_error(frames: Sequence[Rgb], flows: Sequence[Plane]) -> float:
    """Mean absolute difference (levels) of each frame and the one before, carried along by `flows` (frame k + 1 to k, pixels)."""
    cv2 = require("cv2", extra="generate")
    errors = []
    for before, after, flow in zip(frames[:-1], frames[1:], flows, strict=True):
        rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
        carried = cv2.remap(before, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        errors.append(float(np.abs(carried.astype(np.float32) - after).mean()))
    return float(np.mean(errors))


def _gray(frame: Rgb) -> NDArray[np.uint8]:
    cv2 = require("cv2", extra="generate")
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _invented(*frames: NDArray[np.uint8]) -> tuple[int, int]:
    """(pixels of the output that move, those of them with nothing moving within the tolerance in the parent)."""
    cv2 = require("cv2", extra="generate")
    was, now = _dynamic(frames[0], frames[1], cv2), _dynamic(frames[2], frames[3], cv2)
    near = cv2.dilate(was.astype(np.uint8), np.ones((2 * TOLERANCE_PX + 1,) * 2, np.uint8)) > 0
    return int(now.sum()), int((now & ~near).sum())


def _dynamic(before: NDArray[np.uint8], after: NDArray[np.uint8], cv2: Any) -> NDArray[np.bool_]:
    one, two = (cv2.GaussianBlur(frame, (BLUR_PX, BLUR_PX), 0).astype(np.int16) for frame in (before, after))
    changed = (np.abs(one - two) > DIFFERENCE).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((OPENING_PX, OPENING_PX), np.uint8)) > 0)


def _alike(*frames: NDArray[np.uint8]) -> float | None:
    """Share of the pixels with texture in both clips whose flow differs by less than 2 px or a quarter of its length; None without any."""
    cv2 = require("cv2", extra="generate")
    follow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    was, now = follow.calc(frames[0], frames[1], None), follow.calc(frames[2], frames[3], None)
    sure = _textured(frames[0], cv2) & _textured(frames[2], cv2)
    if not sure.any():
        return None
    apart, length = np.linalg.norm(was - now, axis=2), np.linalg.norm(was, axis=2)
    return float((apart <= np.maximum(APART_PX, APART_SHARE * length))[sure].mean())


def _textured(gray: NDArray[np.uint8], cv2: Any) -> NDArray[np.bool_]:
    plane = gray.astype(np.float32)
    mean = cv2.blur(plane, (9, 9))
    return np.asarray(np.sqrt(np.maximum(cv2.blur(plane**2, (9, 9)) - mean**2, 0)) > TEXTURE_LEVELS)
