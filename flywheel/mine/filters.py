"""Filters without delay over one drive's samples, each stretch between gaps on its own: low-pass and slope."""

from functools import lru_cache

import numpy as np

from flywheel.mine.segments import NS, Clock, Reals

BLOCK, FEW = 64, 8


@lru_cache(maxsize=16)
def _band(kernel: bytes) -> Reals:
    """The matrix that turns a window of samples into a block of weighted sums: column j holds the weights, j rows down."""
    weights = np.frombuffer(kernel)
    band = np.zeros((BLOCK + len(weights) - 1, BLOCK))
    for j in range(BLOCK):
        band[j : j + len(weights), j] = weights
    return band


def weighted(values: Reals, weights: Reals) -> Reals:
    """The weighted sum of the samples around each one (an odd number of weights); the outermost values hold beyond the ends.

    It is np.convolve with the weights turned round, done by blocks as a matrix product, which is three times as fast.
    """
    reach, blocks = len(weights) // 2, -(-len(values) // BLOCK)
    padded = np.pad(values, (reach, reach + blocks * BLOCK - len(values)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, BLOCK + 2 * reach)[::BLOCK]
    return np.asarray(windows @ _band(weights.tobytes())).ravel()[: len(values)]


def _apart(values: Reals, clock: Clock, weights: Reals) -> Reals:
    """The weighted sums of every stretch between breaks; of many short ones (tracks) all at once, each put between copies of its ends."""
    if len(clock.breaks) < FEW:
        return np.concatenate([weighted(part, weights) if len(part) else part for part in np.split(values, clock.breaks)])
    first, reach = np.unique(np.append(clock.breaks, 0)), len(weights) // 2
    size = np.diff(first, append=len(values))
    last, wide = first + size - 1, size + 2 * reach
    shift = np.cumsum(wide) - wide + reach - first
    places = np.clip(np.arange(wide.sum()) - np.repeat(shift, wide), np.repeat(first, wide), np.repeat(last, wide))
    kept = np.arange(len(values)) + np.repeat(shift, size)
    return np.asarray(weighted(values[places], weights)[kept])


def low_pass(values: Reals, clock: Clock, *, cutoff_hz: float) -> Reals:
    """Zero-phase Gaussian low-pass (-3 dB at the cutoff, no overshoot).

    Its deviation in time is sqrt(ln 2) / (2 pi cutoff). As given where the sample rate is too low for the cutoff.
    """
    if clock.period_ns == 0 or NS / clock.period_ns <= 2.5 * cutoff_hz:
        return values
    sigma = np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz) * NS / clock.period_ns
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return _apart(values, clock, kernel / kernel.sum())


def slope(values: Reals, clock: Clock, *, window_s: float) -> Reals:
    """The slope, per second, of the straight line that fits the samples best over a window around each (Savitzky and Golay 1964)."""
    reach = max(1, round(window_s / 2 * NS / max(clock.period_ns, 1)))
    if clock.period_ns == 0 or len(values) < 2:
        return np.zeros_like(values)
    places = np.arange(-min(reach, len(values)), min(reach, len(values)) + 1, dtype=np.float64)
    return _apart(values, clock, places / (places @ places) * NS / clock.period_ns)
