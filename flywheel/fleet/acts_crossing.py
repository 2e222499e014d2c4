"""Scripts of what crosses or stands beside the ego's way: near misses, cyclists, people out of hiding, jaywalkers, crowds.

`stops_for` is the ego that stops before a place; at a deceleration `a` that ends `g` metres short, the shortest arrival time is
sqrt(2 g / a), reached that time before the ego stands (see acts_traffic).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet.acts_place import ARRIVAL
from flywheel.fleet.motion import Motion, Profile, Push, along, lateral, profile, straight
from flywheel.fleet.road import BIKE_M
from flywheel.fleet.scene import ActorClass
from flywheel.fleet.stage import SIZES, NearMiss, Plan, Scripted, Stage
from flywheel.types import Condition

Act = tuple[Callable[[Stage, str], Plan], tuple[str, ...]]
PET_S = {"L1": 1.45, "L2": 0.73, "L3": 0.34}
GAP_M = {"L1": 1.23, "L2": 0.73, "L3": 0.36}
CONFLICT_S = {"L1": 2.2, "L2": 1.1}
PEOPLE = {"L1": 14, "L2": 25}
DOWN, CREW = np.pi / 2, 0.5


def second(stage: Stage) -> bool:
    """Every other near miss of an act: each fourth turn is one."""
    return stage.turn // 4 % 2 == 1


def named(stage: Stage, scenario: str, ego: Motion, why: str, span_s: tuple[float, float]) -> Plan:
    """A plan without other traffic in the way; a near miss if a reason is given."""
    near = (NearMiss(scenario=scenario, t0_s=span_s[0], t1_s=span_s[1], why=why),) if why else ()
    return replace(stage.plan(f"near_{scenario}" if why else scenario, ego), near=near, oncoming=False, crossing_traffic=False)


def goes_across(
    stage: Stage, name: str, *, s_m: float, from_d_m: float, to_d_m: float, at: tuple[float, float], speed_mps: float,
    cls: ActorClass = "pedestrian", size_m: tuple[float, float, float] = (0.0, 0.0, 0.0), subclass: str | None = None,
) -> Scripted:  # fmt: skip
    """Someone who leaves from_d straight across the road, is at d = at[1] at the time at[0] and stops at to_d."""
    (t_c, d_c), pace = at, CREW
    t_go, t_halt = t_c - abs(d_c - from_d_m) / speed_mps, t_c + abs(to_d_m - d_c) / speed_mps
    pushes = [Push(t_go - pace / 2, t_go + pace / 2, speed_mps / pace), Push(t_halt - pace / 2, t_halt + pace / 2, -speed_mps / pace)]
    prof = profile(0.0, pushes, duration_s=stage.duration_s)
    x, y, heading = stage.road.pose(s_m, d_c)
    course = float(heading) + np.sign(to_d_m - from_d_m) * DOWN
    motion = straight(prof, x_m=float(x), y_m=float(y), heading_rad=float(course), t0_s=t_c)
    return Scripted(name, cls, motion, size_m=size_m, subclass=subclass, in_traffic=False)


def stops_for(stage: Stage, *, arrival_s: float, decel: float, s_m: float, lane: int, v0: float, t_brake: float) -> tuple[Motion, float]:
    """An ego that stops before s with this shortest arrival time and drives on 3 s later; and when it stands."""
    t_stop, rest = t_brake + v0 / decel, arrival_s**2 * decel / 2
    prof = profile(v0, [Push(t_brake, t_stop, -decel), Push(t_stop + 3, t_stop + 9, 1.3)], duration_s=stage.duration_s, smooth_s=0.3)
    return stage.ego(prof, lane=lane, at=(t_stop + 1, s_m - rest - FRONT_M)), t_stop


def stopped_for(
    stage: Stage, scenario: str, *, arrival_s: float, decel: float, speed_mps: float, why: str, s_m: float | None = None,
    cls: ActorClass = "pedestrian", size_m: tuple[float, float, float] = (0.0, 0.0, 0.0), subclass: str | None = None, late_s: float = 0.25,
) -> Plan:  # fmt: skip
    """The ego stops for someone who goes across the road before it."""
    lane, side = int(stage.rng.integers(stage.place.lanes)), 1.0 if stage.rng.random() < 0.6 else -1.0
    s_m = stage.pick(370, 470) if s_m is None else s_m
    ego, t_stop = stops_for(
        stage, arrival_s=arrival_s, decel=decel, s_m=s_m, lane=lane, v0=stage.pick(11, 12.5), t_brake=stage.pick(9, 10.5)
    )
    t_c, start_d = t_stop - arrival_s + late_s, side * stage.place.sidewalk_d_m
    other = goes_across(
        stage, scenario.split("_")[0], s_m=s_m, from_d_m=start_d, to_d_m=-start_d, at=(t_c, stage.place.lane_d_m(lane)),
        speed_mps=speed_mps, cls=cls, size_m=size_m, subclass=subclass,
    )  # fmt: skip
    return replace(named(stage, scenario, ego, why, (t_c - 1, t_c + 1)), actors=(other,), clear_s_m=(s_m,))


def crossing_near_miss(stage: Stage, level: str) -> Plan:
    """A car runs its red light across the ego's way, just before the ego or (one time in three) just behind it."""
    return _meets(stage, PET_S[level] * stage.pick(0.95, 1.05), "")


