"""Scripts of lane changes: the lead cuts out and shows a slow car, the ego merges out of a lane that ends, or changes lanes riskily."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flywheel.ego import WIDTH_M
from flywheel.fleet.acts_following import behind, misses
from flywheel.fleet.motion import Push, profile, quintic
from flywheel.fleet.stage import SIZES, Plan, Scripted, Shifts, Stage
from flywheel.types import Condition

REVEAL_S = {"L1": 2.65, "L2": 1.65}  # headway to the revealed car


def _across(stage: Stage, lane: int, *, over_s_m: float, long_m: float) -> Shifts:
    """The change from a lane to its neighbour (0 and 1) whose middle is at s."""
    by = stage.place.lane_d_m(1 - lane) - stage.place.lane_d_m(lane)
    return [(over_s_m - long_m / 2, over_s_m + long_m / 2, by)]


def cut_out_reveal(stage: Stage, level: str) -> Plan:
    """The lead changes lanes late before a car that drives at a third of the ego's speed; the ego brakes."""
    return _reveal(stage, REVEAL_S[level] * stage.pick(0.97, 1.03), stage.pick(0.3, 0.4), why="")


def near_cut_out_reveal(stage: Stage) -> Plan:
    """The revealed car drives at 0.63 of the ego's speed."""
    return _reveal(stage, 2.0, 0.63, why="the revealed car drives at 0.63 of the ego's speed, over 0.5")


def _reveal(stage: Stage, headway_s: float, share: float, *, why: str) -> Plan:
    v, lane, t_r, s0 = stage.pick(13.5, 14.5), int(stage.rng.integers(2)), stage.pick(9, 11), stage.pick(170, 220)
    gap, closing = headway_s * v, (1 - share) * v
    decel = closing**2 / 2 / (gap - 0.4 * closing - 7.0)
    ego = profile(v, [Push(t_r + 0.4, t_r + 0.4 + closing / decel, -decel)], duration_s=stage.duration_s, smooth_s=0.3)
    s_r, u, long = s0 + v * t_r, np.linspace(0, 1, 2001), 2.3 * v
    at = stage.ahead(s_r, 1.15 * v)
    passed = float(np.interp((SIZES["car"][1] + WIDTH_M) / 2 / stage.place.lane_m, quintic(u), u))
    shifts = _across(stage, lane, over_s_m=at - passed * long + long / 2, long_m=long)
    lead = stage.vehicle("lead", profile(v, [], duration_s=stage.duration_s), lane=lane, at=(t_r, at), shifts=shifts)
    slow = stage.vehicle("slow", profile(share * v, [], duration_s=stage.duration_s), lane=lane, at=(t_r, stage.ahead(s_r, gap)))
    near = misses("cut_out_reveal", t_r - 2.0, t_r + 2.0, why)
    plan = stage.plan("near_cut_out_reveal" if why else "cut_out_reveal", stage.ego(ego, lane=lane, at=(t_r, s_r)))
    return replace(plan, actors=(lead, slow), near=near, fellows=stage.company(0, 1, speed_mps=v)[:-2])


def _change(stage: Stage, scenario: str, *, lane: int, v: float, s0_m: float, t_x: float, long_s: float, why: str) -> Plan:
    """The ego changes lanes at a steady speed, its middle at the time t_x."""
    steady, s_x = profile(v, [], duration_s=stage.duration_s), s0_m + v * t_x
    ego = stage.ego(steady, lane=lane, at=(0.0, s0_m), shifts=_across(stage, lane, over_s_m=s_x, long_m=long_s * v))
    near = misses(scenario, t_x - 2.0, t_x + 2.0, why)
    plan = stage.plan(f"near_{scenario}" if why else scenario, ego)
    return replace(plan, near=near, fellows=stage.company(0, 1, speed_mps=v)[:-2])


