"""Scripts along one lane: a lead that brakes, too short a headway, a tailgater, an RSS violation, something that stands in the lane."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flywheel.ego import REAR_M
from flywheel.fleet.motion import Profile, Push, profile
from flywheel.fleet.scene import ActorClass
from flywheel.fleet.stage import SIZES, Fellow, NearMiss, Plan, Scripted, Stage
from flywheel.types import Condition

HEADWAY_S = {"L1": 0.8, "L2": 0.4}
LEAD_MPS2 = {"L1": (3.7, 1.5), "L2": (6.3, 1.1)}  # deceleration and for how long, s
FAR_S = 1.95


def moved(t_s: float, by_m: float, *, speed_mps: float = 3.0, accel_mps2: float = 1.25) -> tuple[list[Push], float]:
    """Pushes that bring a car `by_m` forward against its steady course (back if negative), and when that is done."""
    peak = min(speed_mps, float(np.sqrt(abs(by_m) * accel_mps2)))
    ramp, cruise = peak / accel_mps2, abs(by_m) / peak - peak / accel_mps2
    accel, turn = float(np.sign(by_m)) * accel_mps2, t_s + ramp + cruise
    return [Push(t_s, t_s + ramp, accel), Push(turn, turn + ramp, -accel)], turn + ramp


def visit(t_s: float, by_m: float, *, stay_s: float) -> list[Push]:
    """Pushes that bring a car forward, keep it there for a while and bring it back."""
    there, arrived = moved(t_s, by_m)
    back, _ = moved(arrived + stay_s, -by_m)
    return there + back


def behind(ego_s_m: float, gap_m: float) -> float:
    """Centre of a car whose front is `gap_m` behind the rear end of an ego at s."""
    return ego_s_m + REAR_M - gap_m - SIZES["car"][0] / 2


def others(stage: Stage, lane: int, speed_mps: float) -> tuple[Fellow, ...]:
    """SUMO's company on the other lanes only."""
    return tuple(fellow for fellow in stage.company(lane, speed_mps=speed_mps) if fellow.lane != lane)


def misses(scenario: str, t0_s: float, t1_s: float, why: str) -> tuple[NearMiss, ...]:
    """The near miss of a script that has one."""
    return (NearMiss(scenario=scenario, t0_s=t0_s, t1_s=t1_s, why=why),) if why else ()


def _plan(stage: Stage, scenario: str, ego: Profile, *, lane: int, s0_m: float, actor: Scripted, why: str) -> Plan:
    kind = f"near_{scenario}" if why else scenario
    plan = stage.plan(kind, stage.ego(ego, lane=lane, at=(0.0, s0_m)))
    near = misses(scenario, 2.0, stage.duration_s - 2.0, why)
    return replace(plan, actors=(actor,), near=near, fellows=others(stage, lane, float(ego.speed_mps[0])))


def low_thw(stage: Stage, level: str) -> Plan:
    """The ego comes up close to its lead, stays there for five seconds and falls back."""
    return _close(stage, HEADWAY_S[level] * stage.pick(0.95, 1.05), why="")


def near_low_thw(stage: Stage) -> Plan:
    """The ego stays 1.22 s behind its lead."""
    return _close(stage, 1.22, why="headway 1.22 s, over 1 s")


def _close(stage: Stage, headway_s: float, *, why: str) -> Plan:
    v, lane, s0 = stage.pick(13, 15), int(stage.rng.integers(stage.place.lanes)), stage.pick(150, 210)
    ego = profile(v, visit(stage.pick(2, 4), (FAR_S - headway_s) * v, stay_s=5.0), duration_s=stage.duration_s)
    cls: ActorClass = "truck" if stage.turn % 4 == 3 else "car"
    steady = profile(v, [], duration_s=stage.duration_s)
    lead = stage.vehicle("lead", steady, lane=lane, at=(0.0, stage.ahead(s0, FAR_S * v, cls=cls)), cls=cls)
    return _plan(stage, "low_thw", ego, lane=lane, s0_m=s0, actor=lead, why=why)


def tailgater(stage: Stage, level: str) -> Plan:
    """A car comes up close behind the ego, stays there for five seconds and falls back."""
    return _tail(stage, 0.62 * stage.pick(0.95, 1.05), why="")


