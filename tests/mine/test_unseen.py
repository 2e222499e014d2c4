"""Unseen mass, stopping and the crash trend, against published figures, scipy, and data whose answer is known."""

import math

import numpy as np
import pytest
from scipy.stats import genpareto

from flywheel.errors import NotEvaluable
from flywheel.mine.extremes import Minima, extremes, pareto
from flywheel.mine.stopping import Seen, blocks, sprt, stopping
from flywheel.mine.unseen import chao1, esty, frequencies, good_toulmin, likely_mass, mcallester_ortiz, unseen

# Corbet's butterflies (Fisher, Corbet and Williams 1943): species trapped exactly 1, 2, ... 24 times.
BUTTERFLIES = (118, 74, 44, 24, 29, 22, 20, 19, 20, 15, 12, 14, 6, 12, 6, 9, 9, 6, 10, 10, 11, 5, 3, 3)


def test_good_toulmin_finds_corbets_butterflies() -> None:
    f = dict(enumerate(BUTTERFLIES, 1))
    for share, expected in ((0.1, 11.10), (0.2, 20.96), (0.3, 29.79), (0.5, 45.17), (1.0, 75.00)):
        assert good_toulmin(f, share)[0] == pytest.approx(expected, abs=0.01), "Efron and Hastie, table 6.2"
    assert good_toulmin(f, 0.1)[1] == pytest.approx(math.sqrt(0.01 * 118 + 0.0001 * 74), rel=1e-3)
    assert good_toulmin(f, 0.0) == (0, 0)
    with pytest.raises(ValueError, match="at most as much"):
        good_toulmin(f, 1.01)


def test_chao1_finds_shakespeares_unused_words_and_has_a_form_without_doubletons() -> None:
    assert chao1(14376, 4343) == pytest.approx(23_793, abs=1), "Efron and Thisted 1976, the counts"
    assert (chao1(4, 0), chao1(1, 0), chao1(0, 0), chao1(0, 3)) == (6, 0, 0, 0)


def test_esty_and_the_distribution_free_bound_by_hand() -> None:
    found = esty(20, 10, 400)
    half = 1.959964 * math.sqrt((20 + 20) / 400**2 - 0.05**2 / 400)
    assert (found.low, found.high) == pytest.approx((0.05 - half, 0.05 + half))
    assert esty(20, 10, 400, several=True).high > found.high and esty(1, 0, 400).low == 0.0
    assert mcallester_ortiz(20, 400) == pytest.approx(0.05 + (1 + math.sqrt(2)) * math.sqrt(math.log(60) / 400))
    assert likely_mass(0, 0, 300) == pytest.approx(2.996 / 300, rel=1e-3), "no singleton: the rule of three, never zero"


def test_units_are_drives_and_not_events() -> None:
    drives = [["a", "a", "a"], ["a", "b"], [], ["c"], ["c", "a"]]
    assert frequencies(drives) == {3: 1, 1: 1, 2: 1}
    found = unseen(drives, granularity="x")
    assert found is not None
    assert (found.drives, found.kinds, found.singletons, found.doubletons, found.mass) == (5, 3, 1, 1, 0.2)
    assert found.chance_new == 0.2 and found.kinds_unseen == 0.5 and found.new_next == 1 - 1 + 1
    assert unseen([], granularity="x") is None


def seen(count: int, *, km: float = 10.0, events: int = 1, kind: str = "k") -> list[Seen]:
    return [Seen(km, events, frozenset({kind}) if events else frozenset())] * count


def test_mining_stops_only_when_all_four_hold() -> None:
    rule = {part.name.split()[0]: part for part in stopping("s", seen(400), severity=1).parts}
    assert {name: part.holds for name, part in rule.items()} == {"unseen": True, "new": True, "half-width": True, "p-value": True}
    assert stopping("s", seen(400), severity=1).stop
    cases = {
        "unseen": stopping("s", [Seen(10, 1, frozenset({f"k{k}"})) for k in range(100)] + seen(300), severity=3),
        "new": stopping("s", [*seen(399), *seen(1, kind="never before")], severity=1),
        "half-width": stopping("s", [*seen(20), *seen(380, events=0)], severity=1),
        "p-value": stopping("s", [*seen(300), *seen(100, events=2)], severity=1),
    }
    for name, found in cases.items():
        assert not found.stop and name in [part.name.split()[0] for part in found.parts if not part.holds], name


