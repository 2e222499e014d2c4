"""Exact motion: a smooth speed profile run along a smooth path, sampled at 100 Hz.

Time runs from -2 s (so that traffic has settled around the scripted vehicles) to the end of the drive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.road import GRID_M, Line, Road

Array = NDArray[np.float64]
RATE_HZ, LEAD_S = 100, 2.0
SMOOTH_S = 0.4


@dataclass(frozen=True)
class Push:
    """A constant acceleration (m/s2) held between two times (s)."""

    t0_s: float
    t1_s: float
    accel_mps2: float


@dataclass(frozen=True)
class Profile:
    """Speed over time: arrays at 100 Hz; `way_m` is the distance gone since t = 0."""

    t_s: Array
    speed_mps: Array
    accel_mps2: Array
    way_m: Array

    def way_at(self, t_s: float) -> float:
        """Distance gone between 0 and t."""
        return float(np.interp(t_s, self.t_s, self.way_m))

    def speed_at(self, t_s: float) -> float:
        """Speed at t."""
        return float(np.interp(t_s, self.t_s, self.speed_mps))

    def time_at(self, way_m: float) -> float:
        """First time at which a distance has been gone (the last instant if never)."""
        return float(self.t_s[min(int(np.searchsorted(self.way_m, way_m)), len(self.t_s) - 1)])


@dataclass(frozen=True)
class Motion:
    """Where one road user's reference point is, 100 Hz; yaw rate in rad/s, acceleration along its path."""

    t_s: Array
    x_m: Array
    y_m: Array
    heading_rad: Array
    speed_mps: Array
    accel_mps2: Array
    yaw_rate_radps: Array

    def since_start(self) -> "Motion":
        """The part from t = 0 on."""
        keep = slice(round(LEAD_S * RATE_HZ), None)
        return Motion(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def times(duration_s: float) -> Array:
    """The 100 Hz clock of a drive, from -2 s on."""
    return np.arange(-round(LEAD_S * RATE_HZ), round(duration_s * RATE_HZ) + 1) / RATE_HZ


def cumulative(values: Array, step: float) -> Array:
    """Running trapezoid integral, 0 at the first sample."""
    return np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1]) * step)])


def profile(v0_mps: float, pushes: Sequence[Push], *, duration_s: float, smooth_s: float = SMOOTH_S) -> Profile:
    """The speed profile of a start speed and accelerations, jerk-limited by a Hann window of the given width."""
    t = times(duration_s)
    accel = np.zeros_like(t)
    for push in pushes:
        cover = np.minimum(t + 0.5 / RATE_HZ, push.t1_s) - np.maximum(t - 0.5 / RATE_HZ, push.t0_s)
        accel += push.accel_mps2 * np.clip(cover * RATE_HZ, 0.0, 1.0)
    window = np.hanning(max(3, round(smooth_s * RATE_HZ) // 2 * 2 + 3))
    pad = len(window) // 2
    accel = np.convolve(np.pad(accel, pad, mode="edge"), window / window.sum(), mode="valid")
    speed = v0_mps + cumulative(accel, 1 / RATE_HZ)
    speed = np.where(speed < 1e-3, 0.0, speed)
    way = cumulative(speed, 1 / RATE_HZ)
    return Profile(t, speed, np.where(speed > 0, accel, 0.0), way - np.interp(0.0, t, way))


def quintic(u: Array) -> Array:
    """Smooth step from 0 to 1 with zero slope and curvature at both ends."""
    u = np.clip(u, 0.0, 1.0)
    return u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)


def lateral(
    d0_m: float, shifts: Sequence[tuple[float, float, float]] = (), *, wander_m: float = 0.0, phase: float = 0.0
) -> Callable[[Array], Array]:
    """d(s): a lane's centre, smooth shifts (from s, to s, by metres) and a slow wander of a 120 m wave."""

    def shape(s: Array) -> Array:
        d = d0_m + wander_m * np.sin(2 * np.pi * s / 120.0 + phase)
        for s0, s1, by in shifts:
            d = d + by * quintic((s - s0) / (s1 - s0))
        return np.asarray(d)

    return shape


def along(road: Road, prof: Profile, *, s0_m: float, d_of_s: Callable[[Array], Array], t0_s: float = 0.0) -> Motion:
    """The motion of a profile along the line d(s), at s0 at the time t0."""
    way = prof.way_m - prof.way_at(t0_s)
    s = road.s[(road.s > s0_m + way[0] - 120.0) & (road.s < s0_m + way[-1] + 120.0)]
    d = d_of_s(s)
    x, y, base = road.pose(s, d)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    heading = base + np.arctan2(np.gradient(d, s), 1.0 - d * road.curvature(s))
    curvature = np.gradient(heading, length)
    way = np.interp(s0_m, s, length) + way
    yaw_rate = prof.speed_mps * np.interp(way, length, curvature)
    return Motion(
        prof.t_s, np.interp(way, length, x), np.interp(way, length, y), np.interp(way, length, heading),
        prof.speed_mps, prof.accel_mps2, yaw_rate,
    )  # fmt: skip


def against(road: Road, prof: Profile, *, s0_m: float, t0_s: float, d_of_s: Callable[[Array], Array]) -> Motion:
    """The motion of somebody who comes towards the ego along d(s), at s0 at the time t0."""
    s = s0_m - (prof.way_m - prof.way_at(t0_s))
    d = d_of_s(s)
    x, y, _ = road.pose(s, d)
    heading = np.unwrap(np.arctan2(np.gradient(y), np.gradient(x)))
    return Motion(prof.t_s, x, y, heading, prof.speed_mps, prof.accel_mps2, np.gradient(heading) * RATE_HZ)


def straight(prof: Profile, *, x_m: float, y_m: float, heading_rad: float, t0_s: float) -> Motion:
    """A walk along a straight line that passes (x, y) at the time t0."""
    way = prof.way_m - prof.way_at(t0_s)
    heading = np.full_like(prof.t_s, heading_rad)
    zero = np.zeros_like(prof.t_s)
    return Motion(
        prof.t_s, x_m + way * np.cos(heading), y_m + way * np.sin(heading), heading, prof.speed_mps, prof.accel_mps2, zero
    )  # fmt: skip


def driven_line(motion: Motion, *, beyond_m: float = 120.0) -> Line:
    """The line that a motion runs along, from s = 0 where it begins; straight on before its begin and beyond its end."""
    way = cumulative(motion.speed_mps, 1 / RATE_HZ)
    s = np.arange(-beyond_m, way[-1] + beyond_m, GRID_M)
    heading, out = np.interp(s, way, np.unwrap(motion.heading_rad)), s - np.clip(s, 0.0, way[-1])
    x, y = (np.interp(s, way, at) + out * turn(heading) for at, turn in ((motion.x_m, np.cos), (motion.y_m, np.sin)))
    return Line(s, x, y, heading, np.gradient(heading, s))
