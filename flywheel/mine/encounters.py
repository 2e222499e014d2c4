"""Encounters: one row for each stretch of time that a road user is near the ego, with its surrogate measures at their worst.

Extreme-value statistics need minima per encounter (frames of one encounter are not independent), rates need encounters as exposure.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.mine.measures import HORIZON_S, Boxes, distance, drac, mdrac, mttc, thw, ttc, ttc_boxes
from flywheel.mine.objects import Objects
from flywheel.mine.passes import Moves, crossing_pets
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, Spans, lasting, merge, runs
from flywheel.mine.signals import Ego, column, low_pass
from flywheel.mine.tracks import Courses
from flywheel.tables import SCHEMAS, conform

REACH_M, REACH_S = 50.0, 4.0
LOST_S = 1.0
LIMIT_S = 3.0
STEADY_S = 0.2
CUTOFF_HZ = 2.0
ONCOMING_RAD = np.radians(135.0)
MOVING_MPS = 0.3
MIDDLE_M = (FRONT_M + REAR_M) / 2
BOX = ("x_m", "y_m", "heading_rad", "length_m", "width_m", "vx_mps", "vy_mps")

Columns = dict[str, Any]


def encounters_of(objects: Objects, ego: Ego, *, drive_id: str, root_group: str) -> pa.Table:
    """The ENCOUNTERS rows of a drive.

    Near is who has its centre within 50 m of the ego's, or within the way the ego makes in 4 s. A track lost for less than a second
    goes on; a box without a number is left out.
    """
    courses = Courses(objects, _near(objects))
    if len(courses.rows) == 0:
        return SCHEMAS["ENCOUNTERS"].empty_table()
    spans = merge(runs(np.ones(len(courses.rows), bool), courses.clock), courses.clock, within_s=LOST_S)
    found = _time(courses, spans, ego) | _on_path(objects, courses, spans, ego) | _boxes(objects, courses, spans)
    found |= _crossed(objects, courses, spans, ego)
    found |= {"relation": _relation(objects, courses, spans, np.isfinite(found["pet_s"]))}
    count, first = len(spans), courses.rows[spans.first]
    found |= {"drive_id": np.full(count, drive_id), "root_group": np.full(count, root_group)}
    found |= {"track_id": np.array(objects.names)[objects.track[first]], "cls": np.array(objects.classes)[objects.cls[first]]}
    return conform("ENCOUNTERS", pa.table({name: pa.array(values, from_pandas=True) for name, values in found.items()}))


def _near(objects: Objects) -> Mask:
    x, y, *others = (column(objects.rows, name) for name in BOX)
    known = np.isfinite(np.sum(others, axis=0))
    reach = np.maximum(REACH_M, REACH_S * np.abs(objects.speed))[objects.frame]
    return np.asarray(known & (np.hypot(x - MIDDLE_M, y) <= reach))


def _steps_s(clock: Clock) -> Reals:
    """How long each sample stands: up to the next one, one period where samples end."""
    step = np.diff(clock.t_ns, append=clock.t_ns[-1:])
    return np.where((step > 0) & (step <= clock.max_gap_ns), step, clock.period_ns) / NS


def _time(courses: Courses, spans: Spans, ego: Ego) -> Columns:
    start, end = courses.t_ns[spans.first], courses.ends(spans)
    way = ego.at(end, ego.travelled_m) - ego.at(start, ego.travelled_m)
    return {"t0_ns": start, "t1_ns": end, "exposure_s": np.add.reduceat(_steps_s(courses.clock), spans.first), "distance_m": way}


def _worst(courses: Courses, spans: Spans, name: str, time: str, values: Reals, *, largest: bool = False) -> Columns:
    """The smallest (or largest) value of each stretch and its time; nothing (NaN, null) where there is none."""
    ranked = np.where(np.isnan(values), np.inf, -values if largest else values)
    best = np.minimum.reduceat(ranked, spans.first)
    at = np.flatnonzero(ranked == np.repeat(best, spans.last + 1 - spans.first))
    when = courses.t_ns[at[np.searchsorted(at, spans.first)]]
    never = np.isposinf(best)
    return {name: np.where(never, np.nan, -best if largest else best), time: pa.array(when, mask=never)}


def _on_path(objects: Objects, courses: Courses, spans: Spans, ego: Ego) -> Columns:
    """Bumper to bumper with who is ahead on the path, and with who follows."""
    rows, steps = courses.rows, _steps_s(courses.clock)
    ahead, behind = _sides(objects, courses)
    gap = np.where(ahead, objects.gap_m[rows], np.where(behind, objects.behind_m[rows], np.nan))
    own, other = objects.speed[objects.frame[rows]], objects.along_mps[rows]
    sign = np.where(ahead, 1.0, -1.0)
    closing, rise = sign * (own - other), sign * (_own_rise(objects, ego)[objects.frame[rows]] - _rise(other, courses.clock))
    time = ttc(gap, closing)
    below = np.where(time < LIMIT_S, LIMIT_S - time, 0.0)
    found = {"tet_s": np.add.reduceat((below > 0) * steps, spans.first), "tit_s2": np.add.reduceat(below * steps, spans.first)}
    for name, values in (("ttc", time), ("mttc", mttc(gap, closing, rise)), ("thw", thw(gap, np.where(ahead, own, other)))):
        found |= _worst(courses, spans, f"{name}_s", f"t_{name}_ns", values)
    for name, values in (("drac", drac(gap, closing)), ("mdrac", mdrac(gap, closing))):
        wanted = np.where(closing > 0, values, np.nan)
        found |= _worst(courses, spans, f"{name}_mps2", f"t_{name}_ns", wanted, largest=True)
    return found


def _sides(objects: Objects, courses: Courses) -> tuple[Mask, Mask]:
    """Who is ahead on the ego's path and who follows on it, for 0.2 s at least: what only flickers there is a doubtful box beside it."""
    moving = objects.follows & (objects.along_mps > MOVING_MPS)
    ahead, behind = (_steady(side[courses.rows], courses.clock) for side in (objects.in_path, moving))
    return ahead, behind


