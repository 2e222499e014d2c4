"""Atomic relations worked out: each gives the rows of the boxes that hold it, or the pairs of rows (subject, other) that do.

Definitions after RefAV's published code (CainanD/RefAV, atomic_functions.py), without its loops. Two differences: a map here knows the
ego's road only, so lanes, junctions and crosswalks are those along the ego's way; and speeds are those over ground.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from flywheel.ego import FRONT_M
from flywheel.errors import NotEvaluable
from flywheel.mine import related as q
from flywheel.mine.boxes import Boxes
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, Spans, hysteresis, runs, touched

CROSSWALK_M = 4.0
BESIDE_M = 30.0
WALKING_MPS = 1.0
Pairs = tuple[Ints, Ints]


def _filled(spans: Spans, size: int) -> Mask:
    """A mask that is true on stretches."""
    steps = np.zeros(size + 1, np.int64)
    np.add.at(steps, spans.first, 1)
    np.add.at(steps, spans.last + 1, -1)
    return np.asarray(np.cumsum(steps)[:size] > 0)


def _sided(values: Reals, direction: q.Side | None) -> Mask:
    """Where a value is to the wanted side; left is positive."""
    return values > 0 if direction == "left" else values < 0 if direction == "right" else np.ones(len(values), bool)


def stationary(boxes: Boxes, asked: q.Stationary) -> Mask:
    return ~boxes.moves


def has_velocity(boxes: Boxes, asked: q.HasVelocity) -> Mask:
    speed = np.hypot(boxes.vx_mps, boxes.vy_mps)
    return np.asarray((speed >= asked.min_mps) & (speed <= asked.max_mps))


def accelerating(boxes: Boxes, asked: q.Accelerating) -> Mask:
    ax = boxes.acceleration_mps2
    return (ax >= asked.min_mps2) & (ax <= asked.max_mps2) & boxes.moves


def has_lateral_acceleration(boxes: Boxes, asked: q.HasLateralAcceleration) -> Mask:
    ay = boxes.yaw_rate_radps * boxes.speed_mps
    return (ay >= asked.min_mps2) & (ay <= asked.max_mps2) & boxes.moves


def turning(boxes: Boxes, asked: q.Turning) -> Mask:
    rate = np.degrees(boxes.yaw_rate_radps)
    step_s = np.minimum(np.diff(boxes.clock.t_ns, append=boxes.clock.t_ns[-1:]), boxes.clock.max_gap_ns) / NS
    total = np.concatenate([[0.0], np.cumsum(rate * step_s)])
    found = np.zeros(len(rate), bool)
    for side in (1, -1):
        spans = runs(side * rate > 0, boxes.clock)
        turned = side * (total[spans.last + 1] - total[spans.first])
        mean = turned / np.maximum((boxes.clock.t_ns[spans.last] - boxes.clock.t_ns[spans.first]) / NS, 0.1)
        cut = _at_an_end(boxes, spans) & (mean > asked.clipped_degps) & (turned > asked.clipped_deg)
        if asked.direction in (None, "left" if side > 0 else "right"):
            found |= _filled(spans.take((turned > asked.turned_deg) | cut), len(rate))
    return found & boxes.moves


def _at_an_end(boxes: Boxes, spans: Spans) -> Mask:
    """Stretches that begin or end where their track does."""
    edge = np.diff(boxes.track, prepend=-1, append=-1) != 0
    return np.asarray(edge[spans.first] | edge[spans.last + 1])


def crossing_lane_line(boxes: Boxes, asked: q.CrossingLaneLine) -> Mask:
    along = boxes.along
    step = np.diff(along.lane, prepend=along.lane[:1])
    moved = (step != 0) & ~boxes.clock.broken & (np.abs(along.lateral_mps) >= asked.lateral_mps)
    return np.asarray(moved & along.found & _sided(along.lateral_mps, asked.direction))


def changing_lanes(boxes: Boxes, asked: q.ChangingLanes) -> Mask:
    sideways = boxes.along.lateral_mps
    over = crossing_lane_line(boxes, q.CrossingLaneLine(relation="", direction=asked.direction, lateral_mps=asked.lateral_mps))
    least = asked.lateral_mps
    spans = hysteresis(np.abs(sideways) >= least, np.abs(sideways) >= least * asked.exit_ratio, boxes.clock)
    at = np.flatnonzero(over)
    return _filled(spans.take(touched(spans, Spans(at, at))), len(over))


def _junctions(boxes: Boxes) -> tuple[Reals, Reals]:
    """Where junctions begin and end along the ego's way, m."""
    lanes, ego = boxes.drive.lanes, boxes.drive.ego
    travelled = ego.at(lanes.clock.t_ns, ego.travelled_m)
    inside = runs(lanes.in_junction, Clock(lanes.clock.t_ns, 10**18))
    ahead = travelled + FRONT_M + np.where(np.isfinite(lanes.junction_m), lanes.junction_m, np.nan)
    starts = np.unique(np.round(ahead[np.isfinite(ahead)]))
    return np.concatenate([travelled[inside.first] + FRONT_M, starts]), np.concatenate([travelled[inside.last], starts])


