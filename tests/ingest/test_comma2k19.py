"""comma2k19 segments: clock, axes, place, radar tracks and counts on a made segment and on the real one; damage is named."""

import os
from pathlib import Path

import numpy as np
import pytest

from flywheel.ingest import comma2k19_pose as pose
from flywheel.ingest.comma2k19_clock import EPOCH_2000_NS, choose
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table
from flywheel.video import still
from tests.ingest import make_comma2k19 as made
from tests.ingest.make_video import elementary, number_in

REAL = Path(os.environ.get("FLYWHEEL_REAL_DATA", Path(__file__).parents[2] / "../shared/data"), "comma2k19_example_seg40")
UTC_NS = int(made.UTC_S) * 10**9


def ingest(folder: Path, logs: Path) -> tuple[DiskStore, IngestReport]:
    """A fresh store and what became of the logs."""
    store = DiskStore(folder / "root")
    return store, ingest_batch(store, land(store, logs))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DiskStore:
    """A store with the made segment."""
    folder = tmp_path_factory.mktemp("comma2k19")
    found, report = ingest(folder, made.make_comma2k19(folder / "logs", route=True))
    assert report.quarantined == ()
    assert [w.gate for w in report.warnings] == ["camera"]
    return found


def test_the_drive_says_who_when_and_how_well_it_knows(store: DiskStore) -> None:
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert drive["source_format"] == "comma2k19"
    assert drive["root_group"] == "b0c9d2329ad1606b|2018-08-02|lat37.7_lon-122.5"
    assert (drive["clock"], drive["t0_ns"]) == ("boot+gnss", UTC_NS)
    assert drive["clock_error_ns"] == pytest.approx(made.LATE_S * 1e9, rel=0.01), "the live receiver is that much later than the solution"
    assert set(drive["derived"]) >= {"ax_mps2", "ay_mps2", "yaw_rate_radps", "x_m", "heading_rad", "TRACKS.vx_mps"}
    assert "speed_mps" not in drive["derived"]


def test_ego_signals_are_in_our_axes_and_units(store: DiskStore) -> None:
    signals = read_table(store, "SIGNALS").to_pandas()
    t_s = (signals.t_ns - UTC_NS) / 1e9
    seen = signals.speed_mps.notna()
    assert seen.sum() == made.SPEEDS
    # A CAN sample may stand on an IMU row up to half a CAN period away.
    assert np.abs(signals.speed_mps[seen] - made.speed_at(t_s[seen])).max() < 0.02
    assert signals.ax_mps2[seen].to_numpy() == pytest.approx(np.full(made.SPEEDS, made.ACCELERATION_MPS2), abs=0.1)
    assert set(signals.steering_wheel_rad.dropna()) == {np.radians(4.0)}
    assert (signals.imu_ax_mps2.dropna().unique(), signals.imu_ay_mps2.dropna().unique()) == ([made.ACCELERATION_MPS2], [-0.3])
    assert (signals.imu_az_mps2.dropna().unique(), signals.imu_yaw_rate_radps.dropna().unique()) == ([9.81], [made.YAW_RATE_RADPS])


def test_poses_become_the_rear_axles_place_and_heading_without_the_cameras_mount(store: DiskStore) -> None:
    signals = read_table(store, "SIGNALS").to_pandas().dropna(subset=["x_m"])
    t_s = ((signals.t_ns - UTC_NS) / 1e9).to_numpy()
    assert len(signals) == made.POSES
    # Turning while it moves, the camera's velocity is turned against the car's by yaw rate x 2.1 m / speed: 0.001 rad.
    assert signals.heading_rad.to_numpy() == pytest.approx(made.heading_at(t_s), abs=0.002)
    assert signals.yaw_rate_radps.to_numpy() == pytest.approx(np.full(made.POSES, made.YAW_RATE_RADPS), abs=1e-4)
    assert signals.ay_mps2.to_numpy() == pytest.approx(made.speed_at(t_s) * made.YAW_RATE_RADPS, abs=1e-3)
    gone = np.hypot(np.diff(signals.x_m), np.diff(signals.y_m)).sum()
    assert gone == pytest.approx(made.START_MPS * t_s[-1] + made.ACCELERATION_MPS2 * t_s[-1] ** 2 / 2, rel=1e-3)
    assert (signals.x_m.iloc[0], signals.y_m.iloc[0]) == pytest.approx((0.0, -2.1), abs=0.05)


