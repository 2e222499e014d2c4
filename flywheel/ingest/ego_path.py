"""Where the ego was in a world frame, other things seen from there, and the ego signals that follow from its path.

The ego frame is levelled: its z is the world's. Turns are counter-clockwise from world +x, as everywhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.kinematics import central_difference, derivative

Array = NDArray[np.float64]
Times = NDArray[np.int64]
At = int | NDArray[np.int64]

SPEED_WINDOW_S, ACCELERATION_WINDOW_S = 0.2, 0.4
MOTION = ("speed_mps", "ax_mps2", "ay_mps2", "yaw_rate_radps")
# How far before or after the path a time may lie: a sensor that runs on for one more sweep.
REACH_NS = 500_000_000


def wrap(angle: Array) -> Array:
    """Angles in -pi to pi."""
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def yaw_of(q: Array) -> Array:
    """(N,) headings of (N, 4) unit quaternions w x y z: where their x axis points, seen from above."""
    w, x, y, z = q.T
    return np.asarray(np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z)))


@dataclass(frozen=True)
class EgoPath:
    """Where the ego was: times (N,), its origin on the ground in the world (N, 3), headings counter-clockwise from world +x (N,).

    `at` is one index into the path, or one index for each of M points.
    """

    times: Times
    origin: Array
    heading: Array

    @property
    def t_s(self) -> Array:
        """Seconds since the first pose."""
        return np.asarray((self.times - self.times[0]) / 1e9)

    def resampled(self, times: Times) -> "EgoPath":
        """The path at other times, between its poses by straight lines; BadData for a time more than half a second outside it."""
        if len(times) and (times.min() < self.times[0] - REACH_NS or times.max() > self.times[-1] + REACH_NS):
            raise BadData(f"times {times.min()} to {times.max()} reach beyond the ego's path, {self.times[0]} to {self.times[-1]}")
        t_s, known = (times - self.times[0]) / 1e9, self.t_s
        origin = np.stack([np.interp(t_s, known, axis) for axis in self.origin.T], axis=1)
        return EgoPath(times=times, origin=origin, heading=np.interp(t_s, known, np.unwrap(self.heading)))

    def to_ego(self, points: Array, *, at: At) -> Array:
        """(M, 3) world points in the ego frame."""
        return self.turn(points - self.origin[at], at=at)

    def turn(self, vectors: Array, *, at: At) -> Array:
        """(M, 3) or (M, 2) world vectors in the ego axes."""
        c, s = np.cos(self.heading[at]), np.sin(self.heading[at])
        turned = vectors.copy()
        turned[:, 0], turned[:, 1] = c * vectors[:, 0] + s * vectors[:, 1], c * vectors[:, 1] - s * vectors[:, 0]
        return turned

    def to_world(self, points: Array, *, at: At) -> Array:
        """(M, 3) points of the ego frame in the world."""
        c, s = np.cos(self.heading[at]), np.sin(self.heading[at])
        turned = np.stack([c * points[:, 0] - s * points[:, 1], s * points[:, 0] + c * points[:, 1], points[:, 2]], axis=1)
        return np.asarray(turned + self.origin[at])

    def turn_heading(self, heading: Array, *, at: At) -> Array:
        """(M,) world headings seen from the ego."""
        return wrap(heading - self.heading[at])

    def turn_quaternion(self, q: Array, *, at: int) -> Array:
        """A world rotation w x y z seen from the ego axes of pose `at`: a turn about z by minus the heading, then q."""
        c, s = np.cos(-self.heading[at] / 2), np.sin(-self.heading[at] / 2)
        w, x, y, z = q
        return np.array([c * w - s * z, c * x - s * y, c * y + s * x, c * z + s * w])

    def signals(self, *, velocity: Array | None = None, window_s: float = SPEED_WINDOW_S) -> dict[str, Array]:
        """SIGNALS columns. x_m, y_m and heading_rad are the path's own; the rest is derived, the speed only where none is given.

        speed: the given (N, 2) world velocity, or the path's derivative (parabola over +-window_s), along the heading;
        ax: the speed's derivative (+-0.4 s); yaw rate: the heading's derivative (+-0.4 s); ay: speed times yaw rate, the centripetal part.
        """
        heading = np.unwrap(self.heading)
        if velocity is None:
            velocity = derivative(self.t_s, self.origin[:, :2], half_window_s=window_s)
        speed = velocity[:, 0] * np.cos(heading) + velocity[:, 1] * np.sin(heading)
        slow_s = max(ACCELERATION_WINDOW_S, window_s)
        yaw_rate = derivative(self.t_s, heading, half_window_s=slow_s)
        return {
            "speed_mps": speed, "ax_mps2": derivative(self.t_s, speed, half_window_s=slow_s),
            "ay_mps2": speed * yaw_rate, "yaw_rate_radps": yaw_rate,
            "x_m": self.origin[:, 0], "y_m": self.origin[:, 1], "heading_rad": self.heading,
        }  # fmt: skip


def velocities(track: NDArray[np.int64], t_s: Array, places: Array, *, max_gap_s: float) -> Array:
    """(M, d) velocities of many objects at once: central differences of their (M, d) places, never across objects or gaps.

    Rows may come in any order; `track` numbers their objects, and an object has one row a time.
    """
    order = np.lexsort((t_s, track))
    # Objects are set apart in time, so that no step between two of them is short enough to count.
    apart = track[order] * (float(np.ptp(t_s)) + 10 * max_gap_s if len(t_s) else 0.0) + t_s[order]
    found = np.empty_like(places)
    found[order] = central_difference(apart, places[order], max_gap_s=max_gap_s)
    return found


def without_jumps(t_s: Array, places: Array, *, half_window: int = 5, least_mps: float = 3.0) -> tuple[Array, Array]:
    """(N, d) places whose impossible steps are replaced by the median step around them, and how far each replaced step was off (m).

    A step is impossible if its velocity is more than least_mps off the median of half_window steps to either side.
    """
    spans = np.diff(t_s)[:, None]
    pace = np.diff(places, axis=0) / spans
    around = np.pad(pace, ((min(half_window, len(pace) - 1),) * 2, (0, 0)), mode="reflect")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(around, len(around) - len(pace) + 1, axis=0), axis=-1)
    off = np.linalg.norm(pace - usual, axis=1)
    wrong = off > least_mps
    steps = np.where(wrong[:, None], usual, pace) * spans
    return np.concatenate([places[:1], places[0] + np.cumsum(steps, axis=0)]), np.asarray((off * spans[:, 0])[wrong])
