"""Ego signals of logs that hold no ego state: worked out from the ego's poses, or from its fixes, by stated filters."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from flywheel.ingest.ego_path import SPEED_WINDOW_S
from flywheel.ingest.kinematics import derivative
from flywheel.ingest.mcap_mounts import Mounts
from flywheel.ingest.mcap_read import Batch
from flywheel.ingest.mcap_signals import FixSource, Samples
from flywheel.ingest.whereabouts import metres

Array = NDArray[np.float64]
Times = NDArray[np.int64]

# A sample's derivatives depend on what lies this near, so the last ones wait for what follows.
REACH_NS = 4 * 10**9
MAX_WINDOW_S = 1.8
FIX_WINDOW_S, MIN_COURSE_MPS = 1.0, 1.0


class PoseSource:
    """SIGNALS from the ego frame's poses in its parent: x, y, heading as said, speed, accelerations, yaw rate by `EgoPath.signals`."""

    topic, lag_ns, count, sensor = "the ego's poses", REACH_NS, 0, False
    names = ("speed_mps", "ax_mps2", "ay_mps2", "yaw_rate_radps", "x_m", "y_m", "heading_rad")
    derived: tuple[str, ...] = names[:4]

    def __init__(self, mounts: Mounts) -> None:
        self.mounts, self.done_ns, self.window_s = mounts, -(1 << 62), 0.0

    def take(self, batch: Batch) -> None:
        """Nothing: `Mounts` takes the poses."""

    def advance(self, *, final: bool) -> Samples:
        """The poses whose neighbours are known."""
        link = self.mounts.ego_link()
        if link is None or not link.times:
            return Samples(np.empty(0, np.int64), {name: np.empty(0) for name in self.names})
        path = link.path()
        if not self.window_s and len(path.times) > 1:
            self.window_s = min(max(SPEED_WINDOW_S, 1.5e-9 * float(np.median(np.diff(path.times)))), MAX_WINDOW_S)
        limit = int(path.times[-1]) + 1 if final else int(path.times[-1]) - REACH_NS
        new = (path.times > self.done_ns) & (path.times < limit)
        found = path.signals(window_s=self.window_s or SPEED_WINDOW_S)
        self.done_ns = int(path.times[new][-1]) if new.any() else self.done_ns
        return Samples(path.times[new], {name: found[name][new] for name in self.names})


class FixMotion:
    """SIGNALS from fixes alone: x, y on a plane at the first fix (east, north), speed, course and acceleration from parabolas over +-1 s.

    The course is the heading only where the ego moves; elsewhere it is not known. Fixes that are not numbers are left out and counted.
    """

    lag_ns, sensor = REACH_NS, True
    names = ("lat_deg", "lon_deg", "x_m", "y_m", "speed_mps", "ax_mps2", "heading_rad")
    derived: tuple[str, ...] = names[2:]

    def __init__(self, topic: str, *, count: int) -> None:
        self.topic, self.count, self.fixes = topic, count, FixSource(topic, count=count, strict=False)
        self.times, self.places = np.empty(0, np.int64), np.empty((0, 2))
        self.origin: Array | None = None
        self.done_ns, self.window_s = -(1 << 62), 0.0

    def take(self, batch: Batch) -> None:
        """Takes messages."""
        self.fixes.take(batch)

    def advance(self, *, final: bool) -> Samples:
        """The fixes whose neighbours are known."""
        new = self.fixes.advance(final=final)
        self.times = np.r_[self.times, new.times]
        self.places = np.vstack([self.places, np.stack([new.columns["lat_deg"], new.columns["lon_deg"]], axis=1)])
        if not len(self.times):
            return Samples(self.times, {name: np.empty(0) for name in self.names})
        limit = int(self.times[-1]) + 1 if final else int(self.times[-1]) - REACH_NS
        ready = (self.times > self.done_ns) & (self.times < limit)
        found = self._motion()
        given = Samples(self.times[ready], {name: found[name][ready] for name in self.names})
        self.done_ns = int(given.times[-1]) if len(given.times) else self.done_ns
        near = self.times > self.done_ns - REACH_NS
        self.times, self.places = self.times[near], self.places[near]
        return given

    def _motion(self) -> Mapping[str, Array]:
        self.origin = self.places[0] if self.origin is None else self.origin
        t_s, plane = (
            (self.times - self.times[0]) / 1e9,
            metres(self.places[:, 0], self.places[:, 1], origin=(self.origin[0], self.origin[1])),
        )
        if not self.window_s and len(t_s) > 1:
            self.window_s = min(max(FIX_WINDOW_S, 1.5 * float(np.median(np.diff(t_s)))), MAX_WINDOW_S)
        window_s = self.window_s or FIX_WINDOW_S
        velocity = derivative(t_s, plane, half_window_s=window_s)
        speed = np.linalg.norm(velocity, axis=1)
        course = np.where(speed >= MIN_COURSE_MPS, np.arctan2(velocity[:, 1], velocity[:, 0]), np.nan)
        return {
            "lat_deg": self.places[:, 0], "lon_deg": self.places[:, 1], "x_m": plane[:, 0], "y_m": plane[:, 1],
            "speed_mps": speed, "ax_mps2": derivative(t_s, speed, half_window_s=window_s), "heading_rad": course,
        }  # fmt: skip
