"""Crossing near misses, cyclists, people out of hiding, jaywalkers and crowds on hand-built drives: thresholds from both sides."""

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from mined_drives import CAR, WALKER, Build, at_ns, ramp

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import scenario
from flywheel.mine.detectors import detectors
from flywheel.mine.hits import Hit
from flywheel.mine.prepare import Drive

BIKE = {"length_m": 1.8, "width_m": 0.6, "height_m": 1.7}
VAN = {"length_m": 5.0, "width_m": 2.0, "height_m": 2.5}
NIGHT = {"sun_elevation_deg": -20.0, "illuminance_lx": 3.0}
UP = np.pi / 2


def hits(name: str, built: Build) -> list[Hit]:
    return detectors()[name](built.drive(), scenario(name))


def near(t_ns: int, seconds: float, tolerance_s: float = 0.12) -> bool:
    return abs(t_ns - at_ns(seconds)) <= tolerance_s * 1e9


def say(built: Build, name: str, *, since: float = 0.0, until: float = 99.0, **words: Any) -> Build:
    """The drive with more said about a track's boxes between two times."""
    for row in built.tracks:
        if row["track_id"] == name and at_ns(since) <= row["t_ns"] < at_ns(until):
            row.update(words)
    return built


def crosser(x_m: float, *, at_s: float = 8.0, speed_mps: float = 8.0, heading: float = UP, cls: str = "car", ego: Any = None) -> Build:
    """Someone who is on the ego's line at a place and time, driving at a heading."""
    c, s = speed_mps * np.cos(heading), speed_mps * np.sin(heading)
    built = Build() if ego is None else Build(speed=ego)
    box = BIKE if cls == "cyclist" else CAR
    return built.other("it", lambda t: x_m + c * (t - at_s), lambda t: s * (t - at_s), heading=heading, cls=cls, box=box)


IN_S = (CAR["length_m"] / 2 + 1.85 / 2) / 8.0  # a car at 8 m/s comes into the ego's path so long before it is in its middle


def before_ego(pet_s: float) -> float:
    """Where a car crosses at 8 s if the ego (12 m/s, front at 3.7 m) comes this long after it has left."""
    return 12 * (8 + IN_S + pet_s) + 3.7 + CAR["width_m"] / 2


def after_ego(pet_s: float) -> float:
    """Where it crosses if it comes this long after the ego's rear (0.9 m behind the axle) has left."""
    return 12 * (8 - IN_S - pet_s) - 0.9 - CAR["width_m"] / 2


@pytest.mark.parametrize(("pet_s", "level"), [(1.9, 1), (1.1, 1), (0.9, 2), (0.6, 2), (0.4, 3)])
def test_the_post_encroachment_time_is_graded_whoever_comes_first(pet_s: float, level: int) -> None:
    (first,) = hits("crossing_near_miss", crosser(before_ego(pet_s)))
    assert (first.level, first.actors) == (level, ("it",)) and first.peak == pytest.approx(pet_s, abs=0.03)
    assert near(first.t0_ns, 8 - IN_S, 0.05) and near(first.t1_ns, 8 + IN_S + pet_s, 0.05)
    (second,) = hits("crossing_near_miss", crosser(after_ego(pet_s)))
    assert second.level == level and second.peak == pytest.approx(pet_s, abs=0.03)
    assert near(second.t1_ns, 8 - IN_S, 0.05)


@pytest.mark.parametrize(
    "built",
    [
        crosser(before_ego(2.1)),
        crosser(after_ego(2.1)),
        crosser(before_ego(0.8), cls="pedestrian"),
        crosser(before_ego(0.8), heading=np.radians(25)),
        crosser(65.6, at_s=8.2, ego=ramp((0, 10), (5, 10), (7, 0), (9, 0), (12, 6), (20, 6))),
        Build().other("it", lambda t: 110 + 0 * t, ramp((0, -60), (7.0, -4), (9, 1), (20, 1)), heading=UP),
    ],
)
def test_what_is_no_crossing_near_miss(built: Build) -> None:
    """Too late (both ways), on foot, at a small angle, the ego waited for it, it stopped in the ego's path and stays."""
    assert hits("crossing_near_miss", built) == []


def test_an_ego_that_slows_down_without_standing_still_has_the_near_miss() -> None:
    slow = ramp((0, 10), (5, 10), (6.6, 2), (9, 2), (12, 6), (20, 6))
    (hit,) = hits("crossing_near_miss", crosser(70.0, at_s=7.8, ego=slow))
    assert 0 < hit.peak <= 2


