"""The road's and the sky's truth without SUMO: every script plants what it says, every near miss stays short of it, and where it ends."""

from typing import Any

import numpy as np
import pytest

from flywheel.ego import FRONT_M
from flywheel.fleet import acts_junction, acts_road, acts_sky, rules_road, rules_sky, sensors
from flywheel.fleet.ambient import environment
from flywheel.fleet.drive import Drive, world
from flywheel.fleet.motion import Push, profile
from flywheel.fleet.network import network_of
from flywheel.fleet.oracle import Limits, Truth, view_of
from flywheel.fleet.road import places
from flywheel.fleet.script import Slot
from flywheel.fleet.simulate import scripted_mover
from flywheel.fleet.stage import Overlay, Stage
from flywheel.types import Condition
from tests.fleet.made_drives import SECONDS, made, steady

FAMILIES = (acts_junction, acts_road, acts_sky)
ACTS = {name: act for family in FAMILIES for name, act in family.PLANTED.items()}
NEAR = {name: act for family in FAMILIES for name, act in family.NEAR.items()}
CHOSEN = {name: pick for family in FAMILIES for name, pick in family.CHOSEN.items()}
RULES = {**rules_road.RULES, **rules_sky.RULES}


def truth(drive: Drive, strict: float = 1.0) -> list[Truth]:
    view, limits = view_of(drive), Limits().stricter(strict)
    return [event for rule in RULES.values() for event in rule(view, limits)]


def played(name: str, turn: int, *, near: bool, place: int) -> Drive:
    """The drive of an act with nobody but who is scripted."""
    condition = CHOSEN[name](turn, near) if name in CHOSEN else Condition()
    stage = Stage(places(5)[place], condition, 27.0, np.random.default_rng([7, turn, place]), turn)
    act, levels = ACTS[name]
    plan = NEAR[name](stage) if near else act(stage, levels[turn % len(levels)])
    slot = Slot(index=0, vehicle_id="v", place=place, day="2026-03-02", condition=condition, act=name, near=near, turn=turn)
    return Drive(1, slot, plan, plan.ego.since_start(), tuple(map(scripted_mover, plan.actors)), (), environment(condition, seed=3))


@pytest.mark.parametrize("name", ACTS)
def test_what_is_planted_is_there_beyond_doubt(name: str) -> None:
    for turn in (0, 1, 4):
        drive, (_, levels) = played(name, turn, near=False, place=turn % 3), ACTS[name]
        for strict in (0.93, 1.0, 1.07):
            found = [event.level for event in truth(drive, strict) if event.scenario == name]
            assert found == [levels[turn % len(levels)]], (turn, strict)
        assert drive.plan.kind == name and drive.plan.near == ()


@pytest.mark.parametrize("name", NEAR)
def test_near_misses_stay_short(name: str) -> None:
    for turn in (2, 6):
        drive = played(name, turn, near=True, place=turn % 3)
        assert [event for event in truth(drive, 0.93) if event.scenario == name] == []
        assert [miss.scenario for miss in drive.plan.near] == [name] and drive.plan.kind == f"near_{name}"


def events(name: str, drive: Drive) -> list[Truth]:
    return [event for event in truth(drive) if event.scenario == name]


@pytest.mark.parametrize(("red_s", "speed", "found"), [(0.45, 10.0, 0), (0.55, 10.0, 1), (5.0, 1.9, 0), (5.0, 2.1, 1)])
def test_running_a_red_light(red_s: float, speed: float, found: int) -> None:
    t_line = 8.0
    start = network_of(places(1)[0]).stop_line_s_m - FRONT_M - speed * t_line
    got = events("red_light_running", made(steady(speed), start, lights=((-1e6, "green"), (t_line - red_s, "red"))))
    assert len(got) == found
    if got:
        assert got[0].start / 100 == pytest.approx(t_line, abs=0.02) and got[0].end / 100 == pytest.approx(t_line + 4.6 / speed, abs=0.02)


@pytest.mark.parametrize(("slowest", "control", "found"), [(1.4, "stop", 0), (1.6, "stop", 1), (1.6, "light", 0)])
def test_rolling_stop(slowest: float, control: str, found: int) -> None:
    prof = profile(10.0, [Push(3, 3 + (10 - slowest) / 2, -2.0)], duration_s=SECONDS)
    start = network_of(places(1)[0]).stop_line_s_m - FRONT_M - prof.way_at(9.5)
    assert len(events("rolling_stop", made(prof, start, control=control))) == found


@pytest.mark.parametrize(("off_m", "found"), [(0.45, 0), (0.55, 1), (-0.55, 1)])
def test_lane_departure(off_m: float, found: int) -> None:
    assert len(events("lane_departure", made(steady(10), shifts=[(250, 265, off_m), (300, 315, -off_m)]))) == found


def test_a_lane_change_is_no_departure() -> None:
    assert events("lane_departure", made(steady(10), shifts=[(250, 310, 3.5)])) == []


@pytest.mark.parametrize(("until", "found"), [(9.0, 0), (11.0, 1)])
def test_rain_lasts_ten_seconds(until: float, found: int) -> None:
    wet = Overlay("/environment", "rain_mmph", 0.0, until, lambda t, before: np.full_like(t, 2.0))
    got = events("rain", made(steady(10), overlays=(wet,)))
    assert [(e.level, e.start) for e in got] == [("L2", 0)] * found
    assert (made(steady(10), overlays=(wet,)).condition_at(5.0), made(steady(10), overlays=(wet,)).condition_at(15.0)) == (
        Condition(weather="rain"), Condition(),
    )  # fmt: skip


def rows(drive: Drive) -> list[dict[str, Any]]:
    return [values for _, values in sensors.lane_rows(drive)]


def test_the_map_follows_a_left_turn() -> None:
    drive = played("unprotected_left", 0, near=False, place=0)
    lanes = rows(drive)
    assert len(lanes) == 271 and [lane["lane_id"] for lane in (lanes[0], lanes[-1])] == ["main_a_1", "north_out_0"]
    inside = np.flatnonzero([lane["in_junction"] for lane in lanes])
    event = events("unprotected_left", drive)[0]
    assert inside[0] == pytest.approx(event.start / 10, abs=1) and inside[-1] == pytest.approx(event.end / 10, abs=1)
    assert np.diff(inside).max() == 1 and max(abs(lane["offset_m"]) for lane in lanes) < 0.3
    assert lanes[-1]["road_left_m"] + lanes[-1]["road_right_m"] == pytest.approx(7.0) and not lanes[-1]["in_junction"]


def test_a_stop_sign_leaves_no_light() -> None:
    drive = played("rolling_stop", 0, near=False, place=0)
    assert (
        list(sensors.light_rows(drive)) == [] and world(drive).signals == () and {row["control"] for row in rows(drive)} == {"stop", None}
    )


def test_only_those_in_the_egos_lanes_are_wrong() -> None:
    drive = played("wrong_way_vehicle", 0, near=False, place=0)
    view = view_of(drive)
    assert len(list(rules_road.wrong_way_vehicle(view, Limits()))) == 1
    assert list(rules_road.oncoming_incursion(view, Limits())) == []
