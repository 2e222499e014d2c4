"""Encounters and post-encroachment times against values worked out by hand."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mined_drives import CAR, T0_NS, WALKER, Build, at_ns, ramp
from mining_store import put_drive
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.mine.prepare import Drive
from flywheel.mine.run import mine_batch
from flywheel.store import DiskStore
from flywheel.tables import SCHEMAS, read_table, rows_table

run = CliRunner().invoke
NO_POSE = ("x_m", "y_m", "heading_rad")


def met(built: Build) -> list[dict[str, Any]]:
    return built.drive().encounters.to_pylist()


def test_a_slower_lead_is_met_once_with_its_worst_moments() -> None:
    # The ego drives 12 m/s; the lead, 40 m ahead from centre to origin, drives 8 and then, after 6 s, as fast.
    lead = ramp((0, 40), (6, 88), (20, 88 + 14 * 12))
    (row,) = met(Build().other("a", lead, np.zeros_like))
    gap = 40 - 6 * 4 - 2.25 - 3.7
    assert (row["relation"], row["cls"], row["track_id"]) == ("ahead", "car", "a") and row["t0_ns"] == T0_NS
    assert row["exposure_s"] == pytest.approx(20.1) and row["distance_m"] == pytest.approx(240, abs=1.5)
    assert row["gap_m"] == pytest.approx(gap, abs=0.05) and row["thw_s"] == pytest.approx(gap / 12, abs=0.01)
    assert row["ttc_s"] == pytest.approx((gap + 0.4) / 4, abs=0.05) and abs(row["t_ttc_ns"] - at_ns(5.9)) <= 0.1e9
    assert row["ttc_boxes_s"] == pytest.approx(row["ttc_s"], abs=0.02) and row["mttc_s"] is not None and row["pet_s"] is None
    assert row["drac_mps2"] == pytest.approx(4 / (2 * row["ttc_s"])) and row["mdrac_mps2"] == pytest.approx(4 / (2 * (row["ttc_s"] - 1)))
    times = (40 - 2.25 - 3.7 - 4 * np.arange(60) / 10) / 4
    assert row["tet_s"] == pytest.approx((times < 3).sum() * 0.1, abs=0.11)
    assert row["tit_s2"] == pytest.approx(np.maximum(3 - times, 0).sum() * 0.1, abs=0.15)


def test_who_closes_in_from_behind_is_measured_as_the_follower() -> None:
    (row,) = met(Build().other("b", ramp((0, -40), (8, 80), (20, 224)), np.zeros_like))
    gap = 40 - 8 * 3 - 0.9 - 2.25
    assert row["relation"] == "behind" and row["ttc_s"] == pytest.approx(gap / 3, abs=0.12)
    assert row["thw_s"] == pytest.approx(gap / 15, abs=0.2) and row["gap_m"] == pytest.approx(gap, abs=0.05)


def test_a_contact_gives_zero_and_what_cannot_be_avoided_is_infinite() -> None:
    (row,) = met(Build(duration_s=5).other("a", lambda t: 40 + 0 * t, np.zeros_like))
    assert row["gap_m"] == 0 and row["ttc_s"] == 0 and np.isposinf(row["mdrac_mps2"]) and np.isposinf(row["drac_mps2"])


@pytest.mark.parametrize("without", [(), NO_POSE])
@pytest.mark.parametrize(("starts_s", "pet_s", "second_s"), [(0.0, 56.05 / 12 - 3.5875, 56.05 / 12), (4.0, 6.4125 - 61.15 / 12, 6.4125)])
def test_post_encroachment_of_a_walker(starts_s: float, pet_s: float, second_s: float, without: tuple[str, ...]) -> None:
    # 2 m/s across at 60 m: inside from 2.4125 s to 3.5875 s after it starts; the ego's ends are there at 56.05 and 61.15 m.
    built = Build(without=without).other(
        "w", lambda t: 60 + 0 * t, ramp((starts_s, -6), (starts_s + 6, 6)), cls="pedestrian", heading=np.pi / 2, box=WALKER
    )
    (row,) = met(built)
    assert row["relation"] == "crossing" and row["pet_s"] == pytest.approx(pet_s, abs=0.02)
    assert abs(row["t_pet_ns"] - at_ns(second_s)) < 0.02e9


def test_both_in_the_zone_at_once_is_negative_and_who_turns_back_has_none() -> None:
    def walk(*course: tuple[float, float]) -> dict[str, Any]:
        return met(Build().other("w", lambda t: 60 + 0 * t, ramp(*course), cls="pedestrian", box=WALKER))[0]

    assert walk((2.2, -6), (8.2, 6))["pet_s"] < 0
    assert walk((0, -6), (3, 0), (6, -6))["pet_s"] is None
    assert (
        met(Build(duration_s=3).other("w", lambda t: 60 + 0 * t, ramp((0, -6), (2, 6)), cls="pedestrian", box=WALKER))[0]["pet_s"] is None
    )


def test_a_long_absence_makes_two_encounters_and_a_short_one_does_not() -> None:
    def seen(*without: tuple[float, float]) -> int:
        built = Build().other("a", lambda t: 30 + 12 * t, np.zeros_like)
        built.tracks = [row for row in built.tracks if not any(at_ns(a) < row["t_ns"] < at_ns(b) for a, b in without)]
        return len(met(built))

    assert (seen(), seen((5, 5.6)), seen((5, 7)), seen((5, 7), (9, 12))) == (1, 1, 2, 3)


def test_who_is_far_away_is_not_met_and_who_stands_aside_is_beside() -> None:
    built = Build().other("far", lambda t: 115 + 12 * t, np.zeros_like).other("parked", lambda t: 60 + 0 * t, lambda t: -5 + 0 * t)
    (row,) = met(built)
    assert (row["track_id"], row["relation"], row["ttc_s"]) == ("parked", "beside", None)
    assert row["gap_m"] == pytest.approx(5 - 0.9 - 0.925, abs=0.02)
    oncoming = met(Build().other("o", ramp((0, 200), (20, -100)), lambda t: 3.5 + 0 * t, heading=np.pi))
    assert [row["relation"] for row in oncoming] == ["oncoming"]


def test_nothing_is_met_without_tracks_or_without_an_ego() -> None:
    assert len(Build().drive().encounters) == 0
    blind = Build(without=("speed_mps",)).other("a", lambda t: 30 + 12 * t, np.zeros_like)
    assert len(blind.drive().encounters) == 0 and blind.drive().encounters.schema.equals(SCHEMAS["ENCOUNTERS"])


sizes = st.sampled_from([0.0, 0.5, 12.0, np.nan])
rows = st.fixed_dictionaries(
    {
        "x_m": st.floats(-60, 60), "y_m": st.floats(-30, 30), "heading_rad": st.floats(-10, 10) | st.just(np.nan), "length_m": sizes,
        "vx_mps": st.floats(-50, 50), "vy_mps": st.floats(-50, 50), "cls": st.sampled_from(["car", "pedestrian", "other"]),
        "track_id": st.sampled_from("ab"), "t_ns": st.integers(-5, 45).map(lambda tenth: T0_NS + tenth * 100_000_000),
    }
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(rows, max_size=60, unique_by=lambda row: (row["t_ns"], row["track_id"])), st.floats(-12, 12))
def test_any_boxes_can_be_met(boxes: list[dict[str, Any]], speed: float) -> None:
    tables = Build(duration_s=4, speed=lambda t: np.full_like(t, speed)).tables()
    found = Drive(dataclasses.replace(tables, tracks=rows_table("TRACKS", [{"drive_id": "d", "z_m": 0.0, **CAR, **row} for row in boxes])))
    table = found.encounters
    assert table.schema.equals(SCHEMAS["ENCOUNTERS"]) and not any(table[n].null_count for n in ("gap_m", "t0_ns", "exposure_s"))
    assert (pa.compute.min(table["gap_m"]).as_py() or 0) >= 0 and all(row["t1_ns"] >= row["t0_ns"] for row in table.to_pylist())


def test_a_mined_batch_has_its_encounters_and_the_command_lists_the_worst_first(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    put_drive(store, "near", Build(duration_s=5).other("wall", lambda t: 40 + 0 * t, np.zeros_like))
    put_drive(store, "far", Build(duration_s=5).other("slow", lambda t: 40 + 8 * t, np.zeros_like))
    put_drive(store, "alone", Build(duration_s=5))
    mine_batch(store, "b-1")
    assert {row["drive_id"]: row["track_id"] for row in read_table(store, "ENCOUNTERS").to_pylist()} == {"near": "wall", "far": "slow"}
    for by, expected in (("ttc_s", ["wall", "slow"]), ("drac_mps2", ["wall", "slow"]), ("pet_s", [])):
        said = run(app, ["encounters", "--root", str(tmp_path), "--by", by, "--json"])
        assert said.exit_code == 0 and [row["track_id"] for row in json.loads(said.output)] == expected
    (worst,) = json.loads(run(app, ["encounters", "--root", str(tmp_path), "--top", "1", "--json"]).output)
    assert worst["mdrac_mps2"] == "inf" and worst["root_group"] == "v-near|2026-11-01|town"
    assert run(app, ["encounters", "--root", str(tmp_path), "--relation", "crossing"]).exit_code == 0
