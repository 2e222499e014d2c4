"""Detectors of things on and beside the road: parked car's door (row 20), debris (33), emergency vehicle (34), animal (39)."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from flywheel.ego import WIDTH_M
from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.crossing import EGO_M, close_by
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.objects import FRAME_GAP_S, VEHICLES, Objects
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Mask, Reals, graded, lasting, merge, runs
from flywheel.mine.signals import column, times
from flywheel.mine.tracks import Courses
from flywheel.subclasses import ANIMAL, DEBRIS, DOOR, EMERGENCY, tells

SAME_M = 0.001
REACHED_S = 0.3  # what is this near in its last row and then no longer ahead was reached


def would_tell(drive: Drive, word: str) -> bool:
    """Whether the drive's source would say so if there were such a thing."""
    subclass = drive.tables.tracks["subclass"]
    return tells(str(drive.tables.row.get("source_format")), word, said=subclass.null_count < len(subclass))


def must_tell(drive: Drive, word: str) -> None:
    """NotEvaluable unless the drive's source would say so if there were such a thing."""
    if not would_tell(drive, word):
        raise NotEvaluable(f"the tracks would not say {word}")


def parked_car_door(drive: Drive, entry: Scenario) -> list[Hit]:
    """Open doors close to the ego's side while it passes; the actor is the parked vehicle, or the door if that is an object.

    NotEvaluable where nothing could show a door: the source marks none, and each track's box keeps its size.
    """
    objects, rules = drive.objects, entry.settings
    narrowest, widest = np.full(len(objects.names), np.inf), np.zeros(len(objects.names))
    np.minimum.at(narrowest, objects.track, objects.width_m)
    np.maximum.at(widest, objects.track, objects.width_m)
    if not (would_tell(drive, DOOR) or (widest - narrowest > SAME_M).any()):
        raise NotEvaluable("the tracks' boxes never change their size")
    parked = objects.is_a(*VEHICLES) & (np.hypot(objects.along_mps, objects.across_mps) < rules["parked_mps"])
    widened = parked & (objects.width_m - narrowest[objects.track] >= rules["widening_m"])
    courses = Courses(objects, objects.is_kind(DOOR) | widened)
    ahead, reach = objects.front_m[courses.rows], objects.reach_m[courses.rows]
    soon = ahead - reach <= rules["ahead_s"] * objects.speed[objects.frame[courses.rows]]
    beside = soon & (ahead >= -EGO_M - reach)
    return close_by(courses, objects, entry, where=beside, least_mps=rules["ego_speed_mps"])


def in_corridor(objects: Objects, half_m: float, reach_m: Reals) -> Mask:
    """Rows ahead whose reach comes within so far of the lane's centre; of the ego's own path where no lane is known."""
    left = np.where(np.isfinite(objects.lane_m), objects.lane_m, objects.side_m)
    return (objects.front_m > 0) & (np.abs(left) - reach_m <= half_m)


def debris(drive: Drive, entry: Scenario) -> list[Hit]:
    """Debris in the corridor to which the ego reacts before it is past it. NotEvaluable if the source would not mark debris."""
    must_tell(drive, DEBRIS)
    objects, rules = drive.objects, entry.settings
    small = (objects.width_m <= rules["largest_m"]) & (column(objects.rows, "length_m") <= rules["largest_m"])
    small &= np.hypot(objects.along_mps, objects.across_mps) < rules["still_mps"]
    unnamed = np.asarray(objects.rows["subclass"].is_null().to_numpy(zero_copy_only=False), bool) | objects.is_kind("other", "unknown")
    courses = Courses(objects, objects.is_kind(DEBRIS) | (objects.is_a("other") & unnamed & small))
    rows = courses.rows
    near = objects.front_m[rows] <= rules["horizon_s"] * objects.speed[objects.frame[rows]]
    inside = in_corridor(objects, rules["corridor_m"], np.zeros(len(objects.side_m)))[rows] & near
    spans = lasting(runs(inside, courses.clock), courses.clock, min_s=entry.min_duration_s)
    spans = merge(spans, courses.clock, within_s=entry.merge_s)
    ends = courses.ends(spans)
    found = [_reaction(drive, entry, courses, (int(a), int(b)), int(end)) for a, b, end in zip(spans.first, spans.last, ends, strict=True)]
    return sorted((hit for hit in found if hit is not None), key=lambda hit: (hit.t0_ns, hit.actors))


