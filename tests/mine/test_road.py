"""Lights, stop signs, left turns, cones, wrong ways and departures on hand-built drives: both sides of every threshold."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from mined_drives import CAR, LANE_M, Build, at_ns, ramp

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import scenario
from flywheel.mine.detectors import detectors
from flywheel.mine.hits import Hit
from flywheel.mine.prepare import Drive
from flywheel.tables import rows_table

V, LINE_M, FRONT_M = 12.0, 120.0, 3.7
T_LINE = (LINE_M - FRONT_M) / V


def near(t_ns: int, seconds: float, tolerance_s: float = 0.15) -> bool:
    return abs(t_ns - at_ns(seconds)) <= tolerance_s * 1e9


def mapped(built: Build, **columns: object) -> Drive:
    """The drive with LANES columns that hold a value, or a function of the way gone (m) and the time (s); NaN is null."""
    tables = built.tables()
    rows = tables.lanes.to_pylist()
    for i, row in enumerate(rows):
        for name, value in columns.items():
            said = value(float(built.travelled(built.t10[i])), float(built.t10[i])) if callable(value) else value
            row[name] = None if isinstance(said, float) and np.isnan(said) else said
    return Drive(dataclasses.replace(tables, lanes=rows_table("LANES", rows)))


def named(drive: Drive, subclass: str) -> Drive:
    """The drive with every track of one subclass."""
    tracks = drive.tables.tracks
    at = tracks.schema.get_field_index("subclass")
    return Drive(dataclasses.replace(drive.tables, tracks=tracks.set_column(at, "subclass", pa.array([subclass] * len(tracks)))))


def hits(name: str, drive: Drive | Build) -> list[Hit]:
    return detectors()[name](drive.drive() if isinstance(drive, Build) else drive, scenario(name))


def lit(red_s: float, *, speed: float = V) -> Build:
    """Green, then red for `red_s` when the ego's bumper crosses the line."""
    turns = (LINE_M - FRONT_M) / speed - red_s
    built = Build(duration_s=turns + red_s + 5, speed=lambda t: np.full_like(t, speed))
    return built.light("green", 0, turns, LINE_M).light("red", turns, 99, LINE_M)


@pytest.mark.parametrize(("red_s", "found"), [(0.3, 0), (0.7, 1), (3.0, 1), (-0.5, 0)])
def test_running_a_red_light(red_s: float, found: int) -> None:
    hit = hits("red_light_running", lit(red_s))
    assert len(hit) == found
    if hit:
        assert near(hit[0].t0_ns, T_LINE) and near(hit[0].t1_ns, T_LINE + 4.6 / V) and hit[0].peak == pytest.approx(red_s, abs=0.15)


def test_creeping_over_the_line_is_not_running_it() -> None:
    assert hits("red_light_running", lit(3.0, speed=1.8)) == [] and len(hits("red_light_running", lit(3.0, speed=2.2))) == 1


@pytest.mark.parametrize(("reach_s", "found"), [(2.3, 0), (2.7, 1), (5.3, 1), (5.8, 0)])
def test_yellow_dilemma(reach_s: float, found: int) -> None:
    turns = T_LINE - reach_s
    built = Build().light("green", 0, turns, LINE_M).light("yellow", turns, turns + 3, LINE_M).light("red", turns + 3, 20, LINE_M)
    hit = hits("yellow_dilemma", built)
    assert len(hit) == found
    if hit:
        assert near(hit[0].t0_ns, turns) and near(hit[0].t1_ns, min(turns + 3, T_LINE)) and hit[0].peak == pytest.approx(reach_s, abs=0.12)


def test_red_to_yellow_is_no_dilemma() -> None:
    turns = T_LINE - 4
    assert hits("yellow_dilemma", Build().light("red", 0, turns, LINE_M).light("yellow", turns, 20, LINE_M)) == []


