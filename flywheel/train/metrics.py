"""Scores over grid cells and objects. All pure numpy."""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
THRESHOLDS = np.round(np.arange(0.1, 0.91, 0.05), 2)
Z_95 = 1.959963984540054


def wilson(found: int, total: int, *, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927); (0, 1) for no trials."""
    if total == 0:
        return 0.0, 1.0
    p = found / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def average_precision(scores: Array, truth: Array) -> float | None:
    """Area under the precision-recall steps, ties taken together; None without a positive."""
    true, scores = truth.reshape(-1) > 0.5, scores.reshape(-1)
    positives = int(true.sum())
    if positives == 0:
        return None
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(true[order])
    last = np.append(np.nonzero(np.diff(scores[order]))[0], len(order) - 1)
    precision, recall = hits[last] / (last + 1), hits[last] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def precision(scores: Array, truth: Array, *, threshold: float) -> float | None:
    """Share of fired cells that are true; None if none fired."""
    fired = scores >= threshold
    return float((truth[fired] > 0.5).mean()) if fired.any() else None


def best_threshold(scores: Array, truth: Array) -> float:
    """The threshold of THRESHOLDS with the best F1 over all cells, the lowest of equals; 0.5 without a positive."""
    true = truth > 0.5
    if not true.any():
        return 0.5
    fired = [(scores >= t) for t in THRESHOLDS]
    f1 = [2 * (f & true).sum() / max(f.sum() + true.sum(), 1) for f in fired]
    return float(THRESHOLDS[int(np.argmax(f1))])
