"""Detectors at junctions: stop at a red light (row 22), lane change at a dark junction in low visibility (row 26)."""

import numpy as np

from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.lanes import Lanes
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, Spans, graded, touched

LIGHT_GAP_S = 0.5


def red_light_stop(drive: Drive, entry: Scenario) -> list[Hit]:
    """Standing before the stop line of a red light, from the first such instant until the ego moves or the light changes."""
    lights, ego, rules = drive.lights, drive.ego, entry.settings
    if len(lights.t_ns) == 0:
        return []
    clock = Clock(lights.t_ns, int(LIGHT_GAP_S * NS))
    still = np.abs(ego.at(lights.t_ns, ego.speed)) < rules["standstill_mps"]
    waits = ego.covers(lights.t_ns) & still & lights.red & (lights.stop_line_m >= 0) & (lights.stop_line_m <= rules["stop_line_m"])
    spans, level = graded([waits], waits, clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    return lowest(spans, level, clock, lights.stop_line_m)


def _dark_and_dim(drive: Drive, t_ns: Ints, entry: Scenario) -> Mask:
    sky, rules = drive.sky, entry.settings
    dark = (sky.at(t_ns, "sun_elevation_deg") < rules["sun_deg"]) | (sky.at(t_ns, "illuminance_lx") < rules["illuminance_lx"])
    dim = (sky.at(t_ns, "visibility_m") < rules["visibility_m"]) | (sky.at(t_ns, "rain_mmph") >= rules["rain_mmph"])
    return dark & dim


def _near_junction(lanes: Lanes, travelled_m: Reals, within_m: float) -> Mask:
    """Inside a junction, up to `within_m` before it, or as far past it."""
    inside = lanes.in_junction
    left_at = np.maximum.accumulate(np.where(inside, travelled_m, -np.inf))
    return inside | (lanes.junction_m <= within_m) | (travelled_m - left_at <= within_m)


def night_intersection_lane_change(drive: Drive, entry: Scenario) -> list[Hit]:
    """Lane changes at a junction, at night and in low visibility: while the lateral speed around the change lasts."""
    lanes, ego = drive.lanes, drive.ego
    clock, least = lanes.clock, entry.limit("L1", "lateral_speed")
    sideways = np.abs(lanes.lateral_mps)
    changed = (np.diff(lanes.index, prepend=lanes.index[:1]) != 0) & (np.diff(lanes.centre_m, prepend=0.0) != 0) & ~clock.broken
    near = _near_junction(lanes, ego.at(clock.t_ns, ego.travelled_m), entry.settings["junction_m"])
    counted = np.flatnonzero(changed & near & _dark_and_dim(drive, clock.t_ns, entry) & (sideways >= least))
    hold = sideways >= least * entry.exit_ratio
    spans, level = graded([sideways >= least], hold, clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    at = touched(spans, Spans(counted, counted))
    return [Hit(h.t0_ns, h.t1_ns, h.t_peak_ns, -h.peak, h.level) for h in lowest(spans.take(at), level[at], clock, -sideways)]


DETECTORS: dict[str, Detector] = {
    "red_light_stop": red_light_stop,
    "night_intersection_lane_change": night_intersection_lane_change,
}