def crossing(green_s: float, *, speed: float = 10.0, lanes: bool = True) -> Drive:
    """A car from the right is inside the carriageway from 5.0 s on; the light has then been green for `green_s`."""
    y0 = -9.0 - speed * 5.0 - CAR["length_m"] / 2
    built = Build(duration_s=8).other("b", lambda t: 105 + 0 * t, lambda t: y0 + speed * t, heading=np.pi / 2)
    built.light("red", 0, 5 - green_s, LINE_M - 20).light("green", 5 - green_s, 20, LINE_M - 20)
    edges = {"road_left_m": 12.0, "road_right_m": 9.0} if lanes else {}
    return mapped(built, junction_m=lambda way, t: 98.0 - way - FRONT_M, **edges)


@pytest.mark.parametrize(("green_s", "found"), [(1.7, 0), (2.3, 1), (4.0, 1)])
def test_somebody_else_runs_a_red_light(green_s: float, found: int) -> None:
    hit = hits("red_light_running_other", crossing(green_s))
    assert len(hit) == found
    if hit:
        assert hit[0].actors == ("b",) and near(hit[0].t0_ns, 5.0) and near(hit[0].t1_ns, 5 + (21 + 4.5) / 10)
        assert hit[0].peak == pytest.approx(green_s, abs=0.15)


def test_without_road_edges_nobody_elses_light_can_be_judged() -> None:
    assert hits("red_light_running_other", crossing(4.0, speed=1.8)) == []
    with pytest.raises(NotEvaluable, match="road edges"):
        hits("red_light_running_other", crossing(4.0, lanes=False))


def stopping(slowest: float) -> Build:
    """Slowest for a second about 8 s, when the bumper is at 60 m."""
    return Build(speed=ramp((0, 12), (8 - (12 - slowest) / 1.5, 12), (8, slowest), (9, slowest), (13, 9), (20, 9)))


@pytest.mark.parametrize(("slowest", "control", "found"), [(1.8, "stop", 1), (1.3, "stop", 0), (0.0, "stop", 0), (1.8, "light", 0)])
def test_rolling_stop(slowest: float, control: str, found: int) -> None:
    built = stopping(slowest)
    line = float(built.travelled(np.array(8.2))) + FRONT_M
    drive = mapped(built, control=control, stop_line_m=lambda way, t: line - way - FRONT_M if way + FRONT_M <= line else np.nan)
    hit = hits("rolling_stop", drive)
    assert len(hit) == found
    if hit:
        assert hit[0].peak == pytest.approx(slowest, abs=0.05) and near(hit[0].t1_ns, 8.2 + 1.55, 0.3)


def test_a_map_without_control_knows_no_rolling_stop() -> None:
    with pytest.raises(NotEvaluable, match="what rules"):
        hits("rolling_stop", Build())


def turning(arrival_s: float, *, stops: bool = False) -> Drive:
    """The ego turns left over a path 5 m to its left, and somebody comes along it at 10 m/s (or stops 15 m short)."""
    built = Build(
        duration_s=25, speed=lambda t: np.full_like(t, 4.0), yaw=ramp((0, 0), (10, 0), (10.5, 0.45), (13.5, 0.45), (14, 0), (25, 0))
    )
    way, heading = built.travelled(built.t), built.heading(built.t)
    x = np.concatenate([[0], np.cumsum(np.diff(way) * np.cos(heading[:-1]))])
    y = np.concatenate([[0], np.cumsum(np.diff(way) * np.sin(heading[:-1]))])
    enters = int(np.argmax(y + FRONT_M * np.sin(heading) > 5.0 - CAR["width_m"] / 2))
    meets_x = x[enters] + FRONT_M * np.cos(heading[enters])
    for now in built.t10:
        k = round(now * 100)
        ahead = 10.0 * (built.t[enters] + arrival_s - now)
        ox, oy = meets_x + CAR["length_m"] / 2 + (max(ahead, 15.0) if stops else ahead) - x[k], 5.0 - y[k]
        c, s = np.cos(heading[k]), np.sin(heading[k])
        moves = not stops or ahead > 15
        built.tracks.append({
            "drive_id": "d", "t_ns": at_ns(now), "track_id": "o", "cls": "car", "z_m": 0.8, **CAR, "heading_rad": np.pi - heading[k],
            "x_m": ox * c + oy * s, "y_m": oy * c - ox * s, "vx_mps": -10 * c * moves, "vy_mps": 10 * s * moves,
        })  # fmt: skip
    return mapped(built, in_junction=lambda way, t: 9.0 <= t < 16.0, offset_m=0.0)