def _near_places(boxes: Boxes, places: tuple[Reals, Reals], within_m: float) -> Mask:
    """Rows whose boxes are on these stretches of the ego's way, or so near one."""
    along, half = boxes.along, boxes.length_m / 2
    beside = along.found & (np.abs(along.across_m - boxes.drive.lanes.at(boxes.t_ns, boxes.drive.lanes.ego_m)) <= BESIDE_M)
    found = np.zeros(len(half), bool)
    for begin, end in zip(*places, strict=True):
        found |= (along.s_m + half >= begin - within_m) & (along.s_m - half <= end + within_m)
    return found & beside


def near_intersection(boxes: Boxes, asked: q.NearIntersection) -> Mask:
    return _near_places(boxes, _junctions(boxes), asked.within_m)


def on_intersection(boxes: Boxes, asked: q.OnIntersection) -> Mask:
    begin, end = _junctions(boxes)
    return _near_places(boxes, (begin[end > begin], end[end > begin]), 0.0)


def at_pedestrian_crossing(boxes: Boxes, asked: q.AtPedestrianCrossing) -> Mask:
    table, ego, lanes = boxes.drive.tables.lanes, boxes.drive.ego, boxes.drive.lanes
    ahead = np.asarray(table["crosswalk_m"].to_numpy(zero_copy_only=False), np.float64)
    if not np.isfinite(ahead).any():
        return np.zeros(len(boxes.t_ns), bool)
    at = (ego.at(lanes.clock.t_ns, ego.travelled_m) + FRONT_M + ahead)[np.isfinite(ahead)]
    starts = np.unique(np.round(at * 2) / 2)
    return _near_places(boxes, (starts, starts + CROSSWALK_M), asked.within_m)


def in_drivable_area(boxes: Boxes, asked: q.InDrivableArea) -> Mask:
    lanes, ego, table = boxes.drive.lanes, boxes.drive.ego, boxes.drive.tables.lanes
    left, right = (np.asarray(table[f"road_{side}_m"].to_numpy(zero_copy_only=False), np.float64) for side in ("left", "right"))
    known = np.isfinite(left) & np.isfinite(right)
    if not known.any():
        raise NotEvaluable("no road edges")
    s_m = ego.at(lanes.clock.t_ns, ego.travelled_m)[known]
    high, low = (np.interp(boxes.along.s_m, s_m, edge[known]) for edge in (lanes.ego_m + left, lanes.ego_m - right))
    return (boxes.along.across_m <= high) & (boxes.along.across_m >= low) & boxes.along.found


def at_stop_sign(boxes: Boxes, asked: q.AtStopSign) -> Mask:
    table, lanes = boxes.drive.tables.lanes, boxes.drive.lanes
    if table["control"].null_count == len(table):
        raise NotEvaluable("no control of stop lines")
    line = np.asarray(table["stop_line_m"].to_numpy(zero_copy_only=False), np.float64)
    stop = np.asarray(table["control"].to_numpy(zero_copy_only=False) == "stop", bool) & (line <= asked.forward_m)
    return np.asarray(np.asarray(lanes.latest(boxes.t_ns, stop.astype(float)) > 0.5) & (boxes.track == 0) & lanes.covers(boxes.t_ns))


def near_objects(boxes: Boxes, pairs: Pairs, asked: q.NearObjects) -> Mask:
    return boxes.gap_m(*pairs) <= asked.within_m


def _facing(boxes: Boxes, pairs: Pairs, direction: q.Way) -> tuple[Reals, Reals, Reals, Reals]:
    """(ahead, aside) of the others when looking one way from the subjects, and the subjects' half length and half width that way."""
    ahead, left = boxes.seen_from(*pairs)
    length, width = boxes.length_m[pairs[0]] / 2, boxes.width_m[pairs[0]] / 2
    turned = {"forward": (ahead, left), "backward": (-ahead, -left), "left": (left, -ahead), "right": (-left, ahead)}[direction]
    return (*turned, length, width) if direction in ("forward", "backward") else (*turned, width, length)


def has_objects_in_relative_direction(boxes: Boxes, pairs: Pairs, asked: q.HasObjectsInRelativeDirection) -> Mask:
    ahead, aside, length, width = _facing(boxes, pairs, asked.direction)
    return (ahead > length) & (np.abs(aside) < width + asked.lateral_m) & (boxes.gap_m(*pairs) <= asked.within_m)


