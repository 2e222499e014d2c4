"""How rare something is, with honest intervals: of rates (Garwood, Jeffreys, clustered) and of proportions; and the rarity score.

Rates are events per unit of evaluable exposure. Sources: Garwood 1936 (exact Poisson); Jeffreys' gamma posterior; Wilson 1927;
Clopper and Pearson 1934; the negative binomial with variance in proportion to the mean (NB1, Cameron and Trivedi 1986) where events
cluster.
"""

from collections.abc import Sequence
from math import log10
from statistics import NormalDist

import numpy as np

from flywheel.errors import NotEvaluable, require
from flywheel.types import Record

CONFIDENCE = 0.95


class Interval(Record):
    """Two-sided bounds of a rate or a proportion."""

    low: float
    high: float


def _gamma_quantile(at: float, *, shape: float) -> float:
    """Quantile of Gamma(shape, 1); half the chi-square quantile at 2 * shape degrees."""
    return float(require("scipy.special", extra="mine").gammaincinv(shape, at))


def _checked(events: int, exposure: float) -> None:
    if events < 0 or exposure <= 0:
        raise ValueError(f"a rate needs events >= 0 and exposure > 0, not {events} and {exposure}")


def upper_bound(events: int, *, exposure: float, confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound of a Poisson rate: half the chi-square quantile at 2k+2 degrees, over the exposure.

    With no event at 95 % it is 2.996 / exposure, the rule of three. ValueError without exposure.
    """
    _checked(events, exposure)
    return _gamma_quantile(confidence, shape=events + 1) / exposure


def garwood(events: int, *, exposure: float, confidence: float = CONFIDENCE) -> Interval:
    """Exact Poisson interval of a rate; with no event the bound is one-sided (2.996 / exposure at 95 %).

    That rule of three costs a little: where 3.0 to 3.45 events are to be expected it covers 93.8 % at worst, 95 % or more elsewhere.
    """
    _checked(events, exposure)
    if events == 0:
        return Interval(low=0.0, high=upper_bound(0, exposure=exposure, confidence=confidence))
    tail = (1 - confidence) / 2
    return Interval(
        low=_gamma_quantile(tail, shape=events) / exposure,
        high=_gamma_quantile(1 - tail, shape=events + 1) / exposure,
    )


def jeffreys(events: int, *, exposure: float, confidence: float = CONFIDENCE) -> Interval:
    """Two-sided quantiles of the Gamma(k + 1/2, exposure) posterior of a rate."""
    _checked(events, exposure)
    tail = (1 - confidence) / 2
    low, high = (_gamma_quantile(at, shape=events + 0.5) / exposure for at in (tail, 1 - tail))
    return Interval(low=low, high=high)


def wilson(successes: int, *, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Score interval of a proportion, clipped to 0..1. ValueError unless 0 <= successes <= trials and trials > 0."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"a proportion needs 0 <= successes <= trials > 0, not {successes} of {trials}")
    z, p = NormalDist().inv_cdf(0.5 + confidence / 2), successes / trials
    scale = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / scale
    half: float = z * (p * (1 - p) / trials + z * z / (4 * trials * trials)) ** 0.5 / scale
    return Interval(low=max(0.0, centre - half), high=min(1.0, centre + half))


def clopper_pearson(successes: int, *, trials: int, confidence: float = CONFIDENCE) -> Interval:
    """Exact interval of a proportion, for safety claims: it covers at least as often as it says."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"a proportion needs 0 <= successes <= trials > 0, not {successes} of {trials}")
    quantile, tail = require("scipy.special", extra="mine").betaincinv, (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(quantile(successes, trials - successes + 1, tail))
    high = 1.0 if successes == trials else float(quantile(successes + 1, trials - successes, 1 - tail))
    return Interval(low=low, high=high)


def _clustered_bound(events: int, tail: float, *, exposure: float, spread: float) -> float:
    """The rate at which a negative binomial count (variance = spread x mean) is at most `events` with probability `tail`.

    Such counts add up to one of the same kind: shape = rate x exposure / (spread - 1), success probability 1 / spread, and their
    distribution function is the incomplete beta function, which is solved for its shape.
    """
    shape = float(require("scipy.special", extra="mine").btdtria(tail, events + 1, 1 / spread))
    return shape * (spread - 1) / exposure


def clustered(events: int, *, exposure: float, spread: float, confidence: float = CONFIDENCE) -> Interval:
    """Garwood's interval where counts of independent groups vary `spread` times as much as Poisson's; Garwood's own up to 1."""
    _checked(events, exposure)
    if spread <= 1 + 1e-9 or events == 0:
        return garwood(events, exposure=exposure, confidence=confidence)
    tail = (1 - confidence) / 2
    low = _clustered_bound(events - 1, 1 - tail, exposure=exposure, spread=spread)
    return Interval(low=low, high=_clustered_bound(events, tail, exposure=exposure, spread=spread))


def clustered_upper(events: int, *, exposure: float, spread: float, confidence: float = CONFIDENCE) -> float:
    """One-sided upper bound where events cluster; `upper_bound` where they do not."""
    _checked(events, exposure)
    if spread <= 1 + 1e-9 or events == 0:
        return upper_bound(events, exposure=exposure, confidence=confidence)
    return _clustered_bound(events, 1 - confidence, exposure=exposure, spread=spread)


def rarity(events: int, *, exposure: float, spread: float = 1.0) -> float:
    """-log10 of the one-sided 95 % upper bound of the rate: little data can never look rare."""
    return -log10(clustered_upper(events, exposure=exposure, spread=spread))


class Audit(Record):
    """How a detector did against truth: of `found` events `right` were right, of `true` ones `right` were found."""

    right: int
    found: int
    true: int


def corrected(events: int, *, exposure: float, audit: Audit, spread: float = 1.0, draws: int = 20_000) -> tuple[float, Interval]:
    """Rate and 95 % interval with the detector's errors taken out: events x precision / (recall x exposure).

    Precision and recall have Jeffreys' beta posteriors, the count its gamma posterior (events / spread + 1/2, so many times wider);
    the interval holds 95 % of their seeded draws. NotEvaluable if the audit found nothing right or nothing at all.
    """
    _checked(events, exposure)
    if not 0 < audit.right <= min(audit.found, audit.true):
        raise NotEvaluable(f"an audit with {audit.right} right of {audit.found} found and {audit.true} true ones corrects nothing")
    wide, rng = max(spread, 1.0), np.random.default_rng((events, audit.right, audit.found, audit.true))
    counts = rng.gamma(events / wide + 0.5, wide, draws)
    precision = rng.beta(audit.right + 0.5, audit.found - audit.right + 0.5, draws)
    recall = rng.beta(audit.right + 0.5, audit.true - audit.right + 0.5, draws)
    low, high = np.quantile(counts * precision / recall / exposure, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return events * (audit.right / audit.found) / (audit.right / audit.true) / exposure, Interval(low=float(low), high=float(high))


def dispersion(counts: Sequence[int], exposures: Sequence[float] | None = None) -> float | None:
    """How much more counts of independent groups vary than Poisson's (1): Pearson's chi-square over its degrees of freedom.

    With equal exposures (the default) that is variance over mean. None with fewer than two groups or without an event.
    """
    k = np.asarray(counts, np.float64)
    weight = np.ones(len(k)) if exposures is None else np.asarray(exposures, np.float64)
    k, weight = k[weight > 0], weight[weight > 0]
    if len(k) < 2 or k.sum() == 0:
        return None
    expected = weight * (k.sum() / weight.sum())
    return float(((k - expected) ** 2 / expected).sum() / (len(k) - 1))


def likely_spread(counts: Sequence[int], exposures: Sequence[float] | None = None) -> float:
    """The spread to reckon with where it is only estimated, at least 1: few bursts shall not make an interval look narrow.

    As Student's quantile stands for the normal one where a variance is estimated: the dispersion times the square of their ratio,
    with as many degrees of freedom as there were bursts (events / dispersion; three at least, fewer than groups).
    """
    found = dispersion(counts, exposures)
    if found is None:
        return 1.0
    bursts = min(sum(counts) / max(found, 1.0), len(counts) - 1)
    at = (1 + CONFIDENCE) / 2
    student = float(require("scipy.special", extra="mine").stdtrit(max(bursts, 3.0), at))
    return max(1.0, found * (student / NormalDist().inv_cdf(at)) ** 2)