def test_gnss_fixes_stand_at_their_own_time_not_at_that_of_the_message(store: DiskStore) -> None:
    fixes = read_table(store, "SIGNALS").to_pandas().dropna(subset=["lat_deg"])
    t_s = ((fixes.t_ns - UTC_NS) / 1e9).to_numpy()
    assert fixes.lat_deg.to_numpy() == pytest.approx(37.72 + np.degrees(made.START_MPS * t_s / 6_378_137.0), abs=1e-7)
    sensor = next(row for row in read_table(store, "SENSORS").to_pylist() if row["sensor"] == "GNSS/live_gnss_ublox")
    assert sensor["offset_ms"] == pytest.approx(made.LATE_S * 1e3, abs=1)


def test_radar_slots_become_tracks_that_move_over_ground(store: DiskStore) -> None:
    tracks = read_table(store, "TRACKS").to_pandas()
    assert {(name, cls) for name, cls in zip(tracks.track_id, tracks.cls, strict=True)} == {
        ("radar-210-0", "car"), ("radar-211-0", "other"), ("radar-211-1", "other")}  # fmt: skip
    assert tracks.groupby("t_ns").size().unique() == [2], "the rows of one sweep have one time"
    lead = tracks[tracks.cls == "car"]
    assert lead.vx_mps.to_numpy() == pytest.approx(np.full(made.SWEEPS, made.LEAD_MPS), abs=0.02)
    assert lead.vy_mps.to_numpy() == pytest.approx(made.YAW_RATE_RADPS * (lead.x_m.to_numpy() - 2.25), abs=1e-3)
    assert (lead.x_m.iloc[0], lead.y_m.iloc[0]) == (made.LEAD_M + 3.6 + 2.25, 0.5)
    assert np.abs(tracks[tracks.cls == "other"].vx_mps).max() < 0.05
    assert set(tracks.position_sigma_m) == {1.0}


def test_every_channel_beats(store: DiskStore) -> None:
    samples = {row["sensor"]: row["samples"] for row in read_table(store, "SENSORS").to_pylist()}
    assert (samples["CAN/raw_can"], samples["global_pose"], samples["CAN/wheel_speed"]) == (made.RAW, made.POSES, made.SPEEDS)


def test_the_video_is_indexed_at_its_frame_times_and_decodes_to_the_exact_picture(tmp_path: Path) -> None:
    folder = made.make_comma2k19(tmp_path / "logs")
    packets = elementary("h265", frames=made.POSES, gop=30, b_frames=0)
    (folder / "video.hevc").write_bytes(b"".join(data for _, data in packets))
    store, report = ingest(tmp_path, folder)
    assert (report.quarantined, report.warnings) == ((), ())
    frames = read_table(store, "FRAMES").to_pylist()
    assert [row["t_ns"] for row in frames] == [UTC_NS + k * 50_000_000 for k in range(made.POSES)]
    assert {(row["camera"], row["ext"], row["fx_px"]) for row in frames} == {("road", "h265", None)}
    assert [k for k, row in enumerate(frames) if row["keyframe"]] == [0, 30, 60, 90]
    assert number_in(still(store, frames[47]).data) == 47
    (folder / "video.hevc").write_bytes(b"".join(data for _, data in packets[:60]))
    _, report = ingest(tmp_path / "cut", folder)
    assert "the video is cut off" in report.quarantined[0].reason


def test_without_any_gnss_time_counts_from_2000_with_a_warning(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, made.make_comma2k19(tmp_path / "logs", poses=False, gnss=False))
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["clock"], drive["clock_error_ns"], drive["day"]) == ("relative", None, "2000-01-01")
    assert (drive["vehicle_id"], drive["place"]) == ("comma2k19", "unknown")
    assert "clock" in {w.gate for w in report.warnings}


def test_the_solution_is_believed_only_where_the_receivers_agree() -> None:
    live = {"live_gnss_ublox": (10**18, 5_000_000), "live_gnss_qcom": (10**18 + 56_000_000, 6_000_000)}
    assert choose(live, 10**18 + 204_000_000)[:2] == (10**18 + 204_000_000, 209_000_000)
    assert choose(live, None)[:2] == (10**18, 250_000_000)
    off = choose(live, 10**18 + 2 * 10**9)
    assert off.offset_ns == 10**18
    assert "disagree by 2.0 s" in off.findings[0].message
    assert choose({}, None).offset_ns == EPOCH_2000_NS


