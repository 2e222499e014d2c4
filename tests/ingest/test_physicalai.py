"""The PhysicalAI layout: one drive a clip from zips or loose files, motion in our axes, exact frames, hostile zips refused."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flywheel.ingest.land import land
from flywheel.ingest.physicalai_motion import CLIP_ZERO_NS
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table
from flywheel.video import still
from tests.ingest import make_physicalai as made
from tests.ingest.make_video import number_in

EGO = "labels/egomotion/egomotion.chunk_0000.zip"
POSES = made.SECONDS * made.RATE_HZ


def ingest(folder: Path, logs: Path) -> tuple[DiskStore, IngestReport]:
    """A fresh store and what became of the logs."""
    store = DiskStore(folder / "root")
    return store, ingest_batch(store, land(store, logs))


def of_first(store: DiskStore, name: str) -> pd.DataFrame:
    """The rows of the first drive."""
    drive = read_table(store, "DRIVES")["drive_id"][0].as_py()
    rows = read_table(store, name).to_pandas()
    return rows[rows.drive_id == drive]


@pytest.fixture(scope="module", params=[True, False], ids=["zips", "loose"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DiskStore:
    """A store with both clips."""
    folder = tmp_path_factory.mktemp("physicalai")
    found, report = ingest(folder, made.make_physicalai(folder / "logs", zips=request.param))
    assert report.quarantined == ()
    assert {(w.gate, w.message.split(":")[0][:30]) for w in report.warnings} >= {("files", "no table holds them, so they s")}
    assert report.drives == 2
    return found


def test_each_clip_is_a_drive_grouped_by_what_the_dataset_tells(store: DiskStore) -> None:
    drives = {drive["source_name"]: drive for drive in read_table(store, "DRIVES").to_pylist()}
    assert set(drives) == {f"logs#{clip}" for clip in made.CLIPS}
    first = drives[f"logs#{made.CLIPS[0]}"]
    assert first["root_group"] == "hyperion_8|2000-01-01|country Germany month 5 hour_of_day 14"
    assert (first["source_format"], first["clock"], first["signal_rows"], first["frames"]) == ("physicalai", "relative", POSES, made.FRAMES)
    assert first["derived"] == ["yaw_rate_radps", "TRACKS.vx_mps", "TRACKS.vy_mps"]
    assert len({drive["drive_id"] for drive in drives.values()}) == 2


def test_motion_is_turned_from_the_anchors_axes_into_the_egos(store: DiskStore) -> None:
    signals = of_first(store, "SIGNALS")
    t_s = ((signals.t_ns - CLIP_ZERO_NS) / 1e9).to_numpy()
    assert t_s[0] == made.FIRST_US / 1e6
    assert signals.speed_mps.to_numpy() == pytest.approx(np.full(POSES, made.SPEED_MPS), abs=1e-9)
    assert signals.ax_mps2.to_numpy() == pytest.approx(np.full(POSES, made.ACCELERATION_MPS2), abs=1e-9)
    assert signals.ay_mps2.to_numpy() == pytest.approx(np.full(POSES, made.SPEED_MPS * made.TURN_RADPS), abs=1e-9)
    assert signals.yaw_rate_radps.to_numpy() == pytest.approx(np.full(POSES, made.TURN_RADPS), abs=1e-6)
    x, y, heading = made.path_at(t_s)
    np.testing.assert_allclose(signals[["x_m", "y_m", "heading_rad"]], np.stack([x, y, heading], axis=1), atol=1e-9)


def test_boxes_stay_where_they_are_and_move_over_ground(store: DiskStore) -> None:
    tracks = of_first(store, "TRACKS")
    assert {*zip(tracks.track_id, tracks.cls, strict=True)} == {("7", "car"), ("8", "pedestrian")}
    person, car = tracks[tracks.track_id == "8"], tracks[tracks.track_id == "7"]
    assert np.hypot(person.vx_mps, person.vy_mps).max() < 0.02
    heading = made.path_at(((car.t_ns - CLIP_ZERO_NS) / 1e9).to_numpy())[2]
    assert car.vx_mps.to_numpy() == pytest.approx(made.LEAD_MPS * np.cos(heading), abs=0.02)
    assert car.vy_mps.to_numpy() == pytest.approx(-made.LEAD_MPS * np.sin(heading), abs=0.02)
    assert car.heading_rad.to_numpy() == pytest.approx(-heading, abs=1e-9)
    assert (car.x_m.iloc[0], car.y_m.iloc[0], car.length_m.iloc[0]) == (made.LEAD_M, 0.0, 4.5)


def test_frames_carry_their_own_times_calibration_and_exact_pictures(store: DiskStore) -> None:
    drive = read_table(store, "DRIVES").to_pylist()[0]["drive_id"]
    frames = [row for row in read_table(store, "FRAMES").to_pylist() if row["drive_id"] == drive]
    assert [row["t_ns"] for row in frames] == [CLIP_ZERO_NS + 5_000_000 + k * 100_000_000 for k in range(made.FRAMES)]
    row = frames[17]
    assert (row["camera"], row["ext"], row["cam_x_m"], row["cam_qw"], row["cx_px"], row["fx_px"]) == (
        made.CAMERA,
        "mp4",
        1.7,
        0.5,
        96.0,
        None,
    )
    assert number_in(still(store, row).data) == 17


def test_radar_and_reasoning_are_heard_though_no_table_holds_them(store: DiskStore) -> None:
    found = [(row["sensor"], row["samples"]) for row in read_table(store, "SENSORS").to_pylist()]
    assert sorted(found) == sorted([
        *[("egomotion", POSES), ("obstacle", made.BOXES), (f"camera/{made.CAMERA}", made.FRAMES), ("radar_front_center", 20)] * 2,
        ("reasoning", 1),
    ])  # fmt: skip


def test_one_broken_zip_stops_neither_the_other_chunks_nor_hides(tmp_path: Path) -> None:
    folder = made.make_physicalai(tmp_path / "logs")
    data = (folder / EGO).read_bytes()
    made.write(folder / EGO.replace("0000", "0001"), data[: len(data) // 2])
    _, report = ingest(tmp_path, folder)
    assert report.drives == 2
    assert [(q.name, q.kind) for q in report.quarantined] == [("logs#egomotion_chunk_0001", "BadData")]
    assert "egomotion.chunk_0001.zip: damaged zip" in report.quarantined[0].reason


def test_a_folder_per_clip_as_the_download_tool_makes_it(tmp_path: Path) -> None:
    clip = made.CLIPS[0]
    for home, inside in made.members(clip).items():
        for name, data in inside.items():
            made.write(tmp_path / "logs" / clip / home.split("/")[0] / name, data)
    store, report = ingest(tmp_path, tmp_path / "logs")
    assert report.quarantined == ()
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["frames"], drive["tracks"], drive["vehicle_id"]) == (made.FRAMES, 2, clip)


def clip_zip(name: str = f"{made.CLIPS[0]}.egomotion.parquet", data: bytes = b"", **how: int) -> bytes:
    """An egomotion zip of one member."""
    return made.zipped([(name, data or made.egomotion())], **how)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (clip_zip("../../../tmp/escape.parquet"), "names must stay within"),
        (clip_zip("/etc/x.egomotion.parquet"), "names must stay within"),
        (clip_zip("..\\x.parquet"), "names must stay within"),
        (clip_zip(data=bytes(50 << 20), method=zipfile.ZIP_DEFLATED), "unpacks"),
        (clip_zip(data=b"PAR1" + bytes(100) + b"PAR1"), "damaged"),
        (clip_zip(data=b"not parquet"), "damaged"),
        (clip_zip(data=made.table({"timestamp": [1, 2]})), "no column qw"),
        (clip_zip(data=made.table({n: [1.0, 1.0] for n in ("timestamp", "qw", "qx", "qy", "qz", "x", "y", "z")})), "does not advance"),
        (clip_zip().replace(b"PAR1", b"PAR2"), "damaged"),
    ],
)  # fmt: skip
def test_hostile_zips_and_tables_end_with_a_reason_and_leave_nothing_behind(tmp_path: Path, data: bytes, words: str) -> None:
    folder = made.make_physicalai(tmp_path / "logs", clips=made.CLIPS[:1])
    (folder / EGO).write_bytes(data)
    before = {*tmp_path.rglob("*")}
    _, report = ingest(tmp_path, folder)
    assert {q.kind for q in report.quarantined} == {"BadData"}
    assert words in " ".join(q.reason for q in report.quarantined)
    assert {path.relative_to(tmp_path).parts[0] for path in {*tmp_path.rglob("*")} - before} == {"root"}


def test_films_and_times_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    folder = made.make_physicalai(tmp_path / "logs", zips=False, clips=made.CLIPS[:1])
    made.write(folder / f"camera/{made.CAMERA}/{made.CLIPS[0]}.{made.CAMERA}.timestamps.parquet", made.table({"timestamp": [1, 2, 3]}))
    _, report = ingest(tmp_path, folder)
    assert "30 frames but 3 times" in report.quarantined[0].reason
