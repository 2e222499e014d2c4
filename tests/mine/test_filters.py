"""Filters over samples with gaps: many short stretches are filtered as each would be alone."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flywheel.mine.filters import low_pass, slope
from flywheel.mine.segments import Clock

STEP_NS = 100_000_000


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(0, 9))
def test_stretches_between_gaps_are_filtered_alone(sizes: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=sum(sizes))
    gaps = np.zeros(len(values), np.int64)
    gaps[np.cumsum(sizes)[:-1]] = 50
    whole = Clock(np.cumsum((1 + gaps) * STEP_NS), 3 * STEP_NS)
    smooth, rise = low_pass(values, whole, cutoff_hz=2.0), slope(values, whole, window_s=0.5)
    for first, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        part = slice(first, first + size)
        alone = Clock(np.append(whole.t_ns[part], whole.t_ns[first + size - 1] + STEP_NS), 3 * STEP_NS)
        extended = np.append(values[part], values[first + size - 1])
        if whole.period_ns == STEP_NS and size > 1:
            assert np.allclose(smooth[part], low_pass(extended, alone, cutoff_hz=2.0)[:-1])
            assert np.allclose(rise[part], slope(extended, alone, window_s=0.5)[:-1])
