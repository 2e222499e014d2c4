"""SIGNALS columns from samples of ego motion: pure functions of one window with its context, each giving values and what it derived.

Derived are, by `kinematics.derivative` (parabola fits): accelerations and missing yaw rates over +-0.4 s, a missing speed over +-0.2 s of
poses or +-1 s of fixes, always over two sample periods at least; a sample without a neighbour in that reach has none. A fix that repeats
the last position is the receiver's old one and gives neither place nor speed; where it has done so for a second, the vehicle stands.
Fixes are laid into the plane that touches WGS 84 at the first one; below 0.5 m/s they give no heading. Lateral acceleration is speed times
yaw rate, the centripetal part.
"""

from typing import NamedTuple

import numpy as np

from flywheel.geometry import rotation
from flywheel.ingest.ego_path import ACCELERATION_WINDOW_S, SPEED_WINDOW_S, EgoPath, yaw_of
from flywheel.ingest.kinematics import derivative
from flywheel.ingest.ros_frames import Placed
from flywheel.ingest.ros_samples import NAN, NEWS, REPEAT, STANDING, Array, Window
from flywheel.ingest.whereabouts import metres

FIX_WINDOW_S, MIN_HEADING_MPS = 1.0, 0.5


class Columns(NamedTuple):
    """SIGNALS columns of every sample of a window, and the names of those that were derived."""

    values: dict[str, Array]
    derived: frozenset[str] = frozenset()


def slope(seen: Window, values: Array, *, half_window_s: float) -> Array:
    """(N, ...) first derivatives, over two periods at least; NaN for a sample that has no neighbour near enough."""
    reach_s = max(half_window_s, 2 * seen.period_s)
    found = derivative(seen.t_s, values, half_window_s=reach_s)
    steps = np.diff(seen.t_s) > reach_s
    found[np.r_[True, steps] & np.r_[steps, True]] = NAN
    return found


def headings(seen: Window) -> Array:
    """(N,) headings of the poses; NaN where the quaternion is not near unit length."""
    q = np.stack([seen[name] for name in ("qw", "qx", "qy", "qz")], axis=1)
    usable = np.isfinite(q).all(axis=1) & (np.abs(np.linalg.norm(q, axis=1) - 1) < 0.1)
    return np.where(usable, yaw_of(np.where(usable[:, None], q, [1.0, 0.0, 0.0, 0.0])), NAN)


def ego_path(seen: Window) -> EgoPath:
    """The ego's path over the poses that have a heading."""
    heading = headings(seen)
    known = np.isfinite(heading)
    origin = np.stack([seen[name] for name in ("x_m", "y_m", "z_m")], axis=1)
    return EgoPath(times=seen.times[known], origin=origin[known], heading=heading[known])


def accelerations(seen: Window, speed: Array, yaw_rate: Array) -> Columns:
    """Longitudinal and lateral acceleration of a speed and a yaw rate."""
    ax = slope(seen, speed, half_window_s=ACCELERATION_WINDOW_S)
    return Columns({"ax_mps2": ax, "ay_mps2": speed * yaw_rate}, frozenset({"ax_mps2", "ay_mps2"}))


def twist_columns(seen: Window) -> Columns:
    """Speed and yaw rate as recorded, and the accelerations."""
    more = accelerations(seen, seen["speed_mps"], seen["yaw_rate_radps"])
    return Columns({name: seen[name] for name in ("speed_mps", "yaw_rate_radps")} | more.values, more.derived)


def path_columns(seen: Window, *, moving: bool) -> Columns:
    """Position and heading as recorded; if `moving`, speed, yaw rate and accelerations from them."""
    heading = headings(seen)
    place = {"x_m": seen["x_m"], "y_m": seen["y_m"], "heading_rad": heading}
    if not moving:
        return Columns(place)
    velocity = slope(seen, np.stack([seen["x_m"], seen["y_m"]], axis=1), half_window_s=SPEED_WINDOW_S)
    if not np.isfinite(heading).all():
        speed = np.linalg.norm(velocity, axis=1)
        return Columns(place | {"speed_mps": speed}, frozenset({"speed_mps"}))
    yaw_rate = slope(seen, np.unwrap(heading), half_window_s=ACCELERATION_WINDOW_S)
    speed = velocity[:, 0] * np.cos(heading) + velocity[:, 1] * np.sin(heading)
    more = accelerations(seen, np.nan_to_num(speed), yaw_rate)
    values = place | {"speed_mps": speed, "yaw_rate_radps": yaw_rate} | more.values
    return Columns(values, more.derived | {"speed_mps", "yaw_rate_radps"})


def fix_columns(seen: Window, *, origin: tuple[float, float], place: bool, speed: bool) -> Columns:
    """Latitude and longitude as recorded; position (if `place`), speed and heading (if `speed`) from the fixes that are news."""
    values = {"lat_deg": seen["lat_deg"], "lon_deg": seen["lon_deg"]}
    if place:
        places = np.where((seen["fresh"] == REPEAT)[:, None], NAN, metres(seen["lat_deg"], seen["lon_deg"], origin=origin))
        values |= dict(zip(("x_m", "y_m"), places.T, strict=True))
    fresh = seen["fresh"] == NEWS
    if speed and fresh.sum() > 1:
        news = seen.only(fresh)
        here = (float(news["lat_deg"][0]), float(news["lon_deg"][0]))
        velocity = slope(news, metres(news["lat_deg"], news["lon_deg"], origin=here), half_window_s=FIX_WINDOW_S)
        pace = np.linalg.norm(velocity, axis=1)
        heading = np.where(pace >= MIN_HEADING_MPS, np.arctan2(velocity[:, 1], velocity[:, 0]), NAN)
        push = slope(news, np.nan_to_num(pace), half_window_s=FIX_WINDOW_S)
        for name, found in (("speed_mps", pace), ("heading_rad", heading), ("ax_mps2", push)):
            values[name] = np.where((seen["fresh"] == STANDING) & (name != "heading_rad"), 0.0, NAN)
            values[name][fresh] = found
    return Columns(values, frozenset(values) - {"lat_deg", "lon_deg"})


def imu_columns(seen: Window, *, mount: Placed | None) -> Columns:
    """Accelerations and yaw rate in the ego's axes (the sensor's own, where its mount is not known); gravity stays in them."""
    turn = rotation(mount.turn) if mount is not None else np.eye(3)
    push = np.stack([seen[name] for name in ("ax", "ay", "az")], axis=1) @ turn.T
    spin = np.stack([seen[name] for name in ("wx", "wy", "wz")], axis=1) @ turn.T
    return Columns({"imu_ax_mps2": push[:, 0], "imu_ay_mps2": push[:, 1], "imu_az_mps2": push[:, 2], "imu_yaw_rate_radps": spin[:, 2]})
