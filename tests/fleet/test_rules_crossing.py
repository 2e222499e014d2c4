"""The crossing family's truth without SUMO: every script plants what it says, every near miss stays short of it, edges by hand."""

import numpy as np
import pytest

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet import acts_crossing, acts_things, rules_crossing, rules_things, sensors
from flywheel.fleet.ambient import environment
from flywheel.fleet.drive import Drive, instants
from flywheel.fleet.motion import straight
from flywheel.fleet.network import network_of
from flywheel.fleet.oracle import Limits, Truth, view_of
from flywheel.fleet.oracle_rules import pedestrian_crossing
from flywheel.fleet.road import places
from flywheel.fleet.script import Slot
from flywheel.fleet.simulate import scripted_mover
from flywheel.fleet.stage import SIZES, Scripted, Stage
from flywheel.types import Condition
from tests.fleet.made_drives import PLACE, ROAD, car, made, steady

FAMILIES = (acts_crossing, acts_things)
ACTS = {name: act for family in FAMILIES for name, act in family.PLANTED.items()}
NEAR = {name: act for family in FAMILIES for name, act in family.NEAR.items()}
CHOSEN = {name: pick for family in FAMILIES for name, pick in family.CHOSEN.items()}
RULES = {**rules_crossing.RULES, **rules_things.RULES}
LANE_D = PLACE.lane_d_m(0)


def played(name: str, turn: int, *, near: bool) -> Drive:
    """The drive of an act with nobody but who is scripted."""
    condition = CHOSEN[name](turn, near) if name in CHOSEN else Condition()
    stage = Stage(places(5)[turn % 3], condition, 27.0, np.random.default_rng([7, turn]), turn)
    act, levels = ACTS[name]
    plan = NEAR[name](stage) if near else act(stage, levels[turn % len(levels)])
    slot = Slot(index=0, vehicle_id="v", place=turn % 3, day="2026-03-02", condition=condition, act=name, near=near, turn=turn)
    return Drive(1, slot, plan, plan.ego.since_start(), tuple(map(scripted_mover, plan.actors)), (), environment(condition, seed=3))


def events(name: str, drive: Drive, strict: float = 1.0) -> list[Truth]:
    """What a scenario's rule finds under limits that are this much stricter."""
    return list(RULES[name](view_of(drive), Limits().stricter(strict)))


@pytest.mark.parametrize("name", ACTS)
def test_what_is_planted_is_there_beyond_doubt(name: str) -> None:
    for turn in (0, 1) if name == "dense_crowd" else (0, 1, 5):
        drive, (_, levels) = played(name, turn, near=False), ACTS[name]
        view = view_of(drive)
        for strict in (0.93, 1.0, 1.07):
            assert [event.level for event in RULES[name](view, Limits().stricter(strict))] == [levels[turn % len(levels)]], (turn, strict)
        assert drive.plan.kind == name and drive.plan.near == ()


@pytest.mark.parametrize("name", NEAR)
def test_near_misses_stay_short(name: str) -> None:
    for turn in (2, 6):
        drive = played(name, turn, near=True)
        assert events(name, drive, 0.93) == [], turn
        assert [miss.scenario for miss in drive.plan.near] == [name] and drive.plan.kind == f"near_{name}"


def crosses(s_m: float, at_s: float, *, speed: float = 8.0, cls: str = "car", turned: float = np.pi / 2, **words: object) -> Scripted:
    """Someone who is on the ego's line at s at a time."""
    x, y, _ = ROAD.pose(s_m, LANE_D)
    return Scripted("other", cls, straight(steady(speed), x_m=float(x), y_m=float(y), heading_rad=turned, t0_s=at_s), **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(("pet_s", "level"), [(2.1, None), (1.9, "L1"), (0.9, "L2"), (0.4, "L3")])
def test_post_encroachment_times_of_either_order(pet_s: float, level: str | None) -> None:
    inside = (SIZES["car"][0] + WIDTH_M) / 2 / 8.0
    half = SIZES["car"][1] / 2
    first = 200.0 + FRONT_M + half + 12.0 * (8.0 + inside + pet_s)
    second = 200.0 + REAR_M - half + 12.0 * (8.0 - inside - pet_s)
    for s, end in ((first, 8.0 + inside + pet_s), (second, 8.0 - inside)):
        found = events("crossing_near_miss", made(steady(12.0), others=[crosses(s, 8.0)]))
        assert [event.level for event in found] == ([level] if level else [])
        assert all(event.end / 100 == pytest.approx(end, abs=0.03) and event.actors == ("other",) for event in found)


def test_along_the_road_or_on_foot_is_no_crossing() -> None:
    slow = 200.0 + FRONT_M + 1.0 + 12.0 * 9.0
    assert events("crossing_near_miss", made(steady(12.0), others=[crosses(slow, 8.0, turned=np.radians(25))])) == []
    assert events("crossing_near_miss", made(steady(12.0), others=[crosses(slow, 8.0, cls="pedestrian")])) == []


@pytest.mark.parametrize(
    ("gap_m", "speed", "level"), [(1.55, 12, None), (1.45, 12, "L1"), (0.95, 12, "L2"), (0.45, 12, "L3"), (0.9, 7.9, None)]
)
def test_room_left_to_a_cyclist(gap_m: float, speed: float, level: str | None) -> None:
    rider = car(steady(4.0), 260.0, cls="cyclist", shifts=[(100, 101, -(gap_m + (WIDTH_M + SIZES["cyclist"][1]) / 2))])
    found = events("cyclist_close_pass", made(steady(speed), others=[rider]))
    assert [event.level for event in found] == ([level] if level else [])


@pytest.mark.parametrize(("before_m", "found"), [(4.5, 0), (5.5, 1), (60.0, 1), (-2.0, 0)])
def test_jaywalkers_are_five_metres_from_the_crosswalks(before_m: float, found: int) -> None:
    s = network_of(PLACE).junction_in_s_m - before_m
    walker = crosses(s, 8.0, speed=1.4, cls="pedestrian")
    start = s - FRONT_M - 12.0 * 9.5
    for look, count in (("night_clear", found), ("dusk_clear", 0)):
        assert len(events("jaywalker_night", made(steady(12.0), start, others=[walker], condition=look))) == count
    assert len(list(pedestrian_crossing(view_of(made(steady(12.0), start, others=[walker])), Limits()))) == 1


def test_an_open_door_widens_the_box_on_the_road_s_side_only() -> None:
    drive = played("parked_car_door", 0, near=False)
    opens = drive.plan.actors[0].opens
    assert opens is not None
    rows = [(t_ns, row) for t_ns, boxes in sensors.track_rows(drive, instants(drive)) for row in boxes if row["track_id"] == "parker"]
    for t_ns, row in rows:
        assert row["width_m"] == pytest.approx(1.85 + (0.9 if opens[0] <= (t_ns - drive.t0_ns) / 1e9 < opens[1] else 0.0))
    right = [row["y_m"] - row["width_m"] / 2 for _, row in rows if abs(row["x_m"]) < 25]
    assert np.ptp(right) < 0.6, "the far side stays where it is"
    assert {row["subclass"] for _, row in rows} == {"car"}, "whoever is nothing else has its class for a subclass"
