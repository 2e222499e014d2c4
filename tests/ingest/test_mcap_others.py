"""MCAP logs of other makers: schemas decide what a topic is for; what they lack is worked out, and said so."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.writer import Writer

from flywheel.ingest.land import land
from flywheel.ingest.mcap_others import class_of
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore, media_key
from flywheel.tables import read_table
from flywheel.types import sha256_hex
from tests.ingest.make_mcap import METADATA, T0_NS, drive_items, jpeg, make_mcap, register
from tests.ingest.make_mcap_other import CAR_MPS, SPEED_MPS, ego_at, make_other
from tests.ingest.make_rosbag import T0_NS as ROS_T0_NS
from tests.ingest.make_rosbag import Ros, Said, drive, make_db3, make_rosbag1
from tests.ingest.make_video import make_video


def ingest(tmp_path: Path, **options: Any) -> tuple[DiskStore, IngestReport]:
    """A store that holds one made drive, and the report."""
    (tmp_path / "logs").mkdir()
    return landed(tmp_path, make_other(tmp_path / "logs" / "o.mcap", **options))


def landed(tmp_path: Path, file: Path) -> tuple[DiskStore, IngestReport]:
    """A store that holds one log, and the report."""
    store = DiskStore(tmp_path / "root")
    return store, ingest_batch(store, land(store, file))


@pytest.mark.parametrize(
    "options", [{}, {"as_json": True}, {"indexed": False}, {"poses": "pose"}], ids=["protobuf", "json", "no index", "pose messages"]
)  # fmt: skip
def test_poses_become_signals_and_boxes_of_the_map_come_into_the_ego_frame(tmp_path: Path, options: dict[str, Any]) -> None:
    store, report = ingest(tmp_path, **options)
    assert report.quarantined == ()
    assert [w.gate for w in report.warnings if w.gate in ("facts", "calibration", "tracks")] == ["facts"]
    assert report.rows == {"DRIVES": 1, "SIGNALS": 300, "TRACKS": 120, "LIGHTS": 0, "LANES": 0, "FRAMES": 60}
    drive = read_table(store, "DRIVES").to_pylist()[0]
    said = (drive["vehicle_id"], drive["place"], drive["day"], drive["clock"])
    assert said == ("unknown-vehicle", "lat1.3_lon103.8", "2025-10-09", "utc")
    assert {"speed_mps", "yaw_rate_radps", "TRACKS.vx_mps"} <= set(drive["derived"])
    signals = read_table(store, "SIGNALS").to_pylist()
    assert all(abs(row["speed_mps"] - SPEED_MPS) < 0.01 for row in signals)
    assert sum(row["lat_deg"] is not None for row in signals) == 60
    for row in read_table(store, "TRACKS").to_pylist():
        check_box(row)
    frames = read_table(store, "FRAMES").to_pylist()
    assert {f["camera"] for f in frames} == {"CAM_FRONT"}
    assert frames[0]["fx_px"] == 50.0
    assert frames[0]["cam_x_m"] == 1.5
    assert store.get(media_key(sha256_hex(jpeg(7)), "jpg")) == jpeg(7)


def check_box(row: dict[str, Any]) -> None:
    """The box as the ego sees it from where it is at that moment."""
    t_s = (row["t_ns"] - T0_NS) / 1e9
    x, y, heading = ego_at(t_s)
    world = (1030 + CAR_MPS * t_s, 4.0) if row["cls"] == "car" else (1010.0, -3.0)
    ahead, aside = world[0] - x, world[1] - y
    c, s = math.cos(heading), math.sin(heading)
    assert (row["x_m"], row["y_m"]) == pytest.approx((c * ahead + s * aside, -s * ahead + c * aside), abs=0.01)
    moves = CAR_MPS if row["cls"] == "car" else 0.0
    assert (row["vx_mps"], row["vy_mps"]) == pytest.approx((c * moves, -s * moves), abs=0.02)


def test_without_poses_speed_and_course_come_from_the_fixes_and_boxes_of_the_map_are_left_out(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, poses="none")
    texts = {w.gate: w.message for w in report.warnings}
    assert "120 boxes in frame 'map', which nothing relates to the ego's" in texts["tracks"]
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert {"speed_mps", "x_m", "y_m", "heading_rad"} <= set(drive["derived"])
    signals = read_table(store, "SIGNALS").to_pylist()
    assert len(signals) == 60
    assert all(abs(row["speed_mps"] - SPEED_MPS) < 0.1 for row in signals)
    for row in signals[10:-10]:
        assert row["heading_rad"] == pytest.approx(ego_at((row["t_ns"] - T0_NS) / 1e9)[2], abs=0.01)


def test_boxes_of_the_ego_frame_get_the_ego_s_own_motion(tmp_path: Path) -> None:
    store, _ = ingest(tmp_path, boxes_in="base_link")
    rows = [row for row in read_table(store, "TRACKS").to_pylist() if row["cls"] == "pedestrian"]
    yaw_rate = SPEED_MPS / 60.0
    for row in rows:
        assert row["x_m"] == 1010.0
        assert (row["vx_mps"], row["vy_mps"]) == pytest.approx((SPEED_MPS + 3.0 * yaw_rate, yaw_rate * 1010.0), rel=0.01)


def test_times_of_no_wall_clock_are_set_to_begin_in_2000(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, t0_ns=5_000_000_000, metadata={"vehicle-name": "truck 7", "license": "CC-BY-4.0"})
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["clock"], drive["day"], drive["vehicle_id"], drive["licence"]) == ("relative", "2000-01-01", "truck 7", "CC-BY-4.0")
    assert "clock" in {w.gate for w in report.warnings}


def test_video_is_cut_into_segments_whose_packets_the_rows_point_to(tmp_path: Path) -> None:
    packets = [data for _, data in make_video(io.BytesIO(), frames=130, fps=10, gop=10, b_frames=0, container="h264")]
    store, report = ingest(tmp_path, seconds=13.0, packets=packets)
    frames = read_table(store, "FRAMES").to_pylist()
    assert report.rows["FRAMES"] == 130
    assert len({f["media_sha256"] for f in frames}) == 2, "the first keyframe after ten seconds begins a new segment"
    for frame, packet in zip(frames, packets, strict=True):
        segment = store.get(media_key(frame["media_sha256"], "h264"))
        assert segment[frame["video_offset"] : frame["video_offset"] + frame["video_bytes"]] == packet
    assert [f["keyframe"] for f in frames] == [k % 10 == 0 for k in range(130)]
    assert [f["t_ns"] for f in frames] == sorted(f["t_ns"] for f in frames)


def test_a_log_without_a_topic_of_use_names_what_it_holds(tmp_path: Path) -> None:
    with (tmp_path / "u.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        schema = writer.register_schema("acme.Lidar", "protobuf", b"")
        channel = writer.register_channel("/lidar", "protobuf", schema)
        writer.add_message(channel, log_time=T0_NS, publish_time=T0_NS, data=b"1")
        writer.finish()
    _, report = landed(tmp_path, tmp_path / "u.mcap")
    assert "no topic can be used: /lidar (acme.Lidar, protobuf)" in report.quarantined[0].reason


def test_a_log_cut_anywhere_stays_in_quarantine_and_says_so(tmp_path: Path) -> None:
    whole = make_mcap(tmp_path / "w.mcap").read_bytes()
    (tmp_path / "logs").mkdir()
    for tenth in range(1, 11):
        (tmp_path / "logs" / f"{tenth}.mcap").write_bytes(whole[: len(whole) * tenth // 10 - 1])
    _, report = landed(tmp_path, tmp_path / "logs")
    assert report.drives == 0
    assert all("damaged or cut off MCAP near byte" in q.reason for q in report.quarantined)
    assert len(report.quarantined) == 10


def test_words_for_classes() -> None:
    said = {"vehicle.car": "car", "VEHICLE_TRUCK": "truck", "human.pedestrian.adult": "pedestrian", "MotorCyclist": "cyclist", "Bus": "bus"}
    assert {word: class_of(word) for word in said} == said
    assert class_of("movable_object.barrier") == "other"
    assert class_of("") == "other"


def test_the_tables_do_not_depend_on_the_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
        make_mcap(tmp_path / name / "a.mcap", seconds=12.0)
        make_other(tmp_path / name / "b.mcap", seconds=12.0)
        if name == "cut":
            monkeypatch.setattr("flywheel.ingest.mcap_log.WINDOW_NS", 3 * 10**9)
        store, report = landed(tmp_path / name, tmp_path / name)
        assert report.drives == 2
        tables.append([read_table(store, table) for table in ("SIGNALS", "TRACKS", "FRAMES", "LIGHTS", "LANES", "SENSORS")])
    for whole, cut in zip(*tables, strict=True):
        for column in whole.column_names:
            a, b = whole[column].to_pylist(), cut[column].to_pylist()
            if a != b:
                np.testing.assert_allclose(np.array(a, float), np.array(b, float), atol=1e-7, err_msg=column)


def test_metadata_of_the_fleet_still_counts(tmp_path: Path) -> None:
    store, _ = landed(tmp_path, make_mcap(tmp_path / "f.mcap", camera=False))
    assert read_table(store, "DRIVES").to_pylist()[0]["vehicle_id"] == METADATA["vehicle_id"]


def ros_channels(writer: Writer, ros: Ros, said: list[Said], *, encoding: str) -> None:
    """Writes ROS messages into an MCAP as `ros2 bag record` (cdr) or a converter (ros1) does."""
    ids: dict[str, int] = {}
    for topic, kind, t_ns, message in said:
        if topic not in ids:
            text = ros.store.generate_msgdef(kind, ros_version=2 if encoding == "cdr" else 1)[0].encode()
            schema = writer.register_schema(kind, "ros2msg" if encoding == "cdr" else "ros1msg", text)
            ids[topic] = writer.register_channel(topic, encoding, schema)
        data = ros.store.serialize_cdr(message, kind) if encoding == "cdr" else ros.store.serialize_ros1(message, kind)
        writer.add_message(ids[topic], log_time=t_ns, publish_time=t_ns, data=bytes(data))


@pytest.mark.parametrize("encoding", ["cdr", "ros1"])
def test_ros_channels_give_what_the_same_bag_gives(tmp_path: Path, encoding: str) -> None:
    ros = Ros(2 if encoding == "cdr" else 1)
    said = drive(ros, seconds=6.0)
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "r.mcap").open("wb") as stream:
        writer = Writer(stream, chunk_size=64 * 1024)
        writer.start("ros2" if encoding == "cdr" else "ros1")
        ros_channels(writer, ros, said, encoding=encoding)
        writer.finish()
    store, report = landed(tmp_path, tmp_path / "logs" / "r.mcap")
    assert report.quarantined == ()
    (tmp_path / "bag").mkdir()
    bag = make_db3(tmp_path / "bag" / "d.db3", said=said) if encoding == "cdr" else make_rosbag1(tmp_path / "bag", said=said)
    bag_store, bagged = landed(tmp_path / "bag", bag)
    assert report.rows == bagged.rows
    for table in ("SIGNALS", "TRACKS", "FRAMES"):
        ours, theirs = (read_table(s, table).drop_columns(["drive_id"]) for s in (store, bag_store))
        assert ours.equals(theirs), table


def test_encodings_mix_in_one_file(tmp_path: Path) -> None:
    ros = Ros(2)
    said = [s._replace(t_ns=s.t_ns - ROS_T0_NS + T0_NS) for s in drive(ros, seconds=6.0) if "image" in s.topic.lower()]
    assert said
    (tmp_path / "logs").mkdir()
    with (tmp_path / "logs" / "m.mcap").open("wb") as stream:
        writer = Writer(stream, chunk_size=64 * 1024)
        writer.start()
        writer.add_metadata("flywheel.drive", METADATA)
        ros_channels(writer, ros, said, encoding="cdr")
        ids: dict[str, int] = {}
        for topic, t_ns, item in sorted(drive_items(6.0, 10.0, camera=False), key=lambda item: item[1]):
            if topic not in ids:
                ids[topic] = register(writer, topic, item)
            data = json.dumps(item).encode() if isinstance(item, dict) else item.SerializeToString()
            writer.add_message(ids[topic], log_time=t_ns, publish_time=t_ns, data=data)
        writer.finish()
    _, report = landed(tmp_path, tmp_path / "logs" / "m.mcap")
    assert report.quarantined == ()
    assert (report.rows["SIGNALS"], report.rows["TRACKS"]) == (601, 122)
    assert report.rows["FRAMES"] == len(said)
