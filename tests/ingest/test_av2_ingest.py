"""Argoverse 2 logs: frames of reference, lanes, cameras and clocks on made logs, counts on the real ones."""

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from flywheel.errors import BadData
from flywheel.geometry import image_boxes, nearest_instant
from flywheel.ingest.arrow_guard import unpacked_bytes
from flywheel.ingest.av2_tables import DAMAGE, read_parquet
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore, media_key
from flywheel.tables import read_table
from flywheel.types import sha256_hex
from tests.ingest import make_road as road
from tests.ingest.make_av2 import make_av2_forecast, make_av2_sensor, write

REAL = Path(os.environ.get("FLYWHEEL_REAL_DATA", Path(__file__).parents[2] / "../shared/data"), "noncommercial/av2")
FRONT_M = 3.7


def ingest(folder: Path, root: Path) -> tuple[DiskStore, IngestReport]:
    """A folder's logs in a new store."""
    store = DiskStore(root)
    return store, ingest_batch(store, land(store, folder))


def frame(store: DiskStore, table: str) -> pd.DataFrame:
    """A table as a data frame."""
    return read_table(store, table).to_pandas()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DiskStore, IngestReport]:
    """A store with the made sensor log, its ego annotated."""
    folder = tmp_path_factory.mktemp("av2")
    return ingest(make_av2_sensor(folder / "log", with_ego=True), folder / "root")


def test_the_drive_says_what_it_is(made: tuple[DiskStore, IngestReport]) -> None:
    store, report = made
    assert report.quarantined == ()
    assert report.rows == {"DRIVES": 1, "SIGNALS": 201, "TRACKS": 3 * road.COUNT, "LIGHTS": 0, "LANES": 201, "FRAMES": 40}
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert drive["root_group"] == "argoverse2|2000-01-01|miami"
    assert (drive["source_format"], drive["clock"], drive["licence"], drive["has_map"]) == (
        "av2_sensor",
        "relative",
        "CC-BY-NC-SA-4.0",
        True,
    )
    assert (drive["t0_ns"], drive["duration_s"]) == (946_684_800 * 10**9, pytest.approx(4.0, abs=1e-6))
    assert {"speed_mps", "TRACKS.vx_mps"} <= set(drive["derived"])
    messages = {w.gate: w.message for w in report.warnings}
    assert "315971916900000000" in messages["clock"]
    assert "4 tracks" in messages["tracks"] and "41 cuboids" in messages["tracks"]
    assert {r["sensor"]: r["samples"] for r in read_table(store, "SENSORS").to_pylist()} == {
        "ego": 402, "annotations": road.COUNT, "lidar": 1, "camera/ring_front_center": 20, "camera/ring_side_left": 20,
    }  # fmt: skip


def test_boxes_stand_on_the_ground_and_move_over_it(made: tuple[DiskStore, IngestReport]) -> None:
    tracks = frame(made[0], "TRACKS").set_index(["track_id", "t_ns"]).sort_index()
    assert (tracks.z_m - tracks.height_m / 2).abs().max() < 1e-9
    car, walker = tracks.loc["car"], tracks.loc["walker"]
    assert car.x_m.to_numpy() == pytest.approx(20 + 0.2 * np.arange(road.COUNT))
    assert (car.vx_mps.to_numpy(), car.vy_mps.to_numpy()) == (pytest.approx(12.0, abs=1e-6), pytest.approx(0.0, abs=1e-6))
    assert np.hypot(walker.vx_mps, walker.vy_mps).max() < 1e-6
    assert {name: tracks.loc[name].cls.iloc[0] for name in ("car", "walker", "cone")} == {
        "car": "car",
        "walker": "pedestrian",
        "cone": "other",
    }


def test_ego_motion_is_derived_and_its_path_is_on_the_ground(made: tuple[DiskStore, IngestReport]) -> None:
    signals = frame(made[0], "SIGNALS")
    assert signals.speed_mps.to_numpy() == pytest.approx(road.SPEED_MPS, abs=1e-6)
    assert signals.ax_mps2.abs().max() < 1e-4
    assert (signals.x_m[0], signals.y_m[0]) == pytest.approx(tuple(road.world([[60.0, 1.75]])[0]))
    assert signals.heading_rad.to_numpy() == pytest.approx(road.TURN)


def test_the_map_says_where_the_ego_drives(made: tuple[DiskStore, IngestReport]) -> None:
    lanes = frame(made[0], "LANES")
    first = lanes.iloc[0]
    assert (first.lane_id, first.lane_index, bool(first.in_junction)) == ("11", 1, False)
    assert (first.offset_m, first.width_m, first.curvature_1pm) == pytest.approx((0.0, 3.5, 0.0), abs=1e-6)
    assert first.junction_m == pytest.approx(road.JUNCTION_M - road.X0_M - FRONT_M, abs=1e-6)
    assert first.crosswalk_m == pytest.approx(road.CROSSWALK_M[0] - road.X0_M - FRONT_M, abs=0.5)
    entering = lanes[lanes.in_junction.astype(bool)].iloc[0]
    assert entering.t_ns / 1e9 % 60 == pytest.approx((road.JUNCTION_M - FRONT_M - road.X0_M) / road.SPEED_MPS, abs=0.03)
    assert np.isnan(lanes.iloc[-1].junction_m)


