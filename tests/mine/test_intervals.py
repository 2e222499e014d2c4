"""The algebra of stretches of time, against sets of instants."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.mine.intervals import (
    NONE,
    Intervals,
    at_least,
    both,
    either,
    followed,
    inside,
    joined,
    long,
    merged,
    overlapping,
    widened,
    without,
)  # fmt: skip

NS = 1_000_000_000
calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
pieces = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=8)


def built(said: list[tuple[int, int]]) -> Intervals:
    return joined([a * NS for a, _ in said], [(a + d) * NS for a, d in said])


def instants(found: Intervals) -> set[int]:
    assert (found.t1_ns > found.t0_ns).all() and (found.t0_ns[1:] > found.t1_ns[:-1]).all()
    return {t for a, b in pairs(found) for t in range(a, b)}


def pairs(found: Intervals) -> list[tuple[int, int]]:
    return [(int(a) // NS, int(b) // NS) for a, b in zip(found.t0_ns, found.t1_ns, strict=True)]


@calm
@given(pieces, pieces, pieces)
def test_sets_of_stretches_are_sets_of_instants(first: list, second: list, third: list) -> None:
    a, b, c = built(first), built(second), built(third)
    x, y, z = instants(a), instants(b), instants(c)
    assert instants(both(a, b, c)) == x & y & z
    assert instants(either(a, b, c)) == x | y | z
    assert instants(without(a, b)) == x - y


@calm
@given(pieces, pieces)
def test_relations_of_stretches(first: list, second: list) -> None:
    a, b = built(first), built(second)
    for chosen, (t0, t1) in zip(overlapping(a, b), pairs(a), strict=True):
        assert chosen == bool(set(range(t0, t1)) & instants(b))
    for chosen, (t0, t1) in zip(inside(a, b), pairs(a), strict=True):
        assert chosen == any(u <= t0 and t1 <= v for u, v in pairs(b))


@calm
@given(pieces, pieces, st.integers(0, 10))
def test_one_after_another(first: list, second: list, within: int) -> None:
    a, b = built(first), built(second)
    wanted = []
    for t0, t1 in pairs(a):
        after = next(((u, v) for u, v in pairs(b) if u > t0), None)
        wanted += [(t0, max(t1, after[1]))] if after and after[0] - t1 <= within else []
    assert pairs(followed(a, b, within_s=within)) == pairs(joined([u * NS for u, _ in wanted], [v * NS for _, v in wanted]))


@calm
@given(pieces, st.integers(1, 5))
def test_at_least_so_many_together(said: list, count: int) -> None:
    t0, t1 = np.array([a * NS for a, _ in said], np.int64), np.array([(a + d) * NS for a, d in said], np.int64)
    wanted = {t for t in range(60) if sum(a <= t < a + d for a, d in said) >= count}
    assert instants(at_least(count, t0, t1)) == wanted


def test_widened_merged_and_long() -> None:
    two = built([(5, 2), (9, 1)])
    assert pairs(widened(two, 1)) == [(4, 11)] and pairs(merged(two, within_s=2)) == [(5, 7), (9, 10)]
    assert pairs(merged(two, within_s=2.5)) == [(5, 10)] and list(long(two, min_s=2)) == [True, False]
    assert len(both(NONE, two)) == 0 and len(NONE.take(long(NONE, min_s=1))) == 0 and two.total_s == 3