def _steady(mask: Mask, clock: Clock) -> Mask:
    spans = lasting(runs(mask, clock), clock, min_s=STEADY_S)
    edges = np.zeros(len(mask) + 1, np.int64)
    edges[spans.first] += 1
    edges[spans.last + 1] -= 1
    return np.asarray(np.cumsum(edges[:-1]) > 0)


def _own_rise(objects: Objects, ego: Ego) -> Reals:
    """The ego's acceleration at the frames."""
    return ego.at(objects.clock.t_ns, ego.ax) if ego.ax is not None else _rise(objects.speed, objects.clock)


def _rise(speed: Reals, clock: Clock) -> Reals:
    """Acceleration from speed samples, m/s2: central differences of the low-passed speed, 0 for a lone sample."""
    smooth = low_pass(speed, clock, cutoff_hz=CUTOFF_HZ)
    linked = ~clock.broken
    linked[:1] = False
    at = np.arange(len(speed))
    before, after = at - linked, at + np.append(linked[1:], False)
    step_s = (clock.t_ns[after] - clock.t_ns[before]) / NS
    return np.asarray(np.divide(smooth[after] - smooth[before], step_s, out=np.zeros(len(speed)), where=step_s > 0))


def _boxes(objects: Objects, courses: Courses, spans: Spans) -> Columns:
    """The least distance and the least TTC of boxes that keep their velocity (exact, up to nuPlan's 3 s).

    Worked out only where circles around the boxes leave it open: the nearest of a stretch, and those that come near in time.
    """
    others = Boxes(*(column(objects.rows, name)[courses.rows] for name in BOX))
    same = np.ones(len(courses.rows))
    own = objects.speed[objects.frame[courses.rows]]
    ego = Boxes(same * MIDDLE_M, 0 * same, 0 * same, same * (FRONT_M - REAR_M), same * WIDTH_M, own, 0 * same)
    middles = np.hypot(others.x_m - MIDDLE_M, others.y_m)
    around = (np.hypot(FRONT_M - REAR_M, WIDTH_M) + np.hypot(others.length_m, others.width_m)) / 2
    least = np.repeat(np.minimum.reduceat(middles, spans.first), spans.last + 1 - spans.first)
    gap = _worked_out(distance, ego, others, middles - around <= least)
    soon = middles - around <= HORIZON_S * np.hypot(others.vx_mps - own, others.vy_mps)
    time = _worked_out(partial(ttc_boxes, step_s=None), ego, others, soon)
    return _worst(courses, spans, "gap_m", "t_gap_ns", gap) | _worst(courses, spans, "ttc_boxes_s", "t_ttc_boxes_ns", time)


def _worked_out(measure: Callable[[Boxes, Boxes], Reals], ego: Boxes, others: Boxes, chosen: Mask) -> Reals:
    """A measure of the chosen rows, infinite elsewhere."""
    found, rows = np.full(len(chosen), np.inf), np.flatnonzero(chosen)
    found[rows] = measure(ego.take(rows), others.take(rows))
    return found


def _crossed(objects: Objects, courses: Courses, spans: Spans, ego: Ego) -> Columns:
    """The least PET of each stretch; only who somewhere moves across more than along can have one."""
    across, along = np.abs(objects.across_mps[courses.rows]), np.abs(objects.along_mps[courses.rows])
    could = np.logical_or.reduceat(across > np.maximum(along, MOVING_MPS), spans.first)
    rows = np.flatnonzero(np.repeat(could, spans.last + 1 - spans.first))
    boxes = (column(objects.rows, name)[courses.rows] for name in BOX[:5])
    at, pets, when = crossing_pets(Moves(courses.clock, courses.t_ns, *boxes).take(rows), ego)
    least, time = np.full(len(spans), np.inf), np.zeros(len(spans), np.int64)
    span_of: Ints = np.searchsorted(spans.first, rows[at], side="right") - 1
    for i in np.argsort(-pets, kind="stable"):
        least[span_of[i]], time[span_of[i]] = pets[i], when[i]
    never = ~np.isfinite(least)
    return {"pet_s": np.where(never, np.nan, least), "t_pet_ns": pa.array(time, mask=never)}


def _relation(objects: Objects, courses: Courses, spans: Spans, crossing: Any) -> Any:
    """What the other was to the ego for most of the stretch."""
    kinds = (*_sides(objects, courses), np.abs(objects.turned_rad[courses.rows]) > ONCOMING_RAD)
    ahead, behind, oncoming = (np.add.reduceat(kind.astype(np.int64), spans.first) for kind in kinds)
    most = 2 * oncoming > spans.last + 1 - spans.first
    onto = ahead + behind > 0
    choices = [crossing, onto & (ahead >= behind), onto, most]
    return np.select(choices, ["crossing", "ahead", "behind", "oncoming"], "beside")