def _reaction(drive: Drive, entry: Scenario, courses: Courses, span: tuple[int, int], end_ns: int) -> Hit | None:
    """The hit if the ego brakes, moves aside or drives over it while the object is before it in the corridor."""
    objects, ego, rules = drive.objects, drive.ego, entry.settings
    t0_ns = int(courses.t_ns[span[0]])
    inside = (ego.clock.t_ns >= t0_ns) & (ego.clock.t_ns <= end_ns)
    if ego.ax is None or not inside.any():
        return None
    at = np.flatnonzero(inside)[ego.ax[inside].argmin()]
    braking = -float(ego.ax[at])
    level = sum(braking >= limit for limit in entry.limits("reaction"))
    last = courses.rows[span[1]]
    over = (
        objects.front_m[last] <= REACHED_S * objects.speed[objects.frame[last]]
        and abs(objects.side_m[last]) < WIDTH_M / 2 + objects.half_m[last]
    )
    aside = _aside_m(drive, t0_ns, end_ns) >= rules["aside_m"]
    if not level and not over and not aside:
        return None
    peak = int(ego.clock.t_ns[at]) if level else end_ns
    return Hit(t0_ns, end_ns, peak, -braking, max(level, 1), (str(objects.names[courses.track[span[0]]]),))


def _aside_m(drive: Drive, t0_ns: int, t1_ns: int) -> float:
    """How far the ego moves across the road at most from where it was; 0 without lanes."""
    if drive.missing("lanes"):
        return 0.0
    lanes = drive.lanes
    there = lanes.ego_m[(lanes.clock.t_ns >= t0_ns) & (lanes.clock.t_ns <= t1_ns)]
    return float(np.abs(there - there[0]).max()) if len(there) else 0.0


def emergency_vehicle(drive: Drive, entry: Scenario) -> list[Hit]:
    """Emergency vehicles with flashing lights around the ego. NotEvaluable if the source would not mark them or their lights."""
    must_tell(drive, EMERGENCY)
    tracks = drive.tables.tracks
    if tracks["flashing"].null_count == len(tracks):
        raise NotEvaluable("the tracks do not say whose lights flash")
    marked = tracks.filter(pa.compute.and_(pa.compute.equal(tracks["subclass"], EMERGENCY), tracks["flashing"]))
    marked = marked.filter(pa.array(drive.ego.covers(times(marked))))
    found = []
    for name in sorted(pa.compute.unique(marked["track_id"]).to_pylist()):
        found += _flashing(drive, entry, marked.filter(pa.compute.equal(marked["track_id"], name)), name)
    return sorted(found, key=lambda hit: (hit.t0_ns, hit.actors))


def _flashing(drive: Drive, entry: Scenario, rows: pa.Table, name: str) -> list[Hit]:
    """The hits of one emergency vehicle's rows."""
    clock = Clock(times(rows), int(FRAME_GAP_S * NS))
    x, y, vx, vy = (column(rows, part) for part in ("x_m", "y_m", "vx_mps", "vy_mps"))
    distance, limit = np.hypot(x, y), entry.limit("L1", "distance")
    closing = -(x * (vx - drive.ego.at(clock.t_ns, drive.ego.speed)) + y * vy) / np.maximum(distance, 1e-9)
    soon = distance <= entry.limit("L2", "reaches") * np.maximum(closing, 0.0)
    course, across = np.abs(np.arctan2(vy, vx)), np.radians(entry.settings["across_deg"])
    comes = np.where(course <= across, x < entry.settings["ahead_m"], course < np.pi - across)
    yields = soon & comes & (np.hypot(vx, vy) >= entry.settings["moving_mps"]) & (distance <= entry.limit("L2", "distance"))
    hold = distance <= limit / entry.exit_ratio
    spans, level = graded([distance <= limit, yields], hold, clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    return [replace(hit, actors=(name,)) for hit in lowest(spans, level, clock, distance)]


def animal(drive: Drive, entry: Scenario) -> list[Hit]:
    """Animals in the corridor ahead. NotEvaluable if the source would not mark animals."""
    must_tell(drive, ANIMAL)
    objects, rules = drive.objects, entry.settings
    courses = Courses(objects, objects.is_kind(ANIMAL))
    rows = courses.rows
    corridor, ahead = in_corridor(objects, rules["corridor_m"], objects.half_m)[rows], objects.front_m[rows]
    arrival = np.where(corridor, ahead / np.maximum(np.abs(objects.speed[objects.frame[rows]]), rules["slowest_mps"]), np.inf)
    near = corridor & (ahead <= entry.limit("L1", "distance"))
    levels = [near, *(near & (arrival <= entry.limit(level, "arrival")) for level in ("L2", "L3"))]
    hold = corridor & (ahead <= entry.limit("L1", "distance") / entry.exit_ratio)
    return courses.graded(entry, levels=levels, hold=hold, worst=arrival)


DETECTORS: dict[str, Detector] = {
    "parked_car_door": parked_car_door,
    "debris": debris,
    "emergency_vehicle": emergency_vehicle,
    "animal": animal,
}