def merge(stage: Stage, level: str) -> Plan:
    """The ego's lane ends; it changes into a gap that is 1.3 s long before it, behind it, or both."""
    front, rear = ((1.35, 2.8), (2.8, 1.45), (1.4, 1.55))[stage.turn % 3]
    vary = stage.pick(0.96, 1.06)
    return _merge(stage, front * vary, rear * vary, stage.pick(35, 80), why="")


def near_merge(stage: Stage) -> Plan:
    """The gap is 2.5 s before and behind, or the lane ends 190 m ahead."""
    if stage.turn // 4 % 2:
        return _merge(stage, 1.4, 1.5, 185.0, why="the lane ends 185 m ahead, over 150 m")
    return _merge(stage, 2.5, 2.5, 60.0, why="the gap is 2.5 s before and behind, over 2 s")


def _merge(stage: Stage, front_s: float, rear_s: float, end_m: float, *, why: str) -> Plan:
    v, t_x, s0 = stage.pick(11.5, 13.5), stage.pick(9, 12), stage.pick(190, 240)
    steady = profile(v, [], duration_s=stage.duration_s)
    front = stage.vehicle("front", steady, lane=1, at=(0.0, stage.ahead(s0, front_s * v)))
    rear = stage.vehicle("rear", steady, lane=1, at=(0.0, behind(s0, rear_s * v)))
    plan = _change(stage, "merge", lane=0, v=v, s0_m=s0, t_x=t_x, long_s=stage.pick(5.2, 6.2), why=why)
    return replace(plan, actors=(front, rear), lane_ends_s_m=float(round(s0 + v * t_x + 3.7 + end_m, 1)))


def risky_lane_change(stage: Stage, level: str) -> Plan:
    """The ego changes lanes 0.55 s before a car as fast as itself, or before one that comes up at 5.5 m/s more and brakes."""
    if stage.turn % 2:
        return _risky(stage, faster=5.5, gap_m=2.35 * 5.5 * stage.pick(0.95, 1.04), why="")
    return _risky(stage, faster=0.0, gap_m=None, headway_s=0.55 * stage.pick(0.95, 1.04), why="")


def near_risky_lane_change(stage: Stage) -> Plan:
    """The ego changes lanes 0.9 s before a car as fast as itself, or 3.9 s before contact with a faster one."""
    if stage.turn // 4 % 2:
        return _risky(stage, faster=4.0, gap_m=4.0 * 4.2, why="time to collision behind about 3.9 s, over 3 s")
    return _risky(stage, faster=0.0, gap_m=None, headway_s=0.9, why="headway behind 0.9 s, over 0.7 s")


def _risky(stage: Stage, *, faster: float, gap_m: float | None, headway_s: float = 0.0, why: str) -> Plan:
    v, t_x, s0, lane = stage.pick(11, 12.5), stage.pick(9, 12), stage.pick(190, 240), int(stage.rng.integers(2))
    brake = [Push(t_x - 0.3, t_x - 0.3 + faster / 3.0, -3.0)] if faster else []
    rear: Scripted = stage.vehicle(
        "rear", profile(v + faster, brake, duration_s=stage.duration_s), lane=1 - lane,
        at=(t_x, behind(s0 + v * t_x, headway_s * v if gap_m is None else gap_m)),
    )  # fmt: skip
    plan = _change(stage, "risky_lane_change", lane=lane, v=v, s0_m=s0, t_x=t_x, long_s=stage.pick(3.6, 4.4), why=why)
    return replace(plan, actors=(rear,))


PLANTED: dict[str, tuple[Callable[[Stage, str], Plan], tuple[str, ...]]] = {
    "cut_out_reveal": (cut_out_reveal, ("L1", "L2")), "merge": (merge, ("L1",)), "risky_lane_change": (risky_lane_change, ("L1",)),
}  # fmt: skip
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "cut_out_reveal": near_cut_out_reveal, "merge": near_merge, "risky_lane_change": near_risky_lane_change,
}  # fmt: skip
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {}
