"""Mining a batch: what is written, when it is skipped, when it is done again; scoring it; and the coverage table."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mined_drives import WALKER, Build, at_ns, ramp
from mining_store import BRAKES, RAIN, put_drive

from flywheel.mine import run
from flywheel.mine.catalogue import catalogue, scenario
from flywheel.mine.coverage import coverage
from flywheel.mine.plot import coverage_plot
from flywheel.mine.run import mine_batch
from flywheel.mine.score import match, score_mining
from flywheel.store import DiskStore, Store, put_media
from flywheel.tables import SCHEMAS, read_table, rows_table, table_key, write_table


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    """A store with two drives of one batch: one brakes in the rain, one has only its own motion."""
    store = DiskStore(tmp_path)
    put_drive(store, "rich", Build(speed=BRAKES, sky=RAIN).other("a", lambda t: 90 + 12 * t, np.zeros_like).light("red", 0, 3, 200.0))
    put_drive(store, "poor", Build(lanes=False))
    return store


def braked(store: Store) -> dict[str, object]:
    """The one event of hard braking; the catalogue may find others beside it."""
    (event,) = [row for row in read_table(store, "EVENTS").to_pylist() if row["scenario"] == "hard_braking"]
    return event


def contents(store: DiskStore) -> dict[str, tuple[int, bytes]]:
    return {key: ((store.folder / key).stat().st_mtime_ns, store.get(key)) for key in store.list("tables/")}


def test_a_batch_is_mined_once_and_the_same_way(store: DiskStore) -> None:
    report = mine_batch(store, "b-1")
    assert (report.drives, report.mined, report.skipped, report.failed) == (2, 2, 0, ())
    assert report.by_scenario["hard_braking"] == {"L1": 1, "L2": 0, "L3": 0}
    assert report.events == sum(sum(levels.values()) for levels in report.by_scenario.values())
    assert report.condition_sources == {"assumed": 1, "environment": 1}
    before = contents(store)
    again = mine_batch(store, "b-1")
    assert (again.mined, again.skipped, again.by_scenario, again.not_evaluable) == (0, 2, report.by_scenario, report.not_evaluable)
    assert contents(store) == before


def test_an_event_says_what_when_how_hard_and_under_which_condition(store: DiskStore) -> None:
    mine_batch(store, "b-1")
    event = braked(store)
    assert event["condition"] == "day_rain" and event["params_sha256"] == scenario("hard_braking").digest and event["peak_unit"] == "m/s2"
    assert event["t0_ns"] < event["t_peak_ns"] < event["t1_ns"] and event["root_group"] == "v-rich|2026-11-01|town"


def test_not_evaluable_has_a_reason_and_no_exposure(store: DiskStore) -> None:
    mine_batch(store, "b-1")
    rows = [row for row in read_table(store, "EXPOSURE").to_pylist() if row["drive_id"] == "poor"]
    blind = {row["scenario"]: row["reason"] for row in rows if row["status"] == "not_evaluable"}
    expected = {
        "cut_in": "no tracks, no lanes", "low_ttc": "no tracks", "pedestrian_crossing": "no tracks", "red_light_stop": "no lights",
        "night_intersection_lane_change": "no lanes, no environment",
    }  # fmt: skip
    assert blind | expected == blind
    assert all(row["exposure_s"] == 0 and row["events"] == 0 for row in rows if row["status"] == "not_evaluable")
    seen = [row for row in rows if row["scenario"] == "hard_braking"]
    assert {(row["condition"], row["condition_source"], row["encounters"]) for row in seen} == {("day_clear", "assumed", None)}
    assert sum(row["exposure_s"] for row in seen) == pytest.approx(20, abs=0.2)
    assert sum(row["exposure_m"] for row in seen) == pytest.approx(240, rel=0.01)


def test_exposure_leaves_out_what_could_not_be_seen(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    put_drive(store, "gap", Build(drop={"ego": (5.0, 10.0)}))
    mine_batch(store, "b-1")
    seconds: Counter[str] = Counter()
    for row in read_table(store, "EXPOSURE").to_pylist():
        seconds[row["scenario"]] += row["exposure_s"]
    assert seconds["hard_braking"] == pytest.approx(15.5, abs=0.3) and seconds["sensor_dropout"] == pytest.approx(20, abs=0.2)


def test_a_killed_run_is_taken_up_again(store: DiskStore) -> None:
    mine_batch(store, "b-1")
    whole = {key: store.get(key) for key in store.list("tables/")}
    store.delete(table_key("EXPOSURE", batch_id="b-1", part="rich"))
    assert mine_batch(store, "b-1").mined == 1
    assert {key: store.get(key) for key in store.list("tables/")} == whole


def test_another_catalogue_mines_anew(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    mine_batch(store, "b-1")
    changed = [e if e.name != "hard_braking" else e.model_copy(update={"merge_s": 3.0}) for e in catalogue()]
    monkeypatch.setattr(run, "catalogue", lambda: changed)
    assert mine_batch(store, "b-1").mined == 2
    assert mine_batch(store, "b-1").mined == 0


def test_other_bins_of_the_odd_mine_anew(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    mine_batch(store, "b-1")
    monkeypatch.setattr(run, "bins_sha256", lambda: "others")
    assert mine_batch(store, "b-1").mined == 2


def test_a_bad_drive_does_not_stop_the_batch(store: DiskStore) -> None:
    store.put(table_key("SIGNALS", batch_id="b-1", part="poor"), b"not parquet")
    report = mine_batch(store, "b-1")
    assert report.mined == 1 and [bad.drive_id for bad in report.failed] == ["poor"] and "Parquet" in report.failed[0].reason


def test_a_dark_camera_means_night(tmp_path: Path) -> None:
    import cv2

    store = DiskStore(tmp_path)
    encoded = cv2.imencode(".png", np.full((9, 16, 3), 20, np.uint8))[1].tobytes()
    frame = {"drive_id": "d", "t_ns": at_ns(1), "camera": "front", "kind": "rgb", "media_sha256": put_media(store, encoded, "png"),
             "ext": "png", "width_px": 16, "height_px": 9}  # fmt: skip
    put_drive(store, "dark", Build(), frames=[frame])
    assert mine_batch(store, "b-1").condition_sources == {"luma": 1}
    assert {row["condition"] for row in read_table(store, "EXPOSURE").to_pylist()} == {"night_clear"}


def test_conditions_follow_the_sky() -> None:
    night = {
        "sun_elevation_deg": -9.0,
        "sun_azimuth_rad": 0.0,
        "illuminance_lx": 3.0,
        "visibility_m": 300.0,
        "rain_mmph": 0.0,
        "snow_mmph": 0.0,
    }
    cases = {
        "night_fog": night, "night_snow": {**night, "snow_mmph": 1.0}, "dusk_rain": {**night, "sun_elevation_deg": -3.0, "rain_mmph": 0.5},
        "low_sun_clear": {**night, "sun_elevation_deg": 10.0, "visibility_m": 9000.0},
        "day_clear": {**night, "sun_elevation_deg": 10.0, "visibility_m": 9000.0, "sun_azimuth_rad": 1.0},
        "day_fog": {**night, "sun_elevation_deg": 10.0},
    }  # fmt: skip
    for name, sky in cases.items():
        drive = Build(duration_s=3.0, sky=sky).drive()
        assert {run.CONDITION_NAMES[code] for code in drive.grid_conditions} == {name}


def truth_file(folder: Path, events: list[tuple[str, str, float, float]], near: list[tuple[str, str, float, float]]) -> Path:
    def rows(items: list[tuple[str, str, float, float]], **more: object) -> list[dict[str, object]]:
        return [{"drive": d, "scenario": s, "t0_ns": at_ns(a), "t1_ns": at_ns(b), **more} for d, s, a, b in items]

    file = folder / "truth.json"
    drives = [
        {"drive": name, "vehicle_id": "v", "place": "p", "day": "d", "condition": "day_clear", "kind": "k"} for name in ("rich", "poor")
    ]
    file.write_text(
        json.dumps({"seed": 1, "drives": drives, "events": rows(events, level="L1", actors=[]), "near_misses": rows(near, why="w")})
    )
    return file


def test_scores_count_one_to_one(store: DiskStore, tmp_path: Path) -> None:
    mine_batch(store, "b-1")
    planted = [("rich", "hard_braking", 5.1, 6.4), ("rich", "hard_braking", 6.6, 6.9), ("poor", "hard_braking", 3.0, 4.0)]
    score = score_mining(store, truth_file(tmp_path, planted, [("rich", "low_ttc", 1.0, 2.0)]))
    braking = next(s for s in score.scenarios if s.scenario == "hard_braking")
    assert (braking.planted, braking.found, braking.matched, braking.levels_right) == (3, 1, 1, 1)
    assert braking.recall == pytest.approx(1 / 3) and braking.precision == 1.0 and abs(braking.onset_error_s or 9) < 0.3
    other = next(s for s in score.scenarios if s.scenario == "low_ttc")
    assert (other.recall, other.precision, other.near_misses, other.near_miss_hits) == (None, None, 1, 0)


def test_a_stray_event_on_a_near_miss_is_counted(store: DiskStore, tmp_path: Path) -> None:
    mine_batch(store, "b-1")
    score = score_mining(store, truth_file(tmp_path, [], [("rich", "hard_braking", 5.0, 7.0)]))
    braking = next(s for s in score.scenarios if s.scenario == "hard_braking")
    assert (braking.found, braking.precision, braking.near_miss_hits) == (1, 0.0, 1)


def test_drives_that_were_not_mined_count_as_missed(tmp_path: Path) -> None:
    score = score_mining(DiskStore(tmp_path / "empty"), truth_file(tmp_path, [("rich", "cut_in", 1, 2)], []))
    assert score.drives_missing == ("poor", "rich")
    assert next(s for s in score.scenarios if s.scenario == "cut_in").recall == 0.0


def test_matching_prefers_more_pairs_over_a_better_one() -> None:
    second = 1_000_000_000
    planted = [(0, 10 * second), (10 * second, 20 * second)]
    mined = [(9 * second, 20 * second), (20 * second + second // 4, 21 * second)]
    assert match(planted, mined) == [(0, 0), (1, 1)]
    assert match(planted[:1], [(11 * second, 12 * second)]) == []


def test_coverage_keeps_synthetic_out_of_the_real_columns(store: DiskStore) -> None:
    mine_batch(store, "b-1")
    event = braked(store)
    for name, status, verdict in (("v1", "done", "accept"), ("v2", "done", "reject"), ("v3", "failed", "accept"), ("v4", "done", None)):
        row = {field.name: "x" for field in SCHEMAS["VARIATIONS"] if not field.nullable and field.type == "string"}
        row |= {"variation_id": name, "event_id": event["event_id"], "scenario": "hard_braking", "target_condition": "night_snow"}
        numbers = {"t_ns": 1, "seed": 1, "run_seconds": 1.0, "status": status}
        write_table(store, "VARIATIONS", rows_table("VARIATIONS", [row | numbers]), batch_id="b-1", part=name)
        if verdict:
            decision = {field.name: "x" for field in SCHEMAS["DECISIONS"] if not field.nullable and field.type == "string"}
            decision |= {"decision_id": f"d-{name}", "subject_id": name, "verdict": verdict, "actor_kind": "rule", "decided_t_ns": 1}
            write_table(store, "DECISIONS", rows_table("DECISIONS", [decision]), batch_id="b-1", part=name)
    cells = {(cell.scenario, cell.condition): cell for cell in coverage(store)}
    assert len(cells) == len(catalogue()) * 13
    synthetic = cells["hard_braking", "night_snow"]
    assert (synthetic.synthetic, synthetic.real_events, synthetic.exposure_h, synthetic.rate_per_h) == (1, 0, 0.0, None) and synthetic.gap
    real = cells["hard_braking", "day_rain"]
    assert (real.synthetic, real.real_events, real.vehicles, real.days) == (0, 1, 1, 1)
    assert real.rate_per_h == pytest.approx(1 / real.exposure_h, rel=1e-3) and real.interval_per_h and real.rarity is not None
    assert real.interval_per_h.low < real.rate_per_h < real.interval_per_h.high
    assert cells["cut_in", "day_clear"].drives_not_evaluable == 1 and cells["cut_in", "day_clear"].rarity is None
    assert coverage_plot(list(cells.values()))[:4] == b"\x89PNG"


def test_events_of_one_drive_do_not_depend_on_the_others(store: DiskStore) -> None:
    mine_batch(store, "b-1")
    first = store.get(table_key("EVENTS", batch_id="b-1", part="rich"))
    put_drive(store, "walker", Build().other("p", lambda t: np.full_like(t, 90.0), ramp((0, -9), (20, 9)), cls="pedestrian", box=WALKER))
    assert mine_batch(store, "b-1").mined == 1
    assert store.get(table_key("EVENTS", batch_id="b-1", part="rich")) == first


def test_an_event_says_under_which_conditions_alone_it_would_be_one(store: DiskStore) -> None:
    mine_batch(store, "b-1")
    only = {row["scenario"]: row["only_conditions"] for row in read_table(store, "EVENTS").to_pylist()}
    assert only["hard_braking"] is None
    assert "day_rain" in only["rain"] and "day_clear" not in only["rain"]