def near_crossing_near_miss(stage: Stage) -> Plan:
    """The same with 2.5 s between the two."""
    return _meets(stage, 2.5, "post-encroachment time 2.5 s, over 2 s")


def _meets(stage: Stage, pet_s: float, why: str) -> Plan:
    v0, it, lane, t = stage.pick(11, 13.5), stage.pick(8, 12), int(stage.rng.integers(stage.place.lanes)), stage.pick(11, 13)
    way = 1.0 if stage.rng.random() < 0.5 else -1.0
    s, d, half = stage.place.junction_s_m + way * 1.75, stage.place.lane_d_m(lane), (WIDTH_M + SIZES["car"][0]) / 2
    behind = stage.rng.random() < 0.35
    ego_at = (t, s + WIDTH_M / 2 - REAR_M) if behind else (t + pet_s, s - WIDTH_M / 2 - FRONT_M)
    at_t, at_d = (t + pet_s, d - way * half) if behind else (t, d + way * half)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=ego_at)
    x, y, _ = stage.road.pose(s, at_d)
    prof = profile(it, [], duration_s=stage.duration_s)
    other = Scripted("crosser", "car", straight(prof, x_m=float(x), y_m=float(y), heading_rad=way * DOWN, t0_s=at_t), in_traffic=False)
    return replace(named(stage, "crossing_near_miss", ego, why, (t - 1, t + 3.5)), actors=(other,))


def cyclist_crossing(stage: Stage, level: str) -> Plan:
    """A cyclist rides across the road before the ego, which stops."""
    arrival, decel = ARRIVAL[level]
    return _rides(stage, arrival_s=arrival * stage.pick(0.93, 1.06), decel=decel, why="")


def near_cyclist_crossing(stage: Stage) -> Plan:
    """The cyclist crosses far ahead."""
    return _rides(stage, arrival_s=4.0, decel=1.1, why="the ego is never nearer than about 4 s while the cyclist is before it")


def _rides(stage: Stage, *, arrival_s: float, decel: float, why: str) -> Plan:
    speed = stage.pick(3.5, 5)
    return stopped_for(stage, "cyclist_crossing", arrival_s=arrival_s, decel=decel, speed_mps=speed, why=why, cls="cyclist", late_s=0.1)


def cyclist_close_pass(stage: Stage, level: str) -> Plan:
    """The ego overtakes a cyclist with little room."""
    return _passes(stage, gap_m=GAP_M[level] * stage.pick(0.96, 1.04), v0=stage.pick(10.5, 13), lane=int(stage.rng.integers(2)), why="")