def near_tailgater(stage: Stage) -> Plan:
    """A car stays 0.98 s behind the ego."""
    return _tail(stage, 0.98, why="headway behind 0.98 s, over 0.8 s")


def _tail(stage: Stage, headway_s: float, *, why: str) -> Plan:
    v, lane, s0 = stage.pick(13, 15), int(stage.rng.integers(stage.place.lanes)), stage.pick(170, 230)
    ego = profile(v, [], duration_s=stage.duration_s)
    pushes = visit(stage.pick(2, 4), (FAR_S - headway_s) * v, stay_s=5.0)
    tail = stage.vehicle("tail", profile(v, pushes, duration_s=stage.duration_s), lane=lane, at=(0.0, behind(s0, FAR_S * v)))
    return _plan(stage, "tailgater", ego, lane=lane, s0_m=s0, actor=tail, why=why)


def lead_brakes(stage: Stage, level: str) -> Plan:
    """The lead, 1.5 s ahead, brakes hard, and so does the ego 0.6 s later."""
    decel, hold = LEAD_MPS2[level]
    return _lead_brakes(stage, decel * stage.pick(0.97, 1.06), hold, 1.5, why="")


def near_lead_brakes(stage: Stage) -> Plan:
    """The lead brakes at 2.35 m/s2, or at 4 m/s2 but 2.5 s ahead."""
    if stage.turn // 4 % 2:
        return _lead_brakes(stage, 4.0, 1.4, 2.6, why="headway 2.6 s, over 2 s")
    return _lead_brakes(stage, 2.35, 1.8, 1.5, why="the lead brakes at 2.35 m/s2, under 3")


def _lead_brakes(stage: Stage, decel: float, hold: float, headway_s: float, *, why: str) -> Plan:
    v, lane, s0, t_b = stage.pick(13, 15), int(stage.rng.integers(stage.place.lanes)), stage.pick(170, 230), stage.pick(8, 11)

    def braking(t_s: float) -> Profile:
        pushes = [Push(t_s, t_s + hold, -decel), Push(t_s + hold + 2.5, t_s + hold + 2.5 + decel * hold, 1.0)]
        return profile(v, pushes, duration_s=stage.duration_s, smooth_s=0.3)

    lead = stage.vehicle("lead", braking(t_b), lane=lane, at=(0.0, stage.ahead(s0, headway_s * v)))
    return _plan(stage, "lead_brakes", braking(t_b + 0.6), lane=lane, s0_m=s0, actor=lead, why=why)


def _rss_gap_m(v: float) -> float:
    """The least gap of 'esmini R157-RSS' behind an equally fast lead."""
    return 0.75 * v + 1.5 * 0.75**2 + ((v + 2.25) ** 2 - v**2) / (2 * 0.774 * 9.81)


def rss_violation(stage: Stage, level: str) -> Plan:
    """The ego follows at 0.78 of the least distance, or a car beside it drifts towards it and back."""
    if stage.turn % 2:
        return _drift(stage)
    return _rss_follow(stage, 0.78 * stage.pick(0.95, 1.04), why="")


def near_rss_violation(stage: Stage) -> Plan:
    """The ego follows at 1.24 times the least distance."""
    return _rss_follow(stage, 1.24, why="the gap is 1.24 times the least distance")


def _rss_follow(stage: Stage, share: float, *, why: str) -> Plan:
    v, lane, s0 = stage.pick(13, 15), int(stage.rng.integers(stage.place.lanes)), stage.pick(150, 210)
    gap, steady = share * _rss_gap_m(v), profile(v, [], duration_s=stage.duration_s)
    far = gap if why else 2.1 * v
    ego = steady if why else profile(v, visit(stage.pick(3, 5), far - gap, stay_s=3.0), duration_s=stage.duration_s)
    lead = stage.vehicle("lead", steady, lane=lane, at=(0.0, stage.ahead(s0, far)))
    return _plan(stage, "rss_violation", ego, lane=lane, s0_m=s0, actor=lead, why=why)


