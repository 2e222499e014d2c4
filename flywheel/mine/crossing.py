"""Detectors of what crosses or stands beside the ego's way: crossing near miss (row 13), cyclists (16), jaywalker at night (18),
dense crowd (19). Who comes out of hiding (row 17) is in `hidden`, what lies or stands in the road in `road_things`.
"""

from dataclasses import replace

import numpy as np

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.measures import pet
from flywheel.mine.objects import RIDERS, Objects
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Ints, Mask, Reals, graded, runs
from flywheel.mine.signals import column
from flywheel.mine.tracks import Courses, crosses_corridor, pedestrian_crossing

EGO_M = FRONT_M - REAR_M
CENTRE_M = (FRONT_M + REAR_M) / 2
APPROACH_M, PASSING_M = 6.0, 20.0  # whoever is further away is neither in the ego's path soon nor alongside
SMOOTH = 3


def crossing_near_miss(drive: Drive, entry: Scenario) -> list[Hit]:
    """Encounters with crossing vehicles and cyclists in which the second comes soon after the first has left the zone of both."""
    objects = drive.objects
    reach = objects.half_m + WIDTH_M / 2
    steep = np.abs(np.sin(objects.turned_rad)) >= np.sin(np.radians(entry.settings["crossing_deg"]))
    near = objects.is_a(*RIDERS) & (np.abs(objects.side_m) < reach + APPROACH_M)
    ever = np.zeros(len(objects.names), bool)
    ever[objects.track[near & steep]] = True
    courses = Courses(objects, near & ever[objects.track])
    apart = np.abs(objects.side_m[courses.rows]) - reach[courses.rows]
    spans = runs((apart < 0) & steep[courses.rows], courses.clock)
    found = [_encounter(drive, entry, courses, apart, (int(a), int(b))) for a, b in zip(spans.first, spans.last, strict=True)]
    return sorted((hit for hit in found if hit is not None), key=lambda hit: (hit.t0_ns, hit.actors))


def _encounter(drive: Drive, entry: Scenario, courses: Courses, apart: Reals, span: tuple[int, int]) -> Hit | None:
    """The hit of one passage through the ego's path (sorted rows, first to last), or None if it is none."""
    objects, rows, (first, last), broken = drive.objects, courses.rows, span, courses.clock.broken
    if first == 0 or broken[first] or last + 1 == len(rows) or broken[last + 1]:
        return None
    if objects.side_m[rows[first - 1]] * objects.side_m[rows[last + 1]] > 0:
        return None
    other = _edge_s(drive, courses, apart, first - 1), _edge_s(drive, courses, apart, last)
    ego = _ego_s(drive, rows[first : last + 1])
    value = float(pet(*ego, *other))
    level = sum(value <= limit for limit in entry.limits("pet"))
    ego_second = ego[0] - other[1] >= other[0] - ego[1]
    leaves, enters = (other[1], ego[0]) if ego_second else (ego[1], other[0])
    if not level or _slowest(drive, courses, None if ego_second else first, (leaves, enters)) < entry.settings["standing_mps"]:
        return None
    t0_ns, t1_ns = (drive.t0_ns + round(t * NS) for t in (min(ego[0], other[0]), enters))
    return Hit(t0_ns, t1_ns, t1_ns, max(value, 0.0), level, (objects.names[courses.track[first]],))


def _edge_s(drive: Drive, courses: Courses, apart: Reals, at: int) -> float:
    """When the distance to the zone changes sign between sorted row `at` and the next; seconds since the drive's start.

    Half way where it does not: there the other turns out of, or into, crossing.
    """
    share = apart[at] / (apart[at] - apart[at + 1]) if apart[at] * apart[at + 1] < 0 else 0.5
    return float(courses.t_ns[at] - drive.t0_ns + share * (courses.t_ns[at + 1] - courses.t_ns[at])) / NS


def _ego_s(drive: Drive, rows: Ints) -> tuple[float, float]:
    """When the ego's front enters the stretch of its path that the rows sweep, and its rear leaves it; NaN where it never does."""
    objects, ego = drive.objects, drive.ego
    way = ego.at(objects.clock.t_ns[objects.frame[rows]], ego.travelled_m) + objects.front_m[rows]
    edges = (way - objects.reach_m[rows]).min(), (way + objects.reach_m[rows]).max() + EGO_M
    gone, t_s = np.maximum.accumulate(ego.travelled_m), (ego.clock.t_ns - drive.t0_ns) / NS
    enters, leaves = np.interp(edges, gone, t_s, left=np.nan, right=np.nan)
    return float(enters), float(leaves)


def _slowest(drive: Drive, courses: Courses, row: int | None, between_s: tuple[float, float]) -> float:
    """The least speed between two times of the ego, or of the track at a sorted row; infinite without a sample there."""
    t0_ns, t1_ns = (drive.t0_ns + int(t * NS) for t in between_s)
    if row is None:
        t_ns, speed = drive.ego.clock.t_ns, np.abs(drive.ego.speed)
    else:
        past = courses.window(row, before_s=60.0)
        rows = courses.rows[past][courses.track[past] == courses.track[row]]
        t_ns, speed = (
            drive.objects.clock.t_ns[drive.objects.frame[rows]],
            np.hypot(drive.objects.along_mps[rows], drive.objects.across_mps[rows]),
        )
    inside = (t_ns >= t0_ns) & (t_ns <= t1_ns)
    return float(speed[inside].min()) if inside.any() else np.inf


