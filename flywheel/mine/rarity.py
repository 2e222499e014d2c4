"""How rare something is, with honest intervals: exact Poisson, Jeffreys, Wilson; and the rarity score.

Rates are events per unit of evaluable exposure. Formulae: scenarios catalogue, section 3.1 (Garwood 1936; Jeffreys' gamma
posterior; Wilson 1927).
"""

from collections.abc import Sequence
from math import log10
from statistics import NormalDist

from flywheel.errors import require
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
    """Exact Poisson interval of a rate; with no event the bound is one-sided (2.996 / exposure at 95 %)."""
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


def rarity(events: int, *, exposure: float) -> float:
    """-log10 of the one-sided 95 % upper bound of the rate: little data can never look rare."""
    return -log10(upper_bound(events, exposure=exposure))


def dispersion(counts: Sequence[int]) -> float | None:
    """Variance over mean of event counts in independent groups (1 for Poisson, more if they cluster); None if undefined."""
    if len(counts) < 2 or sum(counts) == 0:
        return None
    mean = sum(counts) / len(counts)
    return sum((count - mean) ** 2 for count in counts) / (len(counts) - 1) / mean
