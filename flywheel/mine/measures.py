"""Surrogate safety measures as pure functions of numbers or arrays (anything that broadcasts), in seconds, metres and m/s.

Everywhere: `gap_m` runs bumper to bumper and counts as 0 where boxes overlap; `closing_mps` is the follower's speed minus the leader's,
positive while the gap shrinks. A time that never comes is infinite; a number that is not known (NaN) gives NaN, which no threshold meets.
Formulae are the standard ones; what a source fixes beyond them is said where it is used.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from flywheel.mine.rss import AD_RSS, R157_RSS, RSS_SETS, RssParameters, rss_dangerous, rss_lateral, rss_longitudinal, rss_opposite
from flywheel.mine.segments import Ints, Mask, Reals

__all__ = [
    "AD_RSS", "R157_RSS", "RSS_SETS", "Boxes", "RssParameters", "distance", "drac", "fsm_pfs", "jerk", "mdrac", "mttc", "overlap_s", "pet",
    "r157_cut_in", "rss_dangerous", "rss_lateral", "rss_longitudinal", "rss_opposite", "tet", "thw", "tit", "ttc", "ttc_boxes",
]  # fmt: skip

HORIZON_S = 3.0
STEP_S = 0.1
PRT_S = 1.0
STILL_MPS = 1e-9


def _reals(*values: ArrayLike) -> tuple[Reals, ...]:
    """The values as float arrays of one shape."""
    return tuple(np.broadcast_arrays(*(np.asarray(value, np.float64) for value in values)))


def _known(result: Reals, *given: Reals) -> Reals:
    """The result, NaN wherever something given is NaN."""
    return np.where(np.any([np.isnan(value) for value in given], axis=0), np.nan, result)


def _over(top: Reals, bottom: Reals, *, where: Mask, otherwise: float) -> Reals:
    """top / bottom where the mask holds, else a fixed value; NaN where either is NaN."""
    with np.errstate(divide="ignore", over="ignore"):
        quotient = np.divide(top, bottom, out=np.full(top.shape, otherwise), where=where)
    return _known(quotient, top, bottom)


def ttc(gap_m: ArrayLike, closing_mps: ArrayLike) -> Reals:
    """Time to collision on one path, s: gap / closing speed; infinite where the gap does not shrink."""
    gap, closing = _reals(gap_m, closing_mps)
    return _over(np.maximum(gap, 0.0), closing, where=closing > 0, otherwise=np.inf)


def mttc(gap_m: ArrayLike, closing_mps: ArrayLike, closing_mps2: ArrayLike) -> Reals:
    """Modified time to collision, s: the smallest t > 0 with closing * t + closing_mps2 / 2 * t^2 = gap; infinite if there is none.

    closing_mps2 is the follower's acceleration minus the leader's. Both keep theirs for ever, also through standstill (Ozbay 2008).
    """
    gap, speed, rise = _reals(gap_m, closing_mps, closing_mps2)
    gap = np.maximum(gap, 0.0)
    under = speed**2 + 2 * rise * gap
    root = np.sqrt(np.maximum(under, 0.0))
    # Two forms of one root: each is used where it subtracts nothing.
    closes = _over(2 * gap, speed + root, where=(speed > 0) & (under >= 0), otherwise=np.inf)
    turns = _over(root - speed, rise, where=(speed <= 0) & (rise > 0), otherwise=np.inf)
    return _known(np.minimum(closes, turns), gap, speed, rise)


def thw(gap_m: ArrayLike, speed_mps: ArrayLike) -> Reals:
    """Time headway, s: gap / the follower's speed; infinite for one that stands or reverses."""
    gap, speed = _reals(gap_m, speed_mps)
    return _over(np.maximum(gap, 0.0), speed, where=speed > 0, otherwise=np.inf)


def pet(a_enters_s: ArrayLike, a_leaves_s: ArrayLike, b_enters_s: ArrayLike, b_leaves_s: ArrayLike) -> Reals:
    """Post-encroachment time, s: when the second enters a zone minus when the first leaves it, whichever of a and b is first.

    Negative where both are in the zone at once (a collision, or a zone too large). NaN for one who never is there.
    """
    a_in, a_out, b_in, b_out = _reals(a_enters_s, a_leaves_s, b_enters_s, b_leaves_s)
    with np.errstate(invalid="ignore"):
        return _known(np.maximum(b_in - a_out, a_in - b_out), a_in, a_out, b_in, b_out)


