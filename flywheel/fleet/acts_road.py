"""Scripts made by the road: cones, wrong ways, incursions and departures."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet.acts_junction import edge_m, named
from flywheel.fleet.motion import Motion, against, lateral, profile, times
from flywheel.fleet.stage import SIZES, Plan, Scripted, Shifts, Stage
from flywheel.types import Condition


def construction_nudge(stage: Stage, level: str) -> Plan:
    """Cones and a sign along the right of the lane; the ego drives round them within its lane."""
    return _cones(stage, count=int(stage.rng.integers(5, 8)), aside_m=stage.pick(0.62, 0.85), why="")


def near_construction_nudge(stage: Stage) -> Plan:
    """The ego hardly moves aside, or there are but two cones."""
    if stage.turn % 8 == 2:
        return _cones(stage, count=6, aside_m=0.27, why="the ego moves aside by 0.27 m, under 0.4 m")
    return _cones(stage, count=2, aside_m=0.7, why="there are two cones, under three")


def _cones(stage: Stage, *, count: int, aside_m: float, why: str) -> Plan:
    v0, t_c, lane, s_c = stage.pick(8.5, 10), stage.pick(10, 12), int(stage.rng.integers(stage.place.lanes)), stage.pick(340, 390)
    beside = stage.place.lane_d_m(lane) - stage.place.lane_m / 2 - 0.1
    kinds = ("sign", *("cone", "barrier")[: 1 + stage.turn % 2] * count)
    things = tuple(
        Scripted(f"{kind}.{k}", "other", _still(stage, s_c + 4.5 * k, beside), subclass=kind) for k, kind in enumerate(kinds[:count])
    )
    end = s_c + 4.5 * count
    shifts = [(s_c - 16, s_c + 2, aside_m), (end - 4, end + 14, -aside_m)]
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(t_c, s_c), shifts=shifts)
    plan = replace(stage.plan("", ego), actors=things, fellows=stage.company(lane, speed_mps=v0)[:1])
    return named(plan, "construction_nudge", (t_c - 1, t_c + 3), why)


def _still(stage: Stage, s_m: float, d_m: float) -> Motion:
    """Something that stands on the road."""
    t = times(stage.duration_s)
    x, y, heading = (np.full_like(t, float(v)) for v in stage.road.pose(s_m, d_m))
    zero = np.zeros_like(t)
    return Motion(t, x, y, heading, zero, zero, zero)


def wrong_way_vehicle(stage: Stage, level: str) -> Plan:
    """A car comes towards the ego on the lane beside it."""
    return _wrong_way(stage, stage.pick(7, 11), "")


def near_wrong_way_vehicle(stage: Stage) -> Plan:
    """A car creeps towards the ego on the lane beside it."""
    return _wrong_way(stage, stage.pick(2.2, 2.5), "the car drives at less than 2.6 m/s, under 3 m/s")


def _wrong_way(stage: Stage, v1: float, why: str) -> Plan:
    v0, t_p, lane = stage.pick(11, 13), stage.pick(12, 15), int(stage.rng.integers(2))
    s_p = stage.pick(330, 380)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(t_p, s_p))
    d_of_s = lateral(stage.place.lane_d_m(1 - lane), wander_m=0.05)
    motion = against(stage.road, profile(v1, [], duration_s=stage.duration_s), s0_m=s_p, t0_s=t_p, d_of_s=d_of_s)
    plan = replace(stage.plan("", ego), actors=(Scripted("wrong_way", "car", motion, in_traffic=False),))
    return named(plan, "wrong_way_vehicle", (t_p - 4, t_p), why)


def oncoming_incursion(stage: Stage, level: str) -> Plan:
    """An oncoming car comes over the middle of the road and is back just in time."""
    return _incursion(stage, over_m=stage.pick(0.42, 0.6), late_s=0.0, why="")


def near_oncoming_incursion(stage: Stage) -> Plan:
    """An oncoming car comes over the middle by a little, or long before the ego is there."""
    if stage.turn % 8 == 2:
        return _incursion(stage, over_m=0.2, late_s=0.0, why="the car reaches 0.2 m over the edge, under 0.3 m")
    return _incursion(stage, over_m=0.5, late_s=-4.0, why="the car is back more than 5 s before the ego is there, over 4 s")


def _incursion(stage: Stage, *, over_m: float, late_s: float, why: str) -> Plan:
    v0, v1, t_p, s_p, place = stage.pick(10, 12), stage.pick(9, 11), stage.pick(14, 16), stage.pick(330, 380), stage.place
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=place.lanes - 1, at=(t_p, s_p))
    by = over_m - SIZES["car"][1] / 2 + place.lane_m / 2
    back, out = (s_p - v1 * (t + late_s) for t in (-2.2, -6.2))
    shifts: Shifts = [(back, back + 1.4 * v1, -by), (out, out + 1.4 * v1, by)]
    motion = against(stage.road, profile(v1, [], duration_s=stage.duration_s), s0_m=s_p, t0_s=t_p, d_of_s=lateral(place.lane_m / 2, shifts))
    plan = replace(stage.plan("", ego), actors=(Scripted("oncoming", "car", motion, in_traffic=False),), oncoming=False)
    return named(plan, "oncoming_incursion", (t_p - 6 + late_s, t_p + late_s), why)


def road_departure(stage: Stage, level: str) -> Plan:
    """The ego drifts over the parking strip onto the sidewalk, and back."""
    return _depart(stage, stage.pick(0.4, 0.9), "")


def near_road_departure(stage: Stage) -> Plan:
    """The ego drifts until its front corner is a little over the kerb."""
    return _depart(stage, stage.pick(0.18, 0.24), "a corner is about 0.2 m outside, under 0.3 m")


def _depart(stage: Stage, outside_m: float, why: str) -> Plan:
    v0, t_d, s_d, half_m, by = stage.pick(9, 11), stage.pick(9, 11), stage.pick(330, 370), 50.0, -4.0
    prof, phase = profile(v0, [], duration_s=stage.duration_s), stage.rng.bit_generator.state
    ego = stage.ego(prof, lane=0, at=(t_d, s_d))
    for _ in range(4):
        stage.rng.bit_generator.state = phase
        ego = stage.ego(prof, lane=0, at=(t_d, s_d), shifts=[(s_d, s_d + half_m, by), (s_d + half_m + 5, s_d + 2 * half_m + 5, -by)])
        by -= outside_m - (_reach_right_m(stage, ego) - edge_m(stage))
    clear = tuple(s_d + k for k in range(0, 120, 6))
    return named(replace(stage.plan("", ego), clear_s_m=clear, cyclists=False), "road_departure", (t_d + 3, t_d + 8), why)


def _reach_right_m(stage: Stage, ego: Motion) -> float:
    """How far to the right of the road's middle the ego's outermost corner comes."""
    s, d = stage.road.project(ego.x_m, ego.y_m)
    turned = ego.heading_rad - np.interp(s, stage.road.s, stage.road.heading_rad)
    corner = np.minimum(FRONT_M * np.sin(turned), REAR_M * np.sin(turned)) - WIDTH_M / 2 * np.cos(turned)
    return float(-(d + corner).min())


def lane_departure(stage: Stage, level: str) -> Plan:
    """The ego drives well off its lane's centre for some seconds."""
    return _off_centre(stage, stage.pick(0.68, 0.85), stage.pick(2.5, 4), "")


