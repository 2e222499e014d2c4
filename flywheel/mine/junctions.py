"""Detectors at junctions: running a red light (row 21), stop at one (22), yellow dilemma (23), rolling stop (24), lane change at a dark
junction in low visibility (26); the unprotected left turn (25) is in `turns`."""

import numpy as np

from flywheel.ego import FRONT_M, REAR_M
from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.lanes import Lanes
from flywheel.mine.objects import RIDERS
from flywheel.mine.phases import Phases, read_phases
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, Spans, graded, runs, touched
from flywheel.mine.tracks import Courses
from flywheel.mine.turns import unprotected_left

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


def _phases(drive: Drive, entry: Scenario) -> Phases:
    phases = read_phases(drive.tables.lights, fresh_s=entry.settings["fresh_s"])
    if not np.isfinite(phases.line_m).any():
        raise NotEvaluable("no distance to a stop line")
    return phases


def red_light_running(drive: Drive, entry: Scenario) -> list[Hit]:
    """Crossings of the stop line of a light that has been red for some time."""
    phases, ego = _phases(drive, entry), drive.ego
    fast = ego.covers(phases.t_ns) & (ego.at(phases.t_ns, ego.speed) >= entry.settings["speed_mps"])
    crossed = phases.shows("red") & (phases.line_m <= 0) & phases.after(phases.line_m > 0)
    red_s, passed = phases.held_s(), phases.line_m <= REAR_M - FRONT_M
    ran = np.flatnonzero(crossed & fast & (red_s >= entry.limit("L1", "red_for")))
    found = [Hit(int(phases.t_ns[i]), phases.until(int(i), passed), int(phases.t_ns[i]), float(red_s[i]), 1) for i in ran]
    return _spread(found, entry.merge_s)


def _spread(found: list[Hit], merge_s: float) -> list[Hit]:
    """Hits in time order; one that begins less than the merge time after the last one ended is that one again."""
    kept: list[Hit] = []
    for hit in sorted(found, key=lambda h: h.t0_ns):
        if not (kept and hit.t0_ns - kept[-1].t1_ns < merge_s * NS):
            kept.append(hit)
    return kept


def yellow_dilemma(drive: Drive, entry: Scenario) -> list[Hit]:
    """Changes from green to yellow at a distance that is hard to stop in and long to drive."""
    phases, ego = _phases(drive, entry), drive.ego
    reach_s = phases.line_m / np.maximum(ego.at(phases.t_ns, ego.speed), 1e-6)
    yellow = phases.shows("yellow")
    turns = yellow & phases.after(phases.shows("green")) & ego.covers(phases.t_ns)
    hard = np.flatnonzero(turns & (reach_s >= entry.settings["soonest_s"]) & (reach_s <= entry.limit("L1", "time_to_line")))
    over = ~yellow | (phases.line_m <= 0)
    return [Hit(int(phases.t_ns[i]), phases.until(int(i), over), int(phases.t_ns[i]), float(reach_s[i]), 1) for i in hard]