def test_a_still_box_projects_where_the_moving_camera_sees_it(made: tuple[DiskStore, IngestReport]) -> None:
    """The camera fires 30 ms after a sweep, 0.3 m further on; the walker stands at x = 90 m, y = 6.75 m."""
    store, _ = made
    shot = next(f for f in read_table(store, "FRAMES").to_pylist() if f["camera"] == "ring_front_center")
    tracks = read_table(store, "TRACKS").to_pylist()
    instant = nearest_instant(np.unique([row["t_ns"] for row in tracks]), shot["t_ns"], tolerance_ns=100_000_000)
    rows = [row for row in tracks if row["t_ns"] == instant and row["track_id"] == "walker"]
    box = image_boxes(rows, shot)[0]
    corners = [(30.0 - 0.3 - 1.6 + dx, 5.0 + dy) for dx in (-0.3, 0.3) for dy in (-0.35, 0.35)]
    assert box.x0_px == pytest.approx(min(32 - 100 * y / x for x, y in corners), abs=1e-6)
    assert box.y1_px == pytest.approx(max(18 + 100 * 1.73 / x for x, _ in corners), abs=1e-6)
    assert sha256_hex(store.get(media_key(shot["media_sha256"], shot["ext"]))) == shot["media_sha256"]


def test_a_log_of_poses_alone_is_a_drive(tmp_path: Path) -> None:
    folder = make_av2_sensor(tmp_path / "log", cameras=False, annotated=False, mapped=False)
    store, report = ingest(folder, tmp_path / "root")
    assert report.quarantined == ()
    assert any("no annotations" in w.message for w in report.warnings)
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["tracks"], drive["lane_rows"], drive["has_map"], drive["place"]) == (0, 0, False, "unknown")


def spoil_column(file: Path, name: str, value: Any) -> None:
    """Puts a value into the fourth row of a feather column."""
    table = feather.read_table(str(file)).to_pydict()
    table[name][3] = value
    write(file, table)


