"""Scripts of things on and beside the road: a parked car's door, debris, emergency vehicles, animals."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flywheel.ego import WIDTH_M
from flywheel.fleet.acts_crossing import Act, goes_across, named, second, stands, stopped_for
from flywheel.fleet.acts_place import ARRIVAL
from flywheel.fleet.motion import Motion, Push, along, lateral, profile, straight
from flywheel.fleet.stage import SIZES, Plan, Scripted, Stage
from flywheel.types import Condition

DOOR_GAP_M = {"L1": 0.74, "L2": 0.3}
DOOR_M = 0.9
DOG_M = (0.9, 0.35, 0.6)
AMBULANCE_M = (5.9, 2.1, 2.6)
BOX_M = (0.5, 0.5, 0.3)


def parked_car_door(stage: Stage, level: str) -> Plan:
    """A door opens close to the ego as it passes: the parked car's box widens, or (every other turn) the door is an object of its own."""
    return _door(stage, gap_m=DOOR_GAP_M[level] * stage.pick(0.95, 1.05), opens=True, why="")


def near_parked_car_door(stage: Stage) -> Plan:
    """The door leaves 1.3 m, or the ego passes a closed one at 0.75 m."""
    if second(stage):
        return _door(stage, gap_m=0.75 - DOOR_M, opens=False, why="the door stays closed")
    return _door(stage, gap_m=1.3, opens=True, why="1.3 m to the open door, over 1 m")


def _door(stage: Stage, *, gap_m: float, opens: bool, why: str) -> Plan:
    v0, t, s = stage.pick(8, 11), stage.pick(11, 14), stage.pick(310, 380)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=0, at=(t, s))
    d = stage.place.lane_d_m(0) - gap_m - DOOR_M - (WIDTH_M + SIZES["car"][1]) / 2
    x, y, heading = (float(v) for v in stage.road.pose(s, d))
    open_s = t - stage.pick(0.9, 1.4), t + 4.0
    still = straight(stands(stage), x_m=x, y_m=y, heading_rad=heading, t0_s=0.0)
    apart = opens and stage.turn % 2 == 1
    car = Scripted("parker", "car", still, in_traffic=False, opens=(*open_s, DOOR_M) if opens and not apart else None)
    plan = replace(named(stage, "parked_car_door", ego, why, (t - 1.5, t + 1.5)), clear_s_m=(s - 4.0, s, s + 4.0))
    return replace(plan, actors=(car, _leaf(still, (x, y, heading), open_s)) if apart else (car,))


def _leaf(car: Motion, pose: tuple[float, float, float], open_s: tuple[float, float]) -> Scripted:
    """An open door to the left of a car's front half, there only while it is open."""
    x, y, heading = pose
    aside = (SIZES["car"][1] + DOOR_M) / 2
    there = np.where((car.t_s >= open_s[0]) & (car.t_s < open_s[1]), 0.0, np.nan)
    at = (there + x + 0.6 * np.cos(heading) - aside * np.sin(heading), there + y + 0.6 * np.sin(heading) + aside * np.cos(heading))
    return Scripted("door", "other", replace(car, x_m=at[0], y_m=at[1]), size_m=(0.2, DOOR_M, 1.1), subclass="door")


def debris(stage: Stage, level: str) -> Plan:
    """A box lies in the lane: the ego brakes hard (L2), or brakes mildly, moves aside or drives over it, in turn."""
    if level == "L2":
        return _box(stage, decel=stage.pick(3.7, 4.2), aside_m=0.0, off_m=stage.pick(-0.3, 0.3), why="")
    how = int(stage.rng.integers(3))
    return _box(stage, decel=2.1 if how == 0 else 0.0, aside_m=0.9 if how == 1 else 0.0, off_m=stage.pick(-0.25, 0.25), why="")


def near_debris(stage: Stage) -> Plan:
    """The box lies 1.55 m beside the lane's centre, or in the next lane, and the ego drives on."""
    off_m = -1.55 if second(stage) else stage.place.lane_m
    return _box(stage, decel=0.0, aside_m=0.0, off_m=off_m, why=f"the box lies {abs(off_m):.2f} m from the lane's centre, over 1.2 m")


