"""What truly happened around lane changes: rows 8, 29 and 30 of the catalogue, from the exact motions.

Numbers are written here and meet `limits.strict` (times it where large counts, over it where small counts).
- cut_out_reveal: the lead, once within 0.375 m of the lane's centre, leaves the ego's path sideways (still ahead, off by more than that);
  at that instant or up to 2 s later one at half the ego's speed or less leads, within 80 m, for 0.3 s. The ego's lane stays the same.
  L2: at a headway under 2 s.
- merge, risky_lane_change: from the ego's side over the line until all of it is across, neither half longer than 8 s; see the two rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import Limits, Other, Rule, Truth, View, nearest, overlaps, runs, seconds
from flywheel.fleet.rules_following import riders, stretch

SETTLE_S = 8.0


@dataclass(frozen=True)
class _Passage:
    """A completed lane change: the ego's side over the line, its centre over it, all of it across; the lane left, the new centre."""

    start: int
    at: int
    end: int
    lane: int
    centre_m: float


def _passages(view: View) -> Iterator[_Passage]:
    place, half = view.drive.place, WIDTH_M / 2
    for k in np.flatnonzero(np.diff(view.lane)) + 1:
        old, new = (place.lane_d_m(int(view.lane[i])) for i in (k - 1, k))
        over = (view.d_m - (old + new) / 2) * np.sign(new - old)
        low, high = max(int(k) - int(SETTLE_S * RATE_HZ), 0), int(k) + int(SETTLE_S * RATE_HZ)
        outside, inside = np.flatnonzero(over[low:k] <= -half), np.flatnonzero(over[k:high] >= half)
        if len(outside) and len(inside) and not (over[k : k + inside[0]] <= -half).any():
            yield _Passage(low + int(outside[-1]), int(k), int(k + inside[0]), int(view.lane[k - 1]), new)


def _around(view: View, passage: _Passage, i: int) -> tuple[tuple[float, str], tuple[float, str], float]:
    """(headway, who) before and behind the ego in the new lane at an instant, and the rear time to collision."""
    front, rear = (np.inf, "", np.nan), (np.inf, "", np.nan)
    for other in riders(view):
        if not (abs(other.d_m[i] - passage.centre_m) < view.drive.place.lane_m / 2 and other.aligned[i]):
            continue
        ahead = other.s_m[i] > view.s_m[i] + (FRONT_M + REAR_M) / 2
        back = (view.s_m[i] - other.s_m[i]) / (1.0 + view.kappa_1pm[i] * view.centre_m[i]) - other.length_m / 2 + REAR_M
        gap = max(float(other.gap_m[i] if ahead else back), 0.0)
        seen = (gap, other.actor_id, float(other.along_mps[i]))
        front, rear = (min(front, seen), rear) if ahead else (front, min(rear, seen))
    own = float(view.speed_mps[i])
    before = front[0] / own if own > 0 else np.inf
    behind = rear[0] / rear[2] if rear[2] > 0 else np.inf
    closing = rear[2] - own
    return (before, front[1]), (behind, rear[1]), rear[0] / closing if closing >= 1.0 else np.inf


def merge(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 29: out of a lane that ends within 150 m, into a gap under 2 s before or behind when the ego's centre crosses the line."""
    ends = view.drive.plan.lane_ends_s_m
    for passage in _passages(view) if ends is not None else ():
        left = (ends or 0.0) - view.s_m[passage.at - 1] - FRONT_M
        sides = [side for side in _around(view, passage, passage.at)[:2] if side[0] < 2.0 / limits.strict]
        long_enough = (passage.end - passage.start) / RATE_HZ >= 1.0 * limits.strict
        if passage.lane == 0 and 0.0 <= left <= 150.0 / limits.strict and sides and long_enough:
            ids = tuple(sorted({name for _, name in sides}))
            yield Truth(scenario="merge", level="L1", start=passage.start, end=passage.end, actors=ids)


def risky_lane_change(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 30: from the centre over the line until all is across, a follower within 0.7 s, or 3 s from contact at 1 m/s or more."""
    for passage in _passages(view):
        behind = [_around(view, passage, i)[1:] for i in range(passage.at, passage.end + 1, 2)]
        risky = [rear[1] for rear, ttc in behind if rear[0] < 0.7 / limits.strict or ttc < 3.0 / limits.strict]
        if risky:
            yield Truth(scenario="risky_lane_change", level="L1", start=passage.start, end=passage.end, actors=tuple(sorted(set(risky))))


def cut_out_reveal(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 8."""
    gap, closing, who = nearest(view)
    crawls = (who >= 0) & (view.speed_mps - closing <= 0.5 * view.speed_mps / limits.strict) & (gap <= 80.0 / limits.strict)
    crawls &= view.on_course
    slow = np.zeros(len(who), bool)
    for run in runs(crawls):
        slow[run[0] : run[1] + 1] = seconds(run) >= 0.3
    for i in np.flatnonzero((who[:-1] >= 0) & (who[1:] != who[:-1])) + 1:
        old = view.others[who[i - 1]]
        shown = np.flatnonzero(slow[i : i + 2 * RATE_HZ + 1] & (who[i : i + 2 * RATE_HZ + 1] != who[i - 1]))
        start = _drift(view, old, int(i), limits)
        if start is None or len(shown) == 0 or overlaps(view, old)[i]:
            continue
        j = int(i + shown[0])
        if len(set(view.lane[start : j + 1])) == 1:
            close = gap[j] / max(view.speed_mps[j], 0.1) < 2.0 / limits.strict
            ids = tuple(sorted({old.actor_id, view.others[who[j]].actor_id}))
            yield Truth(scenario="cut_out_reveal", level="L2" if close else "L1", start=start, end=j, actors=ids)


def _drift(view: View, old: Other, i: int, limits: Limits) -> int | None:
    """Since when the old lead, still ahead at i, has been off the lane's centre; None if it is not, or always was."""
    low = max(i - 6 * RATE_HZ, 0)
    off = np.abs(old.d_m[low : i + 1] - view.centre_m[low : i + 1]) > 0.375 * limits.strict
    near = np.flatnonzero(~off & ~np.isnan(old.d_m[low : i + 1]))
    ahead = (old.s_m[i] - view.s_m[i]) * stretch(view)[i] > FRONT_M
    return low + int(near[-1]) + 1 if len(near) and off[-1] and ahead else None


RULES: dict[str, Rule] = {"cut_out_reveal": cut_out_reveal, "merge": merge, "risky_lane_change": risky_lane_change}
