"""Which drive plays what: the first twelve hold every core scenario once, later dozens go through all families in turn."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from types import ModuleType

import numpy as np

from flywheel.fleet import (
    acts_crossing,
    acts_ego,
    acts_following,
    acts_junction,
    acts_lane_change,
    acts_place,
    acts_road,
    acts_sky,
    acts_things,
    acts_traffic,
    acts_vehicle,
)
from flywheel.fleet.ambient import condition_of, night_low_visibility
from flywheel.fleet.road import places
from flywheel.fleet.stage import Dropout, NearMiss, Plan, Stage
from flywheel.types import Condition, Record

Act = tuple[Callable[[Stage, str], Plan], tuple[str, ...]]
Chosen = Callable[[int, bool], Condition]
NIGHT = "night_intersection_lane_change"
PLANTED: dict[str, Act] = {
    "pedestrian_crossing": (acts_place.pedestrian_crossing, ("L1", "L2", "L3")),
    "cut_in": (acts_traffic.cut_in, ("L1", "L2")),
    "hard_braking": (acts_traffic.hard_braking, ("L2", "L1", "L3")),
    NIGHT: (acts_place.night_intersection_lane_change, ("L1",)),
    "low_ttc": (acts_traffic.low_ttc, ("L1", "L3", "L2")),
    "red_light_stop": (acts_place.red_light_stop, ("L1",)),
    "curve_speed_adaptation": (acts_place.curve_speed_adaptation, ("L1",)),
    "sensor_dropout": (acts_place.sensor_dropout, ("L2", "L1", "L3")),
}
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "low_ttc": acts_traffic.near_low_ttc,
    "pedestrian_crossing": acts_place.near_pedestrian_crossing,
    "hard_braking": acts_traffic.near_hard_braking,
    NIGHT: acts_place.near_night_intersection_lane_change,
    "cut_in": acts_traffic.near_cut_in,
    "curve_speed_adaptation": acts_place.near_curve_speed_adaptation,
    "red_light_stop": acts_place.near_red_light_stop,
    "sensor_dropout": acts_place.near_sensor_dropout,
}
QUIET: tuple[Callable[[Stage], Plan], ...] = (acts_traffic.follow, acts_place.bend, acts_traffic.change_lane)
# The first twelve drives: eight planted scenarios, two quiet drives, two near misses (and in every third drive a short sensor gap).
CORE = (
    "pedestrian_crossing", "cut_in", "quiet", NIGHT, "low_ttc", "near",
    "hard_braking", "red_light_stop", "quiet", "curve_speed_adaptation", "sensor_dropout", "near",
)  # fmt: skip


def night_lane_change(turn: int, near: bool) -> Condition:
    """Night with low visibility; under a clear sky for every other near miss."""
    return night_low_visibility(turn) if not near or turn % 2 else Condition(lighting="night", weather="clear")


# Scenarios that ask for a condition: what turn (and planted or near miss) gets which.
CHOSEN: dict[str, Chosen] = {NIGHT: night_lane_change}
# A family is a module with PLANTED, NEAR and CHOSEN. Of four dozens of drives one is the core's, three are the families'.
FAMILIES: tuple[ModuleType, ...] = (
    acts_ego,
    acts_vehicle,
    acts_following,
    acts_lane_change,
    acts_junction,
    acts_road,
    acts_sky,
    acts_crossing,
    acts_things,
)
FAMILY_ACTS: tuple[str, ...] = tuple(name for family in FAMILIES for name in family.PLANTED)
ALL_PLANTED: dict[str, Act] = PLANTED | {name: act for family in FAMILIES for name, act in family.PLANTED.items()}
ALL_NEAR: dict[str, Callable[[Stage], Plan]] = NEAR | {name: act for family in FAMILIES for name, act in family.NEAR.items()}
ALL_CHOSEN: dict[str, Chosen] = CHOSEN | {name: pick for family in FAMILIES for name, pick in family.CHOSEN.items()}
DOZENS = 4
VEHICLES, FIRST_DAY = 5, date(2026, 3, 2)


class Slot(Record):
    """Who drives where, when and under which condition; two drives in a row share vehicle, place and day."""

    index: int
    vehicle_id: str
    place: int
    day: str
    condition: Condition
    act: str
    near: bool
    turn: int


def cast(index: int) -> tuple[str, bool, int]:
    """What a drive plays: the act, whether only as a near miss, and its turn."""
    dozen, position = divmod(index, len(CORE))
    if dozen % DOZENS and FAMILY_ACTS:
        turn, at = divmod((dozen - dozen // DOZENS - 1) * len(CORE) + position, len(FAMILY_ACTS))
        act = FAMILY_ACTS[at]
        return act, turn % 4 == 2 and act in ALL_NEAR, turn
    turn, act = dozen // DOZENS if FAMILY_ACTS else dozen, CORE[position]
    near = act == "near"
    return list(NEAR)[(2 * turn + (position > len(CORE) // 2)) % len(NEAR)] if near else act, near, turn


def slot_of(index: int, *, seed: int) -> Slot:
    """The slot of a drive."""
    group, (act, near, turn) = index // 2, cast(index)
    chosen = ALL_CHOSEN.get(act)
    return Slot(
        index=index, vehicle_id=f"veh-{group % VEHICLES + 1:02d}", place=group % 3,
        day=(FIRST_DAY + timedelta(days=group // 2)).isoformat(),
        condition=chosen(turn, near) if chosen else condition_of(index, seed=seed), act=act, near=near, turn=turn,
    )  # fmt: skip


def plan_of(slot: Slot, *, seed: int, attempt: int = 0) -> Plan:
    """The script of a slot; another attempt draws other numbers."""
    rng = np.random.default_rng([seed, slot.index, attempt])
    stage = Stage(places(seed)[slot.place], slot.condition, float(np.round(rng.uniform(25, 29), 1)), rng, slot.turn)
    plan = _act(stage, slot)
    return _with_short_gap(plan, rng) if slot.index % 3 == 1 and not plan.dropouts else plan


def _act(stage: Stage, slot: Slot) -> Plan:
    if slot.near:
        return ALL_NEAR[slot.act](stage)
    if slot.act == "quiet":
        return QUIET[(2 * slot.turn + (slot.index % len(CORE)) // 6) % len(QUIET)](stage)
    act, levels = ALL_PLANTED[slot.act]
    return act(stage, levels[slot.turn % len(levels)])


def _with_short_gap(plan: Plan, rng: np.random.Generator) -> Plan:
    """The plan with 0.4 s of one sensor missing early on: a near miss of a dropout in an otherwise unrelated drive."""
    t0 = round(float(rng.uniform(2, 6)), 1)
    gap = Dropout(topic="/imu" if rng.random() < 0.5 else "/gnss", t0_s=t0, t1_s=round(t0 + 0.4, 1))
    near = NearMiss(scenario="sensor_dropout", t0_s=gap.t0_s, t1_s=gap.t1_s, why="the gap of 0.4 s is under 0.5 s")
    return replace(plan, dropouts=(gap,), near=(*plan.near, near))