def _box(stage: Stage, *, decel: float, aside_m: float, off_m: float, why: str) -> Plan:
    v0, t, lane, s = stage.pick(11, 13), stage.pick(11, 13.5), 0 if why else int(stage.rng.integers(2)), stage.pick(340, 420)
    pushes = [Push(t - 2.6, t - 1.3, -decel), Push(t + 1.5, t + 1.5 + decel, 1.2)] if decel else []
    shifts = [(s - 34.0, s - 8.0, aside_m), (s + 10.0, s + 36.0, -aside_m)]
    ego = stage.ego(profile(v0, pushes, duration_s=stage.duration_s, smooth_s=0.3), lane=lane, at=(t, s), shifts=shifts)
    x, y, heading = (float(v) for v in stage.road.pose(s, stage.place.lane_d_m(lane) + off_m))
    still = straight(stands(stage), x_m=x, y_m=y, heading_rad=heading, t0_s=0.0)
    box = Scripted("box", "other", still, size_m=BOX_M, subclass="debris")
    return replace(named(stage, "debris", ego, why, (t - 3, t)), actors=(box,))


def emergency_vehicle(stage: Stage, level: str) -> Plan:
    """An ambulance with flashing lights: it comes towards the ego on the other side (L1), or from behind and passes (L2)."""
    return _ambulance(stage, behind=level == "L2", flashing=True, subclass="emergency_vehicle", why="")


def near_emergency_vehicle(stage: Stage) -> Plan:
    """An ambulance without its lights on, or a tow truck with flashing lights."""
    if second(stage):
        return _ambulance(stage, behind=True, flashing=True, subclass="tow_truck", why="a tow truck is no emergency vehicle")
    return _ambulance(stage, behind=True, flashing=False, subclass="emergency_vehicle", why="the ambulance's lights do not flash")


def _ambulance(stage: Stage, *, behind: bool, flashing: bool, subclass: str, why: str) -> Plan:
    v0, t, s = stage.pick(9, 10.5), stage.pick(11, 14), stage.pick(320, 400)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=0, at=(t, s))
    prof = profile(v0 + stage.pick(5, 6.5) if behind else stage.pick(11, 13), [], duration_s=stage.duration_s)
    if behind:
        motion = along(stage.road, prof, s0_m=s, d_of_s=lateral(stage.place.lane_d_m(1)), t0_s=t)
    else:
        x, y, heading = (float(v) for v in stage.road.pose(s, stage.place.lane_m / 2))
        motion = straight(prof, x_m=x, y_m=y, heading_rad=heading + np.pi, t0_s=t)
    other = Scripted("ambulance", "truck", motion, size_m=AMBULANCE_M, subclass=subclass, flashing=flashing, in_traffic=behind)
    return replace(named(stage, "emergency_vehicle", ego, why, (t - 4, t + 4)), actors=(other,))


def animal(stage: Stage, level: str) -> Plan:
    """A dog runs across the road: far before the ego (L1), or so close that it must stop (L2, L3)."""
    if level == "L1":
        return _dog(stage, gap_m=stage.pick(36, 46), why="")
    arrival, decel = ARRIVAL[level]
    speed = stage.pick(2.4, 3.2)
    return stopped_for(
        stage, "animal", arrival_s=arrival * stage.pick(0.93, 1.04), decel=decel, speed_mps=speed, why="", cls="other", size_m=DOG_M,
        subclass="animal", late_s=0.15,
    )  # fmt: skip


def near_animal(stage: Stage) -> Plan:
    """The dog stops beside the lane, or runs across 75 m ahead."""
    if second(stage):
        return _dog(stage, gap_m=75.0, why="the dog is 75 m ahead, over 60 m")
    return _dog(stage, gap_m=30.0, stops=True, why="the dog stops 1.9 m from the lane's centre")


def _dog(stage: Stage, *, gap_m: float, why: str, stops: bool = False) -> Plan:
    v0, t, lane, s = stage.pick(10, 12), stage.pick(10, 13), 0, stage.pick(300, 350)
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(t, s))
    d, from_d = stage.place.lane_d_m(lane), stage.place.sidewalk_d_m
    to_d = d - 1.9 if stops else -from_d
    run, s_dog = stage.pick(3.0, 4.0), s + gap_m + (4.0 if stops else 3.7)
    at = (t, to_d - 0.5) if stops else (t, d)
    dog = goes_across(
        stage, "dog", s_m=s_dog, from_d_m=from_d, to_d_m=to_d, at=at, speed_mps=run, cls="other", size_m=DOG_M, subclass="animal"
    )
    return replace(named(stage, "animal", ego, why, (t - 1, t + 1.5)), actors=(dog,), clear_s_m=(s_dog,))


PLANTED: dict[str, Act] = {
    "parked_car_door": (parked_car_door, ("L1", "L2")),
    "debris": (debris, ("L1", "L2")),
    "emergency_vehicle": (emergency_vehicle, ("L1", "L2")),
    "animal": (animal, ("L1", "L2", "L3")),
}
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "parked_car_door": near_parked_car_door,
    "debris": near_debris,
    "emergency_vehicle": near_emergency_vehicle,
    "animal": near_animal,
}
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {}