def cyclist_crossing(drive: Drive, entry: Scenario) -> list[Hit]:
    """Cyclists who ride across the corridor ahead, as pedestrians walk."""
    objects = drive.objects
    return crosses_corridor(objects, entry, objects.is_a("cyclist"), objects.half_m)


def smoothed(values: Reals, courses: Courses) -> Reals:
    """The mean of three samples of one track; the outermost as they are."""
    if len(values) < SMOOTH:
        return values
    mean = values.copy()
    mean[1:-1] = (values[:-2] + values[1:-1] + values[2:]) / SMOOTH
    edge = courses.clock.broken | np.append(courses.clock.broken[1:], True)
    return np.where(edge, values, mean)


def close_by(courses: Courses, objects: Objects, entry: Scenario, *, where: Mask, least_mps: float) -> list[Hit]:
    """Stretches of sorted rows `where` the ego's side is nearer to a box than the entry's `lateral_gap`, at a speed or more."""
    rows = courses.rows
    gap = smoothed(np.abs(objects.side_m[rows]) - objects.half_m[rows] - WIDTH_M / 2, courses)
    speed, limits = objects.speed[objects.frame[rows]], entry.limits("lateral_gap")
    hold = where & (gap < limits[0] / entry.exit_ratio) & (speed >= least_mps * entry.exit_ratio)
    levels = [where & (gap < limit) & (speed >= least_mps) for limit in limits]
    return courses.graded(entry, levels=levels, hold=hold, worst=np.where(where, gap, np.inf))


def cyclist_close_pass(drive: Drive, entry: Scenario) -> list[Hit]:
    """Cyclists whom the ego overtakes with too little room."""
    objects, rules = drive.objects, entry.settings
    courses = Courses(objects, objects.is_a("cyclist") & objects.aligned & (np.abs(objects.front_m) <= PASSING_M))
    rows = courses.rows
    ahead, reach = objects.front_m[rows], objects.reach_m[rows] + rules["margin_m"]
    overtaking = objects.speed[objects.frame[rows]] - objects.along_mps[rows] >= rules["overtaking_mps"]
    alongside = (ahead <= reach) & (ahead >= -EGO_M - reach) & overtaking
    return close_by(courses, objects, entry, where=alongside, least_mps=rules["ego_speed_mps"])


def jaywalker_night(drive: Drive, entry: Scenario) -> list[Hit]:
    """Pedestrian crossings in the dark and away from crosswalks. NotEvaluable where the map shows no crosswalk at all."""
    ahead, rules = drive.lanes.says("crosswalk_m"), entry.settings
    known = np.isfinite(ahead)
    if not known.any():
        raise NotEvaluable("no crosswalks on the map")
    starts = np.unique(np.round(drive.ego.at(drive.lanes.clock.t_ns[known], drive.ego.travelled_m) + ahead[known]))
    return [
        hit
        for hit in pedestrian_crossing(drive, entry)
        if _dark(drive, entry, hit) and _off_m(drive, hit, starts, rules) > rules["crosswalk_m"]
    ]


def _dark(drive: Drive, entry: Scenario, hit: Hit) -> bool:
    at = np.array([hit.t_peak_ns])
    sun, lux = drive.sky.at(at, "sun_elevation_deg")[0], drive.sky.at(at, "illuminance_lx")[0]
    return bool(sun < entry.settings["sun_deg"] or lux < entry.settings["illuminance_lx"])


def _off_m(drive: Drive, hit: Hit, starts_m: Reals, rules: dict[str, float]) -> float:
    """How far along the road the hit's pedestrian is from the nearest crosswalk, m; crosswalks begin at `starts_m` of the ego's way."""
    objects = drive.objects
    track = objects.names.index(hit.actors[0])
    row = np.flatnonzero((objects.track == track) & (objects.clock.t_ns[objects.frame] == hit.t_peak_ns))[0]
    way = float(drive.ego.at(np.array([hit.t_peak_ns]), drive.ego.travelled_m)[0] + objects.front_m[row])
    return float(np.maximum(starts_m - way, way - starts_m - rules["crosswalk_deep_m"]).min())


def dense_crowd(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches with many pedestrians around the ego; the actors are those around at the peak."""
    objects = drive.objects
    walkers = np.flatnonzero(objects.is_a("pedestrian"))
    x, y = (column(objects.rows, name)[walkers] for name in ("x_m", "y_m"))
    near = walkers[np.hypot(x - CENTRE_M, y) <= entry.settings["radius_m"]]
    people = np.bincount(objects.frame[near], minlength=len(objects.clock.t_ns)).astype(np.float64)
    limits = entry.limits("people")
    hold = people >= limits[0] * entry.exit_ratio
    spans, level = graded([people >= n for n in limits], hold, objects.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    found = []
    for hit in lowest(spans, level, objects.clock, -people):
        there = near[objects.clock.t_ns[objects.frame[near]] == hit.t_peak_ns]
        found.append(replace(hit, peak=-hit.peak, actors=tuple(sorted(objects.names[k] for k in objects.track[there]))))
    return found


DETECTORS: dict[str, Detector] = {
    "crossing_near_miss": crossing_near_miss,
    "cyclist_crossing": cyclist_crossing,
    "cyclist_close_pass": cyclist_close_pass,
    "jaywalker_night": jaywalker_night,
    "dense_crowd": dense_crowd,
}