def being_crossed_by(boxes: Boxes, pairs: Pairs, asked: q.BeingCrossedBy) -> Mask:
    i, j = pairs
    order = np.lexsort((boxes.t_ns[i], boxes.track[i] * len(boxes.names) + boxes.track[j]))
    i, j = i[order], j[order]
    ahead, aside, length, width = _facing(boxes, (i, j), asked.direction)
    turn = {"forward": 0.0, "left": np.pi / 2, "backward": np.pi, "right": -np.pi / 2}[asked.direction] + boxes.heading_rad[i]
    speed = boxes.vy_mps[j] * np.cos(turn) - boxes.vx_mps[j] * np.sin(turn)
    key = np.cumsum((np.diff(boxes.track[i], prepend=-1) != 0) | (np.diff(boxes.track[j], prepend=-1) != 0))
    stride_ns = 2 * (boxes.drive.t1_ns - boxes.drive.t0_ns) + 10 * NS
    clock = Clock(boxes.t_ns[i] - boxes.drive.t0_ns + key * stride_ns, boxes.clock.max_gap_ns)
    before = np.where(clock.broken | (np.arange(len(i)) == 0), aside, np.roll(aside, 1))
    crossed = ((before < width) != (aside < width)) | ((before < -width) != (aside < -width))
    crossed &= (np.abs(speed) > asked.min_mps) & (ahead >= length) & (ahead <= length + asked.forward_m)
    found, at = np.zeros(len(i), bool), np.flatnonzero(crossed)
    for side in (1, -1):
        spans = runs((side * speed > asked.min_mps) & (side * aside < asked.lateral_m), clock)
        found |= _filled(spans.take(touched(spans, Spans(at, at))), len(i))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return np.asarray(found[back])


def following(boxes: Boxes, pairs: Pairs, asked: q.Following) -> Mask:
    ahead, aside = boxes.seen_from(*pairs)
    half, turn = boxes.length_m[pairs[0]] / 2, boxes.heading_rad[pairs[1]] - boxes.heading_rad[pairs[0]]
    near = (ahead > half) & (ahead < asked.within_m + half) & (np.abs(aside) < asked.lateral_m)
    return np.asarray(in_same_lane(boxes, pairs, q.InSameLane(relation="", of="any")) & near & (np.cos(turn) > asked.min_cos))


def in_same_lane(boxes: Boxes, pairs: Pairs, asked: q.InSameLane) -> Mask:
    along, (i, j) = boxes.along, pairs
    return np.asarray((along.lane[i] == along.lane[j]) & along.found[i] & along.found[j])


def facing_toward(boxes: Boxes, pairs: Pairs, asked: q.FacingToward) -> Mask:
    ahead, aside = boxes.seen_from(*pairs)
    return (np.abs(np.degrees(np.arctan2(aside, ahead))) <= asked.within_deg) & (boxes.gap_m(*pairs) <= asked.within_m)


def heading_toward(boxes: Boxes, pairs: Pairs, asked: q.HeadingToward) -> Mask:
    i, j = pairs
    dx, dy = boxes.x_m[j] - boxes.x_m[i], boxes.y_m[j] - boxes.y_m[i]
    speed = np.hypot(boxes.vx_mps[i], boxes.vy_mps[i])
    nearing = (boxes.vx_mps[i] * dx + boxes.vy_mps[i] * dy) / np.maximum(np.hypot(dx, dy), 1e-6)
    within = nearing >= speed * np.cos(np.radians(asked.within_deg))
    return np.asarray((nearing >= asked.min_mps) & within & (boxes.gap_m(i, j) <= asked.within_m))


def heading_in_relative_direction_to(boxes: Boxes, pairs: Pairs, asked: q.HeadingInRelativeDirectionTo) -> Mask:
    speed = np.hypot(boxes.vx_mps, boxes.vy_mps)
    course = np.where(speed >= WALKING_MPS, np.arctan2(boxes.vy_mps, boxes.vx_mps), boxes.heading_rad)
    i, j = pairs
    turn = np.degrees(np.abs(np.angle(np.exp(1j * (course[i] - course[j])))))
    low, high = {"same": (0.0, 45.0), "perpendicular": (45.0, 135.0), "opposite": (135.0, 180.1)}[asked.direction]
    inside = (turn <= high) if asked.direction == "same" else (turn > low) & (turn < high)
    return np.asarray(inside & (np.maximum(speed[i], speed[j]) >= WALKING_MPS))


OF_ONE: dict[type[q.Relation], Callable[[Boxes, Any], Mask]] = {
    q.Stationary: stationary, q.HasVelocity: has_velocity, q.Accelerating: accelerating,
    q.HasLateralAcceleration: has_lateral_acceleration, q.Turning: turning, q.ChangingLanes: changing_lanes,
    q.CrossingLaneLine: crossing_lane_line, q.NearIntersection: near_intersection, q.OnIntersection: on_intersection,
    q.AtPedestrianCrossing: at_pedestrian_crossing, q.InDrivableArea: in_drivable_area, q.AtStopSign: at_stop_sign,
}  # fmt: skip
OF_TWO: dict[type[q.Relation], Callable[[Boxes, Pairs, Any], Mask]] = {
    q.NearObjects: near_objects, q.HasObjectsInRelativeDirection: has_objects_in_relative_direction, q.BeingCrossedBy: being_crossed_by,
    q.Following: following, q.FacingToward: facing_toward, q.HeadingToward: heading_toward,
    q.HeadingInRelativeDirectionTo: heading_in_relative_direction_to, q.InSameLane: in_same_lane,
}  # fmt: skip
ON_THE_MAP = (
    q.ChangingLanes, q.CrossingLaneLine, q.NearIntersection, q.OnIntersection, q.AtPedestrianCrossing, q.InDrivableArea, q.AtStopSign,
    q.Following, q.InSameLane,
)  # fmt: skip
