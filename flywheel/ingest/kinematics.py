"""Derivatives of sampled motion, without delay: a parabola is fitted around each sample (a Savitzky-Golay filter for uneven times).

Source: A. Savitzky and M. Golay, Analytical Chemistry 36 (1964) 1627. The window is centred, so the filter has zero phase;
at the ends the same window is cut off, not shifted.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MAX_AT_ONCE = 1 << 18


def derivative(t_s: Array, values: Array, *, half_window_s: float) -> Array:
    """(N, ...) first derivatives at each of N increasing times, from the least-squares parabola over +-half_window_s."""
    slopes = np.zeros_like(values, dtype=float)
    first = np.searchsorted(t_s, t_s - half_window_s - 1e-6)
    counts = np.searchsorted(t_s, t_s + half_window_s + 1e-6, side="right") - first
    for count in np.unique(counts[counts > 1]):  # windows of one size are fitted together, some at a time
        of_size = np.flatnonzero(counts == count)
        for some in np.array_split(of_size, -(-len(of_size) * int(count) // MAX_AT_ONCE)):
            near = first[some][:, None] + np.arange(count)
            powers = (t_s[near] - t_s[some][:, None])[..., None] ** np.arange(min(3, int(count)))
            slopes[some] = np.einsum("nk,nk...->n...", np.linalg.pinv(powers)[:, 1], values[near])
    return slopes


def central_difference(t_s: Array, values: Array, *, max_gap_s: float) -> Array:
    """(N, ...) velocities from each sample's neighbours; one-sided at ends and gaps, zero for a sample without neighbours."""
    steps = np.diff(t_s) <= max_gap_s
    before = np.arange(len(t_s)) - np.r_[False, steps]
    after = np.arange(len(t_s)) + np.r_[steps, False]
    span = t_s[after] - t_s[before]
    span = np.where(span > 0, span, 1.0).reshape((-1, *([1] * (values.ndim - 1))))
    return np.asarray((values[after] - values[before]) / span)