def near_lane_departure(stage: Stage) -> Plan:
    """The ego is a little off its lane's centre, or well off it but for a moment."""
    if stage.turn % 8 == 2:
        return _off_centre(stage, 0.38, 4.0, "0.4 m off the centre, under 0.5 m")
    return _off_centre(stage, 0.7, 0.0, "off the centre for less than 1.5 s, under 2 s")


def _off_centre(stage: Stage, off_m: float, hold_s: float, why: str) -> Plan:
    v0, t_d, s_d, lane = stage.pick(11, 13), stage.pick(9, 11), stage.pick(310, 350), int(stage.rng.integers(stage.place.lanes))
    by, ramp, hold = off_m if stage.rng.random() < 0.5 else -off_m, 1.6 * v0, hold_s * v0
    shifts = [(s_d, s_d + ramp, by), (s_d + ramp + hold, s_d + 2 * ramp + hold, -by)]
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(t_d, s_d), shifts=shifts)
    return named(replace(stage.plan("", ego)), "lane_departure", (t_d, t_d + 3.2 + hold_s), why)


PLANTED: dict[str, tuple[Callable[[Stage, str], Plan], tuple[str, ...]]] = {
    "construction_nudge": (construction_nudge, ("L1",)),
    "wrong_way_vehicle": (wrong_way_vehicle, ("L1",)),
    "oncoming_incursion": (oncoming_incursion, ("L1",)),
    "road_departure": (road_departure, ("L1",)),
    "lane_departure": (lane_departure, ("L1",)),
}
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "construction_nudge": near_construction_nudge,
    "wrong_way_vehicle": near_wrong_way_vehicle,
    "oncoming_incursion": near_oncoming_incursion,
    "road_departure": near_road_departure,
    "lane_departure": near_lane_departure,
}
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {}
