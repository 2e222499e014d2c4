"""Is it still the same scene, and is it untorn: outlines compared so that darkness and weather do not count as change."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require

Rgb = NDArray[np.uint8]
Plane = NDArray[np.float32]
LOCAL_SIGMA_PX, NOISE_LEVEL = 6.0, 3.0
SMOOTH_SIGMA_PX, GRADIENT_FLOOR = 0.7, 0.02
EDGE_SHARE, TOLERANCE_PX = 0.10, 1
BANDS, PEAK_MIN, PEAK_RATIO, NEAR_PX = 6, 12.0, 1.3, 3


class Outline:
    """One image's local contrast: gradients, their length, edges and edges widened by the tolerance."""

    def __init__(self, rgb: Rgb) -> None:
        cv2 = require("cv2", extra="generate")
        plane = _local_contrast(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), cv2)
        self.plane = plane
        smooth = cv2.GaussianBlur(plane, (0, 0), SMOOTH_SIGMA_PX)
        self.gx: Plane = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3) / 8
        self.gy: Plane = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) / 8
        self.length: Plane = np.hypot(self.gx, self.gy)
        self.edges = _canny(smooth, cv2)
        kernel = np.ones((2 * TOLERANCE_PX + 1,) * 2, np.uint8)
        self.wide = cv2.dilate(self.edges.astype(np.uint8), kernel) > 0


def _local_contrast(gray: Plane, cv2: Any) -> Plane:
    """(gray - local mean) / (local deviation + noise): night and fog lose contrast, not their outlines."""
    mean = cv2.GaussianBlur(gray, (0, 0), LOCAL_SIGMA_PX)
    deviation = np.sqrt(np.maximum(cv2.GaussianBlur((gray - mean) ** 2, (0, 0), LOCAL_SIGMA_PX), 0))
    return np.asarray((gray - mean) / (deviation + NOISE_LEVEL), np.float32)


def _canny(plane: Plane, cv2: Any) -> NDArray[np.bool_]:
    """Canny edges whose upper threshold leaves about the strongest `EDGE_SHARE` of gradients in any light."""
    gx, gy = (cv2.Sobel(plane, cv2.CV_32F, dx, dy, ksize=3) for dx, dy in ((1, 0), (0, 1)))
    high = float(np.quantile(np.abs(gx) + np.abs(gy), 1 - EDGE_SHARE))
    scale = 1000.0 / max(high, 1e-6)
    sixteen = (np.clip(g * scale, -32000, 32000).astype(np.int16) for g in (gx, gy))
    return np.asarray(cv2.Canny(*sixteen, 500.0, 1000.0) > 0)


def edge_f1(source: Outline, output: Outline, mask: NDArray[np.bool_]) -> float | None:
    """F1 of edges within the tolerance and inside the mask, less what chance gives at these densities (as Cohen's kappa).

    None if either image has no edge there.
    """
    was, now = source.edges & mask, output.edges & mask
    if not was.any() or not now.any():
        return None
    found = _f1(float(source.wide[now].mean()), float(output.wide[was].mean()))
    chance = _f1(float(source.wide[mask].mean()), float(output.wide[mask].mean()))
    return (found - chance) / max(1 - chance, 1e-6)


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / max(precision + recall, 1e-6)


def gradient_agreement(source: Outline, output: Outline, mask: NDArray[np.bool_]) -> float:
    """Mean squared cosine between the gradients, weighted by the source's, as 2x - 1: 1 is parallel, 0 is chance.

    The squared cosine ignores inverted contrast, as lamps at night make it: the normalised gradient field measure of
    Haber and Modersitzki (2006).
    """
    weight = source.length**2 * mask
    dot = source.gx * output.gx + source.gy * output.gy
    cosine2 = dot**2 / ((source.length**2 + GRADIENT_FLOOR**2) * (output.length**2 + GRADIENT_FLOOR**2))
    return 2 * float((weight * cosine2).sum() / max(float(weight.sum()), 1e-9)) - 1


def agreement(source: Outline, output: Outline, mask: NDArray[np.bool_]) -> float:
    """Mean of edge F1 and gradient agreement inside the mask, in 0..1; an image without edges there agrees with nothing."""
    f1 = edge_f1(source, output, mask)
    return max(((f1 or 0.0) + gradient_agreement(source, output, mask)) / 2, 0.0)


def structure(source: Rgb, output: Rgb, *, outlines: tuple[Outline, Outline] | None = None) -> float:
    """How far the output shows the same scene, in 0..1: the agreement over the whole picture; single objects are the witness's matter.

    Images of different size score 0. `outlines` are the two images' own, where they are at hand.
    """
    if source.shape != output.shape:
        return 0.0
    one, two = outlines or (Outline(source), Outline(output))
    return agreement(one, two, np.ones(source.shape[:2], np.bool_))


def displaced_bands(source: Rgb, output: Rgb, *, outlines: tuple[Outline, Outline] | None = None) -> int:
    """How many of the horizontal and vertical bands show the source's content moved aside: 0 in an untorn image.

    Phase correlation (Kuglin and Hines 1975) of local contrast: a band counts when a shift of more than `NEAR_PX`
    explains it clearly better than no shift.
    """
    one, two = (outline.plane for outline in outlines or (Outline(source), Outline(output)))
    pairs = (pair for axis in (0, 1) for pair in zip(np.array_split(one, BANDS, axis), np.array_split(two, BANDS, axis), strict=True))
    return sum(_displaced(was, now) for was, now in pairs)


def _displaced(was: Plane, now: Plane) -> bool:
    cross = np.fft.rfft2(was - was.mean()) * np.conj(np.fft.rfft2(now - now.mean()))
    strength = np.abs(cross)
    if strength.max() < 1e-6:
        return False
    peaks = np.fft.irfft2(cross / (strength + 1e-3 * strength.max()), was.shape)
    peaks /= np.sqrt((peaks**2).mean())
    near = np.ix_(*(np.arange(-NEAR_PX, NEAR_PX + 1) % size for size in peaks.shape))
    still = max(float(peaks[near].max()), 1.0)
    peaks[near] = 0.0
    moved = float(peaks.max())
    return moved > PEAK_MIN and moved > PEAK_RATIO * still