def _drift(stage: Stage) -> Plan:
    v, lane, s0, t_d = stage.pick(12, 14), int(stage.rng.integers(2)), stage.pick(170, 230), stage.pick(8, 11)
    side, steady = 1 - lane, profile(v, [], duration_s=stage.duration_s)
    start, long = s0 + v * t_d, 2.4 * v
    by = 0.28 * (stage.place.lane_d_m(lane) - stage.place.lane_d_m(side))
    shifts = [(start, start + long, by), (start + long + v, start + 2 * long + v, -by)]
    other = stage.vehicle("drifter", steady, lane=side, at=(0.0, s0 + stage.pick(4, 9)), shifts=shifts)
    plan = _plan(stage, "rss_violation", steady, lane=lane, s0_m=s0, actor=other, why="")
    return replace(plan, fellows=stage.company(0, 1, speed_mps=v))


def stationary_object(stage: Stage, level: str) -> Plan:
    """A car stands in the lane: the ego stops 11 m before it, or changes lanes."""
    if stage.turn % 2:
        return _pass(stage)
    return _stop(stage, decel=2.0, rest_m=11.5, creep_mps=0.0, why="")


def near_stationary_object(stage: Stage) -> Plan:
    """The ego slows down early; or the car creeps at 0.7 m/s."""
    if stage.turn // 4 % 2:
        return _stop(stage, decel=2.0, rest_m=22.0, creep_mps=0.7, why="the car creeps at 0.7 m/s, over 0.5 m/s")
    return _stop(stage, decel=1.1, rest_m=21.5, creep_mps=0.0, why="time to collision 6.2 s at least, over 5 s")


def _stop(stage: Stage, *, decel: float, rest_m: float, creep_mps: float, why: str) -> Plan:
    v, lane, t_b = stage.pick(12, 13.5), int(stage.rng.integers(stage.place.lanes)), stage.pick(7, 9)
    ego = profile(v, [Push(t_b, t_b + v / decel, -decel)], duration_s=stage.duration_s)
    s0 = stage.pick(190, 240)
    still = profile(creep_mps, [], duration_s=stage.duration_s)
    cls: ActorClass = "truck" if stage.rng.random() < 0.3 else "car"
    s_x = stage.ahead(s0 + ego.way_at(t_b + v / decel + 0.5), rest_m, cls=cls)
    stopped = stage.vehicle("stopped", still, lane=lane, at=(t_b + v / decel, s_x), cls=cls)
    plan = _plan(stage, "stationary_object", ego, lane=lane, s0_m=s0, actor=stopped, why=why)
    return replace(plan, fellows=stage.company(0, 1, speed_mps=v)[:1])


def _pass(stage: Stage) -> Plan:
    v, lane, t_x, s0 = stage.pick(11, 12.5), int(stage.rng.integers(2)), stage.pick(9, 12), stage.pick(190, 240)
    s_x, half = s0 + v * t_x, 2.0 * v
    by = stage.place.lane_d_m(1 - lane) - stage.place.lane_d_m(lane)
    steady = profile(v, [], duration_s=stage.duration_s)
    stopped = stage.vehicle("stopped", profile(0.0, [], duration_s=stage.duration_s), lane=lane, at=(0.0, stage.ahead(s_x, 3.6 * v)))
    plan = _plan(stage, "stationary_object", steady, lane=lane, s0_m=s0, actor=stopped, why="")
    ego = stage.ego(steady, lane=lane, at=(0.0, s0), shifts=[(s_x - half, s_x + half, by)])
    return replace(plan, ego=ego, fellows=stage.company(0, 1, speed_mps=v)[:1])


PLANTED: dict[str, tuple[Callable[[Stage, str], Plan], tuple[str, ...]]] = {
    "lead_brakes": (lead_brakes, ("L1", "L2")), "low_thw": (low_thw, ("L1", "L2")), "tailgater": (tailgater, ("L1",)),
    "rss_violation": (rss_violation, ("L1",)), "stationary_object": (stationary_object, ("L1",)),
}  # fmt: skip
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "lead_brakes": near_lead_brakes, "low_thw": near_low_thw, "tailgater": near_tailgater, "rss_violation": near_rss_violation,
    "stationary_object": near_stationary_object,
}  # fmt: skip
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {}
