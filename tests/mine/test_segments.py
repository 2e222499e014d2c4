"""Stretches of samples: properties against a plain loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flywheel.mine.segments import Clock, Spans, graded, hysteresis, lasting, merge, runs

NS10 = 100_000_000
masks = st.lists(st.booleans(), max_size=60).map(lambda bits: np.array(bits, bool))


def clock_of(size: int, *, gaps: frozenset[int] = frozenset()) -> Clock:
    steps = [NS10 + (NS10 * 10 if i in gaps else 0) for i in range(size)]
    return Clock(np.cumsum(np.array(steps, np.int64)) if size else np.zeros(0, np.int64), 3 * NS10)


def by_loop(mask: np.ndarray, clock: Clock) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for i, on in enumerate(mask):
        near = i > 0 and clock.t_ns[i] - clock.t_ns[i - 1] <= clock.max_gap_ns
        if on and found and found[-1][1] == i - 1 and near:
            found[-1] = (found[-1][0], i)
        elif on:
            found.append((i, i))
    return found


def pairs(spans: Spans) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in zip(spans.first, spans.last, strict=True)]


@given(masks, st.frozensets(st.integers(0, 60), max_size=4))
def test_runs_are_what_a_loop_finds(mask: np.ndarray, gaps: frozenset[int]) -> None:
    clock = clock_of(len(mask), gaps=gaps)
    assert pairs(runs(mask, clock)) == by_loop(mask, clock)


@given(st.lists(st.integers(0, 3), max_size=60))
def test_hysteresis_starts_at_an_entry_and_holds_to_the_exit(values: list[int]) -> None:
    value = np.array(values, np.int64)
    clock = clock_of(len(values))
    spans = hysteresis(value >= 2, value >= 1, clock)
    inside = np.zeros(len(values), bool)
    for first, last in pairs(spans):
        assert value[first] >= 2 and (value[first : last + 1] >= 1).all()
        assert last + 1 == len(values) or value[last + 1] < 1
        inside[first : last + 1] = True
    assert inside[value >= 2].all()


@given(masks, st.integers(1, 12))
def test_merged_stretches_are_far_apart_and_cover_the_same(mask: np.ndarray, tenths: int) -> None:
    clock = clock_of(len(mask))
    spans = runs(mask, clock)
    joined = merge(spans, clock, within_s=tenths / 10)
    apart = clock.start_ns(joined)[1:] - clock.end_ns(joined)[:-1]
    assert (apart >= tenths * NS10).all()
    assert pairs(merge(joined, clock, within_s=tenths / 10)) == pairs(joined)
    covered = np.zeros(len(mask), bool)
    for first, last in pairs(joined):
        covered[first : last + 1] = True
    assert covered[mask].all()


@given(masks.filter(lambda mask: len(mask) > 1), st.integers(1, 10))
def test_lasting_counts_sample_periods(mask: np.ndarray, tenths: int) -> None:
    clock = clock_of(len(mask))
    kept = pairs(lasting(runs(mask, clock), clock, min_s=tenths / 10))
    assert kept == [(a, b) for a, b in by_loop(mask, clock) if b - a + 1 >= tenths]


def test_a_gap_ends_a_stretch_one_period_after_its_last_sample() -> None:
    clock = clock_of(6, gaps=frozenset({3}))
    spans = runs(np.ones(6, bool), clock)
    assert pairs(spans) == [(0, 2), (3, 5)]
    assert list(clock.end_ns(spans) - clock.t_ns[spans.last]) == [NS10, NS10]


def test_the_level_is_the_hardest_that_lasts() -> None:
    value = np.array([0, 1, 1, 3, 1, 2, 2, 2, 1, 0, 0.7, 0.7, 0])
    clock = clock_of(len(value))
    spans, level = graded([value >= 1, value >= 2, value >= 3], value >= 0.6, clock, min_s=0.3, merge_s=0.0)
    assert pairs(spans) == [(1, 8)] and list(level) == [2]


def test_a_short_stretch_is_no_event_and_joins_none() -> None:
    value = np.array([1, 0, 1, 1, 1, 0, 1, 1, 1, 0])
    clock = clock_of(len(value))
    spans, _ = graded([value >= 1], value >= 1, clock, min_s=0.3, merge_s=0.2)
    assert pairs(spans) == [(2, 8)]