def rides(arrival_s: float) -> float:
    """Where a cyclist crosses at 8 s, 4 m/s, if the ego's shortest arrival time while it is in the corridor is this."""
    return 12 * (8 + (1.2 + 0.9) / 4 + arrival_s) + 3.7


@pytest.mark.parametrize(("arrival_s", "levels"), [(3.3, []), (2.7, [1]), (1.8, [2]), (0.7, [3])])
def test_cyclists_who_cross_are_graded_by_arrival(arrival_s: float, levels: list[int]) -> None:
    found = hits("cyclist_crossing", crosser(rides(arrival_s), speed_mps=4.0, cls="cyclist"))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("it",)) for level in levels]
    assert all(near(hit.t0_ns, 8 - 2.1 / 4) and hit.peak == pytest.approx(arrival_s, abs=0.15) for hit in found)
    assert hits("pedestrian_crossing", crosser(rides(arrival_s), speed_mps=4.0, cls="cyclist")) == []


def rider(gap_m: float, *, ego_mps: float = 12.0, speed_mps: float = 5.0, heading: float = 0.0) -> Build:
    """A cyclist whom the ego overtakes with this room."""
    way = speed_mps if heading == 0 else -speed_mps
    built = Build(speed=lambda t: np.full_like(t, ego_mps))
    return built.other("c", lambda t: 60 + way * t, lambda t: -(gap_m + 1.225) + 0 * t, cls="cyclist", box=BIKE, heading=heading)


@pytest.mark.parametrize(
    ("gap_m", "ego_mps", "levels"), [(1.6, 12, []), (1.4, 12, [1]), (0.9, 12, [2]), (0.4, 12, [3]), (1.4, 8.3, [1]), (0.4, 7.6, [])]
)
def test_overtaking_a_cyclist_is_graded_by_the_room_left(gap_m: float, ego_mps: float, levels: list[int]) -> None:
    found = hits("cyclist_close_pass", rider(gap_m, ego_mps=ego_mps))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("c",)) for level in levels]
    assert all(hit.peak == pytest.approx(gap_m, abs=0.02) for hit in found)
    assert all(near(hit.t0_ns, (60 - 0.9 - 3.7 - 1.0) / (ego_mps - 5)) for hit in found)


def test_a_cyclist_who_comes_towards_the_ego_is_not_overtaken() -> None:
    assert hits("cyclist_close_pass", rider(0.6, heading=np.pi)) == []


def walker(x_m: float, *, pace: float = 1.6, on_line_s: float = 8.0) -> Build:
    """A pedestrian who walks across the ego's line at a time, from the right."""
    return Build().other("w", lambda t: x_m + 0 * t, lambda t: pace * (t - on_line_s), cls="pedestrian", heading=UP, box=WALKER)


def revealed(conflict_s: float, *, at_s: float = 6.5, hidden_s: float = 1.0) -> Build:
    """The walker out of sight before a time at which the ego is this far from it in time."""
    built = say(walker(12 * (at_s + conflict_s) + 3.7), "w", visible=True)
    return say(built, "w", since=at_s - hidden_s, until=at_s - 1e-3, visible=False)


@pytest.mark.parametrize(("conflict_s", "levels"), [(3.2, []), (2.8, [1]), (1.7, [1]), (1.3, [2])])
def test_who_turns_visible_is_graded_by_the_conflict_time(conflict_s: float, levels: list[int]) -> None:
    found = hits("vru_occlusion_reveal", revealed(conflict_s))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("w",)) for level in levels]
    for hit in found:
        assert hit.peak == pytest.approx(conflict_s, abs=0.1) and near(hit.t0_ns, 6.5, 0.01) and near(hit.t1_ns, 6.5 + conflict_s)


def test_hidden_for_a_moment_or_walking_away_is_no_reveal() -> None:
    assert hits("vru_occlusion_reveal", revealed(2.5, hidden_s=0.4)) == []
    away = say(walker(112.0, pace=-1.6, on_line_s=4.0), "w", visible=True)
    assert hits("vru_occlusion_reveal", say(away, "w", since=5.0, until=6.5, visible=False)) == []


def behind_a_van(height_m: float = 2.5) -> Build:
    """Nothing is said of sight: the walker comes out behind a parked van."""
    van = {**VAN, "height_m": height_m}
    return walker(100.0, on_line_s=8.5).other("van", lambda t: 95.0 + 0 * t, lambda t: -4.2 + 0 * t, cls="truck", box=van)