def drac(gap_m: ArrayLike, closing_mps: ArrayLike) -> Reals:
    """Deceleration rate to avoid a crash, m/s2: closing^2 / (2 gap); 0 where the gap does not shrink, infinite at contact."""
    gap, closing = _reals(gap_m, closing_mps)
    return _over(closing, 2 * ttc(gap, closing), where=closing > 0, otherwise=0.0)


def mdrac(gap_m: ArrayLike, closing_mps: ArrayLike, *, reaction_s: float = PRT_S) -> Reals:
    """Modified DRAC, m/s2: closing / (2 (TTC - reaction time)); infinite once TTC is the reaction time or less, 0 where it is infinite."""
    gap, closing = _reals(gap_m, closing_mps)
    left = ttc(gap, closing) - reaction_s
    late = np.where((closing > 0) & (left <= 0), np.inf, 0.0)
    return _known(np.where(left > 0, _over(closing, 2 * left, where=(closing > 0) & (left > 0), otherwise=0.0), late), gap, closing)


def tet(ttc_s: ArrayLike, step_s: ArrayLike, *, limit_s: float) -> float:
    """Time exposed to a TTC below the limit, s: the steps of all such samples added up."""
    value, step = _reals(ttc_s, step_s)
    return float(step[value < limit_s].sum())


def tit(ttc_s: ArrayLike, step_s: ArrayLike, *, limit_s: float) -> float:
    """Time-integrated TTC, s2: the integral of (limit - TTC) over the time below the limit."""
    value, step = _reals(ttc_s, step_s)
    below = value < limit_s
    return float(((limit_s - value[below]) * step[below]).sum())