@pytest.mark.parametrize(("arrival_s", "level"), [(5.5, 0), (4.7, 1), (2.9, 2), (-1.0, 0)])
def test_unprotected_left(arrival_s: float, level: int) -> None:
    hit = hits("unprotected_left", turning(arrival_s))
    assert [(h.level, h.actors) for h in hit] == ([(level, ("o",))] if level else [])
    if hit:
        assert near(hit[0].t0_ns, 9.0) and near(hit[0].t1_ns, 16.0) and hit[0].peak == pytest.approx(arrival_s, abs=0.15)


def test_somebody_who_stops_does_not_follow_closely() -> None:
    assert [h.level for h in hits("unprotected_left", turning(2.9, stops=True))] == [1]


def coned(count: int, aside_m: float, *, back: bool = True, subclass: str = "cone") -> Drive:
    """Cones from 100 m on beside a lane; the ego is aside from 6 s to 12 s (or stays aside)."""
    rest = 0.0 if back else aside_m
    built = Build(sideways=ramp((0, 0), (6, 0), (7, aside_m), (11, aside_m), (12, rest), (20, rest)))
    for k in range(count):
        built.other(f"c{k}", ramp((0, 100 + 5 * k)), ramp((0, -1.9)), cls="other", box={**CAR, "length_m": 0.4})
    return named(built.drive(), subclass)


@pytest.mark.parametrize(
    ("drive", "found"),
    [
        (coned(4, 0.5), 1), (coned(4, 0.35), 0), (coned(2, 0.5), 0), (coned(4, 0.5, back=False), 0), (coned(4, 0.5, subclass="debris"), 0),
        (coned(4, -0.5, subclass="barrier"), 1), (coned(4, LANE_M, back=False), 0),
    ],
)  # fmt: skip
def test_construction_nudge(drive: Drive, found: int) -> None:
    hit = hits("construction_nudge", drive)
    assert len(hit) == found
    if hit:
        # Three of the cones are within 20 m from 90 m on, at 7.5 s; back under 0.24 m 0.52 s after 11 s.
        assert near(hit[0].t0_ns, 7.5) and near(hit[0].t1_ns, 11.52) and hit[0].peak == pytest.approx(0.5, abs=0.02)


def test_tracks_without_subclass_show_no_cones() -> None:
    with pytest.raises(NotEvaluable, match="subclass"):
        hits("construction_nudge", Build().other("a", lambda t: 50 + 0 * t, np.zeros_like))


def opposed(y_m: float, speed: float, *, heading: float = np.pi) -> Build:
    """A car that meets the ego at about 10 s."""
    return Build(duration_s=12).other("w", lambda t: 120 + speed * (10 - t), lambda t: y_m + 0 * t, heading=heading)


@pytest.mark.parametrize(
    ("y_m", "speed", "heading", "found"),
    [
        (LANE_M, 8.0, np.pi, 1), (-LANE_M, 8.0, np.pi, 0), (LANE_M, 2.7, np.pi, 0), (2 * LANE_M, 8.0, np.pi, 0), (LANE_M, 8.0, 2.0, 0),
        (0.0, 8.0, 2.2, 1),
    ],
)  # fmt: skip
def test_wrong_way_vehicle(y_m: float, speed: float, heading: float, found: int) -> None:
    # Two lanes: the ego's own, the rightmost, and the one to its left.
    hit = hits("wrong_way_vehicle", mapped(opposed(y_m, speed, heading=heading), lanes=2, lane_index=0))
    assert [h.actors for h in hit] == [("w",)] * found
    if hit:
        assert near(hit[0].t0_ns, 10 - (80 + FRONT_M) / 20) and near(hit[0].t1_ns, 10 - FRONT_M / 20) and hit[0].peak < 2.1


