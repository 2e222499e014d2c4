"""Scripts made by junctions: lights that are run, awkward yellows, stop signs, left turns."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flywheel.ego import FRONT_M, REAR_M
from flywheel.fleet.motion import RATE_HZ, Motion, Profile, Push, against, cumulative, lateral, profile, quintic, straight
from flywheel.fleet.road import BIKE_M, PARKING_M, SIDE_LANE_M
from flywheel.fleet.scene import LightState
from flywheel.fleet.stage import SIZES, NearMiss, Plan, Scripted, Stage
from flywheel.types import Condition

Phases = tuple[tuple[float, LightState], ...]
YELLOW_S, TURN_M, TURN_MPS = 3.0, 16.0, 3.5


def named(plan: Plan, scenario: str, span: tuple[float, float], why: str) -> Plan:
    """The plan under its scenario's name; a near miss where there is a reason why it is none."""
    if not why:
        return replace(plan, kind=scenario)
    return replace(plan, kind=f"near_{scenario}", near=(NearMiss(scenario=scenario, t0_s=span[0], t1_s=span[1], why=why),))


def edge_m(stage: Stage) -> float:
    """From the middle of the road to the edge of its drivable part."""
    return stage.place.kerb_m + BIKE_M + PARKING_M


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
    return named(plan, "red_light_running", (t_line, t_line + 1), why)


def red_light_running_other(stage: Stage, level: str) -> Plan:
    """A car from the side drives through the junction although the ego's light has long been green."""
    return _run_across(stage, None, "")


def near_red_light_running_other(stage: Stage) -> Plan:
    """A car from the side is late: the ego's light has just turned green."""
    return _run_across(stage, stage.pick(1.4, 1.65), "the ego's light has been green for about 1.5 s, under 2 s")


def _run_across(stage: Stage, green_s: float | None, why: str) -> Plan:
    place, t_c, v0, v1 = stage.place, stage.pick(12, 15), stage.pick(11, 12.5), stage.pick(9, 11)
    ego = _towards_line(stage, profile(v0, [], duration_s=stage.duration_s), t_s=t_c, short_m=stage.pick(38, 46))
    north = 1.0 if stage.rng.random() < 0.5 else -1.0
    x, moving = place.junction_s_m + north * SIDE_LANE_M / 2, profile(v1, [], duration_s=stage.duration_s)
    crosser = Scripted("crosser", "car", straight(moving, x_m=x, y_m=0.0, heading_rad=north * np.pi / 2, t0_s=t_c), in_traffic=False)
    t_in = t_c - (edge_m(stage) + SIZES["car"][0] / 2) / v1
    lights: Phases = ((-1e6, "green"),) if green_s is None else ((-1e6, "red"), (t_in - green_s, "green"))
    plan = replace(stage.plan("", ego), lights=lights, actors=(crosser,), crossing_traffic=False)
    return named(plan, "red_light_running_other", (t_in, t_in + 2), why)


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
    return named(replace(stage.plan("", ego), lights=lights), "yellow_dilemma", (t_y, t_y + YELLOW_S), why)


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
    return named(replace(stage.plan("", ego), control="stop"), "rolling_stop", (t_low - 1, t_go + 1), why)


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
    return named(plan, "unprotected_left", (t_in - 1, t_in + 3), why)


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


PLANTED: dict[str, tuple[Callable[[Stage, str], Plan], tuple[str, ...]]] = {
    "red_light_running": (red_light_running, ("L1",)),
    "red_light_running_other": (red_light_running_other, ("L1",)),
    "yellow_dilemma": (yellow_dilemma, ("L1",)),
    "rolling_stop": (rolling_stop, ("L1",)),
    "unprotected_left": (unprotected_left, ("L1", "L2")),
}
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "red_light_running": near_red_light_running,
    "red_light_running_other": near_red_light_running_other,
    "yellow_dilemma": near_yellow_dilemma,
    "rolling_stop": near_rolling_stop,
    "unprotected_left": near_unprotected_left,
}
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {}