def near_cyclist_close_pass(stage: Stage) -> Plan:
    """The ego leaves 1.85 m, or passes at 6.6 m/s."""
    if second(stage):
        return _passes(stage, gap_m=1.2, v0=6.6, lane=1, why="the ego passes at 6.6 m/s, under 8")
    return _passes(stage, gap_m=1.85, v0=stage.pick(10.5, 13), lane=1, why="1.85 m between the sides, over 1.5 m")


def _passes(stage: Stage, *, gap_m: float, v0: float, lane: int, why: str) -> Plan:
    t, s, slow = stage.pick(10, 13), stage.pick(300, 360), stage.pick(3.8, 4.6)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(t, s))
    d = stage.place.lane_d_m(lane) - gap_m - (WIDTH_M + SIZES["cyclist"][1]) / 2
    motion = along(stage.road, profile(slow, [], duration_s=stage.duration_s), s0_m=s + 1.5, d_of_s=lateral(d), t0_s=t)
    return replace(named(stage, "cyclist_close_pass", ego, why, (t - 1, t + 1)), actors=(Scripted("rider", "cyclist", motion),))


def vru_occlusion_reveal(stage: Stage, level: str) -> Plan:
    """A pedestrian comes out from behind a parked truck; the ego brakes."""
    return _reveal(stage, CONFLICT_S[level] * stage.pick(0.96, 1.08), hides=True, why="")


def near_vru_occlusion_reveal(stage: Stage) -> Plan:
    """The pedestrian comes out 4 s before the ego would be there, or has been in plain view all along."""
    if second(stage):
        return _reveal(stage, 2.2, hides=False, why="nothing hides the pedestrian")
    return _reveal(stage, 4.0, hides=True, why="4 s to the conflict at the reveal, over 3 s")


def _reveal(stage: Stage, conflict_s: float, *, hides: bool, why: str) -> Plan:
    late = conflict_s < 1.5
    v0, walk, decel = (stage.pick(8.8, 9.4), 2.7, 7.6) if late else (stage.pick(10.5, 12), 1.6, 3.9)
    place, t, s = stage.place, stage.pick(10, 13), stage.pick(350, 420)
    edge_d = -(place.kerb_m + BIKE_M)
    brakes = t + (0.3 if late else 0.5)
    pushes = [Push(brakes, brakes + v0 / decel, -decel), Push(brakes + v0 / decel + 3, brakes + v0 / decel + 9, 1.3)]
    ego = stage.ego(profile(v0, pushes, duration_s=stage.duration_s, smooth_s=0.3), lane=0, at=(t, s - conflict_s * v0 - FRONT_M))
    walker = goes_across(
        stage, "walker", s_m=s, from_d_m=place.sidewalk_d_m, to_d_m=-place.sidewalk_d_m, at=(t, edge_d - 0.1), speed_mps=walk
    )
    length = SIZES["truck"][0]
    truck = _parked(stage, "hider", s_m=s - 0.6 - length / 2, d_m=place.parking_d_m, cls="truck")
    plan = named(stage, "vru_occlusion_reveal", ego, why, (t - 1, t + 2))
    clear = tuple(s + step for step in (-24.0, -18.0, -12.0, -6.0, 0.0)) if not hides else (s - 12.0, s - 6.0, s)
    return replace(plan, actors=(walker, truck) if hides else (walker,), clear_s_m=clear)


def _parked(stage: Stage, name: str, *, s_m: float, d_m: float, cls: ActorClass) -> Scripted:
    """A vehicle that stands at a place all the time."""
    x, y, heading = stage.road.pose(s_m, d_m)
    still = straight(stands(stage), x_m=float(x), y_m=float(y), heading_rad=float(heading), t0_s=0.0)
    return Scripted(name, cls, still, in_traffic=False)


