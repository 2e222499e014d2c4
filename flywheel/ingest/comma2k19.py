"""comma2k19 segments (comma.ai, MIT): a minute of CAN, phone IMU, GNSS and camera poses as NumPy arrays, to a drive.

speed_mps is the CAN's own; ax_mps2 is its derivative (parabola over +-0.5 s), because a difference of neighbours swings by 10 m/s2 on its
0.01 m/s steps. The CAN gives the angle of the steering wheel; the log states no ratio to the road wheels.
The phone's axes are [forward, right, down] (the dataset's README), so ours are (x, -y, -z); the phone's small tilt is not taken out, and
gravity stays in imu_az_mps2. Each segment is checked for it: `imu_findings`.
"""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest import comma2k19_can as can
from flywheel.ingest import comma2k19_radar as radar
from flywheel.ingest import comma2k19_video as video
from flywheel.ingest.comma2k19_arrays import Channel, boot_seconds, load_channel, numbers, rising
from flywheel.ingest.comma2k19_clock import LIVE, Clock, load_clock, utc_ns
from flywheel.ingest.comma2k19_pose import Poses, load_poses
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.kinematics import derivative
from flywheel.ingest.mapping import CanMapping
from flywheel.ingest.signals import Stream, signals_table
from flywheel.ingest.whereabouts import day_of, tenth_of_a_degree

Array = NDArray[np.float64]

ROOT = re.compile(r"(?P<root>(?:.*/)?)(?:processed_log/(?:CAN|IMU|GNSS)/\w+/\w+|global_pose/frame_\w+)")
CHANNEL = re.compile(r"processed_log/((?:CAN|IMU|GNSS)/\w{1,60})/t")
ROUTE = re.compile(r"(?:^|/)([0-9a-f]{16})(?:%7C|\||_)\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d", re.IGNORECASE)
ACCELERATION_WINDOW_S = 0.5
MIN_CORRELATION, MIN_ACCELERATION, MIN_YAW_RATE = 0.4, 0.5, 0.03


def matches(log: Log) -> bool:
    """Whether the log is a folder with arrays where comma2k19 has them."""
    if log.is_file:
        return False
    known = [path for path in log.paths if CHANNEL.fullmatch(path) or path == "global_pose/frame_times"]
    return any(log.head(path, size=6) == b"\x93NUMPY" for path in sorted(known)[:3])


def read(log: Log) -> Iterator[Item]:
    """The drive of a segment; BadData names the array of what is wrong."""
    channels = load_channels(log)
    clock = load_clock(log, _receivers(channels))
    poses = load_poses(log)
    decoded = can.decode(log, clock)
    own = can.without(list(ego_streams(channels, clock, poses)), decoded.streams)
    streams = [*own, *decoded.streams]
    if not streams:
        raise BadData("processed_log and global_pose hold no speed, steering, IMU, GNSS fix or pose: there is no ego state")
    yield facts(log, channels, clock, own or streams, decoded.mapping)
    yield from (*clock.findings, *decoded.findings)
    yield from imu_findings(channels, poses)
    yield Rows("SIGNALS", signals_table(streams))
    yield from _tracks(channels, clock, poses)
    yield from beats(log, channels, clock)
    yield from video.items(log, clock)


def media(log: Log) -> Iterator[Blob]:
    """The segments of the camera's video."""
    return video.media(log, load_clock(log, _receivers(load_channels(log))))


def _receivers(channels: dict[str, Channel]) -> dict[str, Channel]:
    return {name: channels[f"GNSS/{name}"] for name in LIVE if f"GNSS/{name}" in channels}


def load_channels(log: Log) -> dict[str, Channel]:
    """Every channel with t and value, by its place below processed_log/; those that feed signals with rising times and finite values."""
    least = {"CAN/speed": 1, "CAN/steering_angle": 1, "IMU/accelerometer": 3, "IMU/gyro": 3, **{f"GNSS/{name}": 6 for name in LIVE}}
    found: dict[str, Channel] = {}
    for name in sorted(match[1] for path in log.paths if (match := CHANNEL.fullmatch(path))):
        columns = radar.COLUMNS if name == "CAN/radar" else least.get(name)
        channel = load_channel(log, f"processed_log/{name}", columns=columns)
        if channel is not None and len(channel.t_s):
            found[name] = rising(channel) if name in least else channel
    return found


def ego_streams(channels: dict[str, Channel], clock: Clock, poses: Poses | None) -> Iterator[Stream]:
    """The streams that make SIGNALS, the fastest first."""
    for name, columns in EGO.items():
        if name in channels:
            yield _stream(clock.ns(channels[name].t_s), columns(channels[name]))
    if poses is not None:
        speed = channels.get("CAN/speed")
        centripetal = {} if speed is None else {"ay_mps2": np.interp(poses.t_s, speed.t_s, speed.values[:, 0]) * poses.yaw_rate_radps}
        place = {"x_m": poses.place_m[:, 0], "y_m": poses.place_m[:, 1], "heading_rad": poses.heading_rad}
        yield _stream(clock.ns(poses.t_s), place | centripetal | {"yaw_rate_radps": poses.yaw_rate_radps})
    fixes = next(iter(_receivers(channels).values()), None)
    if fixes is not None:
        times = utc_ns(fixes) if clock.error_ns is not None else clock.ns(fixes.t_s)
        yield _stream(times, {"lat_deg": fixes.values[:, 0], "lon_deg": fixes.values[:, 1]})


