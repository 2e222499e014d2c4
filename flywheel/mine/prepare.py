"""Everything detectors share, worked out once a drive: cleaned signals, lanes, objects on the path, lead vehicle, conditions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Signal
from flywheel.mine.lanes import Lanes, read_lanes
from flywheel.mine.objects import Objects, read_objects
from flywheel.mine.path import driven
from flywheel.mine.segments import NS, Ints, Mask, Reals
from flywheel.mine.signals import CONDITION_NAMES, Ego, Sky, condition_codes, read_ego, read_sky, series, times
from flywheel.tables import SCHEMAS

CUTOFF_HZ = 2.0
GRID_NS = NS // 10


@dataclass(frozen=True)
class DriveTables:
    """One drive: its DRIVES row and its sorted tables."""

    row: dict[str, Any]
    signals: pa.Table
    tracks: pa.Table
    lights: pa.Table
    lanes: pa.Table
    frames: pa.Table


@dataclass(frozen=True)
class Lights:
    """The light that governs the ego lane at its samples; the distance runs from the front bumper to the stop line, m."""

    t_ns: Ints
    red: Mask
    stop_line_m: Reals


class Drive:
    """One drive made ready for detectors. A part that the drive lacks raises NotEvaluable with the reason."""

    def __init__(self, tables: DriveTables, *, default_condition: str = "day_clear", lighting: str | None = None) -> None:
        """The condition stands where the drive says nothing of its sky; `lighting` is what its camera showed, None if unknown."""
        self.tables = tables
        self.default_condition, self.lighting = default_condition, lighting
        self._series: dict[str, tuple[Ints, Reals]] = {}
        self._rows: dict[bytes, tuple[Ints, Ints]] = {}  # rows with a sample and their times, by the bits that say which
        self.memo: dict[Any, Any] = {}  # what others worked out once for this drive: hits, boxes, answers
        self.drive_id = str(tables.row["drive_id"])
        self.t0_ns, self.t1_ns = int(tables.row["t0_ns"]), int(tables.row["t1_ns"])

    @cached_property
    def _ego(self) -> Ego | None:
        return read_ego(self.tables.signals, cutoff_hz=CUTOFF_HZ)

    @cached_property
    def _lanes(self) -> Lanes | None:
        return read_lanes(self.tables.lanes)

    @property
    def ego(self) -> Ego:
        """The ego's motion."""
        if self._ego is None:
            raise NotEvaluable("no ego speed")
        return self._ego

    @property
    def lanes(self) -> Lanes:
        """The ego's lanes."""
        if self._lanes is None:
            raise NotEvaluable("no lanes: the drive has no map")
        return self._lanes

    @cached_property
    def sky(self) -> Sky:
        """Light and weather; empty where the drive has no such signals."""
        return read_sky(self.tables.signals)

    @cached_property
    def objects(self) -> Objects:
        """Road users on the ego's path: the lane's course where there is a map and a pose, else the yaw-rate arc."""
        ego, lanes = self.ego, self._lanes
        line = None
        if ego.pose is not None and lanes is not None:
            line = driven(ego.pose, ego.travelled_m, end_curvature_1pm=ego.end_curvature_1pm)
        return read_objects(self.tables.tracks, ego=ego, lanes=lanes, line=line)

    @cached_property
    def lead(self) -> Ints:
        """The row of `objects` that is the lead on the ego's path in every frame, -1 without one."""
        return self.objects.nearest_ahead(self.objects.in_path)

    @cached_property
    def follower(self) -> Ints:
        """The row of `objects` that is next behind on the ego's path in every frame, -1 without one."""
        return self.objects.nearest(self.objects.follows, self.objects.behind_m)

    @cached_property
    def encounters(self) -> pa.Table:
        """The ENCOUNTERS rows of this drive; none without an ego or tracks."""
        from flywheel.mine.encounters import encounters_of

        if self._ego is None:
            return SCHEMAS["ENCOUNTERS"].empty_table()
        return encounters_of(self.objects, self.ego, drive_id=self.drive_id, root_group=str(self.tables.row["root_group"]))

    @cached_property
    def lights(self) -> Lights:
        """Traffic lights; several at one instant stay apart."""
        table = self.tables.lights
        stop = np.asarray(table["stop_line_m"].to_numpy(zero_copy_only=False), np.float64)
        return Lights(times(table), np.asarray(table["state"].to_numpy(zero_copy_only=False) == "red", bool), stop)

    @cached_property
    def streams(self) -> dict[str, Ints]:
        """Sample times of every stream the drive has: ego state, IMU, GNSS and each camera."""
        frames = self.tables.frames
        found = {name: self.series(key)[0] for name, key in (("ego", "speed_mps"), ("imu", self._imu), ("gnss", "lat_deg"))}
        rgb = frames.filter(pa.compute.equal(frames["kind"], "rgb"))
        cameras = pa.compute.unique(rgb["camera"]).to_pylist()
        found |= {f"camera_{name}": times(rgb.filter(pa.compute.equal(rgb["camera"], name))) for name in sorted(cameras)}
        return {name: t_ns for name, t_ns in found.items() if len(t_ns) > 3}

    @property
    def _imu(self) -> str:
        """The signal that stands for the IMU."""
        return "imu_az_mps2" if self.says("imu_az_mps2") else "imu_ax_mps2"

    def missing(self, signal: Signal) -> str | None:
        """Why a kind of signal cannot be used in this drive, or None if it can."""
        ego = self._ego
        lacks: dict[Signal, Callable[[], bool]] = {
            "ego speed": lambda: ego is None,
            "acceleration": lambda: ego is None or ego.ax is None,
            "path": lambda: ego is None or ego.yaw is None,
            "tracks": lambda: len(self.tables.tracks) == 0,
            "lanes": lambda: self._lanes is None,
            "lights": lambda: len(self.tables.lights) == 0,
            "environment": lambda: not self.sky.known,
            "streams": lambda: not self.streams,
            "imu": lambda: not self.says("imu_az_mps2", "imu_ax_mps2"),
            "gnss": lambda: not self.says("lat_deg"),
            "vehicle": lambda: not self.says("wheel_speed_mps", "engaged", "driver_override", "fcw", "aeb", "abs", "esc"),
            "frames": lambda: len(self.tables.frames) == 0,
        }
        return f"no {signal}" if lacks[signal]() else None

    def says(self, *columns: str) -> bool:
        """Whether the drive has samples of any of these signals."""
        return any(self.tables.signals[name].null_count < len(self.tables.signals) for name in columns)

    def series(self, name: str) -> tuple[Ints, Reals]:
        """Times and values of a signal's own samples; none where the drive does not have it."""
        if name not in self._series:
            self._series[name] = series(self.tables.signals, name, rows_of=self._rows)
        return self._series[name]

    def highest(self, name: str) -> float:
        """The largest value of a signal, -inf without any."""
        return float(self.series(name)[1].max(initial=-np.inf))

    @cached_property
    def grid_ns(self) -> Ints:
        """Ten instants a second over the drive: the steps in which exposure is counted."""
        return np.arange(self.t0_ns, max(self.t1_ns, self.t0_ns + 1), GRID_NS, dtype=np.int64)

    @cached_property
    def grid_speed(self) -> Reals:
        """Speed at the grid's instants, 0 where there is no ego."""
        return np.zeros(len(self.grid_ns)) if self._ego is None else np.abs(self._ego.at(self.grid_ns, self._ego.speed))

    @cached_property
    def grid_conditions(self) -> Ints:
        """The condition at the grid's instants, as an index of CONDITION_NAMES."""
        return self.conditions(self.grid_ns)

    def conditions(self, t_ns: Ints) -> Ints:
        """The condition at each time, as an index of CONDITION_NAMES; the default throughout where the drive does not say."""
        if not self.sky.known:
            return np.full(len(t_ns), CONDITION_NAMES.index(self.default_condition))
        ego = self._ego
        return condition_codes(self.sky, t_ns, ego.at(t_ns, ego.pose[2]) if ego is not None and ego.pose is not None else None)

    def covered(self, signals: Iterable[Signal]) -> Mask:
        """At which of the grid's instants all of these signals are there."""
        seen = np.ones(len(self.grid_ns), bool)
        wanted = set(signals)
        if wanted & {"ego speed", "acceleration", "path"}:
            seen &= self.ego.covers(self.grid_ns)
        if "lanes" in wanted:
            seen &= self.lanes.covers(self.grid_ns)
        return seen