def test_how_many_lanes_there_are_must_be_known() -> None:
    with pytest.raises(NotEvaluable, match="number of lanes"):
        hits("wrong_way_vehicle", opposed(LANE_M, 8.0))


@pytest.mark.parametrize(("y_m", "back_s", "found"), [(2.25, 99, 1), (2.45, 99, 0), (2.0, 5.0, 0), (2.0, 7.5, 1)])
def test_oncoming_incursion(y_m: float, back_s: float, found: int) -> None:
    # 1.8 m wide: at 2.25 m its side is 0.4 m over the edge at 1.75 m. At 20 m/s together, 4 s are 80 m, at 5.7 s.
    path = ramp((0, LANE_M), (3, LANE_M), (4, y_m), (back_s, y_m), (back_s + 0.5, LANE_M + 0.1), (200, LANE_M + 0.1))
    built = Build(duration_s=12).other("w", lambda t: 120 + 8 * (10 - t), path, heading=np.pi)
    hit = hits("oncoming_incursion", built)
    assert [h.actors for h in hit] == [("w",)] * found
    if hit:
        assert near(hit[0].t0_ns, 10 - (FRONT_M + 2.25) / 20 - 4) and near(hit[0].t1_ns, min(back_s + 0.25, 9.7), 0.25)


@pytest.mark.parametrize(("outside_m", "found"), [(0.2, 0), (0.4, 1), (1.5, 1)])
def test_road_departure(outside_m: float, found: int) -> None:
    deepest = -(3.0 - 0.925 + outside_m)
    built = Build(sideways=ramp((0, 0), (5, 0), (9, deepest), (12, deepest), (16, 0), (20, 0)))
    place = built.sideways
    drive = mapped(
        built, road_left_m=lambda way, t: 9.0 - float(place(np.array(t))), road_right_m=lambda way, t: 3.0 + float(place(np.array(t)))
    )
    hit = hits("road_departure", drive)
    assert len(hit) == found
    if hit:
        # The front corner leads: it is out by 0.3 m before the ego's middle is.
        lead = FRONT_M * np.sin(np.arctan2(-deepest / 4, V))
        assert near(hit[0].t0_ns, 5 + 4 * (3.3 - 0.925 - lead) / -deepest, 0.2) and hit[0].peak == pytest.approx(outside_m + 0.1, abs=0.12)
    with pytest.raises(NotEvaluable, match="no road edges"):
        hits("road_departure", built)


@pytest.mark.parametrize(
    ("course", "found"),
    [
        (ramp((0, 0), (5, 0), (6, 0.6), (9, 0.6), (10, 0), (20, 0)), 1),
        (ramp((0, 0), (5, 0), (6, 0.45), (9, 0.45), (10, 0), (20, 0)), 0),
        (ramp((0, 0), (5, 0), (6, 0.6), (7, 0.6), (8, 0), (20, 0)), 0),  # for 1.3 s
        (ramp((0, 0), (5, 0), (13, LANE_M), (20, LANE_M)), 0),  # a slow lane change
        (ramp((0, 0), (5, 0), (7, -2.2), (8, -2.2), (10, 0), (20, 0)), 1),  # over the line and back
    ],
)  # fmt: skip
def test_lane_departure(course: Callable[[np.ndarray], np.ndarray], found: int) -> None:
    assert len(hits("lane_departure", Build(sideways=course))) == found
    assert hits("lane_departure", mapped(Build(sideways=course), in_junction=True)) == []


def test_lane_departure_lasts_until_the_ego_is_nearly_back() -> None:
    hit = hits("lane_departure", Build(sideways=ramp((0, 0), (5, 0), (6, 1.0), (9, 1.0), (10, 0), (20, 0))))
    assert near(hit[0].t0_ns, 5.5) and near(hit[0].t1_ns, 9.7) and hit[0].peak == pytest.approx(1.0, abs=0.01)
