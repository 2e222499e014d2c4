"""Ego motion in ROS messages: which numbers each type holds, and the samples of each topic kept for as long as a window needs them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.ingest.clocks import Thinned

Array = NDArray[np.float64]
Times = NDArray[np.int64]
Values = tuple[float, ...]

NAN = float("nan")
NEAR_STAMP_NS = 10**9
POSE = ("x_m", "y_m", "z_m", "qw", "qx", "qy", "qz")
TWIST = ("speed_mps", "yaw_rate_radps")


class Kind(NamedTuple):
    """One kind of ego motion: the columns of a sample, how a message gives them, and what tells two topics of the kind apart."""

    name: str
    columns: tuple[str, ...]
    values: Callable[[Any], Values]
    apart: tuple[str, ...]
    unit: str


def _pose(pose: Any) -> Values:
    p, q = pose.position, pose.orientation
    return (p.x, p.y, p.z, q.w, q.x, q.y, q.z)


def _twist(twist: Any) -> Values:
    return (twist.linear.x, twist.angular.z)


def _odometry(message: Any) -> Values:
    return (*_pose(message.pose.pose), *_twist(message.twist.twist))


def _imu(message: Any) -> Values:
    """Accelerations x y z and turn rates x y z of the sensor; NaN where the driver says (-1) that it does not measure them."""
    a, w = message.linear_acceleration, message.angular_velocity
    pushed, turned = message.linear_acceleration_covariance[0] != -1, message.angular_velocity_covariance[0] != -1
    return (*((a.x, a.y, a.z) if pushed else (NAN,) * 3), *((w.x, w.y, w.z) if turned else (NAN,) * 3))


def _fix(message: Any) -> Values:
    return (message.latitude, message.longitude)


ODOMETRY = Kind("odometry", (*POSE, *TWIST), _odometry, ("speed_mps",), "m/s")
PATH = Kind("pose", POSE, lambda m: _pose(m.pose.pose if hasattr(m.pose, "pose") else m.pose), ("x_m", "y_m"), "m")
TWISTS = Kind("twist", TWIST, lambda m: _twist(m.twist.twist if hasattr(m.twist, "twist") else m.twist), ("speed_mps",), "m/s")
VELOCITY = Kind("velocity", TWIST, lambda m: (m.longitudinal_velocity, m.heading_rate), ("speed_mps",), "m/s")
IMU = Kind("imu", ("ax", "ay", "az", "wx", "wy", "wz"), _imu, ("wz",), "rad/s")
# `fresh` says (`Motion` finds it out) whether a fix is news, repeats the last, or has done so for a second: then the vehicle stands.
NEWS, REPEAT, STANDING = 1.0, 0.0, -1.0
FIX = Kind("fix", ("lat_deg", "lon_deg", "fresh"), _fix, ("lat_deg", "lon_deg"), "m")
STEERING = Kind("steering", ("steering_rad",), lambda m: (m.steering_tire_angle,), ("steering_rad",), "rad")
COMMAND = Kind("steering command", ("steering_rad",), lambda m: (m.drive.steering_angle,), ("steering_rad",), "rad")
TF = Kind("tf", POSE, lambda placed: (*placed.at, *placed.turn), ("x_m", "y_m"), "m")

MOTION: dict[str, Kind] = {
    "nav_msgs/msg/Odometry": ODOMETRY,
    "geometry_msgs/msg/PoseStamped": PATH, "geometry_msgs/msg/PoseWithCovarianceStamped": PATH,
    "geometry_msgs/msg/TwistStamped": TWISTS, "geometry_msgs/msg/TwistWithCovarianceStamped": TWISTS,
    "sensor_msgs/msg/Imu": IMU, "sensor_msgs/msg/NavSatFix": FIX,
    "ackermann_msgs/msg/AckermannDriveStamped": COMMAND,
    **{f"{package}/msg/SteeringReport": STEERING for package in ("autoware_auto_vehicle_msgs", "autoware_vehicle_msgs")},
    **{f"{package}/msg/VelocityReport": VELOCITY for package in ("autoware_auto_vehicle_msgs", "autoware_vehicle_msgs")},
}  # fmt: skip


@dataclass(frozen=True)
class Window:
    """A topic's samples around a window: strictly rising times (N,), columns, and which rows lie in it (the rest is context)."""

    times: Times
    columns: dict[str, Array]
    inside: NDArray[np.bool_]

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    @property
    def t_s(self) -> Array:
        """Seconds since the first sample."""
        return np.asarray((self.times - self.times[0]) / 1e9)

    @property
    def period_s(self) -> float:
        """The median step; 0 for fewer than two samples."""
        return float(np.median(np.diff(self.times))) / 1e9 if len(self.times) > 1 else 0.0

    def only(self, chosen: NDArray[np.bool_]) -> "Window":
        """Some of its samples."""
        return Window(self.times[chosen], {name: values[chosen] for name, values in self.columns.items()}, self.inside[chosen])


@dataclass
class Series:
    """One topic's samples since a little before the last window."""

    topic: str
    kind: Kind
    frame: str = ""
    messages: int = 0
    late: Thinned = field(default_factory=Thinned)
    times: list[int] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """Topic and kind: a topic may carry more than one type."""
        return self.topic, self.kind.name

    def add(self, t_ns: int, values: Values) -> None:
        """Keeps one sample."""
        self.times.append(t_ns)
        self.values.append(tuple(map(float, values)))

    def stamped(self, t_ns: int, stamp_ns: int | None) -> None:
        """Keeps how long after its stamp a sample was recorded, where both count from the same moment."""
        if stamp_ns is not None and abs(t_ns - stamp_ns) < NEAR_STAMP_NS:
            self.late.see(np.array([t_ns - stamp_ns], np.int64))

    @property
    def late_ns(self) -> int:
        """How long after their stamps the samples are recorded (median)."""
        return int(np.median(self.late.kept)) if self.late.seen else 0

    def count(self, known_ns: int | None) -> int:
        """How many samples are kept, up to a time."""
        return sum(known_ns is None or t_ns <= known_ns for t_ns in self.times)

    def window(self, after_ns: int, until_ns: int | None, known_ns: int | None = None) -> Window:
        """The samples kept up to known_ns, sorted (of equal times the last); those after after_ns and up to until_ns marked as inside."""
        times = np.array(self.times, np.int64)
        order = np.argsort(times, kind="stable")
        order = order[times[order] <= known_ns] if known_ns is not None else order
        order = order[np.r_[np.diff(times[order]) > 0, np.ones(min(len(order), 1), bool)]]
        times = times[order]
        rows = np.array(self.values, np.float64).reshape(len(self.values), len(self.kind.columns))[order]
        inside = (times > after_ns) & (times <= (until_ns if until_ns is not None else np.iinfo(np.int64).max))
        return Window(times=times, columns=dict(zip(self.kind.columns, rows.T, strict=True)), inside=inside)

    def forget(self, before_ns: int) -> None:
        """Drops the samples before a time."""
        kept = [at for at, t_ns in enumerate(self.times) if t_ns >= before_ns]
        self.times, self.values = [self.times[at] for at in kept], [self.values[at] for at in kept]
