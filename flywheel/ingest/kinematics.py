"""Derivatives of sampled motion, without delay: a parabola is fitted around each sample (a Savitzky-Golay filter for uneven times).

Source: A. Savitzky and M. Golay, Analytical Chemistry 36 (1964) 1627. The window is centred, so the filter has zero phase;
at the ends the same window is cut off, not shifted.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def derivative(t_s: Array, values: Array, *, half_window_s: float) -> Array:
    """(N, ...) first derivatives at each of N increasing times, from the least-squares parabola over +-half_window_s."""
    slopes = np.zeros_like(values, dtype=float)
    for at, t in enumerate(t_s):
        near = np.abs(t_s - t) <= half_window_s + 1e-6
        powers = np.vander(t_s[near] - t, min(3, int(near.sum())), increasing=True)
        fit = np.linalg.lstsq(powers, values[near], rcond=None)[0]
        slopes[at] = fit[1] if len(fit) > 1 else 0.0
    return slopes


def central_difference(t_s: Array, values: Array, *, max_gap_s: float) -> Array:
    """(N, ...) velocities from each sample's neighbours; one-sided at ends and gaps, zero for a sample without neighbours."""
    steps = np.diff(t_s) <= max_gap_s
    before = np.arange(len(t_s)) - np.r_[False, steps]
    after = np.arange(len(t_s)) + np.r_[steps, False]
    span = t_s[after] - t_s[before]
    span = np.where(span > 0, span, 1.0).reshape((-1, *([1] * (values.ndim - 1))))
    return np.asarray((values[after] - values[before]) / span)