def rolling_stop(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stop signs that the ego passes without slowing down enough near the line."""
    lanes, ego, near = drive.lanes, drive.ego, entry.settings["near_m"]
    if lanes.rows["control"].null_count == len(lanes.rows):
        raise NotEvaluable("nothing says what rules a stop line")
    clock, way, line = lanes.clock, ego.travelled_m, lanes.says("stop_line_m")
    close = runs(lanes.ruled_by("stop") & (line >= 0) & (line <= near), clock)
    found = []
    for i in close.last:
        at = float(ego.at(clock.t_ns[i : i + 1], way)[0] + line[i])
        inside = np.flatnonzero((way >= at - near) & (way <= at + near))
        if way[-1] <= at or len(inside) == 0 or ego.clock.broken[inside[1:]].any():
            continue
        slowest = int(inside[ego.speed[inside].argmin()])
        if ego.speed[slowest] > entry.limit("L1", "speed"):
            t0, t1, t_peak = (int(ego.clock.t_ns[k]) for k in (inside[0], inside[-1], slowest))
            found.append(Hit(t0, t1, t_peak, float(ego.speed[slowest]), 1))
    return _spread(found, entry.merge_s)


def _green_s(phases: Phases, t_ns: Ints) -> Reals:
    """For how long the light has been green at each time; NaN where it is not, or is not seen."""
    order = np.argsort(phases.t_ns, kind="stable")
    at = order[np.clip(np.searchsorted(phases.t_ns[order], t_ns, side="right") - 1, 0, len(order) - 1)]
    fresh = (t_ns >= phases.t_ns[at]) & (t_ns - phases.t_ns[at] <= NS // 2) & phases.shows("green")[at]
    return np.where(fresh, (t_ns - phases.since_ns[at]) / NS, np.nan)


def _carriageway(drive: Drive, entry: Scenario) -> tuple[Reals, Reals, Mask]:
    """For each row of `objects`: how far its front and its rear end are outside the ego's carriageway (negative inside), across the path,

    and whether it crosses the path within the junction ahead.
    """
    objects, lanes, rules = drive.objects, drive.lanes, entry.settings
    t_ns, names = objects.clock.t_ns, ("road_left_m", "road_right_m", "junction_m")
    left, right, entrance = (lanes.latest(t_ns, lanes.says(name))[objects.frame] for name in names)
    beyond, across = objects.front_m - entrance, np.abs(np.sin(objects.turned_rad))
    chosen = lanes.covers(t_ns)[objects.frame] & (beyond >= 0) & (beyond <= _junction_length(drive, rules["junction_length_m"]))
    chosen &= (across >= np.sin(np.radians(rules["across_deg"]))) & (np.hypot(objects.front_m, objects.side_m) <= rules["reach_m"])
    way = np.sign(objects.across_mps)
    ends = [objects.side_m + end * way * objects.half_m for end in (1, -1)]
    front, rear = (np.maximum(place - left, -place - right) for place in ends)
    return front, rear, chosen & (np.abs(objects.across_mps) >= rules["speed_mps"])


def _junction_length(drive: Drive, otherwise_m: float) -> float:
    """From a junction's entrance to its exit along the path, if the ego drives through one."""
    lanes, ego = drive.lanes, drive.ego
    spans = runs(lanes.in_junction, lanes.clock)
    whole = spans.take((spans.first > 0) & (spans.last < len(lanes.in_junction) - 1))
    way = ego.at(lanes.clock.t_ns, ego.travelled_m)
    return float((way[whole.last] - way[whole.first] - FRONT_M).max()) if len(whole) else otherwise_m


def red_light_running_other(drive: Drive, entry: Scenario) -> list[Hit]:
    """Crossing traffic that enters the junction ahead long after the ego's light turned green."""
    lanes, objects = drive.lanes, drive.objects
    if not all(np.isfinite(lanes.says(name)).any() for name in ("road_left_m", "road_right_m", "junction_m")):
        raise NotEvaluable("no junction or no road edges on the map")
    green = _green_s(_phases(drive, entry), objects.clock.t_ns)[objects.frame]
    front, rear, crosses = _carriageway(drive, entry)
    courses = Courses(objects, objects.is_a(*RIDERS))
    rows = courses.rows
    before = np.concatenate([[np.nan], front[rows][:-1]])[: len(rows)]
    enters = ~courses.clock.broken & (before > 0) & (front[rows] <= 0) & crosses[rows] & (green[rows] >= entry.limit("L1", "green_for"))
    found = []
    for i in np.flatnonzero(enters):
        after = courses.window(int(i), after_s=entry.settings["longest_s"])
        left = np.flatnonzero((rear[rows[after]] > 0) & (np.arange(after.start, after.stop) > i) & (front[rows[after]] > 0))
        end = after.start + int(left[0]) if len(left) else after.stop - 1
        name = str(objects.names[courses.track[i]])
        found.append(Hit(int(courses.t_ns[i]), int(courses.t_ns[end]), int(courses.t_ns[i]), float(green[rows[i]]), 1, (name,)))
    return sorted(found, key=lambda hit: (hit.t0_ns, hit.actors))


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
    "red_light_running": red_light_running,
    "red_light_running_other": red_light_running_other,
    "red_light_stop": red_light_stop,
    "yellow_dilemma": yellow_dilemma,
    "rolling_stop": rolling_stop,
    "unprotected_left": unprotected_left,
    "night_intersection_lane_change": night_intersection_lane_change,
}
