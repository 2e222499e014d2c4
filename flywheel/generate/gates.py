"""Scores of a variation against its parent: is it whole, is it the same scene, did it reach the target, did it change at all.

Pure functions on (H, W, 3) RGB uint8 images of equal size. Thresholds are applied in `curate`; a score that cannot be
computed is None there, which rejects.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require
from flywheel.generate.structure import structure
from flywheel.geometry import ImageBox
from flywheel.types import Condition, Record

Rgb = NDArray[np.uint8]
Probabilities = Mapping[str, float]
Sample = tuple[Rgb, Rgb, Condition, Condition, Sequence[ImageBox]]
DEFAULT_THRESHOLDS = {"integrity": 0.99, "structure": 0.35, "condition": 0.5, "change": 0.02}

SEAM_RATIO = 6.0
CHANGE_FULL_LAB = 50.0


class Scores(Record):
    """Gate scores, each in 0..1 and higher for better, or None where nothing could be computed; and the output's embedding."""

    integrity: float | None
    structure: float | None
    condition: float | None
    change: float | None
    embedding: tuple[float, ...] = ()

    def columns(self) -> dict[str, Any]:
        """The score columns of a VARIATIONS row."""
        names = ("integrity", "structure", "condition", "change")
        return {f"score_{name}": getattr(self, name) for name in names} | {"embedding": list(self.embedding)}


def score_batch(samples: Sequence[Sample]) -> list[Scores]:
    """Scores of (source image, output image, source condition, target condition, boxes) samples, in order."""
    from flywheel.encoder import embed

    vectors = embed([image for source, output, *_ in samples for image in (source, output)])
    found = _probabilities(vectors)
    return [
        Scores(
            integrity=integrity(source, output), structure=structure(source, output, boxes), change=change(source, output),
            condition=None if found is None else condition_reached(found[2 * k], found[2 * k + 1], source=was, target=target),
            embedding=tuple(float(x) for x in vectors[2 * k + 1]),
        )
        for k, (source, output, was, target, boxes) in enumerate(samples)
    ]  # fmt: skip


def _probabilities(vectors: NDArray[np.float32]) -> list[Probabilities] | None:
    """P of each condition by name for each embedding, or None while no probe is there (so the gate rejects)."""
    return None


def condition_reached(before: Probabilities, after: Probabilities, *, source: Condition, target: Condition) -> float:
    """Mean of P(target lighting) and P(target weather) after drawing."""
    return (marginal(after, target.lighting, axis=0) + marginal(after, target.weather, axis=1)) / 2


def marginal(probabilities: Probabilities, value: str, *, axis: int) -> float:
    """P(lighting) for axis 0 or P(weather) for axis 1, summed over conditions named lighting_weather."""
    return sum(p for name, p in probabilities.items() if name.rpartition("_")[2 * axis] == value)


def integrity(source: Rgb, output: Rgb) -> float:
    """Share of the checks passed: shape, finite, not black, not burnt out, not flat, no dead band, no seam. 1.0 is whole."""
    if output.shape != source.shape or output.ndim != 3 or output.shape[2] != 3 or not np.isfinite(output).all():
        return 0.0
    luma, before = _luma(output), _luma(source)
    checks = (
        float(np.quantile(luma, 0.99)) > 24.0,
        float((luma > 250).mean()) < 0.9,
        float(luma.std()) > 3.0,
        not _dead_band(luma, before),
        not _seam(luma, before),
        not _seam(luma.T, before.T),
    )
    return sum(checks) / len(checks)


def _luma(rgb: Rgb) -> NDArray[np.float32]:
    """(H, W) luma, ITU-R BT.601 weights."""
    return np.asarray(rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


def _dead_band(luma: NDArray[np.float32], before: NDArray[np.float32]) -> bool:
    """Whether over 5% of the rows (or columns) hold one single value where the source's do not."""

    def dead(axis: int) -> float:
        return float(((np.ptp(luma, axis=axis) < 1) & (np.ptp(before, axis=axis) >= 1)).mean())

    return max(dead(0), dead(1)) > 0.05


def _seam(luma: NDArray[np.float32], before: NDArray[np.float32]) -> bool:
    """Whether some row differs from the next far more than usual, where the source shows no such step."""
    jump, was = (np.abs(np.diff(image, axis=0)).mean(axis=1) / (image.std() + 1.0) for image in (luma, before))
    return bool(((jump > SEAM_RATIO * (np.median(jump) + 0.02)) & (was < 0.5 * jump)).any())


def change(source: Rgb, output: Rgb) -> float:
    """Mean CIELAB distance (CIE76) of the two images at a quarter of their size, over 50, at most 1; a copy gives 0."""
    if output.shape != source.shape:
        return 0.0
    cv2 = require("cv2", extra="generate")
    size = (max(source.shape[1] // 4, 1), max(source.shape[0] // 4, 1))
    small = (cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for image in (source, output))
    one, two = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in small)
    return float(min(np.linalg.norm(one - two, axis=2).mean() / CHANGE_FULL_LAB, 1.0))
