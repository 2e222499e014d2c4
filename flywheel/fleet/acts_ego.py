"""Scripts of how the ego drives: hard acceleration and cornering, jerk, swerves and evasion, curves taken too fast, U-turns.

A lateral move of `by` metres over T seconds (a quintic) has a peak acceleration of 5.77 by / T2 near its start and its end.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flywheel.fleet.motion import RATE_HZ, Array, Motion, Profile, Push, cumulative, profile
from flywheel.fleet.stage import NearMiss, Plan, Shifts, Stage
from flywheel.types import Condition

PEAK = 5.77
ACCEL_MPS2 = {"L1": 2.95, "L2": 4.2}
CORNER_MPS2 = {"L1": 3.7, "L2": 5.9, "L3": 8.8}
EXCESS_MPS2 = {"L1": 3.7, "L2": 6.0}


def _named(stage: Stage, scenario: str, ego: Motion, why: str, span: tuple[float, float]) -> Plan:
    """The plan of a scenario, or of its near miss if a reason is given."""
    near = (NearMiss(scenario=scenario, t0_s=span[0], t1_s=span[1], why=why),) if why else ()
    return replace(stage.plan(f"near_{scenario}" if why else scenario, ego), near=near)


def hard_acceleration(stage: Stage, level: str) -> Plan:
    """The driver floors it."""
    return _hurry(stage, ACCEL_MPS2[level] * stage.pick(0.97, 1.04), "")


def near_hard_acceleration(stage: Stage) -> Plan:
    """Brisk, but 2.0 m/s2 only."""
    return _hurry(stage, 2.0, "the acceleration of 2.0 m/s2 stays under 2.4")


def _hurry(stage: Stage, accel: float, why: str) -> Plan:
    v0, t_a, lane = stage.pick(5.5, 7.5), stage.pick(8, 11), int(stage.rng.integers(stage.place.lanes))
    hold = stage.pick(1.8, 2.2)
    pushes = [Push(t_a, t_a + hold, accel), Push(t_a + hold + 2, t_a + hold + 5, -accel * hold / 4)]
    prof = profile(v0, pushes, duration_s=stage.duration_s)
    ego = stage.ego(prof, lane=lane, at=(t_a, stage.pick(260, 330)))
    return replace(_named(stage, "hard_acceleration", ego, why, (t_a, t_a + hold)), fellows=stage.company(lane, speed_mps=v0)[:2])


def hard_cornering(stage: Stage, level: str) -> Plan:
    """The curve at a steady, much too high speed."""
    return _bend(stage, "hard_cornering", CORNER_MPS2[level] * stage.pick(0.97, 1.04), "")


def near_hard_cornering(stage: Stage) -> Plan:
    """The curve at 2.5 m/s2."""
    return _bend(stage, "hard_cornering", 2.5, "the lateral acceleration of 2.5 m/s2 stays under 3.0")


def _bend(stage: Stage, scenario: str, lateral_mps2: float, why: str) -> Plan:
    place, lane, t_c = stage.place, int(stage.rng.integers(stage.place.lanes)), stage.pick(13, 15)
    v = _bend_speed(stage, lane, lateral_mps2)
    after = t_c + place.curve_m / v + 0.5
    prof = profile(v, [Push(after, after + max(v - 14.0, 0.0) / 1.8, -1.8)], duration_s=stage.duration_s)
    return _named(stage, scenario, stage.ego(prof, lane=lane, at=(t_c, place.curve_s_m)), why, (t_c - 4, after))


def _bend_speed(stage: Stage, lane: int, lateral_mps2: float) -> float:
    """The speed at which the curve needs a lateral acceleration."""
    place = stage.place
    kappa = abs(float(stage.road.curvature(place.curve_s_m + place.curve_m / 2, place.lane_d_m(lane))))
    return float(np.sqrt(lateral_mps2 / kappa))


def curve_speed_excess(stage: Stage, level: str) -> Plan:
    """The curve is come up to much too fast, and the driver brakes late."""
    place, lane, t_c = stage.place, int(stage.rng.integers(stage.place.lanes)), stage.pick(12, 14)
    v = _bend_speed(stage, lane, EXCESS_MPS2[level] * stage.pick(0.97, 1.04))
    start, slow = t_c - 1.1, _bend_speed(stage, lane, 2.2)
    pushes = [Push(start, start + (v - slow) / 2.0, -2.0)]
    ego = stage.ego(profile(v, pushes, duration_s=stage.duration_s), lane=lane, at=(t_c, place.curve_s_m))
    return _named(stage, "curve_speed_excess", ego, "", (start, t_c + 5))


def near_curve_speed_excess(stage: Stage) -> Plan:
    """The curve would need 2.4 m/s2."""
    return _bend(stage, "curve_speed_excess", 2.4, "the curve needs 2.4 m/s2 at this speed, under 3.0")


def high_jerk(stage: Stage, level: str) -> Plan:
    """From gas to brake at once."""
    return _jerk(stage, stage.pick(2.9, 3.2), "")


def near_high_jerk(stage: Stage) -> Plan:
    """From gas to brake, but half as far."""
    return _jerk(stage, 1.8, "the jerk of about 3.3 m/s3 stays under 4.13")


def _jerk(stage: Stage, step: float, why: str) -> Plan:
    """A step of acceleration of `step` m/s2; the line that fits it best over 0.8 s rises by 1.5 step / 0.8 s."""
    v0, t_j, lane = stage.pick(12, 14), stage.pick(8, 12), int(stage.rng.integers(stage.place.lanes))
    pushes = [
        Push(t_j - 2, t_j - 1, step / 4),
        Push(t_j - 1, t_j, step / 2),
        Push(t_j, t_j + 1, -step / 2),
        Push(t_j + 1, t_j + 2, -step / 4),
    ]
    ego = stage.ego(profile(v0, pushes, duration_s=stage.duration_s, smooth_s=0.15), lane=lane, at=(t_j, stage.pick(270, 340)))
    return replace(_named(stage, "high_jerk", ego, why, (t_j - 2, t_j + 2)), fellows=stage.company(lane, speed_mps=v0))


def swerve(stage: Stage, level: str) -> Plan:
    """Out by a metre and a half and back at once."""
    v0, by, peak = stage.pick(13.5, 15.5), stage.pick(1.2, 1.5) * _side(stage), stage.pick(3.1, 3.6)
    half = v0 * float(np.sqrt(PEAK * abs(by) / peak))
    return _sideways(stage, v0, lambda s: [(s, s + half, by), (s + half, s + 2 * half, -by)], "")


def near_swerve(stage: Stage) -> Plan:
    """A gentle weave, or a lane change as abrupt as a swerve."""
    v0 = stage.pick(15.5, 16.5)
    if stage.turn // 4 % 2:
        by = stage.place.lane_m
        length = v0 * float(np.sqrt(PEAK * by / 3.0))
        return _sideways(stage, v0, lambda s: [(s, s + length, by)], "an abrupt lane change ends a lane further on")
    by, half = 0.65 * _side(stage), v0 * float(np.sqrt(PEAK * 0.65 / 1.95))
    return _sideways(stage, v0, lambda s: [(s, s + half, by), (s + half, s + 2 * half, -by)], "a weave with 1.95 m/s2 and about 3 degrees")


def _side(stage: Stage) -> float:
    return 1.0 if stage.rng.random() < 0.5 else -1.0


def _sideways(stage: Stage, v0: float, shifts: Callable[[float], Shifts], why: str) -> Plan:
    t_x, s_x = stage.pick(8, 12), stage.pick(280, 350)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=0, at=(t_x, s_x), shifts=shifts(s_x))
    return replace(_named(stage, "swerve", ego, why, (t_x - 0.5, t_x + 4)), fellows=stage.company(0, 1, speed_mps=v0)[:-1])


def brake_steer_evasion(stage: Stage, level: str) -> Plan:
    """Hard braking and a hard lane change at once."""
    return _evade(stage, brake=stage.pick(4.7, 5.1), across=stage.pick(4.6, 5.2), why="")


def near_brake_steer_evasion(stage: Stage) -> Plan:
    """Braking with 3.4 m/s2 and steering with 2.2."""
    return _evade(stage, brake=3.4, across=2.2, why="braking and steering together stay at about 4.1 m/s2, under 5")


def _evade(stage: Stage, *, brake: float, across: float, why: str) -> Plan:
    """The lane change begins 0.35 s after the braking; its first peak is `across`."""
    v0, t_b, by = stage.pick(15.5, 16.5), stage.pick(9, 12), stage.place.lane_m
    hold = 8.8 / brake
    prof = profile(
        v0, [Push(t_b, t_b + hold, -brake), Push(t_b + hold + 2, t_b + hold + 6, 1.0)], duration_s=stage.duration_s, smooth_s=0.3
    )
    v_peak = v0 - brake * 0.7
    length, s_b = v_peak * float(np.sqrt(PEAK * by / across)), stage.pick(300, 360)
    s_x = s_b + prof.way_at(t_b + 0.35) - prof.way_at(t_b)
    ego = stage.ego(prof, lane=0, at=(t_b, s_b), shifts=[(s_x, s_x + length, by)])
    return _named(stage, "brake_steer_evasion", ego, why, (t_b, t_b + hold))


def u_turn(stage: Stage, level: str) -> Plan:
    """The ego turns round on the road and drives back on its other side."""
    return _turn_round(stage, turn_deg=180.0, why="")


def near_u_turn(stage: Stage) -> Plan:
    """The ego turns by 120 degrees and stops."""
    return _turn_round(stage, turn_deg=120.0, why="the heading changes by 120 degrees, under 150")


def _turn_round(stage: Stage, *, turn_deg: float, why: str) -> Plan:
    v0, v_turn, t_b, s_turn = stage.pick(8.5, 10), stage.pick(2.4, 2.6), stage.pick(4, 6), stage.pick(280, 360)
    lane = max(lane for lane in range(stage.place.lanes) if stage.place.lane_d_m(lane) < -4.5)
    width, t_turn = -2 * stage.place.lane_d_m(lane), t_b + (v0 - v_turn) / 1.5 + 0.5
    shape = _arc(np.radians(turn_deg), width)
    t_done = t_turn + shape[-1, 0] / v_turn
    then = Push(t_done + 0.5, t_done + 5.5, 1.0) if not why else Push(t_done - 0.4, t_done + 1.4, -v_turn / 1.6)
    prof = profile(v0, [Push(t_b, t_turn - 0.5, -1.5), then], duration_s=stage.duration_s)
    ego = _steered(stage, prof, shape, s_m=s_turn, d_m=stage.place.lane_d_m(lane), way_m=prof.way_at(t_turn))
    return replace(_named(stage, "u_turn", ego, why, (t_turn - 1, t_done + 1)), oncoming=False)


def _arc(turn_rad: float, width_m: float) -> Array:
    """(way, heading) of a left turn, with ramps of a fifth, as tight as one by 180 degrees that ends `width_m` to the left."""
    u = np.linspace(0.0, 1.0, 801)
    bend = np.clip(np.minimum(u, 1 - u) * 5, 0.0, 1.0)
    share = cumulative(bend, 1 / 800) / cumulative(bend, 1 / 800)[-1]
    length = width_m / cumulative(np.sin(np.pi * share), 1 / 800)[-1]
    return np.column_stack([u * length * turn_rad / np.pi, share * turn_rad])


def _steered(stage: Stage, prof: Profile, shape: Array, *, s_m: float, d_m: float, way_m: float) -> Motion:
    """The motion that leaves the straight road at s and d, once it has gone `way_m`, with the headings of the shape."""
    x0, y0, along = (float(part) for part in stage.road.pose(s_m, d_m))
    way = prof.way_m - way_m
    heading = along + np.interp(way, shape[:, 0], shape[:, 1])
    rate = np.gradient(heading, 1 / RATE_HZ)
    x, y = (cumulative(prof.speed_mps * part(heading), 1 / RATE_HZ) for part in (np.cos, np.sin))
    at = int(np.searchsorted(way, 0.0))
    return Motion(prof.t_s, x0 + x - x[at], y0 + y - y[at], heading, prof.speed_mps, prof.accel_mps2, rate)


Planted = tuple[Callable[[Stage, str], Plan], tuple[str, ...]]
PLANTED: dict[str, Planted] = {
    "hard_acceleration": (hard_acceleration, ("L1", "L2")), "hard_cornering": (hard_cornering, ("L2", "L1", "L3")),
    "high_jerk": (high_jerk, ("L1",)), "swerve": (swerve, ("L1",)), "brake_steer_evasion": (brake_steer_evasion, ("L1",)),
    "curve_speed_excess": (curve_speed_excess, ("L1", "L2")), "u_turn": (u_turn, ("L1",)),
}  # fmt: skip
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "hard_acceleration": near_hard_acceleration, "hard_cornering": near_hard_cornering, "high_jerk": near_high_jerk,
    "swerve": near_swerve, "brake_steer_evasion": near_brake_steer_evasion, "curve_speed_excess": near_curve_speed_excess,
    "u_turn": near_u_turn,
}  # fmt: skip
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {}
