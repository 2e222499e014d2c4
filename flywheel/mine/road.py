"""Detectors of the ego and others against the road: construction nudge (row 31), wrong-way vehicle (35), oncoming incursion (36),
road and lane departure (37)."""

import numpy as np
import pyarrow as pa

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.filters import low_pass
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.lanes import Lanes
from flywheel.mine.objects import RIDERS, VEHICLES
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Ints, Mask, Reals, Spans, graded
from flywheel.mine.signals import column, nearest, times
from flywheel.mine.tracks import Courses

WORKS = ("cone", "barrier", "sign")


def _furthest(spans: Spans, level: Ints, lanes: Lanes, values: Reals) -> list[Hit]:
    """Hits whose peak is where `values` is largest."""
    found = lowest(spans, level, lanes.clock, -values)
    return [Hit(hit.t0_ns, hit.t1_ns, hit.t_peak_ns, -hit.peak, hit.level) for hit in found]


def _same_lane(lanes: Lanes, spans: Spans) -> Mask:
    """Stretches that end in the lane in which they began."""
    return np.asarray(lanes.index[spans.first] == lanes.index[spans.last])


def lane_departure(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches off the lane's centre that last and are no lane change."""
    lanes = drive.lanes
    drives = drive.ego.at(lanes.clock.t_ns, drive.ego.speed) >= entry.settings["least_speed_mps"]
    off = np.where(lanes.in_junction | ~drives, 0.0, np.abs(lanes.ego_m - lanes.centre_m))
    limit = entry.limit("L1", "offset")
    spans, level = graded([off > limit], off > limit * entry.exit_ratio, lanes.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    same = _same_lane(lanes, spans)
    return _furthest(spans.take(same), level[same], lanes, off)


def _outside_m(drive: Drive, least_speed_mps: float) -> Reals:
    """How far the outermost corner is beyond the road's edge at the lane samples, negative inside; the ego turned as it moves."""
    lanes, ego = drive.lanes, drive.ego
    left, right = lanes.says("road_left_m"), lanes.says("road_right_m")
    if not np.isfinite(left).any() and not np.isfinite(right).any():
        raise NotEvaluable("no road edges")
    turned = np.arctan2(lanes.lateral_mps, np.maximum(ego.at(lanes.clock.t_ns, ego.speed), least_speed_mps))
    half, front, rear = WIDTH_M / 2 * np.cos(turned), FRONT_M * np.sin(turned), REAR_M * np.sin(turned)
    beyond = np.fmax(half + np.maximum(front, rear) - left, half - np.minimum(front, rear) - right)
    return np.asarray(np.nan_to_num(beyond, nan=-np.inf))


def road_departure(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches on which a corner of the ego is outside the drivable area."""
    lanes, limit = drive.lanes, entry.limit("L1", "outside")
    beyond = _outside_m(drive, entry.settings["least_speed_mps"])
    spans, level = graded(
        [beyond > limit], beyond > limit * entry.exit_ratio, lanes.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s
    )
    return _furthest(spans, level, lanes, beyond)


def _works(drive: Drive, entry: Scenario) -> Ints:
    """How many things of a construction site are near the ego at each lane sample."""
    tracks, t_ns = drive.tables.tracks, drive.lanes.clock.t_ns
    if tracks["subclass"].null_count == len(tracks):
        raise NotEvaluable("tracks without a subclass")
    kind = pa.compute.is_in(tracks["subclass"], pa.array(WORKS, pa.string())).to_numpy(zero_copy_only=False).astype(bool)
    near = kind & (np.hypot(column(tracks, "x_m"), column(tracks, "y_m")) <= entry.settings["within_m"])
    seen, count = np.unique(times(tracks)[near], return_counts=True)
    if len(seen) == 0:
        return np.zeros(len(t_ns), np.int64)
    at = nearest(seen, t_ns)
    return np.where(np.abs(seen[at] - t_ns) <= entry.settings["fresh_s"] / 2 * NS, count[at], 0)


def construction_nudge(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches on which the ego moves aside in its lane beside cones, barriers or signs, and comes back."""
    lanes, limit = drive.lanes, entry.limit("L1", "offset")
    off = np.where(lanes.in_junction, 0.0, np.abs(lanes.ego_m - lanes.centre_m))
    aside = (off >= limit) & (_works(drive, entry) >= entry.settings["things"])
    spans, level = graded([aside], off >= limit * entry.exit_ratio, lanes.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    back = _same_lane(lanes, spans) & (spans.last < len(off) - 1)
    return _furthest(spans.take(back), level[back], lanes, off)


def _on_the_way(drive: Drive, beyond_m: float) -> Mask:
    """Rows of `objects` ahead, along the road that the ego drives (a little beyond its end counts), while the ego's lane is known."""
    objects, lanes, ego = drive.objects, drive.lanes, drive.ego
    t_ns = objects.clock.t_ns
    driven = ego.at(t_ns, ego.travelled_m)[objects.frame] + FRONT_M + objects.front_m <= ego.travelled_m[-1] + beyond_m
    return np.asarray(lanes.covers(t_ns)[objects.frame] & (objects.front_m > 0) & driven)


def _track_hits(drive: Drive, entry: Scenario, chosen: Mask, masks: tuple[Mask, Mask], worst: Reals) -> list[Hit]:
    """Hits of single tracks from masks over `objects` (what begins and what holds one); the peak is where `worst` is smallest."""
    objects, (begins, holds) = drive.objects, masks
    courses = Courses(objects, chosen)
    rows = courses.rows
    spans, level = graded([begins[rows]], holds[rows], courses.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    found = []
    for end, rank, first, last in zip(courses.ends(spans), level, spans.first, spans.last, strict=True):
        at = int(first + worst[rows[first : last + 1]].argmin())
        name = str(objects.names[courses.track[first]])
        found.append(Hit(int(courses.t_ns[first]), int(end), int(courses.t_ns[at]), float(worst[rows[at]]), int(rank), (name,)))
    return sorted(found, key=lambda hit: (hit.t0_ns, hit.actors))


def wrong_way_vehicle(drive: Drive, entry: Scenario) -> list[Hit]:
    """Vehicles that drive against the ego's direction in one of its direction's lanes."""
    objects, lanes, rules = drive.objects, drive.lanes, entry.settings
    if not np.isfinite(lanes.says("lanes")).any():
        raise NotEvaluable("no number of lanes")
    t_ns = objects.clock.t_ns
    width, index, count = (
        lanes.latest(t_ns, part)[objects.frame] for part in (lanes.width_m, lanes.index.astype(np.float64), lanes.says("lanes"))
    )
    own = (objects.lane_m >= -(index + 0.5) * width) & (objects.lane_m <= (count - index - 0.5) * width)
    against = np.abs(objects.turned_rad) > np.radians(entry.limit("L1", "off_lane"))
    fast = np.hypot(objects.along_mps, objects.across_mps) >= rules["speed_mps"]
    vehicle = objects.is_a(*VEHICLES)
    wrong = vehicle & own & against & fast & (objects.front_m <= rules["reach_m"]) & _on_the_way(drive, rules["beyond_m"])
    return _track_hits(drive, entry, vehicle, (wrong, wrong), objects.front_m)


def oncoming_incursion(drive: Drive, entry: Scenario) -> list[Hit]:
    """Oncoming traffic that reaches into the ego's lane, and would soon be there."""
    objects, lanes, rules = drive.objects, drive.lanes, entry.settings
    width = lanes.latest(objects.clock.t_ns, lanes.width_m)[objects.frame]
    over = width / 2 + objects.half_m - np.abs(objects.lane_m)
    near = Courses(objects, objects.is_a(*RIDERS) & (np.abs(objects.turned_rad) > np.radians(rules["off_lane_deg"])))
    over[near.rows] = low_pass(over[near.rows], near.clock, cutoff_hz=rules["low_pass_hz"])
    moving = np.hypot(objects.along_mps, objects.across_mps) >= rules["moving_mps"]
    oncoming = moving & (np.abs(objects.turned_rad) > np.radians(rules["off_lane_deg"])) & _on_the_way(drive, rules["beyond_m"])
    closing = objects.speed[objects.frame] - objects.along_mps
    drives = objects.speed[objects.frame] >= rules["least_speed_mps"]
    ahead = oncoming & drives & (objects.gap_m > 0) & (closing > 0)
    ttc = np.where(ahead, objects.gap_m / np.maximum(closing, 1e-9), np.inf)
    limit, reach, ease = entry.limit("L1", "ttc"), rules["reach_over_m"], entry.exit_ratio
    masks = (ahead & (over > reach) & (ttc < limit)), (ahead & (over > reach * ease) & (ttc < limit / ease))
    return _track_hits(drive, entry, objects.is_a(*RIDERS), masks, np.where(over > reach, ttc, np.inf))


DETECTORS: dict[str, Detector] = {
    "construction_nudge": construction_nudge,
    "wrong_way_vehicle": wrong_way_vehicle,
    "oncoming_incursion": oncoming_incursion,
    "road_departure": road_departure,
    "lane_departure": lane_departure,
}