@pytest.mark.parametrize(
    ("name", "column", "value", "words"),
    [
        ("city_SE3_egovehicle.feather", "tx_m", float("nan"), "tx_m is nan"),
        ("city_SE3_egovehicle.feather", "qw", 3.0, "unit quaternion"),
        ("annotations.feather", "length_m", -1.0, "has size"),
        ("annotations.feather", "timestamp_ns", 5, "reach beyond the ego's path"),
        ("annotations.feather", "track_uuid", "walker", "appears twice"),
        ("annotations.feather", "category", None, "missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(tmp_path: Path, name: str, column: str, value: Any, words: str) -> None:
    folder = make_av2_sensor(tmp_path / "log", cameras=False)
    spoil_column(folder / name, column, value)
    _, report = ingest(folder, tmp_path / "root")
    assert words in report.quarantined[0].reason
    assert report.quarantined[0].kind == "BadData"


def bomb(column: str, value: Any, rows: int = 40_000_000) -> bytes:
    """A small feather file with a column that unpacks to far more."""
    sink = io.BytesIO()
    feather.write_feather(pa.table({column: pa.repeat(value, rows)}), sink, compression="zstd")
    return sink.getvalue()


def test_a_decompression_bomb_is_refused_by_its_headers(tmp_path: Path) -> None:
    folder = make_av2_sensor(tmp_path / "log", cameras=False)
    data = bomb("tx_m", 0.0)
    (folder / "city_SE3_egovehicle.feather").write_bytes(data)
    _, report = ingest(folder, tmp_path / "root")
    assert len(data) < 1_000_000
    assert "unpacks to 320000000 bytes" in report.quarantined[0].reason


def test_headers_of_arrow_files_are_read_right() -> None:
    words = pa.array(["k", "m"] * 9).dictionary_encode()
    for table in (pa.table({"a": np.arange(9.0)}), pa.table({"s": ["x", "yy"] * 50}), pa.table({"c": words})):
        for compression in ("lz4", "zstd", "uncompressed"):
            sink = io.BytesIO()
            feather.write_feather(table, sink, compression=compression)
            assert table.nbytes <= unpacked_bytes(sink.getvalue()) <= table.nbytes + 400


def test_a_damaged_parquet_footer_never_ends_the_process(tmp_path: Path) -> None:
    """pyarrow aborts where a column's metadata are asked for and its statistics do not fit its schema."""
    data = next(make_av2_forecast(tmp_path / "log").glob("*.parquet")).read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    refused = 0
    for at in range(footer, len(data), 11):
        spoilt = bytearray(data)
        spoilt[at] ^= 1 << (at % 8)
        try:
            read_parquet(bytes(spoilt), {"track_id": "text", "timestep": "time"})
        except (BadData, *DAMAGE):
            refused += 1
    assert refused > 50


def test_long_texts_repeated_often_are_refused(tmp_path: Path) -> None:
    folder = make_av2_forecast(tmp_path / "log")
    file = next(folder.glob("*.parquet"))
    table = pq.read_table(file)
    at = table.schema.get_field_index("track_id")
    pq.write_table(table.set_column(at, "track_id", pa.repeat("x" * 1_000_000, len(table))), file)
    _, report = ingest(folder, tmp_path / "root")
    assert "texts of more than 200" in report.quarantined[0].reason


@pytest.mark.parametrize("spoil", [b"", b"ARROW1\0\0" + bytes(400), b"no feather"])
def test_damaged_files_are_bad_data(tmp_path: Path, spoil: bytes) -> None:
    folder = make_av2_sensor(tmp_path / "log", cameras=False)
    (folder / "annotations.feather").write_bytes(spoil)
    _, report = ingest(folder, tmp_path / "root")
    assert report.quarantined[0].kind == "BadData"
    assert "annotations.feather" in report.quarantined[0].reason


@pytest.mark.parametrize(
    "said",
    [
        [],
        {"lane_segments": []},
        {"lane_segments": {"1": {}}},
        {"lane_segments": {"1": {"lane_type": "VEHICLE", "left_lane_boundary": [{"x": "a", "y": 0}]}}},
    ],
)
def test_a_wrong_map_is_bad_data(tmp_path: Path, said: Any) -> None:
    folder = make_av2_sensor(tmp_path / "log", cameras=False)
    file = next((folder / "map").glob("*.json"))
    file.write_text(json.dumps(said))
    _, report = ingest(folder, tmp_path / "root")
    assert report.quarantined[0].kind == "BadData"
    assert "log_map_archive" in report.quarantined[0].reason


def test_a_forecasting_scenario(tmp_path: Path) -> None:
    store, report = ingest(make_av2_forecast(tmp_path / "log"), tmp_path / "root")
    assert report.quarantined == ()
    assert report.rows["SIGNALS"] + report.rows["TRACKS"] == 4 * road.COUNT - 10
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["tracks"], drive["place"], drive["source_format"]) == (3, "austin", "av2_forecast")
    assert {"TRACKS.length_m", "TRACKS.z_m"} <= set(drive["derived"])
    assert "speed_mps" not in drive["derived"]
    first = frame(store, "TRACKS").drop_duplicates("track_id").set_index("track_id")
    assert (first.x_m["21"], first.y_m["21"], first.vx_mps["21"], first.heading_rad["21"]) == pytest.approx(
        (20.0, -3.5, 12.0, 0.0), abs=1e-6
    )
    assert first.cls.to_dict() == {"21": "car", "22": "pedestrian", "23": "other"}
    assert frame(store, "SIGNALS").speed_mps.to_numpy() == pytest.approx(road.SPEED_MPS)
    assert frame(store, "LANES").lane_id.unique().tolist() == ["11"]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recording at {REAL}: set FLYWHEEL_REAL_DATA")
def test_the_real_logs(tmp_path: Path) -> None:
    """The README's 146 and 120 sensor tracks, and 58 forecasting tracks in 2,434 rows; the ego counts among the 120 and the 58."""
    store, report = ingest(REAL, tmp_path / "root")
    assert report.quarantined == ()
    drives = {row["source_name"].split("/")[-1][:8]: row for row in read_table(store, "DRIVES").to_pylist()}
    assert {name: row["tracks"] for name, row in drives.items()} == {"adcf7d18": 146, "3b3570b4": 120 - 1, "0a1e6f0a": 58 - 1}
    scenario = drives["0a1e6f0a"]
    assert scenario["signal_rows"] + scenario["track_rows"] == 2434
    assert (drives["adcf7d18"]["track_rows"], drives["3b3570b4"]["track_rows"]) == (12078, 13820 - 157)
    assert {row["place"] for row in drives.values()} == {"miami", "pittsburgh", "austin"}
    said = " ".join(w.message for w in report.warnings)
    assert "120 tracks" in said and "58 tracks in 2434 rows" in said
    for row in drives.values():
        assert row["lane_rows"] == row["signal_rows"], "these egos drive in lanes all the time"
    tracks = frame(store, "TRACKS")
    cars = tracks[(tracks.cls == "car") & (np.hypot(tracks.vx_mps, tracks.vy_mps) > 3)]
    apart = np.angle(np.exp(1j * (np.arctan2(cars.vy_mps, cars.vx_mps) - cars.heading_rad)))
    assert np.median(np.abs(apart)) < 0.05, "cars move where they point"
    lanes = frame(store, "LANES")
    assert lanes.offset_m.abs().median() < 0.5
    print({name: (row["tracks"], row["track_rows"], row["signal_rows"], row["lane_rows"]) for name, row in drives.items()})