def stands(stage: Stage) -> Profile:
    """No motion at all."""
    return profile(0.0, [], duration_s=stage.duration_s)


def jaywalker_night(stage: Stage, level: str) -> Plan:
    """A pedestrian crosses far from the crosswalks by night, and the ego stops."""
    arrival, decel = ARRIVAL[level]
    return _jaywalks(stage, arrival_s=arrival * stage.pick(0.93, 1.06), decel=decel, why="")


def near_jaywalker_night(stage: Stage) -> Plan:
    """The pedestrian crosses 3.5 m before the crosswalk, or by dusk (the condition says which)."""
    if stage.condition.lighting == "night":
        s = stage.network.junction_in_s_m - 3.5
        return _jaywalks(stage, arrival_s=2.3, decel=2.0, s_m=s, why="3.5 m from the crosswalk, under 5 m")
    return _jaywalks(stage, arrival_s=2.3, decel=2.0, why=f"{stage.condition.name} is not dark")


def _jaywalks(stage: Stage, *, arrival_s: float, decel: float, why: str, s_m: float | None = None) -> Plan:
    return stopped_for(stage, "jaywalker_night", arrival_s=arrival_s, decel=decel, speed_mps=stage.pick(1.3, 1.5), why=why, s_m=s_m)


def dense_crowd(stage: Stage, level: str) -> Plan:
    """The ego drives slowly past a crowd that waits on the sidewalk."""
    return _crowd(stage, PEOPLE[level], "")


def near_dense_crowd(stage: Stage) -> Plan:
    """Seven people instead of ten."""
    return _crowd(stage, 7, "7 people within 20 m, under 10")


def _crowd(stage: Stage, people: int, why: str) -> Plan:
    v0, t, s = stage.pick(6.5, 8), stage.pick(11, 14), stage.pick(300, 400)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=0, at=(t, s - (FRONT_M + REAR_M) / 2))
    crowd = tuple(_waiting(stage, f"crowd.{k:02d}", s + 0.4 * (k - people / 2), k) for k in range(people))
    return replace(named(stage, "dense_crowd", ego, why, (t - 3, t + 3)), actors=crowd, clear_s_m=(s,))


def _waiting(stage: Stage, name: str, s_m: float, k: int) -> Scripted:
    x, y, heading = stage.road.pose(s_m, stage.place.sidewalk_d_m + 0.6 * (k % 3 - 1) + stage.pick(-0.2, 0.2))
    facing = float(heading) + stage.pick(-3, 3)
    return Scripted(name, "pedestrian", straight(stands(stage), x_m=float(x), y_m=float(y), heading_rad=facing, t0_s=0.0))


def by_night(turn: int, near: bool) -> Condition:
    """Night, with rain every other turn; dusk for every other near miss."""
    dusk = near and turn // 4 % 2 == 1
    return Condition(lighting="dusk" if dusk else "night", weather="rain" if turn % 2 else "clear")


PLANTED: dict[str, Act] = {
    "crossing_near_miss": (crossing_near_miss, ("L1", "L2", "L3")),
    "cyclist_crossing": (cyclist_crossing, ("L1", "L2", "L3")),
    "cyclist_close_pass": (cyclist_close_pass, ("L1", "L2", "L3")),
    "vru_occlusion_reveal": (vru_occlusion_reveal, ("L1", "L2")),
    "jaywalker_night": (jaywalker_night, ("L1", "L2", "L3")),
    "dense_crowd": (dense_crowd, ("L1", "L2")),
}
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "crossing_near_miss": near_crossing_near_miss,
    "cyclist_crossing": near_cyclist_crossing,
    "cyclist_close_pass": near_cyclist_close_pass,
    "vru_occlusion_reveal": near_vru_occlusion_reveal,
    "jaywalker_night": near_jaywalker_night,
    "dense_crowd": near_dense_crowd,
}
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {"jaywalker_night": by_night}