def test_a_phone_mounted_otherwise_is_noticed(tmp_path: Path) -> None:
    folder = made.make_comma2k19(tmp_path / "logs")
    t_s = np.arange(made.IMU) / 100
    made.channel(folder, "IMU/accelerometer", t_s, np.column_stack([np.sin(20 * t_s), np.zeros(made.IMU), np.full(made.IMU, -9.81)]))
    can = np.arange(made.SPEEDS) / 80
    made.channel(folder, "CAN/speed", can, (10 + 3 * np.sin(2 * can))[:, None])
    _, report = ingest(tmp_path, folder)
    assert "imu" in {w.gate for w in report.warnings}


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("processed_log/CAN/speed/value", np.ones((3, 1)), "480"),
        ("processed_log/CAN/speed/value", np.full((480, 1), np.nan), "finite"),
        ("processed_log/CAN/speed/t", np.arange(480.0)[::-1].copy(), "time goes back"),
        ("processed_log/IMU/gyro/value", np.ones((600, 2)), "at least 3"),
        ("processed_log/GNSS/live_gnss_ublox/t", np.full(58, np.inf), "finite"),
        ("global_pose/frame_orientations", np.ones((120, 4)), "unit quaternion"),
        ("global_pose/frame_positions", np.ones((120, 3)), "earth's centre"),
        ("processed_log/CAN/raw_can/t", np.full(900, np.nan), "finite"),
        ("processed_log/CAN/steering_angle/value", np.array([b"x"] * 480), "numbers are needed"),
    ],
)  # fmt: skip
def test_arrays_that_are_wrong_are_named(tmp_path: Path, name: str, values: np.ndarray, words: str) -> None:
    folder = made.make_comma2k19(tmp_path / "logs")
    made.put(folder, name, values)
    _, report = ingest(tmp_path, folder)
    assert report.drives == 0
    assert report.quarantined[0].kind == "BadData"
    assert words in report.quarantined[0].reason
    assert name.split("/")[1] in report.quarantined[0].reason


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,), }", "cut off or damaged"),
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "only numbers"),
        (b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", "only numbers"),
        (b"__import__('os').mkdir('owned')", "not a NumPy array"),
        (b"(" * 5000, "not a NumPy array"),
        (b"", "not a NumPy array"),
    ],
)  # fmt: skip
def test_hostile_headers_are_refused(tmp_path: Path, header: bytes, words: str) -> None:
    folder = made.make_comma2k19(tmp_path / "logs")
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64
    (folder / "processed_log/CAN/speed/value").write_bytes(data)
    _, report = ingest(tmp_path, folder)
    assert report.quarantined[0].kind == "BadData"
    assert words in report.quarantined[0].reason


def test_geodetic_latitude_of_known_places() -> None:
    """The pole, the equator, and a round trip at 45 degrees and 1000 m."""
    assert np.degrees(pose.geodetic(np.array([0.0, 0.0, 6_356_752.3142]))[0]) == pytest.approx(90)
    assert np.degrees(pose.geodetic(np.array([0.0, 6_378_137.0, 0.0]))) == pytest.approx((0, 90))
    lat, radius = np.radians(45), 6_378_137.0 / np.sqrt(1 - 0.00669437999014 * 0.5)
    place = np.array([(radius + 1000) * np.cos(lat), 0.0, (radius * 0.99330562000986 + 1000) * np.sin(lat)])
    assert pose.geodetic(place)[0] == pytest.approx(lat, abs=1e-9)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recording at {REAL}: set FLYWHEEL_REAL_DATA")
def test_the_real_segment(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, REAL)
    assert report.quarantined == ()
    assert {w.gate for w in report.warnings} == {"camera"}
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert drive["duration_s"] == pytest.approx(60, abs=0.2)
    assert (drive["day"], drive["clock"]) == ("2018-08-02", "boot+gnss")
    assert drive["clock_error_ns"] < 250_000_000
    samples = {row["sensor"]: row["samples"] for row in read_table(store, "SENSORS").to_pylist()}
    assert (samples["global_pose"], samples["CAN/raw_can"], samples["CAN/speed"]) == (1200, 135_468, 4974)
    assert (samples["IMU/gyro"], samples["CAN/radar"], samples["GNSS/live_gnss_ublox"]) == (6256, 10_100, 579)
    signals = read_table(store, "SIGNALS").to_pandas()
    assert signals.speed_mps.notna().sum() == 4974
    ax, yaw = signals.dropna(subset=["ax_mps2"]), signals.dropna(subset=["yaw_rate_radps"])
    assert -3 < ax.ax_mps2.min() < ax.ax_mps2.max() < 3, "a naive difference swings from -4.4 to +6.0"
    gyro = signals.dropna(subset=["imu_yaw_rate_radps"])
    smooth = np.convolve(gyro.imu_yaw_rate_radps, np.ones(51) / 51, "same")
    assert np.corrcoef(np.interp(yaw.t_ns, gyro.t_ns, smooth), yaw.yaw_rate_radps)[0, 1] > 0.9, "the gyro's axes are those stated"
    path = signals.dropna(subset=["x_m"])
    assert np.hypot(np.diff(path.x_m), np.diff(path.y_m)).sum() == pytest.approx(drive["distance_m"], rel=0.02)
    tracks = read_table(store, "TRACKS").to_pandas()
    assert tracks.track_id.nunique() == 123
    assert tracks.vx_mps.min() > -1, "what stands still beside the road does not move over ground"
