"""A tiny segment folder in comma2k19's layout: a known drive north with one lead car and one still sign, no real data."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SECONDS = 6.0
BOOT_S, UTC_S, LATE_S = 46408.5, 1533226488.0, 0.2
LAT_RAD, LON_RAD = np.radians(37.72), np.radians(-122.47)
START_MPS, ACCELERATION_MPS2, YAW_RATE_RADPS, MOUNT_YAW_RAD = 10.0, 1.0, 0.005, 0.02
LEAD_M, LEAD_MPS, SIGN_M = 30.0, 12.0, 120.0
POSES, SPEEDS, IMU, SWEEPS, RAW = 120, 480, 600, 120, 900
ROUTE = "b0c9d2329ad1606b|2018-08-02--08-34-47"


def speed_at(t_s: Array) -> Array:
    """The ego's speed t_s seconds after the start."""
    return START_MPS + ACCELERATION_MPS2 * t_s


def heading_at(t_s: Array) -> Array:
    """The ego's heading, counter-clockwise from east: north, turning left."""
    return np.pi / 2 + YAW_RATE_RADPS * t_s


def put(folder: Path, name: str, values: object) -> None:
    """One extension-less array."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("wb") as file:
        np.save(file, np.asarray(values), allow_pickle=False)


def channel(folder: Path, name: str, t_s: Array, values: Array) -> None:
    """The t and value of a channel."""
    put(folder, f"processed_log/{name}/t", BOOT_S + t_s)
    put(folder, f"processed_log/{name}/value", values)


def axes() -> tuple[Array, Array, Array]:
    """East, north and up in ECEF at the start."""
    east = np.array([-np.sin(LON_RAD), np.cos(LON_RAD), 0.0])
    up = np.array([np.cos(LAT_RAD) * np.cos(LON_RAD), np.cos(LAT_RAD) * np.sin(LON_RAD), np.sin(LAT_RAD)])
    return east, np.cross(up, east), up


def quaternion(matrix: Array) -> Array:
    """Unit quaternion w x y z of a rotation matrix (its largest component from the diagonal)."""
    m = matrix
    squares = np.array([1 + m[0, 0] + m[1, 1] + m[2, 2], 1 + m[0, 0] - m[1, 1] - m[2, 2],
                        1 - m[0, 0] + m[1, 1] - m[2, 2], 1 - m[0, 0] - m[1, 1] + m[2, 2]])  # fmt: skip
    rows = np.array([
        [squares[0], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
        [m[2, 1] - m[1, 2], squares[1], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
        [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], squares[2], m[1, 2] + m[2, 1]],
        [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[3]],
    ])  # fmt: skip
    found: Array = rows[int(np.argmax(squares))]
    return found / np.linalg.norm(found)


def put_poses(folder: Path) -> None:
    """global_pose/ of a camera 2.1 m ahead of the rear axle that looks MOUNT_YAW_RAD to the left."""
    t_s = np.arange(POSES) / 20
    fine = np.arange(0, SECONDS, 1e-3)
    steps = speed_at(fine) * 1e-3
    heading = heading_at(t_s)
    east_m, north_m = (np.interp(t_s, fine, np.cumsum(steps * turn(heading_at(fine)))) for turn in (np.cos, np.sin))
    east, north, up = axes()
    radius = 6_378_137.0 / np.sqrt(1 - 0.00669437999014 * np.sin(LAT_RAD) ** 2)
    origin = radius * np.array([np.cos(LAT_RAD) * np.cos(LON_RAD), np.cos(LAT_RAD) * np.sin(LON_RAD), 0.99330562000986 * np.sin(LAT_RAD)])
    camera = np.stack([east_m + 2.1 * np.cos(heading), north_m + 2.1 * np.sin(heading)], axis=1)
    looks = heading + MOUNT_YAW_RAD
    turns = []
    for angle in looks:
        forward = np.cos(angle) * east + np.sin(angle) * north
        turns.append(quaternion(np.stack([forward, np.cross(forward, up), -up], axis=1)))
    put(folder, "global_pose/frame_times", BOOT_S + t_s)
    put(folder, "global_pose/frame_gps_times", np.stack([np.full(POSES, 2012.0), UTC_S + 18 - 315964800 - 2012 * 604800 + t_s], axis=1))
    put(folder, "global_pose/frame_positions", origin + camera[:, :1] * east + camera[:, 1:] * north)
    put(folder, "global_pose/frame_orientations", np.array(turns))
    along = np.cos(heading)[:, None] * east + np.sin(heading)[:, None] * north
    put(folder, "global_pose/frame_velocities", speed_at(t_s)[:, None] * along)


def put_radar(folder: Path) -> None:
    """Two slots at 20 Hz, 1 ms apart: a lead car, and a sign that another one replaces half-way (new track)."""
    rows, times = [], []
    for k in range(SWEEPS):
        t = k / 20
        ego = float(speed_at(np.array(t)))
        gone = START_MPS * t + ACCELERATION_MPS2 * t * t / 2
        again = float(k in (0, SWEEPS // 2))
        rows.append([LEAD_M + LEAD_MPS * t - gone, 0.5, LEAD_MPS - ego, np.nan, np.nan, 0x210, float(k == 0)])
        rows.append([SIGN_M - gone + 20 * (k >= SWEEPS // 2), -4.0, -ego, np.nan, np.nan, 0x211, again])
        times += [t, t + 0.001]
    channel(folder, "CAN/radar", np.array(times), np.array(rows))


def make_comma2k19(folder: Path, *, poses: bool = True, gnss: bool = True, route: bool = False) -> Path:
    """Writes the segment (below `<dongle>|<time>/40` with route) and gives back the folder; poses and gnss leave those out."""
    segment = folder / ROUTE / "40" if route else folder
    can = np.arange(SPEEDS) / 80 + 0.003
    imu = np.arange(IMU) / 100
    channel(segment, "CAN/speed", can, np.round(speed_at(can), 2)[:, None])
    channel(segment, "CAN/wheel_speed", can, np.repeat(speed_at(can)[:, None], 4, axis=1))
    channel(segment, "CAN/steering_angle", can + 0.001, np.full(SPEEDS, 4.0))
    channel(segment, "IMU/accelerometer", imu, np.column_stack([np.full(IMU, ACCELERATION_MPS2), np.full(IMU, 0.3), np.full(IMU, -9.81)]))
    channel(segment, "IMU/gyro", imu, np.column_stack([np.zeros(IMU), np.zeros(IMU), np.full(IMU, -YAW_RATE_RADPS)]))
    put_radar(segment)
    raw = np.arange(RAW) / 150
    put(segment, "processed_log/CAN/raw_can/t", BOOT_S + raw)
    put(segment, "processed_log/CAN/raw_can/src", np.zeros(RAW, np.int64))
    put(segment, "processed_log/CAN/raw_can/address", np.full(RAW, 0x260, np.int64))
    put(segment, "processed_log/CAN/raw_can/data", np.array([bytes([k % 200, 0, 0, 0, 0, 0, 0, 0]) for k in range(RAW)], "S8"))
    if gnss:
        fixes = np.arange(1, 59) / 10
        north = np.degrees(START_MPS * fixes / 6_378_137.0)
        rows = np.column_stack([37.72 + north, np.full(58, -122.47), speed_at(fixes), (UTC_S + fixes) * 1e3, np.zeros(58), np.zeros(58)])
        channel(segment, "GNSS/live_gnss_ublox", fixes + LATE_S, rows)
    if poses:
        put_poses(segment)
    (segment / "preview.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder
