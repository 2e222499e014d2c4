"""Bags end to end: every kind of bag tells the same made drive; the real bags' counts; what damage and missing parts lead to."""

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from flywheel.ingest import rosbag2
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore, media_key
from flywheel.tables import read_table
from tests.ingest import make_rosbag as made

REAL = Path(os.environ.get("FLYWHEEL_REAL_DATA", Path(__file__).parents[2] / "../shared/data"), "rosbags")
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recordings at {REAL} (set FLYWHEEL_REAL_DATA)")


def ingest(folder: Path, logs: Path) -> tuple[DiskStore, IngestReport]:
    """A store with one batch, and what became of it."""
    store = DiskStore(folder / "root")
    return store, ingest_batch(store, land(store, logs))


def rows(store: DiskStore, table: str) -> list[dict[str, object]]:
    """A table's rows without drive_id."""
    return [{k: v for k, v in row.items() if k != "drive_id"} for row in read_table(store, table).to_pylist()]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DiskStore]:
    """The made drive's lone .db3 and a store that holds it."""
    folder = tmp_path_factory.mktemp("ros")
    file = made.make_db3(folder / "drive.db3")
    store, report = ingest(folder, file)
    assert report.quarantined == ()
    return file, store


def test_counts_and_topics(base: tuple[Path, DiskStore]) -> None:
    seconds = int(made.SECONDS)
    samples = {row["sensor"]: row["samples"] for row in rows(base[1], "SENSORS")}
    assert samples == {
        "/tf_static": 1, "/odom": 20 * seconds, "/odom_wheel": 10 * seconds, "/imu": 50 * seconds, "/gnss": 10 * seconds,
        "/gnss_roof": 5 * seconds, "/front/camera_info": 2 * seconds, "/front/image_raw": 2 * seconds,
        "/rear/image_raw/compressed": 2 * seconds, "/objects": 10 * seconds, "/maker": seconds,
    }  # fmt: skip
    offsets = {row["sensor"]: row["offset_ms"] for row in rows(base[1], "SENSORS")}
    assert offsets["/odom"] == pytest.approx(made.LATE_NS / 1e6)
    drive = rows(base[1], "DRIVES")[0]
    assert (drive["signal_rows"], drive["track_rows"], drive["frames"]) == (50 * seconds, 10 * seconds, 4 * seconds)
    assert (drive["root_group"], drive["clock"]) == ("unknown-vehicle|2023-11-14|lat48.1_lon11.6", "utc")
    assert drive["derived"] == ["ax_mps2", "ay_mps2"]


def test_signals_tell_the_truth(base: tuple[Path, DiskStore]) -> None:
    table = rows(base[1], "SIGNALS")
    odometry = [row for row in table if row["speed_mps"] is not None]
    assert len(odometry) == 20 * int(made.SECONDS)
    for row in odometry[:: 20 * 3]:
        x, y, yaw = made.place((int(str(row["t_ns"])) - made.T0_NS) / 1e9)
        assert [row[name] for name in ("x_m", "y_m", "heading_rad")] == pytest.approx([x, y, yaw], abs=1e-9)
        assert row["speed_mps"] == made.SPEED_MPS
        assert row["ay_mps2"] == pytest.approx(made.SPEED_MPS * made.YAW_RATE)
        assert row["imu_ay_mps2"] == pytest.approx(made.SPEED_MPS * made.YAW_RATE), "the IMU is mounted turned by 90 degrees"
        assert row["imu_ax_mps2"] == pytest.approx(0, abs=1e-9)


def test_boxes_stand_still_over_ground(base: tuple[Path, DiskStore]) -> None:
    for row in rows(base[1], "TRACKS"):
        x, y, yaw = made.place((int(str(row["t_ns"])) - made.T0_NS) / 1e9)
        c, s = np.cos(yaw), np.sin(yaw)
        east, north = made.PARKED[0] - x, made.PARKED[1] - y
        assert [row["x_m"], row["y_m"], row["z_m"]] == pytest.approx([c * east + s * north, c * north - s * east, 0.75], abs=1e-3)
        assert (row["cls"], row["length_m"], row["vx_mps"]) == ("car", 4.5, 0.0)


def test_raw_images_lose_nothing_and_cameras_are_placed(base: tuple[Path, DiskStore]) -> None:
    import cv2

    frames = [row for row in rows(base[1], "FRAMES") if row["camera"] == "front"]
    for at, row in enumerate(frames):
        data = base[1].get(media_key(str(row["media_sha256"]), "png"))
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert (image[:, :, ::-1] == made.pixels(at)).all()
    assert [frames[0][name] for name in ("cam_x_m", "cam_y_m", "cam_z_m", "fx_px", "cx_px")] == pytest.approx([1.5, 0.1, 1.5, 20, 16])
    rear = next(row for row in rows(base[1], "FRAMES") if row["camera"] == "rear")
    assert (rear["ext"], rear["fx_px"], rear["cam_qw"]) == ("jpg", None, None)


def test_what_was_noticed(base: tuple[Path, DiskStore]) -> None:
    said = " | ".join(str(row["message"]) for row in rows(base[1], "FINDINGS"))
    assert "/gnss: 14 messages without a fix" in said
    assert "/gnss_roof tells them too: they differ by 2 m" in said
    assert "/odom_wheel tells them too: they differ by 0.25 m/s" in said
    assert "/maker (maker_msgs/msg/Opaque, 14)" in said
    assert "unknown-vehicle" in said


