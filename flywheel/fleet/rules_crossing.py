"""The truth of what crosses or stands beside the ego's way (rows 13, 16 to 19), from exact motions in road coordinates.

The ego's path is the line it drives: what counts is where it passes a place, not where it is now. Numbers are those of the definitions.
"""

from collections.abc import Iterator

import numpy as np

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet.drive import instants
from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import EXIT, Array, Flags, Limits, Other, Rule, Truth, View, graded, intervals, runs, seconds
from flywheel.fleet.oracle_rules import LEVELS, pedestrian_crossing
from flywheel.fleet.sight import visible
from flywheel.types import Level

RIDERS = ("car", "truck", "bus", "cyclist")
EGO_M = FRONT_M - REAR_M
STEP = RATE_HZ // 10
LOOKS_S = 1.5  # ten looks a second cannot tell durations to better than 0.1 s: so much for limits 7 % apart


def covers(other: Other) -> tuple[Array, Array]:
    """Half of what the other's box covers along and across the road."""
    c, s = np.abs(np.cos(other.turned_rad)), np.abs(np.sin(other.turned_rad))
    length, width = other.length_m, other.width_m
    return (c * length + s * width) / 2, (s * length + c * width) / 2


def beside(view: View, other: Other) -> Array:
    """How far the other's centre is to the left of the line that the ego drives past it."""
    way = np.maximum.accumulate(view.s_m)
    return np.asarray(other.d_m - np.interp(other.s_m, way, view.d_m))


def least(seconds_: float, limits: Limits) -> float:
    """How long something must last under these limits."""
    return seconds_ + LOOKS_S * (limits.strict - 1.0)


def held(values: tuple[float, ...], found: float) -> Level | None:
    """The hardest level whose upper limit a value keeps."""
    levels = [level for level, value in zip(LEVELS, values, strict=False) if found <= value]
    return levels[-1] if levels else None