def test_what_cannot_be_told_does_not_hold() -> None:
    for drives in ([], seen(3), seen(3, events=0), seen(5, km=0.0)):
        found = stopping("s", drives, severity=2)
        assert not found.stop and all(part.why for part in found.parts)
    assert [part.holds for part in stopping("s", seen(150), severity=1).parts] == [True, False, True, False], "one block is not two"


def test_blocks_are_whole_and_in_order() -> None:
    drives = [Seen(4.0, k, frozenset()) for k in range(6)]
    assert [[drive.events for drive in block] for block in blocks(drives, block_km=10.0)] == [[0, 1, 2], [3, 4]]
    assert blocks([], block_km=10.0) == []


def test_the_sequential_test_by_hand() -> None:
    found = sprt(5, exposure=2.0, good=1.0, bad=3.0)
    assert found.ratio == pytest.approx(5 * math.log(3) - 2 * 2.0) and found.reject_at == pytest.approx(math.log(19))
    assert (sprt(0, exposure=1.4, good=1.0, bad=3.0).verdict, sprt(0, exposure=1.5, good=1.0, bad=3.0).verdict) == ("go on", "accept")
    assert (found.verdict, sprt(7, exposure=2.0, good=1.0, bad=3.0).verdict) == ("go on", "reject")
    with pytest.raises(ValueError, match="0 < good < bad"):
        sprt(1, exposure=1.0, good=2.0, bad=1.0)


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3])
def test_the_fit_is_scipys(shape: float) -> None:
    drawn = genpareto.rvs(shape, scale=0.5, size=150, random_state=3)
    known_shape, _, known_scale = genpareto.fit(drawn, floc=0)
    assert pareto(drawn) == pytest.approx((known_shape, known_scale), abs=2e-3)


def minima(ttc_s: np.ndarray, *, groups: int = 20, hours: float = 5.0) -> Minima:
    return Minima(ttc_s=ttc_s, group=np.arange(len(ttc_s)) % groups, exposure_h=np.full(groups, hours), source="drawn")


def test_the_crash_trend_of_an_exponential_tail_is_known() -> None:
    short = 1.5 - genpareto.rvs(0, scale=0.4, size=400, random_state=5)
    found = extremes(minima(np.concatenate([short, np.full(600, 9.0)])), draws=200)
    assert (found.encounters, found.exposure_h, found.enough) == (1000, 100.0, True)
    truth = 400 / 100 * math.exp(-1.5 / 0.4)
    assert found.interval_per_h.low < truth < found.interval_per_h.high
    steady = [row for row in found.table if row.threshold_s <= 1.5]
    assert len(steady) >= 2 and all(row.mean_excess_s == pytest.approx(0.4, abs=0.1) for row in steady)
    assert found.threshold_s == min(row.threshold_s for row in found.table if row.exceedances >= 50)
    assert extremes(minima(np.concatenate([short, np.full(600, 9.0)])), draws=200) == found, "seeded"
    assert any("not a safety claim" in text for text in found.caveats)


def test_a_bounded_tail_gives_zero_and_says_that_this_is_no_evidence() -> None:
    found = extremes(minima(np.random.default_rng(1).uniform(1.0, 3.0, 300)), draws=100)
    assert found.crashes_per_h == 0.0 and found.shape < -0.5 and any("exactly zero" in text for text in found.caveats)


@pytest.mark.parametrize("ttc", [np.zeros(0), np.full(9, 1.0), np.full(500, 4.0)])
def test_too_few_short_encounters_are_not_evaluable(ttc: np.ndarray) -> None:
    with pytest.raises(NotEvaluable, match="at least 10"):
        extremes(minima(ttc))
