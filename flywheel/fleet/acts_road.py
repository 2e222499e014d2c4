"""Scripts made by the road's rules: lights that are run, stop signs, left turns, cones, wrong ways and departures."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet.motion import RATE_HZ, Motion, Profile, Push, cumulative, lateral, profile, quintic, straight, times
from flywheel.fleet.road import BIKE_M, PARKING_M, SIDE_LANE_M, Road
from flywheel.fleet.scene import LightState
from flywheel.fleet.stage import SIZES, NearMiss, Plan, Scripted, Shifts, Stage
from flywheel.types import Condition

Array = NDArray[np.float64]
Phases = tuple[tuple[float, LightState], ...]
YELLOW_S, TURN_M, TURN_MPS = 3.0, 16.0, 3.5


def _named(plan: Plan, scenario: str, span: tuple[float, float], why: str) -> Plan:
    """The plan under its scenario's name; a near miss where there is a reason why it is none."""
    if not why:
        return replace(plan, kind=scenario)
    return replace(plan, kind=f"near_{scenario}", near=(NearMiss(scenario=scenario, t0_s=span[0], t1_s=span[1], why=why),))


def _towards_line(stage: Stage, prof: Profile, *, t_s: float, short_m: float) -> Motion:
    """The ego with its front bumper `short_m` before the stop line at a time."""
    return stage.ego(prof, lane=int(stage.rng.integers(stage.place.lanes)), at=(t_s, stage.network.stop_line_s_m - FRONT_M - short_m))


def red_light_running(stage: Stage, level: str) -> Plan:
    """The ego drives on through a light that has been red for one or two seconds."""
    return _run_red(stage, stage.pick(0.75, 1.9), "")


def near_red_light_running(stage: Stage) -> Plan:
    """The ego crosses the line a moment after the light turned red."""
    return _run_red(stage, stage.pick(0.2, 0.33), "the light has been red for a third of a second, under 0.5 s")


def _run_red(stage: Stage, late_s: float, why: str) -> Plan:
    t_line = stage.pick(13, 17)
    ego = _towards_line(stage, profile(stage.pick(12, 14), [], duration_s=stage.duration_s), t_s=t_line, short_m=0.0)
    t_red = t_line - late_s
    lights: Phases = ((-1e6, "green"), (t_red - YELLOW_S, "yellow"), (t_red, "red"))
    plan = replace(stage.plan("", ego), lights=lights, crossing_traffic=False)
    return _named(plan, "red_light_running", (t_line, t_line + 1), why)


def red_light_running_other(stage: Stage, level: str) -> Plan:
    """A car from the side drives through the junction although the ego's light has long been green."""
    return _run_across(stage, None, "")


def near_red_light_running_other(stage: Stage) -> Plan:
    """A car from the side is late: the ego's light has just turned green."""
    return _run_across(stage, stage.pick(1.4, 1.65), "the ego's light has been green for about 1.5 s, under 2 s")


def _run_across(stage: Stage, green_s: float | None, why: str) -> Plan:
    place, t_c, v0, v1 = stage.place, stage.pick(12, 15), stage.pick(11, 12.5), stage.pick(9, 11)
    ego = _towards_line(stage, profile(v0, [], duration_s=stage.duration_s), t_s=t_c, short_m=stage.pick(50, 58))
    north = 1.0 if stage.rng.random() < 0.5 else -1.0
    x, moving = place.junction_s_m + north * SIDE_LANE_M / 2, profile(v1, [], duration_s=stage.duration_s)
    crosser = Scripted("crosser", "car", straight(moving, x_m=x, y_m=0.0, heading_rad=north * np.pi / 2, t0_s=t_c), in_traffic=False)
    t_in = t_c - (_edge_m(stage) + SIZES["car"][0] / 2) / v1
    lights: Phases = ((-1e6, "green"),) if green_s is None else ((-1e6, "red"), (t_in - green_s, "green"))
    plan = replace(stage.plan("", ego), lights=lights, actors=(crosser,), crossing_traffic=False)
    return _named(plan, "red_light_running_other", (t_in, t_in + 2), why)


def yellow_dilemma(stage: Stage, level: str) -> Plan:
    """The light turns yellow at an awkward distance; the ego stops, or just makes it."""
    return _yellow(stage, stage.pick(2.76, 2.9) if stage.turn % 3 == 1 else stage.pick(3.3, 4.8), "")