def _stream(times: NDArray[np.int64], columns: dict[str, Array]) -> Stream:
    """A stream in rising time; samples that fall on one nanosecond, or back (a receiver that repeats a fix), keep the first."""
    kept = times > np.r_[np.iinfo(np.int64).min, np.maximum.accumulate(times)[:-1]]
    return Stream(times[kept], {name: values[kept] for name, values in columns.items()})


def _speed(channel: Channel) -> dict[str, Array]:
    speed = channel.values[:, 0]
    return {"speed_mps": speed, "ax_mps2": derivative(channel.t_s, speed, half_window_s=ACCELERATION_WINDOW_S)}


def _steering(channel: Channel) -> dict[str, Array]:
    return {"steering_wheel_rad": np.radians(channel.values[:, 0])}


def _accelerations(channel: Channel) -> dict[str, Array]:
    forward, right, down = channel.values[:, :3].T
    return {"imu_ax_mps2": forward, "imu_ay_mps2": -right, "imu_az_mps2": -down}


def _turning(channel: Channel) -> dict[str, Array]:
    return {"imu_yaw_rate_radps": -channel.values[:, 2]}


EGO = {"IMU/accelerometer": _accelerations, "IMU/gyro": _turning, "CAN/speed": _speed, "CAN/steering_angle": _steering}


def facts(log: Log, channels: dict[str, Channel], clock: Clock, streams: list[Stream], said: CanMapping | None) -> DriveFacts:
    """Vehicle from the route's name (its dongle), place from the GNSS, or both from a mapping beside it; day from the clock."""
    route = ROUTE.search(log.name)
    fixes = next((fix.values for fix in _receivers(channels).values()), None)
    place = "unknown" if fixes is None else tenth_of_a_degree(np.median(fixes[:, 0]), np.median(fixes[:, 1]))
    day = day_of(int(streams[0].times[0]))
    held = {name for stream in streams for name in stream.columns}
    derived = [name for name in ("ax_mps2", "ay_mps2", "yaw_rate_radps", "x_m", "y_m", "heading_rad") if name in held]
    tracked = ["TRACKS.vx_mps", "TRACKS.vy_mps"] if "CAN/radar" in channels and "CAN/speed" in channels else []
    return DriveFacts(
        vehicle_id=said.vehicle_id if said else route[1] if route else "comma2k19", place=said.place if said else place, day=day,
        clock=clock.name, clock_error_ns=clock.error_ns, licence=said.licence if said else "MIT", derived=(*derived, *tracked),
    )  # fmt: skip


def imu_findings(channels: dict[str, Channel], poses: Poses | None) -> Iterator[Finding]:
    """A warning where the phone does not move with the car: gyro against the poses' yaw rate, accelerometer against the CAN speed."""
    speed, acceleration, gyro = (channels.get(name) for name in ("CAN/speed", "IMU/accelerometer", "IMU/gyro"))
    if speed is not None and acceleration is not None:
        truth = _speed(speed)["ax_mps2"]
        yield from _axis("accelerometer's forward axis", acceleration, 0, (speed.t_s, truth), least=MIN_ACCELERATION)
    if poses is not None and gyro is not None:
        yield from _axis("gyro's down axis", gyro, 2, (poses.t_s, -poses.yaw_rate_radps), least=MIN_YAW_RATE)


def _axis(what: str, channel: Channel, axis: int, truth: tuple[Array, Array], *, least: float) -> Iterator[Finding]:
    if float(np.std(truth[1])) < least / 2 or len(channel.t_s) < 200:
        return
    wide = np.ones(51) / 51
    seen, moved = (np.convolve(v, wide, "valid") for v in (channel.values[:, axis], np.interp(channel.t_s, *truth)))
    spread = float(np.std(seen) * np.std(moved))
    agreement = float(np.mean((seen - seen.mean()) * (moved - moved.mean()))) / spread if spread else 0.0
    if agreement < MIN_CORRELATION:
        text = f"the {what} follows the car's motion with a correlation of {agreement:.2f}: the phone is not mounted as comma2k19 says"
        yield warning("imu", text)


def _tracks(channels: dict[str, Channel], clock: Clock, poses: Poses | None) -> Iterator[Rows]:
    if "CAN/radar" in channels and "CAN/speed" in channels:
        seen, yaw = channels["CAN/radar"], None if poses is None else (poses.t_s, poses.yaw_rate_radps)
        yield Rows("TRACKS", radar.tracks_table(seen, clock.ns(seen.t_s), speed=channels["CAN/speed"], yaw=yaw))


def beats(log: Log, channels: dict[str, Channel], clock: Clock) -> Iterator[Beats]:
    """When every channel spoke; the live receivers with their own UTC."""
    for name, channel in channels.items():
        stamped = name.removeprefix("GNSS/") in LIVE and clock.error_ns is not None
        yield Beats(name, clock.ns(channel.t_s), utc_ns(channel) if stamped else None)
    if "processed_log/CAN/raw_can/t" in log.paths:
        yield Beats("CAN/raw_can", clock.ns(_times(log, "processed_log/CAN/raw_can/t")))
    if "global_pose/frame_times" in log.paths:
        yield Beats("global_pose", clock.ns(_times(log, "global_pose/frame_times")))


def _times(log: Log, path: str) -> Array:
    return boot_seconds(path, numbers(log, path))
