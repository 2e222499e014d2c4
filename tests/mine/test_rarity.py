"""Intervals against the reference values and against scipy's own."""

import math

import pytest
from scipy import stats

from flywheel.errors import NotEvaluable
from flywheel.mine.rarity import (
    Audit,
    clopper_pearson,
    clustered,
    clustered_upper,
    corrected,
    dispersion,
    garwood,
    jeffreys,
    likely_spread,
    rarity,
    upper_bound,
    wilson,
)  # fmt: skip


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


@pytest.mark.parametrize(("events", "spread"), [(1, 1.5), (10, 3.0), (200, 8.0)])
def test_clustered_bounds_are_where_the_negative_binomial_has_2_5_percent(events: int, spread: float) -> None:
    found = clustered(events, exposure=4.0, spread=spread)
    at_low, at_high = (stats.nbinom(bound * 4 / (spread - 1), 1 / spread) for bound in (found.low, found.high))
    assert at_low.sf(events - 1) == pytest.approx(0.025) and at_high.cdf(events) == pytest.approx(0.025)
    assert stats.nbinom(clustered_upper(events, exposure=4.0, spread=spread) * 4 / (spread - 1), 1 / spread).cdf(events) == pytest.approx(
        0.05
    )


def test_without_clustering_the_clustered_interval_is_garwoods() -> None:
    assert clustered(7, exposure=2.0, spread=1.0) == clustered(7, exposure=2.0, spread=0.4) == garwood(7, exposure=2.0)
    near, plain = clustered(7, exposure=2.0, spread=1.00001), garwood(7, exposure=2.0)
    assert (near.low, near.high) == pytest.approx((plain.low, plain.high), rel=1e-3)
    assert clustered(0, exposure=2.0, spread=5.0).high == pytest.approx(2.996 / 2, abs=1e-3)
    wide = clustered(7, exposure=2.0, spread=3.0)
    assert wide.low < plain.low < plain.high < wide.high
    assert rarity(7, exposure=2.0, spread=3.0) < rarity(7, exposure=2.0), "clustering can only make a thing look less rare"


def test_clopper_pearson_matches_scipy_and_the_299_clips_rule() -> None:
    for successes, trials in ((0, 10), (3, 20), (20, 20), (299, 300)):
        known = stats.binomtest(successes, trials).proportion_ci(method="exact")
        found = clopper_pearson(successes, trials=trials)
        assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-9)
    assert clopper_pearson(0, trials=299, confidence=0.9).high == pytest.approx(0.01, abs=1e-4), "one-sided 95 %: 299 clips without error"


def test_dispersion_takes_exposure_into_account() -> None:
    counts, hours = [10, 100, 10, 100], [1.0, 10.0, 1.0, 10.0]
    assert dispersion(counts, hours) == 0.0 and (dispersion(counts) or 0) > 30
    assert dispersion([4, 0], [1.0, 0.0]) is None, "a group without exposure is no group"
    assert dispersion([3, 1, 0, 7]) == pytest.approx(stats.chisquare([3, 1, 0, 7]).statistic / 3)


def test_a_detectors_errors_are_taken_out_and_widen_the_interval() -> None:
    perfect, found = Audit(right=100_000, found=100_000, true=100_000), garwood(50, exposure=10.0)
    rate, span = corrected(50, exposure=10.0, audit=perfect)
    assert rate == 5.0 and (span.low, span.high) == pytest.approx((found.low, found.high), rel=0.05)
    rate, wider = corrected(50, exposure=10.0, audit=Audit(right=40, found=50, true=80))
    assert rate == pytest.approx(5.0 * 0.8 / 0.5) and wider.low < rate < wider.high and wider.high / wider.low > span.high / span.low
    assert corrected(50, exposure=10.0, audit=Audit(right=40, found=50, true=80)) == (rate, wider), "seeded"
    with pytest.raises(NotEvaluable, match="corrects nothing"):
        corrected(50, exposure=10.0, audit=Audit(right=0, found=5, true=5))


def test_the_spread_that_counts_has_its_own_error_added() -> None:
    counts = [5, 0, 0, 3, 0, 4]
    assert likely_spread(counts) > (dispersion(counts) or 0) > 1
    assert likely_spread([2, 2, 2, 2]) == 1.0 and likely_spread([0, 0]) == 1.0 and likely_spread([3]) == 1.0
    many = counts * 50
    assert likely_spread(many) - (dispersion(many) or 0) < 0.2 * (likely_spread(counts) - (dispersion(counts) or 0))