def near_yellow_dilemma(stage: Stage) -> Plan:
    """The light turns yellow when the ego is almost there, or still far away."""
    if stage.turn % 8 == 2:
        return _yellow(stage, stage.pick(1.8, 2.1), "the ego would reach the line in about 2 s, under 2.5 s")
    return _yellow(stage, stage.pick(6.5, 7.0), "the ego would reach the line in nearly 7 s, over 5.5 s")


def _yellow(stage: Stage, reach_s: float, why: str) -> Plan:
    v0, t_y = stage.pick(11.5, 13), stage.pick(7, 8.5)
    stops, way = reach_s > YELLOW_S, reach_s * v0
    decel = v0**2 / 2 / (way - 0.6 * v0 - 2.5)
    t_stop = t_y + 0.6 + v0 / decel
    pushes = [Push(t_y + 0.6, t_stop, -decel), Push(t_stop + 4, t_stop + 9, 1.5)] if stops else []
    ego = _towards_line(stage, profile(v0, pushes, duration_s=stage.duration_s), t_s=t_y, short_m=way)
    lights: Phases = ((-1e6, "green"), (t_y, "yellow"), (t_y + YELLOW_S, "red"), (t_stop + 3.5, "green"))
    return _named(replace(stage.plan("", ego), lights=lights), "yellow_dilemma", (t_y, t_y + YELLOW_S), why)


def rolling_stop(stage: Stage, level: str) -> Plan:
    """The ego rolls past a stop sign."""
    return _stop_sign(stage, stage.pick(1.85, 3.2), "")


def near_rolling_stop(stage: Stage) -> Plan:
    """The ego stops at the sign, or passes it slowly enough."""
    if stage.turn % 8 == 2:
        return _stop_sign(stage, stage.pick(1.05, 1.25), "the lowest speed at the line is about 1.2 m/s, under 1.5 m/s")
    return _stop_sign(stage, 0.0, "the ego stops at the line")


def _stop_sign(stage: Stage, slowest: float, why: str) -> Plan:
    v0, t_b, decel = stage.pick(9.5, 11), stage.pick(6, 8), stage.pick(1.5, 1.8)
    t_low = t_b + (v0 - slowest) / decel
    t_go = t_low + (0.4 if slowest else 2.0)
    prof = profile(v0, [Push(t_b, t_low, -decel), Push(t_go, t_go + 6, 1.4)], duration_s=stage.duration_s)
    ego = _towards_line(stage, prof, t_s=t_low + 0.2, short_m=stage.pick(0.3, 0.8))
    return _named(replace(stage.plan("", ego), control="stop"), "rolling_stop", (t_low - 1, t_go + 1), why)


def unprotected_left(stage: Stage, level: str) -> Plan:
    """The ego turns left before an oncoming car: L1 some seconds before it, L2 just before it."""
    return _turn(stage, stage.pick(1.0, 1.65) if level == "L2" else None, "")


def near_unprotected_left(stage: Stage) -> Plan:
    """The ego turns left well before an oncoming car."""
    return _turn(stage, None, "the oncoming car is more than 6 s away, over 5 s")


def _turn(stage: Stage, pet_s: float | None, why: str) -> Plan:
    t_turn, v1, place = stage.pick(9, 11), stage.pick(8, 11), stage.place
    prof = profile(TURN_MPS, [Push(t_turn + 7, t_turn + 11, 1.0)], duration_s=stage.duration_s)
    ego = _left(stage, prof, t_turn)
    lane_d = place.lane_m * (0.5 + int(stage.rng.integers(place.lanes)))
    half = SIZES["car"][1] / 2
    ahead, y = (m * np.stack([np.cos(ego.heading_rad), np.sin(ego.heading_rad)]) for m in (FRONT_M, REAR_M)), ego.y_m
    (front_x, front_y), (_, rear_y) = ahead
    enters, leaves = int(np.argmax(y + front_y > lane_d - half)), int(np.argmax(y + rear_y > lane_d + half))
    crossing_s = (leaves - enters) / RATE_HZ
    arrival = stage.pick(6.1, 6.6) if why else stage.pick(4.2, 4.55) if pet_s is None else crossing_s + pet_s
    s_front, t_in = float(ego.x_m[enters] + front_x[enters]), float(ego.t_s[enters])
    moving = profile(v1, [], duration_s=stage.duration_s)
    start = s_front + arrival * v1 + SIZES["car"][0] / 2
    other = Scripted("oncoming", "car", against(stage.road, moving, s0_m=start, t0_s=t_in, d_of_s=lateral(lane_d)), in_traffic=False)
    plan = replace(stage.plan("", ego), actors=(other,), oncoming=False, crossing_traffic=False)
    return _named(plan, "unprotected_left", (t_in - 1, t_in + 3), why)


