"""Intervals against the reference values and against scipy's own."""

import math

import pytest
from scipy import stats

from flywheel.mine.rarity import dispersion, garwood, jeffreys, rarity, upper_bound, wilson


@pytest.mark.parametrize(("events", "low", "high"), [(3, 0.62, 8.77), (10, 4.80, 18.39), (0, 0.0, 2.996)])
def test_garwood_matches_the_reference(events: int, low: float, high: float) -> None:
    found = garwood(events, exposure=1.0)
    assert found.low == pytest.approx(low, abs=0.005) and found.high == pytest.approx(high, abs=0.005)


@pytest.mark.parametrize("events", [1, 4, 25, 400])
def test_garwood_bounds_are_where_the_tails_are_2_5_percent(events: int) -> None:
    found = garwood(events, exposure=7.0)
    assert stats.poisson.sf(events - 1, found.low * 7) == pytest.approx(0.025)
    assert stats.poisson.cdf(events, found.high * 7) == pytest.approx(0.025)


def test_jeffreys_matches_the_reference() -> None:
    assert jeffreys(0, exposure=1.0).high == pytest.approx(2.51, abs=0.005)
    assert jeffreys(5, exposure=2.0).low == pytest.approx(stats.gamma.ppf(0.025, 5.5, scale=0.5))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (9, 10), (10, 10), (50, 299)])
def test_wilson_matches_scipy(successes: int, trials: int) -> None:
    known = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    found = wilson(successes, trials=trials)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-12)


def test_little_data_never_looks_rare() -> None:
    assert rarity(0, exposure=1.0) == pytest.approx(-math.log10(2.9957), abs=1e-4)
    assert rarity(0, exposure=1.0) < rarity(0, exposure=100.0)
    assert rarity(5, exposure=100.0) < rarity(0, exposure=100.0)


def test_a_rate_needs_exposure() -> None:
    with pytest.raises(ValueError, match="exposure > 0"):
        upper_bound(0, exposure=0.0)
    with pytest.raises(ValueError, match="trials > 0"):
        wilson(0, trials=0)


def test_dispersion_tells_clusters_from_poisson() -> None:
    assert dispersion([2, 2, 2, 2]) == 0.0
    assert dispersion([8, 0, 0, 0]) == pytest.approx(8.0)
    assert dispersion([0, 0]) is None and dispersion([3]) is None
