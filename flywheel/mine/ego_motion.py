"""Detectors of how the ego moves: acceleration, cornering, jerk, evasion, curve speed (rows 2, 3, 4, 6, 27) and U-turns (row 38)."""

from collections.abc import Sequence

import numpy as np

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.filters import slope
from flywheel.mine.hits import Detector, Hit, highest
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Mask, Reals, Spans, graded, hysteresis, merge
from flywheel.mine.signals import Ego


def lateral(ego: Ego) -> Reals:
    """Lateral acceleration: measured, else yaw rate times speed; NotEvaluable without either."""
    if ego.ay is not None:
        return ego.ay
    if ego.yaw is None:
        raise NotEvaluable("no lateral acceleration and no yaw rate")
    return ego.yaw * ego.speed


def _along(ego: Ego) -> Reals:
    if ego.ax is None:
        raise NotEvaluable("no acceleration")
    return ego.ax


def _above(values: Reals, limits: Sequence[float], clock: Clock, entry: Scenario, *, also: Mask | None = None) -> list[Hit]:
    """A hit for each stretch of values at or above the levels' limits (and `also`); its peak is the largest value."""
    levels, hold = [values >= limit for limit in limits], values >= limits[0] * entry.exit_ratio
    if not levels[0].any():
        return []
    if also is not None:
        levels, hold = [mask & also for mask in levels], hold & also
    return highest(*graded(levels, hold, clock, min_s=entry.min_duration_s, merge_s=entry.merge_s), clock, values)


def hard_acceleration(drive: Drive, entry: Scenario) -> list[Hit]:
    """Accelerating at or above the level's value."""
    return _above(_along(drive.ego), entry.limits("acceleration"), drive.ego.clock, entry)


def hard_cornering(drive: Drive, entry: Scenario) -> list[Hit]:
    """Lateral acceleration to either side at or above the level's value."""
    return _above(np.abs(lateral(drive.ego)), entry.limits("lateral"), drive.ego.clock, entry)


def high_jerk(drive: Drive, entry: Scenario) -> list[Hit]:
    """Jerk at or above its bound along the path, or at or above the bound of any direction; the peak counts in bounds."""
    ego, coarse, window_s = drive.ego, drive.ego.coarse, entry.settings["window_s"]
    if coarse.clock.period_ns > window_s / 4 * NS:
        raise NotEvaluable(f"acceleration is sampled below {4 / window_s:g} Hz")
    along = slope(_along(ego)[coarse.rows], coarse.clock, window_s=window_s)
    share = np.abs(along) / entry.limit("L1", "longitudinal")
    if ego.ay is not None:
        across = slope(ego.ay[coarse.rows], coarse.clock, window_s=window_s)
        share = np.maximum(share, np.hypot(along, across) / entry.settings["total_mps3"])
    return _above(share, (1.0,), coarse.clock, entry, also=np.abs(ego.speed[coarse.rows]) >= entry.settings["least_speed_mps"])


def brake_steer_evasion(drive: Drive, entry: Scenario) -> list[Hit]:
    """Braking and steering hard at the same time."""
    rows, clock = drive.ego.coarse.rows, drive.ego.coarse.clock
    braking, across = -_along(drive.ego)[rows], np.abs(lateral(drive.ego)[rows])
    both = np.hypot(braking, across) / entry.limit("L1", "together")
    share = np.minimum(both, np.minimum(braking, across) / entry.settings["each_mps2"])
    spans, level = graded([share >= 1.0], share >= entry.exit_ratio, clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    return highest(spans, level, clock, both * entry.limit("L1", "together"))


def curve_speed_excess(drive: Drive, entry: Scenario) -> list[Hit]:
    """Too fast for the bend ahead: what the present speed needs in it reaches the level's lateral acceleration."""
    ego = drive.ego
    if ego.yaw is None:
        raise NotEvaluable("no yaw rate")
    needed = np.abs(ego.yaw * ego.speed)
    if drive.missing("lanes") is None:
        needed = _needed(drive, needed, ahead_s=entry.settings["ahead_s"], step_s=entry.settings["step_s"])
    return _above(needed, entry.limits("lateral"), ego.clock, entry, also=ego.speed >= entry.settings["least_speed_mps"])


def _needed(drive: Drive, needed: Reals, *, ahead_s: float, step_s: float) -> Reals:
    """v2 times the largest curvature of the lane over the next seconds of travel, where there is a map; else as given.

    The lane's curvature ahead is what the map said when the ego got there; beyond the drive's end its last word stands.
    """
    ego, lanes = drive.ego, drive.lanes
    t_ns, bend = lanes.clock.t_ns, np.abs(lanes.says("curvature_1pm"))
    speed, way = ego.at(t_ns, ego.speed), ego.at(t_ns, ego.travelled_m)
    furthest = np.maximum.accumulate(way)
    tightest = bend.copy()
    for ahead in np.arange(step_s, ahead_s + step_s / 2, step_s):
        np.maximum(tightest, np.interp(way + ahead * speed, furthest, bend), out=tightest)
    return np.where(lanes.covers(ego.clock.t_ns), lanes.at(ego.clock.t_ns, tightest) * ego.speed**2, needed)


def u_turn(drive: Drive, entry: Scenario) -> list[Hit]:
    """Turning round to one side, in one go or with short pauses."""
    ego, coarse = drive.ego, drive.ego.coarse
    if ego.yaw is None:
        raise NotEvaluable("no yaw rate")
    rate, clock, found = ego.yaw[coarse.rows], coarse.clock, list[Hit]()
    for side in (1.0, -1.0):
        fast, slow = entry.settings["rate_radps"], entry.settings["rate_radps"] * entry.exit_ratio
        spans = merge(hysteresis(side * rate >= fast, side * rate >= slow, clock), clock, within_s=entry.merge_s)
        found += _turns(ego, spans, entry)
    return sorted(found, key=lambda hit: hit.t0_ns)


def _turns(ego: Ego, spans: Spans, entry: Scenario) -> list[Hit]:
    """The stretches of turning that are U-turns; the peak is at the middle of the turn."""
    coarse, clock = ego.coarse, ego.coarse.clock
    t0, t1 = clock.start_ns(spans), clock.end_ns(spans)
    turned = np.abs(ego.turned_rad[spans.last] - ego.turned_rad[spans.first])
    way = coarse.travelled_m[spans.last] - coarse.travelled_m[spans.first]
    round_ = (turned >= np.radians(entry.limit("L1", "turn"))) & (t1 - t0 <= entry.settings["longest_s"] * NS)
    chosen = np.flatnonzero(round_ & (np.abs(way) <= entry.settings["radius_m"] * turned) & (t1 - t0 >= entry.min_duration_s * NS))
    return [Hit(int(t0[k]), int(t1[k]), int(t0[k] + t1[k]) // 2, float(np.degrees(turned[k])), 1) for k in chosen]


DETECTORS: dict[str, Detector] = {
    "hard_acceleration": hard_acceleration,
    "hard_cornering": hard_cornering,
    "high_jerk": high_jerk,
    "brake_steer_evasion": brake_steer_evasion,
    "curve_speed_excess": curve_speed_excess,
    "u_turn": u_turn,
}