def comes_out_s() -> float:
    """When the walker's left side is in the line from the camera past the van's near corner."""
    t = np.arange(0, 8.5, 0.01)
    camera = 12 * t + 1.6
    line = -3.2 * (100 - camera) / (97.5 - camera)
    return float(t[np.argmax(1.6 * (t - 8.5) + 0.225 > line)])


def test_without_a_word_of_sight_other_boxes_hide() -> None:
    (hit,) = hits("vru_occlusion_reveal", behind_a_van())
    assert near(hit.t0_ns, comes_out_s(), 0.15) and hit.actors == ("w",)
    assert hits("vru_occlusion_reveal", behind_a_van(height_m=1.0)) == [], "it sees over a low box"


def test_a_track_that_begins_behind_a_van_was_hidden() -> None:
    born = comes_out_s() + 0.2
    whole = behind_a_van()
    whole.tracks = [row for row in whole.tracks if row["track_id"] != "w" or row["t_ns"] >= at_ns(born)]
    (hit,) = hits("vru_occlusion_reveal", whole)
    assert near(hit.t0_ns, born, 0.11)
    open_ = dataclasses.replace(whole, tracks=[row for row in whole.tracks if row["track_id"] == "w"])
    assert hits("vru_occlusion_reveal", open_) == [], "in plain view the track only began late"


def mapped(built: Build, crosswalk_x_m: float | None) -> Drive:
    """The drive with a crosswalk on its map, a place ahead of the start."""
    tables = built.tables()
    front = built.travelled(built.t10) + 3.7
    ahead = [None if crosswalk_x_m is None or crosswalk_x_m < f else crosswalk_x_m - f for f in front]
    lanes = tables.lanes.set_column(tables.lanes.schema.get_field_index("crosswalk_m"), "crosswalk_m", pa.array(ahead, pa.float64()))
    return Drive(dataclasses.replace(tables, lanes=lanes))


@pytest.mark.parametrize(
    ("crosswalk_m", "sky", "levels"),
    [
        (60.0, NIGHT, [2]), (100 + 5.6, NIGHT, [2]), (100 - 9.6, NIGHT, [2]),
        (100 + 4.4, NIGHT, []), (100 - 8.4, NIGHT, []), (99.0, NIGHT, []),
        (60.0, {"sun_elevation_deg": -4.0, "illuminance_lx": 50.0}, []), (60.0, {"sun_elevation_deg": 20.0, "illuminance_lx": 15.0}, [2]),
    ],
)  # fmt: skip
def test_jaywalkers_are_away_from_crosswalks_and_in_the_dark(crosswalk_m: float, sky: dict[str, float], levels: list[int]) -> None:
    entry = scenario("jaywalker_night")
    built = dataclasses.replace(walker(100.0, pace=1.4, on_line_s=6.0), sky=sky)
    found = detectors()["jaywalker_night"](mapped(built, crosswalk_m), entry)
    assert [hit.level for hit in found] == levels and all(hit.actors == ("w",) for hit in found)


def test_jaywalkers_cannot_be_told_without_crosswalks_on_the_map() -> None:
    with pytest.raises(NotEvaluable, match="no crosswalks"):
        detectors()["jaywalker_night"](mapped(dataclasses.replace(walker(100.0), sky=NIGHT), None), scenario("jaywalker_night"))
    assert Build().drive().missing("environment") == "no environment"


def crowd(people: int, *, speed_mps: float = 8.0, off_m: float = 6.0) -> Build:
    built = Build(speed=lambda t: np.full_like(t, speed_mps))
    for k in range(people):
        built.other(f"p{k:02d}", lambda t, k=k: 80 + 0.1 * k + 0 * t, lambda t, k=k: -off_m + 0 * t, cls="pedestrian", box=WALKER)  # type: ignore[misc]
    return built


@pytest.mark.parametrize(("people", "levels"), [(9, []), (10, [1]), (19, [1]), (20, [2])])
def test_a_crowd_is_ten_within_twenty_metres(people: int, levels: list[int]) -> None:
    found = hits("dense_crowd", crowd(people))
    assert [(hit.level, hit.peak, len(hit.actors)) for hit in found] == [(level, people, people) for level in levels]
    chord = np.sqrt(20**2 - 6**2)
    assert all(near(hit.t0_ns, (80 + 0.9 - chord - 1.4) / 8, 0.2) and near(hit.t1_ns, (80 + 0.5 + chord - 1.4) / 8, 0.3) for hit in found)


def test_a_crowd_that_is_passed_too_fast_or_too_far_away_is_none() -> None:
    assert hits("dense_crowd", crowd(12, speed_mps=20.0)) == [] and hits("dense_crowd", crowd(12, off_m=21.0)) == []