def _left(stage: Stage, prof: Profile, t_turn: float) -> Motion:
    """The ego from the leftmost lane into the side road to the left, its heading a smooth step along 16 m of path from t_turn on."""
    place, step = stage.place, 0.05
    way = np.arange(-250.0, 250.0, step)
    heading = np.pi / 2 * quintic(way / TURN_M)
    x, y = (cumulative(part, step) for part in (np.cos(heading), np.sin(heading)))
    x += place.junction_s_m + SIDE_LANE_M / 2 - x[-1]
    y += place.lane_d_m(place.lanes - 1) - y[0]
    at = prof.way_m - prof.way_at(t_turn)
    yaw = prof.speed_mps * np.interp(at, way, np.gradient(heading, step))
    x_m, y_m, heading_rad = (np.interp(at, way, part) for part in (x, y, heading))
    return Motion(prof.t_s, x_m, y_m, heading_rad, prof.speed_mps, prof.accel_mps2, yaw)


def against(road: Road, prof: Profile, *, s0_m: float, t0_s: float, d_of_s: Callable[[Array], Array]) -> Motion:
    """The motion of somebody who comes towards the ego along d(s), at s0 at the time t0."""
    s = s0_m - (prof.way_m - prof.way_at(t0_s))
    d = d_of_s(s)
    x, y, _ = road.pose(s, d)
    heading = np.unwrap(np.arctan2(np.gradient(y), np.gradient(x)))
    return Motion(prof.t_s, x, y, heading, prof.speed_mps, prof.accel_mps2, np.gradient(heading) * RATE_HZ)


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
    return _named(plan, "construction_nudge", (t_c - 1, t_c + 3), why)


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
    return _named(plan, "wrong_way_vehicle", (t_p - 4, t_p), why)


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
    return _named(plan, "oncoming_incursion", (t_p - 6 + late_s, t_p + late_s), why)


def _edge_m(stage: Stage) -> float:
    """From the middle of the road to the edge of its drivable part."""
    return stage.place.kerb_m + BIKE_M + PARKING_M


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
        by -= outside_m - (_reach_right_m(stage, ego) - _edge_m(stage))
    clear = tuple(s_d + k for k in range(0, 120, 6))
    return _named(replace(stage.plan("", ego), clear_s_m=clear), "road_departure", (t_d + 3, t_d + 8), why)


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
    return _named(replace(stage.plan("", ego)), "lane_departure", (t_d, t_d + 3.2 + hold_s), why)


PLANTED: dict[str, tuple[Callable[[Stage, str], Plan], tuple[str, ...]]] = {
    "red_light_running": (red_light_running, ("L1",)),
    "red_light_running_other": (red_light_running_other, ("L1",)),
    "yellow_dilemma": (yellow_dilemma, ("L1",)),
    "rolling_stop": (rolling_stop, ("L1",)),
    "unprotected_left": (unprotected_left, ("L1", "L2")),
    "construction_nudge": (construction_nudge, ("L1",)),
    "wrong_way_vehicle": (wrong_way_vehicle, ("L1",)),
    "oncoming_incursion": (oncoming_incursion, ("L1",)),
    "road_departure": (road_departure, ("L1",)),
    "lane_departure": (lane_departure, ("L1",)),
}
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "red_light_running": near_red_light_running,
    "red_light_running_other": near_red_light_running_other,
    "yellow_dilemma": near_yellow_dilemma,
    "rolling_stop": near_rolling_stop,
    "unprotected_left": near_unprotected_left,
    "construction_nudge": near_construction_nudge,
    "wrong_way_vehicle": near_wrong_way_vehicle,
    "oncoming_incursion": near_oncoming_incursion,
    "road_departure": near_road_departure,
    "lane_departure": near_lane_departure,
}
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {}