def jerk(acceleration_mps2: ArrayLike, step_s: float, *, window: int = 15, order: int = 2) -> Reals:
    """Jerk of an evenly sampled acceleration, m/s3, by a Savitzky-Golay derivative (nuPlan: 15 samples of 0.1 s, order 2).

    The window is odd, so that nothing is delayed, and no longer than the series; one of `order` samples or fewer has no jerk (NaN).
    A NaN spoils the windows it lies in.
    """
    from scipy.signal import savgol_coeffs, savgol_filter

    values = np.asarray(acceleration_mps2, np.float64)
    window = (min(window, len(values)) + 1) // 2 * 2 - 1
    if window <= order:
        return np.full(len(values), np.nan)
    if np.isfinite(values).all():
        return np.asarray(savgol_filter(values, window, order, deriv=1, delta=step_s))
    taps = savgol_coeffs(window, order, deriv=1, delta=step_s)
    return np.convolve(np.pad(values, window // 2, constant_values=np.nan), taps, mode="valid")


@dataclass(frozen=True)
class Boxes:
    """Oriented rectangles that keep their velocity: centre m, heading rad, size m, velocity m/s, all in one frame."""

    x_m: Reals
    y_m: Reals
    heading_rad: Reals
    length_m: Reals
    width_m: Reals
    vx_mps: Reals
    vy_mps: Reals

    @cached_property
    def axes(self) -> tuple[tuple[Reals, Reals], tuple[Reals, Reals]]:
        """Unit vectors along and across."""
        c, s = np.cos(self.heading_rad), np.sin(self.heading_rad)
        return (c, s), (-s, c)

    def take(self, rows: Ints) -> "Boxes":
        """Some of the boxes."""
        return Boxes(*(getattr(self, part.name)[rows] for part in fields(self)))

    def reach_m(self, axis: tuple[Reals, Reals]) -> Reals:
        """Half of what a box covers along an axis."""
        along, across = (np.abs(ux * axis[0] + uy * axis[1]) for ux, uy in self.axes)
        return np.asarray(along * self.length_m / 2 + across * self.width_m / 2)


def _shadows(a: Boxes, b: Boxes) -> Iterator[tuple[Reals, Reals, Reals]]:
    """On each of the four axes: b's distance from a, its speed, and the distance at which both touch."""
    dx, dy, wx, wy = b.x_m - a.x_m, b.y_m - a.y_m, b.vx_mps - a.vx_mps, b.vy_mps - a.vy_mps
    for x, y in (*a.axes, *b.axes):
        yield dx * x + dy * y, wx * x + wy * y, a.reach_m((x, y)) + b.reach_m((x, y))


def overlap_s(a: Boxes, b: Boxes) -> tuple[Reals, Reals]:
    """When moving boxes begin and cease to overlap, s from now (negative: already); (inf, -inf) where they never do.

    Exact: on each of the four axes of the separating-axis theorem the shadows of two boxes overlap in one interval of time.
    """
    begins, ends = np.full(np.shape(a.x_m), -np.inf), np.full(np.shape(a.x_m), np.inf)
    for distance_m, speed, reach in _shadows(a, b):
        still = np.abs(speed) < STILL_MPS
        pace, ahead = np.where(still, 1.0, np.abs(speed)), -np.sign(speed) * distance_m
        inside = np.where(np.abs(distance_m) <= reach, np.inf, -np.inf)
        begins = np.maximum(begins, np.where(still, -inside, (ahead - reach) / pace))
        ends = np.minimum(ends, np.where(still, inside, (ahead + reach) / pace))
    never = begins > ends
    return np.where(never, np.inf, begins), np.where(never, -np.inf, ends)


def distance(a: Boxes, b: Boxes) -> Reals:
    """Distance between the outlines of boxes, m; 0 where they overlap."""
    parted = np.any([np.abs(distance_m) > reach for distance_m, _, reach in _shadows(a, b)], axis=0)
    apart = np.minimum(_corners_m(a, b), _corners_m(b, a))
    return _known(np.where(parted, apart, 0.0), apart)


def _corners_m(a: Boxes, b: Boxes) -> Reals:
    """From the corner of `a` that is nearest to `b` to its outline."""
    (cx, cy), (px, py) = a.axes
    (ux, uy), (wx, wy) = b.axes
    least = np.full(np.shape(a.x_m), np.inf)
    for ahead, left in ((1, 1), (1, -1), (-1, -1), (-1, 1)):
        dx = a.x_m - b.x_m + ahead * cx * a.length_m / 2 + left * px * a.width_m / 2
        dy = a.y_m - b.y_m + ahead * cy * a.length_m / 2 + left * py * a.width_m / 2
        out = [np.maximum(np.abs(dx * x + dy * y) - size / 2, 0.0) for x, y, size in ((ux, uy, b.length_m), (wx, wy, b.width_m))]
        least = np.minimum(least, np.hypot(*out))
    return least


def ttc_boxes(a: Boxes, b: Boxes, *, horizon_s: float = HORIZON_S, step_s: float | None = STEP_S) -> Reals:
    """Time until constant-velocity boxes overlap, s: the first step up to the horizon at which they do, 0 if they do now, else infinite.

    Steps of 0.1 s up to 3 s are nuPlan's; with step_s None the moment is exact and no touch between two steps is missed.
    """
    begins, ends = overlap_s(a, b)
    first = np.maximum(begins, 0.0)
    if step_s is not None:
        first = np.ceil(np.round(first / step_s, 9)) * step_s
    result = np.where((first <= ends + 1e-9) & (first <= horizon_s + 1e-9), first, np.inf)
    return _known(result, begins, ends)


def r157_cut_in(ttc_s: ArrayLike, closing_mps: ArrayLike) -> Mask:
    """Whether a cut-in is one that must be avoided: TTC at the lane intrusion > closing / (2 * 6 m/s2) + 0.35 s (UN R157, as in esmini)."""
    time, closing = _reals(ttc_s, closing_mps)
    return np.asarray(time > np.maximum(closing, 0.0) / (2 * 6.0) + 0.35)


def fsm_pfs(gap_m: ArrayLike, rear_mps: ArrayLike, lead_mps: ArrayLike) -> Reals:
    """Proactive fuzzy safety of the R157 fuzzy safety model: 0 safe, 1 unsafe, linear between (numbers as in esmini)."""
    gap, rear, lead = _reals(gap_m, rear_mps, lead_mps)
    reach = rear * 0.75 - lead**2 / (2 * 7.0)
    safe, unsafe = reach + rear**2 / (2 * 4.0) + 2.0, reach + rear**2 / (2 * 6.0)
    return np.asarray(np.clip((gap - 2.0 - safe) / (unsafe - safe), 0.0, 1.0))
