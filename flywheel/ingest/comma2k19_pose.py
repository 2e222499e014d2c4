"""Camera poses of a comma2k19 segment (ECEF) as the ego's place and heading on a local map: east, north and up of its first pose.

`frame_orientations` hold Hamilton quaternions w x y z whose matrix has the camera's forward, right and down axes, seen in ECEF, as
columns; that was found in the data: the first column lies along `frame_velocities`. The camera sits behind the windscreen: CAMERA_M ahead
of the rear axle, from the cars' drawings, good to some decimetres. Its forward axis is turned a little against the car's; that angle is the
median angle between it and the velocity while driving straight on, and it is taken off the heading.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.comma2k19_arrays import boot_seconds, finite, numbers
from flywheel.ingest.drive import Log
from flywheel.ingest.kinematics import derivative

Array = NDArray[np.float64]

# RAV4 2017: front bumper to rear axle 3.6 m (Civic 2017: 3.6 m); the camera is 1.5 m behind the front bumper.
BUMPER_M, CAMERA_M = 3.6, 2.1
YAW_WINDOW_S = 0.4
STRAIGHT_MPS, STRAIGHT_RADPS = 5.0, 0.02
# WGS 84 (NGA.STND.0036): semi-major axis, flattening.
A_M, F = 6_378_137.0, 1 / 298.257223563


@dataclass(frozen=True)
class Poses:
    """(N,) boot seconds; (N, 2) metres east and north of the rear axle; (N,) headings counter-clockwise from east, and their rates."""

    t_s: Array
    place_m: Array
    heading_rad: Array
    yaw_rate_radps: Array
    mount_yaw_rad: float


def load_poses(log: Log) -> Poses | None:
    """The poses of global_pose/, None where there are none; BadData if they do not fit together."""
    names = ("frame_times", "frame_positions", "frame_orientations")
    if any(f"global_pose/{name}" not in log.paths for name in names):
        return None
    t_s, places, turns = (finite(f"global_pose/{name}", numbers(log, f"global_pose/{name}")) for name in names)
    t_s = boot_seconds("global_pose/frame_times", t_s)
    if not len(t_s) or places.shape != (len(t_s), 3) or turns.shape != (len(t_s), 4):
        raise BadData(f"global_pose: {t_s.shape} times, {places.shape} positions and {turns.shape} orientations do not fit together")
    lengths = np.linalg.norm(turns, axis=1)
    if (np.abs(lengths - 1) > 1e-3).any():
        raise BadData(f"global_pose/frame_orientations: row {int(np.argmax(np.abs(lengths - 1)))} is not a unit quaternion")
    radius = np.linalg.norm(places, axis=1)
    if not ((radius > 6.3e6) & (radius < 6.4e6)).all():
        at = int(np.argmax(np.abs(radius - 6.35e6)))
        raise BadData(f"global_pose/frame_positions: row {at} lies {radius[at]:.0f} m from the earth's centre; ECEF metres are needed")
    return poses(t_s, places, turns)


def poses(t_s: Array, places: Array, turns: Array) -> Poses:
    """The poses on the local map of the first one; times must not go back, repeated ones are left out."""
    steps = np.diff(t_s)
    if (steps < 0).any():
        raise BadData(f"global_pose/frame_times: time goes back after {t_s[int(np.argmax(steps < 0))]} s")
    kept = np.r_[True, steps > 0]
    t_s, places, turns = t_s[kept], places[kept], turns[kept]
    axes = enu_axes(places[0])
    camera, forward = (places - places[0]) @ axes.T, forward_axes(turns) @ axes.T
    heading = np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))
    rate = derivative(t_s, heading, half_window_s=YAW_WINDOW_S)
    mount = mount_yaw(derivative(t_s, camera[:, :2], half_window_s=YAW_WINDOW_S), heading=heading, yaw_rate=rate)
    heading = heading - mount
    back = CAMERA_M * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    return Poses(t_s, camera[:, :2] - back, (heading + np.pi) % (2 * np.pi) - np.pi, rate, mount)


def forward_axes(turns: Array) -> Array:
    """(N, 3) first columns of the rotation matrices of (N, 4) quaternions w x y z."""
    w, x, y, z = (turns / np.linalg.norm(turns, axis=1)[:, None]).T
    return np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], axis=1)


def mount_yaw(velocity: Array, *, heading: Array, yaw_rate: Array) -> float:
    """By how much the camera looks to the left of where the car drives straight on; 0 where it never does."""
    straight = (np.linalg.norm(velocity, axis=1) > STRAIGHT_MPS) & (np.abs(yaw_rate) < STRAIGHT_RADPS)
    if not straight.any():
        return 0.0
    apart = heading[straight] - np.arctan2(velocity[straight, 1], velocity[straight, 0])
    return float(np.median((apart + np.pi) % (2 * np.pi) - np.pi))


def enu_axes(place: Array) -> Array:
    """(3, 3) rows east, north, up in ECEF at a place (3,)."""
    lat, lon = geodetic(place)
    sin_lat, cos_lat, sin_lon, cos_lon = np.sin(lat), np.cos(lat), np.sin(lon), np.cos(lon)
    return np.array([
        [-sin_lon, cos_lon, 0.0],
        [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
        [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
    ])  # fmt: skip


def geodetic(place: Array) -> tuple[float, float]:
    """Latitude and longitude in radians of an ECEF place: B. R. Bowring, Survey Review 23 (1976) 323, good to 1e-9 rad near the ground."""
    x, y, z = place
    b_m, away = A_M * (1 - F), float(np.hypot(x, y))
    e2, ep2 = F * (2 - F), F * (2 - F) / (1 - F) ** 2
    theta = np.arctan2(z * A_M, away * b_m)
    lat = np.arctan2(z + ep2 * b_m * np.sin(theta) ** 3, away - e2 * A_M * np.cos(theta) ** 3)
    return float(lat), float(np.arctan2(y, x))
