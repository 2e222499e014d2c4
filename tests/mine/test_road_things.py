"""Doors, debris, emergency vehicles and animals on hand-built drives: thresholds from both sides, and what cannot be known."""

import dataclasses
from contextlib import nullcontext

import numpy as np
import pytest
from mined_drives import CAR, Build, Path, at_ns, ramp
from test_crossing import UP, crosser, hits, near, say

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import scenario
from flywheel.mine.detectors import detectors
from flywheel.mine.prepare import Drive

BOX = {"length_m": 0.5, "width_m": 0.5, "height_m": 0.3}
DOG = {"length_m": 0.9, "width_m": 0.4, "height_m": 0.6}
EGO_SIDE_M, CAR_SIDE_M = 1.85 / 2, CAR["width_m"] / 2


def parked(gap_m: float, *, open_m: float = 0.9, since_s: float = 4.0, ego_mps: float = 10.0) -> Build:
    """A parked car 60 m ahead, whose box grows to the left by its door and then leaves this gap; the ego passes it in the sixth second."""
    y = -(gap_m + open_m + EGO_SIDE_M + CAR_SIDE_M)
    built = Build(speed=lambda t: np.full_like(t, ego_mps)).other("p", lambda t: 60 + 0 * t, lambda t: y + 0 * t)
    return say(built, "p", since=since_s, width_m=CAR["width_m"] + open_m, y_m=y + open_m / 2)


@pytest.mark.parametrize(("gap_m", "levels"), [(1.1, []), (0.9, [1]), (0.6, [1]), (0.4, [2])])
def test_an_open_door_is_graded_by_the_room_left(gap_m: float, levels: list[int]) -> None:
    found = hits("parked_car_door", parked(gap_m))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("p",)) for level in levels]
    for hit in found:
        assert hit.peak == pytest.approx(gap_m, abs=0.02) and near(hit.t1_ns, (60 + 2.25 + 0.9) / 10)
        assert near(hit.t0_ns, 4.0, 0.15), "the door opens when the car is less than two seconds ahead"


def test_the_danger_of_a_door_begins_two_seconds_before_it() -> None:
    (hit,) = hits("parked_car_door", parked(0.6, since_s=1.0))
    assert near(hit.t0_ns, (60 - 2.25 - 3.7 - 20) / 10)


@pytest.mark.parametrize("built", [parked(0.6, open_m=0.3), parked(0.6, ego_mps=4.6), parked(0.6, since_s=7.0)])
def test_no_door_too_slow_or_already_past(built: Build) -> None:
    assert hits("parked_car_door", built) == []


def test_boxes_that_keep_their_size_show_no_door() -> None:
    closed = parked(0.1, open_m=0.0)
    with pytest.raises(NotEvaluable, match="never change"):
        hits("parked_car_door", closed)
    assert hits("parked_car_door", say(closed, "p", subclass="car")) == [], "this source would call a door a door"


def test_a_moving_car_that_seems_to_grow_opens_no_door() -> None:
    built = Build().other("m", lambda t: 40 + 4 * t, lambda t: -3.4 + 0 * t)
    assert hits("parked_car_door", say(built, "m", since=3.0, width_m=2.7, y_m=-2.95)) == []


def test_a_door_may_be_an_object_of_its_own() -> None:
    built = Build(speed=lambda t: np.full_like(t, 10.0)).other("leaf", lambda t: 60 + 0 * t, lambda t: -2.0 + 0 * t, cls="other", box=BOX)
    assert hits("parked_car_door", say(built, "leaf", subclass="box")) == []
    (hit,) = hits("parked_car_door", say(built, "leaf", subclass="door"))
    assert (hit.level, hit.actors) == (1, ("leaf",)) and hit.peak == pytest.approx(2.0 - 0.25 - EGO_SIDE_M, abs=0.02)


def thing(
    y_m: float = 0.0, *, speed: Path | None = None, sideways: Path | None = None, subclass: str | None = "debris", **size: float
) -> Build:
    """A box on the road 100 m ahead of the start; the ego's front is there at 8.0 s at 12 m/s."""
    built = Build(speed=speed or (lambda t: np.full_like(t, 12.0)), sideways=sideways or np.zeros_like)
    return say(built.other("b", lambda t: 99.7 + 0 * t, lambda t: y_m + 0 * t, cls="other", box={**BOX, **size}), "b", subclass=subclass)


def braking(mps2: float) -> Path:
    """A second of braking at six seconds, then on."""
    return ramp((0, 12), (6, 12), (7, 12 - mps2), (20, 12 - mps2))


NUDGE = ramp((0, 0), (4, 0), (6, 0.9), (10, 0.9), (12, 0), (20, 0))


@pytest.mark.parametrize(
    ("built", "levels"),
    [
        (thing(1.0, speed=braking(1.8), sideways=ramp((0, -0.35), (20, -0.35))), [1]),
        (thing(1.0, speed=braking(1.2), sideways=ramp((0, -0.35), (20, -0.35))), []),
        (thing(0.0, speed=braking(3.5)), [2]), (thing(0.0, speed=braking(2.6)), [1]),
        (thing(0.2), [1]), (thing(-0.8, sideways=NUDGE), [1]), (thing(1.1, sideways=ramp((0, -0.2), (20, -0.2))), []),
        (thing(1.35, speed=braking(3.5)), []), (thing(3.5, speed=braking(3.5)), []),
        (thing(0.0, speed=ramp((0, 12), (1, 12), (2, 8.5), (20, 8.5)), subclass="cone"), []),
    ],
)  # fmt: skip
def test_debris_needs_a_reaction(built: Build, levels: list[int]) -> None:
    """Beside the wheels: brakes 1.8 or 1.2. Before them: brakes 3.5, 2.6, straddles. Moves aside. No reaction; not in the corridor."""
    found = hits("debris", built)
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("b",)) for level in levels]
    assert all(near(hit.t0_ns, 4.0) for hit in found)


def test_a_small_still_thing_of_no_class_is_debris_where_the_source_marks_debris() -> None:
    known = say(Build().other("far", lambda t: 300 + 0 * t, np.zeros_like), "far", subclass="car")
    for width_m, levels in ((0.5, [1]), (1.2, [])):
        built = thing(0.1, subclass=None, width_m=width_m)
        built.tracks += known.tracks
        assert [hit.level for hit in hits("debris", built)] == levels


@pytest.mark.parametrize("name", ["debris", "animal", "emergency_vehicle"])
def test_a_source_that_would_not_say_so_is_not_evaluable(name: str) -> None:
    silent = thing(subclass=None)
    with pytest.raises(NotEvaluable, match="would not say"):
        hits(name, silent)
    tables = thing(subclass="bollard").tables()
    av2 = Drive(dataclasses.replace(tables, row={**tables.row, "source_format": "av2_sensor"}))
    with pytest.raises(NotEvaluable, match="would not say") if name != "animal" else nullcontext():
        assert detectors()[name](av2, scenario(name)) == []


def siren(x: Path, y_m: float, *, heading: float = 0.0, flashing: bool | None = True, subclass: str = "emergency_vehicle") -> Build:
    """A vehicle with lights; the ego drives 10 m/s."""
    built = Build(speed=lambda t: np.full_like(t, 10.0)).other("e", x, lambda t: y_m + 0 * t, heading=heading)
    return say(built, "e", flashing=flashing, subclass=subclass)


def test_an_emergency_vehicle_from_behind_must_be_given_way() -> None:
    (hit,) = hits("emergency_vehicle", siren(lambda t: -130 + 18 * t, 3.5))
    assert (hit.level, hit.actors) == (2, ("e",)) and hit.peak == pytest.approx(3.5, abs=0.3)
    assert near(hit.t0_ns, (130 - 99.94) / 8) and hit.t1_ns > at_ns(19.9)


@pytest.mark.parametrize(
    ("built", "levels"),
    [
        (siren(lambda t: 250 - 12 * t, 3.5, heading=np.pi), [1]), (siren(lambda t: 120 + 0 * t, -4.0), [1]),
        (siren(lambda t: 60 + 14 * t, 0.0), [1]), (siren(lambda t: -130 + 18 * t, 3.5, flashing=False), []),
        (siren(lambda t: -130 + 18 * t, 3.5, subclass="tow_truck"), []), (siren(lambda t: 104 + 10 * t, 0.0), []),
        (siren(lambda t: -90 + 10.5 * t, 3.5), [1]),
    ],
)  # fmt: skip
def test_which_emergency_vehicles_count_and_which_must_be_given_way(built: Build, levels: list[int]) -> None:
    """Oncoming, standing, ahead and faster; lights off, no emergency vehicle, beyond 100 m; behind but hardly faster."""
    assert [hit.level for hit in hits("emergency_vehicle", built)] == levels


def test_one_that_crosses_must_be_given_way() -> None:
    built = crosser(110.0, at_s=9.0, ego=lambda t: np.full_like(t, 10.0))
    assert [hit.level for hit in hits("emergency_vehicle", say(built, "it", subclass="emergency_vehicle", flashing=True))] == [2]


def test_lights_that_nobody_tells_are_not_evaluable() -> None:
    with pytest.raises(NotEvaluable, match="whose lights"):
        hits("emergency_vehicle", siren(lambda t: 40 + 10 * t, 3.5, flashing=None))


def dog(ahead_m: float, *, y_m: float = 0.0, since: float = 5.0, until: float = 6.0) -> Build:
    """A dog this far before the front bumper at five seconds, at 12 m/s; it is there for a second."""
    built = Build().other("d", lambda t: 60 + 3.7 + ahead_m + 0 * t, lambda t: y_m + 0 * t, cls="other", heading=UP, box=DOG)
    built.tracks = [row for row in built.tracks if at_ns(since) <= row["t_ns"] < at_ns(until)]
    return say(built, "d", subclass="animal")


@pytest.mark.parametrize(("ahead_m", "levels"), [(75, []), (50, [1]), (38, [1]), (28, [2]), (17, [3])])
def test_an_animal_is_graded_by_the_time_to_it(ahead_m: float, levels: list[int]) -> None:
    found = hits("animal", dog(ahead_m))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("d",)) for level in levels]
    assert all(near(hit.t0_ns, 5.0) and near(hit.t1_ns, 6.0) for hit in found)


@pytest.mark.parametrize("built", [dog(50, y_m=1.8), dog(50, until=5.2), say(dog(50), "d", subclass="debris")])
def test_beside_the_corridor_for_a_moment_or_no_animal(built: Build) -> None:
    assert hits("animal", built) == []


def test_a_wide_reach_counts_up_to_the_corridor_s_edge() -> None:
    assert [hit.level for hit in hits("animal", dog(50, y_m=1.6))] == [1], "0.45 m of it lies across the road: 1.15 m"
