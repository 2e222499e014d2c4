"""Drives that are hardly drives: every scenario still gives events or a reason, and never an exception."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mined_drives import CAR, T0_NS, Build, ramp

from flywheel.mine import run
from flywheel.mine.catalogue import catalogue
from flywheel.mine.exposure import Exposures
from flywheel.mine.filters import low_pass
from flywheel.mine.path import driven, place, place_on_arc
from flywheel.mine.prepare import Drive, DriveTables
from flywheel.mine.segments import Clock
from flywheel.tables import SCHEMAS, rows_table


def mined(tables: DriveTables) -> dict[str, int | str]:
    """Events of each scenario, or why there can be none."""
    drive = Drive(tables)
    exposures = Exposures(drive, "environment")
    found = {entry.name: run._events(drive, entry, exposures.strata) for entry in catalogue()}
    for entry in catalogue():
        assert exposures.rows(entry, found[entry.name])
    return {name: rows if isinstance(rows, str) else len(rows) for name, rows in found.items()}


def test_a_drive_without_a_single_row() -> None:
    empty = {name.lower(): SCHEMAS[name].empty_table() for name in ("SIGNALS", "TRACKS", "LIGHTS", "LANES", "FRAMES")}
    row = {"drive_id": "d", "t0_ns": T0_NS, "t1_ns": T0_NS, "root_group": "v|d|p", "signals": []}
    assert all(isinstance(why, str) and why.startswith("no ") for why in mined(DriveTables(row=row, **empty)).values())


@pytest.mark.parametrize(
    "built",
    [
        Build(duration_s=0.02, lanes=False),
        Build(duration_s=0.2),
        Build(duration_s=3, speed=np.zeros_like),
        Build(duration_s=3, speed=lambda t: np.full_like(t, -2.0)),
        Build(duration_s=6, drop={"ego": (1.0, 5.5)}),
        Build(duration_s=6, yaw=lambda t: np.full_like(t, 2.0)),
    ],
)
def test_short_still_reversing_broken_and_spinning_drives(built: Build) -> None:
    built.other("a", lambda t: 20 + 0 * t, np.zeros_like).light("red", 0, 9, 10.0) if built.duration_s > 0.05 else None
    counts = mined(built.tables())
    assert set(counts) == {entry.name for entry in catalogue()}


def test_nothing_is_claimed_while_the_ego_is_unknown() -> None:
    lead = ramp((0, 75), (9.9, 75), (10, 75), (20, 75))
    whole = Build(duration_s=7).other("a", lead, np.zeros_like)
    blind = Build(duration_s=7, drop={"ego": (2.0, 6.9)}).other("a", lead, np.zeros_like)
    assert mined(whole.tables())["low_ttc"] == 1 and mined(blind.tables())["low_ttc"] == 0


boxes = st.fixed_dictionaries(
    {
        "x_m": st.floats(-150, 150), "y_m": st.floats(-60, 60), "heading_rad": st.floats(-10, 10), "vx_mps": st.floats(-50, 50),
        "vy_mps": st.floats(-50, 50), "cls": st.sampled_from(["car", "truck", "bus", "pedestrian", "cyclist", "other"]),
        "track_id": st.sampled_from("abc"), "t_ns": st.integers(-20, 60).map(lambda tenth: T0_NS + tenth * 100_000_000),
    }
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(boxes, max_size=40, unique_by=lambda row: (row["t_ns"], row["track_id"])), st.floats(-1, 1))
def test_any_boxes_can_be_mined(rows: list[dict[str, object]], yaw: float) -> None:
    built = Build(duration_s=4, yaw=lambda t: np.full_like(t, yaw))
    tracks = rows_table("TRACKS", [{"drive_id": "d", "z_m": 0.0, **CAR, **row} for row in rows])
    counts = mined(dataclasses.replace(built.tables(), tracks=tracks))
    assert (counts["low_ttc"] == "no tracks") == (not rows)


@given(st.floats(0, 90), st.floats(-20, 20), st.sampled_from([0.0, 0.02, -0.02]))
def test_both_kinds_of_path_place_a_point_alike(s_m: float, left_m: float, curvature: float) -> None:
    angle = np.arange(0, 2001) / 10 * curvature
    x, y = np.cumsum(0.1 * np.cos(angle)) - 0.1, np.cumsum(0.1 * np.sin(angle))
    line = driven((x, y, angle), np.arange(0, 2001) / 10)
    turn = s_m * curvature
    at = (np.sin(turn) / curvature, (1 - np.cos(turn)) / curvature) if curvature else (s_m, 0.0)
    px, py = np.array([at[0] - left_m * np.sin(turn)]), np.array([at[1] + left_m * np.cos(turn)])
    on_line = place(line, px, py, guess_m=np.array([s_m * 0.8]))
    on_arc = place_on_arc(np.array([curvature]), px, py)
    for placed in (on_line, on_arc) if abs(turn) < 1.5 else (on_line,):
        assert placed.found[0] and placed.s_m[0] == pytest.approx(s_m, abs=0.3) and placed.left_m[0] == pytest.approx(left_m, abs=0.2)
        assert placed.heading_rad[0] == pytest.approx(turn, abs=0.03)


def test_the_filter_passes_slow_and_stops_fast_without_delay() -> None:
    clock = Clock(np.arange(1000, dtype=np.int64) * 10_000_000, 50_000_000)
    t = clock.t_ns / 1e9
    for hertz, share in ((0.2, 0.997), (2.0, 0.7071), (10.0, 0.0)):
        passed = low_pass(np.cos(2 * np.pi * hertz * t), clock, cutoff_hz=2.0)
        assert passed[500] == pytest.approx(share * np.cos(2 * np.pi * hertz * t[500]), abs=0.003)
    assert np.allclose(low_pass(np.ones(1000), clock, cutoff_hz=2.0), 1.0)