def crossing_near_miss(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 13, along the ego's own path where it leaves the road."""
    view = view.own
    pets = tuple(value / limits.strict for value in (2.0, 1.0, 0.5))
    for other in view.others:
        if other.cls not in RIDERS:
            continue
        (along, across), side = covers(other), beside(view, other)
        inside = (np.abs(side) < across + WIDTH_M / 2) & (np.abs(np.sin(other.turned_rad)) >= 0.5)
        for a, b in runs(inside):
            if a == 0 or b + 1 >= len(side) or not side[a - 1] * side[b + 1] < 0:
                continue
            part = slice(a, b + 1)
            comes = np.flatnonzero(view.s_m + FRONT_M >= (other.s_m[part] - along[part]).min())
            goes = np.flatnonzero(view.s_m + REAR_M >= (other.s_m[part] + along[part]).max())
            if len(comes) and len(goes) and comes[0] > 0:
                yield from _encounter(view, other, pets, (int(comes[0]), int(goes[0])), (a, b))


def _encounter(view: View, other: Other, pets: tuple[float, ...], ego: tuple[int, int], it: tuple[int, int]) -> Iterator[Truth]:
    """The event of two stays in one zone, if the second comes soon enough and has not stood in between."""
    second = ego[0] - it[1] >= it[0] - ego[1]
    leaves, enters = (it[1], ego[0]) if second else (ego[1], it[0])
    speed = view.speed_mps if second else other.mover.speed_mps
    level = held(pets, (enters - leaves) / RATE_HZ)
    if level and not (speed[min(leaves, enters) : enters + 1] < 0.5).any():
        yield Truth(scenario="crossing_near_miss", level=level, start=min(ego[0], it[0]), end=enters, actors=(other.actor_id,))


def cyclist_crossing(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 16, across the ego's path."""
    for other in view.others:
        if other.cls != "cyclist":
            continue
        ahead = other.s_m - view.s_m - FRONT_M
        swept = (ahead > 0) & (ahead <= np.maximum(4.0 * view.speed_mps, 8.0))
        rides = (np.abs(other.across_mps) >= 0.2) & (np.abs(other.across_mps) >= np.abs(other.along_mps))
        inside = (np.abs(beside(view, other)) <= 1.2 + covers(other)[1]) & swept & rides
        arrival = np.where(inside, ahead / np.maximum(view.speed_mps, 1e-3), np.inf)
        for run in runs(inside):
            level = held(limits.arrival_s, float(arrival[run[0] : run[1] + 1].min()))
            if level and seconds(run) >= least(0.5, limits):
                yield Truth(scenario="cyclist_crossing", level=level, start=run[0], end=run[1], actors=(other.actor_id,))


def close_by(
    name: str, view: View, other: Other, gap: Array, where: Flags, *, floors: tuple[float, ...], speed: float, least_s: float
) -> Iterator[Truth]:
    """Stretches of a lateral gap below its limits at a speed or more, while `where` holds."""
    stay = where & (gap < floors[0] / EXIT) & (view.speed_mps >= EXIT * speed)
    near = [where & (gap < floor) & (view.speed_mps >= speed) for floor in floors]
    for span in intervals(near[0], stay):
        level = graded(near, span, least_s=least_s)
        if level:
            yield Truth(scenario=name, level=level, start=span[0], end=span[1], actors=(other.actor_id,))


def cyclist_close_pass(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 16, overtaken."""
    for other in view.others:
        if other.cls != "cyclist":
            continue
        gap = np.abs(other.d_m - view.d_m) - covers(other)[1] - WIDTH_M / 2
        alongside = (other.gap_m <= 1.0) & (other.gap_m >= -(EGO_M + other.length_m + 1.0)) & other.aligned
        overtaken = alongside & (view.speed_mps - other.along_mps >= 0.5)
        floors = tuple(value / limits.strict for value in (1.5, 1.0, 0.5))
        yield from close_by(
            "cyclist_close_pass", view, other, gap, overtaken, floors=floors, speed=8.0 * limits.strict, least_s=least(0.5, limits)
        )


def vru_occlusion_reveal(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 17, at the ten looks a second that the camera takes."""
    ends = tuple(value / limits.strict for value in (3.0, 1.5))
    people = [other for other in view.others if other.cls in ("pedestrian", "cyclist")]
    found = {other.actor_id: _conflict_s(view, other)[::STEP] for other in people}
    near = {name: conflict for name, conflict in found.items() if (conflict <= ends[0]).any()}
    if not near:
        return
    looks = [{actor.actor_id: seen for actor, seen in zip(scene.actors, visible(scene), strict=True)} for scene in instants(view.drive)]
    for name, conflict in near.items():
        last = -RATE_HZ * 100
        hidden = np.array([look.get(name) is False for look in looks])
        for a, b in runs(hidden):
            level = held(ends, float(conflict[b + 1])) if b + 1 < len(looks) and name in looks[b + 1] else None
            start = (b + 1) * STEP
            if level and (b + 1 - a) * STEP >= 0.5 * RATE_HZ and start - last >= 2 * RATE_HZ:
                last = start + round(float(conflict[b + 1]) * RATE_HZ)
                yield Truth(scenario="vru_occlusion_reveal", level=level, start=start, end=last, actors=(name,))


def _conflict_s(view: View, other: Other) -> Array:
    """The later of the ego's arrival at the other's place and the other's own arrival in the ego's corridor; infinite for never."""
    side, ahead = beside(view, other), other.s_m - view.s_m - FRONT_M
    way, towards = np.maximum(np.abs(side) - 1.2, 0.0), -np.sign(side) * other.across_mps
    own = np.where(way > 0, np.where(towards >= 0.3, way / np.maximum(towards, 0.3), np.inf), 0.0)
    comes = (ahead > 0) & (view.speed_mps >= 0.3) & (np.abs(other.across_mps) >= 0.3)
    return np.asarray(np.where(comes, np.maximum(ahead / np.maximum(view.speed_mps, 0.3), own), np.inf))


def jaywalker_night(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 18: a crossing of row 15 in the dark, away from every crosswalk of the place."""
    air = view.drive.environment
    if air.sun_elevation_deg >= -6.0 and air.illuminance_lx >= limits.dark_lx:
        return
    people = {other.actor_id: other.mover for other in view.others}
    for event in pedestrian_crossing(view, limits):
        walker, middle = people[event.actors[0]], (event.start + event.end) // 2
        if _from_crosswalk_m(view, float(walker.x_m[middle]), float(walker.y_m[middle])) > 5.0 * limits.strict:
            yield event.model_copy(update={"scenario": "jaywalker_night"})


def _from_crosswalk_m(view: View, x: float, y: float) -> float:
    """How far a point is from the nearest crosswalk; they lie along the axes of the world."""
    rings = np.array(view.drive.network.crosswalks)
    low, high, at = rings.min(axis=1), rings.max(axis=1), np.array([x, y])
    return float(np.hypot(*np.maximum(np.maximum(low - at, at - high), 0.0).T).min())


def dense_crowd(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 19."""
    ego, ahead = view.drive.ego, (FRONT_M + REAR_M) / 2
    x, y = ego.x_m + ahead * np.cos(ego.heading_rad), ego.y_m + ahead * np.sin(ego.heading_rad)
    near = {o.actor_id: np.hypot(o.mover.x_m - x, o.mover.y_m - y) <= 20.0 / limits.strict for o in view.others if o.cls == "pedestrian"}
    people = np.sum(list(near.values()), axis=0) if near else np.zeros(len(x))
    many = (10.0 * limits.strict, 20.0 * limits.strict)
    for span in intervals(people >= many[0], people >= EXIT * many[0]):
        level = graded([people >= value for value in many], span, least_s=least(2.0, limits))
        if level:
            at = span[0] + int(np.argmax(people[span[0] : span[1] + 1]))
            who = tuple(sorted(name for name, there in near.items() if there[at]))
            yield Truth(scenario="dense_crowd", level=level, start=span[0], end=span[1], actors=who)


RULES: dict[str, Rule] = {
    "crossing_near_miss": crossing_near_miss, "cyclist_crossing": cyclist_crossing, "cyclist_close_pass": cyclist_close_pass,
    "vru_occlusion_reveal": vru_occlusion_reveal, "jaywalker_night": jaywalker_night, "dense_crowd": dense_crowd,
}  # fmt: skip