@pytest.mark.parametrize("kind", ["bz2", "lz4", "message", "file", "split"])
def test_every_kind_of_bag_tells_the_same(kind: str, base: tuple[Path, DiskStore], tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    if kind in ("bz2", "lz4"):
        made.make_rosbag1(logs, compression=kind)
    elif kind == "split":
        split(logs / "trip")
    else:
        logs.mkdir()
        made.make_rosbag2(logs / "trip", compression=kind)
    store, report = ingest(tmp_path, logs)
    assert report.quarantined == ()
    for table in ("SIGNALS", "TRACKS", "FRAMES"):
        mine, theirs = read_table(store, table).drop_columns(["drive_id"]), read_table(base[1], table).drop_columns(["drive_id"])
        assert mine.equals(theirs), table


def split(folder: Path) -> None:
    """The made drive in two files with metadata.yaml; topics have other ids in the second."""
    said = made.drive(made.Ros(2))
    half = len(said) // 2
    made.make_db3(folder / "trip_1.db3", said=said[half:], first=70)
    made.make_db3(folder / "trip_0.db3", said=said[:half])
    text = f"rosbag2_bagfile_information:\n  relative_file_paths:\n    - trip_0.db3\n    - trip_1.db3\n  message_count: {len(said)}\n"
    (folder / "metadata.yaml").write_text(text)


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    split(tmp_path / "logs" / "trip")
    (tmp_path / "logs" / "trip" / "trip_1.db3").unlink()
    _, report = ingest(tmp_path, tmp_path / "logs")
    assert "'trip_1.db3', which is not in the folder" in report.quarantined[0].reason


def test_a_bag_that_was_not_closed_is_read_to_its_last_record(tmp_path: Path) -> None:
    file = made.make_rosbag1(tmp_path / "logs")
    data = bytearray(file.read_bytes())
    at = data.index(b"index_pos=") + len(b"index_pos=")
    end = int.from_bytes(data[at : at + 8], "little")
    data[at : at + 8] = bytes(8)
    file.write_bytes(data[:end] + b"\x00\x01")
    _, report = ingest(tmp_path, tmp_path / "logs")
    assert report.quarantined == ()
    assert any("was not closed" in w.message for w in report.warnings)
    assert report.rows["SIGNALS"] == 50 * int(made.SECONDS)


def test_bags_cut_off_at_every_tenth_are_quarantined(base: tuple[Path, DiskStore], tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    whole = {"bag": made.make_rosbag1(tmp_path, said=made.drive(made.Ros(1), seconds=2.0)).read_bytes(), "db3": base[0].read_bytes()}
    logs.mkdir()
    for ending, data in whole.items():
        for tenth in range(1, 10):
            (logs / f"{tenth}.{ending}").write_bytes(data[: len(data) * tenth // 10])
    _, report = ingest(tmp_path, logs)
    assert len(report.quarantined) == 18
    for cut in report.quarantined:
        assert ("cut off" if cut.name.endswith("bag") else "not a sound bag database") in cut.reason


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["ALTER TABLE messages RENAME TO m", "CREATE VIEW messages AS SELECT * FROM m"], "not a plain table"),
        (["DROP TABLE topics"], "without the tables"),
        (["UPDATE messages SET timestamp = 'soon'"], "not a number, a number and bytes"),
        (["UPDATE messages SET data = 7"], "not a number, a number and bytes"),
        (["UPDATE messages SET topic_id = 99"], "topic 99, which the bag does not describe"),
        (["UPDATE topics SET serialization_format = 'json'"], "cdr can be read"),
        (["UPDATE messages SET timestamp = -5"], "not nanoseconds UTC"),
        (["UPDATE messages SET data = x'0001000000'"], "messages cannot be used"),
        (["UPDATE messages SET data = zeroblob(3000000) WHERE id = 9"], "too big"),
    ],
)
def test_hostile_databases_are_quarantined(statements: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosbag2, "MAX_MESSAGE_BYTES", 1 << 20)
    file = made.make_db3(tmp_path / "logs" / "x.db3", said=made.drive(made.Ros(2), seconds=2.0))
    with sqlite3.connect(file) as changed:
        for statement in statements:
            changed.execute(statement)
    changed.close()
    _, report = ingest(tmp_path, tmp_path / "logs")
    assert reason in report.quarantined[0].reason


def test_a_trigger_is_never_run(tmp_path: Path) -> None:
    file = made.make_db3(tmp_path / "logs" / "x.db3", said=made.drive(made.Ros(2), seconds=2.0))
    with sqlite3.connect(file) as changed:
        changed.execute("CREATE TRIGGER t AFTER INSERT ON messages BEGIN DELETE FROM messages; END")
    changed.close()
    before = file.read_bytes()
    _, report = ingest(tmp_path, tmp_path / "logs")
    assert report.quarantined == ()
    assert file.read_bytes() == before


@real
def test_the_real_ros2_bag(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, next(REAL.glob("*/*.db3")))
    assert report.quarantined == ()
    sensors, drive = rows(store, "SENSORS"), rows(store, "DRIVES")[0]
    assert [(row["sensor"], row["samples"]) for row in sensors] == [("/localization/kinematic_state", 2819)]
    assert float(str(sensors[0]["rate_hz"])) == pytest.approx(50, abs=1)
    assert 0 < float(str(sensors[0]["offset_ms"])) < 10, "the stamps are some milliseconds before the bag's times"
    assert (drive["signal_rows"], drive["place"], drive["day"]) == (2819, "unknown-place", "2023-12-22")
    assert float(str(drive["distance_m"])) == pytest.approx(57.7, abs=0.5)


@real
def test_the_real_ros1_bag(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, next(REAL.glob("*.bag")))
    assert report.quarantined == ()
    samples = {str(row["sensor"]): int(str(row["samples"])) for row in rows(store, "SENSORS")}
    assert samples == {"test/gps": 10776, "gps/filtered": 1599}
    assert sum(samples.values()) == 12375
    drive = rows(store, "DRIVES")[0]
    assert (drive["signal_rows"], drive["place"]) == (10776, "lat44.4_lon26.0")
    assert {"speed_mps", "heading_rad", "x_m"} <= set(drive["derived"])  # type: ignore[call-overload]
    assert any("gps/filtered tells them too: they differ by 0.899 m" in w.message for w in report.warnings)
