"""MCAP logs of the fleet's layout become tables; spoilt ones say what is wrong and stop nothing."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import CompressionType

from flywheel.geometry import image_boxes
from flywheel.ingest import formats, mcap_media
from flywheel.ingest.drive import Blob, Log
from flywheel.ingest.land import land
from flywheel.ingest.landed import read_manifest
from flywheel.ingest.mcap_signals import JSON_SIGNALS, VEHICLE
from flywheel.ingest.quarantine import read_reason
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore, media_key, open_store
from flywheel.tables import SCHEMAS, read_table
from flywheel.types import sha256_hex
from tests.ingest.make_mcap import METADATA, MS, T0_NS, Change, drive_items, jpeg, make_mcap, write_log


def ingest(tmp_path: Path, **options: Any) -> tuple[DiskStore, IngestReport]:
    """A store that holds one made drive, and the report."""
    logs = tmp_path / "logs"
    logs.mkdir()
    make_mcap(logs / "a.mcap", **options)
    store = DiskStore(tmp_path / "root")
    return store, ingest_batch(store, land(store, logs))


def reason(tmp_path: Path, **options: Any) -> str:
    """Why the made drive went to quarantine."""
    store, report = ingest(tmp_path, **options)
    assert report.drives == 0
    assert [q.name for q in report.quarantined] == ["a.mcap"]
    assert not [key for key in store.list() if key.startswith(("tables/", "media/"))], "a refused drive leaves nothing behind"
    kept = read_reason(store, batch_id=report.batch_id, name="a.mcap")
    assert kept.kind.startswith("Bad"), kept.reason
    assert store.exists(kept.files[0].key), "the raw log stays in landing"
    return kept.reason


@pytest.mark.parametrize("compression", [CompressionType.ZSTD, CompressionType.LZ4, CompressionType.NONE])
def test_every_table_is_filled(tmp_path: Path, compression: CompressionType) -> None:
    store, report = ingest(tmp_path, compression=compression)
    assert report.quarantined == ()
    assert report.warnings == ()
    assert report.rows == {"DRIVES": 1, "SIGNALS": 201, "TRACKS": 42, "LIGHTS": 21, "LANES": 21, "FRAMES": 22}
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert drive["root_group"] == "veh-1|2025-10-09|town-a"
    assert (drive["source_name"], drive["source_format"], drive["licence"]) == ("a.mcap", "mcap", "CC0-1.0")
    assert drive["distance_m"] == pytest.approx(20.0)
    assert drive["duration_s"] == pytest.approx(2.0)
    unsaid = {"drive_id", "t_ns", "steering_wheel_rad", "roll_rate_radps", "temperature_c", *JSON_SIGNALS[VEHICLE]}
    assert set(drive["signals"]) == set(SCHEMAS["SIGNALS"].names) - unsaid
    assert drive["has_map"] is True


@pytest.mark.parametrize("kept", [0, 1 << 12, 1 << 30])
def test_media_are_the_same_whether_kept_or_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    monkeypatch.setattr("flywheel.ingest.spool.MAX_MEDIA_BYTES", kept)
    again: list[str] = []

    def media(log: Log) -> Iterator[Blob]:
        again.append(log.name)
        return mcap_media.media(log)

    first = formats.FORMATS[0]
    monkeypatch.setattr(formats, "FORMATS", (replace(first, media=media), *formats.FORMATS[1:]))
    store, _ = ingest(tmp_path)
    named = {(row["media_sha256"], row["ext"]) for row in read_table(store, "FRAMES").to_pylist()}
    assert {media_key(*name) for name in named} == set(store.list("media/"))
    assert all(sha256_hex(store.get(media_key(*name))) == name[0] for name in named)
    assert again == ([] if kept == 1 << 30 else ["a.mcap"])


def test_slower_streams_lie_on_the_nearest_ego_row_only(tmp_path: Path) -> None:
    store, _ = ingest(tmp_path, camera=False)
    signals = read_table(store, "SIGNALS")
    counts = {name: len(signals) - signals[name].null_count for name in ("speed_mps", "imu_ax_mps2", "lat_deg", "illuminance_lx")}
    assert counts == {"speed_mps": 201, "imu_ax_mps2": 201, "lat_deg": 21, "illuminance_lx": 3}
    rows = signals.to_pylist()
    assert rows[0]["lat_deg"] == 48.1
    assert rows[0]["imu_ax_mps2"] == 0.11
    assert rows[1]["lat_deg"] is None
    assert [row["t_ns"] for row in rows if row["illuminance_lx"] is not None] == [T0_NS, T0_NS + 1000 * MS, T0_NS + 2000 * MS]


def test_samples_in_a_gap_of_the_ego_state_keep_their_own_rows(tmp_path: Path) -> None:
    def gap(topic: str, t_ns: int, item: Any) -> Any:
        return None if topic == "/ego/state" and 500 * MS <= t_ns - T0_NS < 1000 * MS else item

    store, report = ingest(tmp_path, camera=False, change=gap)
    signals = read_table(store, "SIGNALS")
    assert report.quarantined == ()
    assert len(signals) - signals["imu_ax_mps2"].null_count == 201, "no imu sample vanished"
    assert len(signals) - signals["lat_deg"].null_count == 21
    assert len(signals) - signals["speed_mps"].null_count == 151
    assert len(set(signals["t_ns"].to_pylist())) == len(signals)


def test_tracks_keep_pose_velocity_and_visibility(tmp_path: Path) -> None:
    store, _ = ingest(tmp_path)
    row = next(r for r in read_table(store, "TRACKS").to_pylist() if r["cls"] == "car")
    assert row["heading_rad"] == pytest.approx(math.pi / 2)
    assert (row["x_m"], row["y_m"], row["z_m"], row["length_m"]) == pytest.approx((20.0, 2.0, 0.8, 4.5))
    assert (row["vx_mps"], row["vy_mps"], row["visible"], row["position_sigma_m"]) == (1.5, -0.5, True, 0.2)


def test_images_are_kept_byte_for_byte_and_boxes_fall_into_them(tmp_path: Path) -> None:
    store, _ = ingest(tmp_path)
    frames = read_table(store, "FRAMES").to_pylist()
    front = [f for f in frames if f["kind"] == "rgb"]
    assert [f["media_sha256"] for f in front] == [sha256_hex(jpeg(k)) for k in range(20)]
    assert store.get(media_key(front[3]["media_sha256"], "jpg")) == jpeg(3)
    depth = next(f for f in frames if f["kind"] == "depth")
    assert (depth["ext"], depth["width_px"], depth["fx_px"], front[0]["fx_px"]) == ("png", 32, 25.0, 50.0)
    boxes = image_boxes([r for r in read_table(store, "TRACKS").to_pylist() if r["t_ns"] == T0_NS], front[0])
    assert {box.cls for box in boxes} == {"car", "pedestrian"}
    assert all(box.x0_px + box.x1_px < 64 for box in boxes), "both are to the left of the optical axis"


def spoil(topic: str, **fields: Any) -> Change:
    """Changes fields of one topic's messages from the 0.5th second on."""

    def change(name: str, t_ns: int, item: Any) -> Any:
        return item | fields if name == topic and t_ns - T0_NS >= 500 * MS else item

    return change


@pytest.mark.parametrize(
    ("topic", "fields", "words"),
    [
        ("/ego/state", {"speed_mps": math.nan}, ["/ego/state", "speed_mps", "nan", str(T0_NS + 500 * MS)]),
        ("/imu", {"az_mps2": math.inf}, ["/imu", "az_mps2", "inf"]),
        ("/environment", {"rain_mmph": "much"}, ["/environment", "rain_mmph", "number"]),
        ("/ego/state", {"ax_mps2": 55.0}, ["limits", "ax_mps2", "55"]),
        ("/ego/state", {"speed_mps": 120.0}, ["limits", "speed_mps"]),
        ("/lights", {"state": "purple"}, ["/lights", "purple", "green"]),
        ("/lane", {"lane_id": None}, ["/lane", "lane_id", "missing"]),
        ("/lane", {"lane_index": "left"}, ["/lane", "lane_index"]),
    ],
)  # fmt: skip
def test_spoilt_values_are_named(tmp_path: Path, topic: str, fields: dict[str, Any], words: list[str]) -> None:
    text = reason(tmp_path, camera=False, change=spoil(topic, **fields))
    assert all(word in text for word in words), text


def test_speed_in_kmh_is_refused(tmp_path: Path) -> None:
    text = reason(
        tmp_path, camera=False, seconds=4.0, change=lambda topic, _, item: item | {"speed_mps": 36.0} if topic == "/ego/state" else item
    )
    assert "travel" in text
    assert "m/s" in text


def test_a_time_that_goes_back_is_refused(tmp_path: Path) -> None:
    items = sorted(drive_items(2.0, 10.0, camera=False), key=lambda item: item[1])
    items.append(("/imu", T0_NS, {"az_mps2": 9.8}))
    logs = tmp_path / "logs"
    logs.mkdir()
    write_log(logs / "a.mcap", items, metadata=METADATA, compression=CompressionType.ZSTD)
    store = DiskStore(tmp_path / "root")
    report = ingest_batch(store, land(store, logs))
    assert "/imu: time does not advance" in report.quarantined[0].reason


def test_seconds_instead_of_nanoseconds_are_refused(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    items = [(topic, t // 10**6, item) for topic, t, item in drive_items(2.0, 10.0, camera=False) if topic == "/ego/state"]
    write_log(logs / "a.mcap", items, metadata=METADATA, compression=CompressionType.ZSTD)
    store = DiskStore(tmp_path / "root")
    assert "not nanoseconds" in ingest_batch(store, land(store, logs)).quarantined[0].reason


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({key: value for key, value in METADATA.items() if key != "place"}, "place"),
        (METADATA | {"vehicle_id": "a|b"}, "without '|'"),
        (METADATA | {"day": "9.10.2025"}, "day"),
    ],
)  # fmt: skip
def test_the_split_group_must_be_known(tmp_path: Path, metadata: dict[str, str] | None, words: str) -> None:
    assert words in reason(tmp_path, camera=False, metadata=metadata)


def test_too_short_drives_are_refused(tmp_path: Path) -> None:
    assert "duration" in reason(tmp_path, seconds=0.5, camera=False)


def test_a_camera_that_shows_nothing_is_reported_and_a_broken_one_refused(tmp_path: Path) -> None:
    import cv2

    black = cv2.imencode(".jpg", np.zeros((36, 64, 3), np.uint8))[1].tobytes()

    def blacken(topic: str, _: int, item: Any) -> Any:
        if topic == "/camera/front":
            item.data = black
        return item

    def shatter(topic: str, _: int, item: Any) -> Any:
        if topic == "/camera/front":
            item.data = b"\xff\xd8\xff" + b"not a picture" * 9
        return item

    _, report = ingest(tmp_path, change=blacken)
    assert "black" in [w.gate for w in report.warnings]
    (tmp_path / "again").mkdir()
    assert "unreadable images" in reason(tmp_path / "again", change=shatter)


def test_one_unreadable_image_is_left_out_and_reported(tmp_path: Path) -> None:
    def cut(topic: str, t_ns: int, item: Any) -> Any:
        if topic == "/camera/front" and t_ns == T0_NS + 305 * MS:
            item.data = item.data[:20]
        return item

    _, report = ingest(tmp_path, change=cut)
    assert report.rows["FRAMES"] == 21
    assert report.drives == 1
    assert "1 unreadable" in report.warnings[0].message


def test_a_camera_without_calibration_is_reported(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, change=lambda topic, _, item: None if topic.endswith("calibration") else item)
    assert [w.gate for w in report.warnings] == ["calibration"]
    assert read_table(store, "FRAMES")["fx_px"].null_count == 22


def test_a_camera_that_cannot_be_is_refused(tmp_path: Path) -> None:
    def tilt(topic: str, _: int, item: Any) -> Any:
        if topic == "/tf":
            item.rotation.w = math.nan
        return item

    assert "camera front" in reason(tmp_path, change=tilt)


def test_unknown_topics_are_reported_and_kept_in_landing(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    items = sorted(drive_items(2.0, 10.0, camera=False), key=lambda item: item[1])
    write_log(logs / "a.mcap", [*items, ("/radar", T0_NS, {"range_m": 1.0})], metadata=METADATA, compression=CompressionType.ZSTD)
    store = DiskStore(tmp_path / "root")
    report = ingest_batch(store, land(store, logs))
    assert [(w.gate, "/radar (1)" in w.message) for w in report.warnings] == [("topics", True)]


def test_damage_is_quarantined_and_the_batch_goes_on(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    whole = make_mcap(logs / "whole.mcap").read_bytes()
    flipped = bytearray(whole)
    flipped[2000] ^= 0xFF  # inside the first chunk
    spoilt = {
        "cut.mcap": whole[: len(whole) // 2], "header.mcap": whole[:8], "flipped.mcap": bytes(flipped),
        "magic.mcap": whole[:8] + b"\xff" * 64, "huge.mcap": whole[:8] + b"\x06" + b"\xff" * 8,
        "random.mcap": np.random.default_rng(1).bytes(5000), "empty.mcap": b"", "notes.txt": b"hello",
    }  # fmt: skip
    for name, data in spoilt.items():
        (logs / name).write_bytes(data)
    store = DiskStore(tmp_path / "root")
    report = ingest_batch(store, land(store, logs))
    assert report.drives == 1
    reasons = {q.name: q for q in report.quarantined}
    assert set(reasons) == set(spoilt)
    assert all(q.kind == "BadData" for q in reasons.values()), {q.name: (q.kind, q.reason) for q in reasons.values()}
    for name in ("notes.txt", "random.mcap", "empty.mcap"):
        assert "no known log format (mcap, " in reasons[name].reason
    for name in ("cut.mcap", "header.mcap", "flipped.mcap", "huge.mcap", "magic.mcap"):
        assert "damaged or cut off MCAP" in reasons[name].reason
    for log in read_manifest(store, report.batch_id):
        assert all(sha256_hex(store.get(file.key)) == file.sha256 for file in log.files)


def test_the_same_recording_under_two_names_is_one_drive(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    data = make_mcap(logs / "a.mcap", camera=False).read_bytes()
    (logs / "copy.mcap").write_bytes(data)
    store = open_store(tmp_path / "root")
    first = ingest_batch(store, land(store, logs))
    assert (first.drives, first.rows["DRIVES"]) == (1, 1)
    assert [(d.name, d.batch_id) for d in first.duplicates] == [("copy.mcap", first.batch_id)]
    make_mcap(logs / "new.mcap", camera=False, speed_mps=12.0)
    second = ingest_batch(store, land(store, logs))
    assert second.batch_id != first.batch_id
    assert (second.drives, second.rows["DRIVES"]) == (1, 1)
    assert {d.name for d in second.duplicates} == {"a.mcap", "copy.mcap"}
    assert len(read_table(store, "DRIVES")) == 2
