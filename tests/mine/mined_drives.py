"""Hand-built drives: a car on a straight or curved lane, other road users placed in the ego frame, all at known times."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.mine.prepare import Drive, DriveTables
from flywheel.tables import conform, rows_table

T0_NS = 1_700_000_000_000_000_000
CAR = {"length_m": 4.5, "width_m": 1.8, "height_m": 1.5}
WALKER = {"length_m": 0.5, "width_m": 0.5, "height_m": 1.7}
LANE_M = 3.5

Path = Callable[[np.ndarray], np.ndarray]


def at_ns(seconds: float) -> int:
    """A time of the hand-built drives."""
    return T0_NS + round(seconds * 1e9)


@dataclass
class Build:
    """A drive under construction on a straight road; times in seconds from its start."""

    duration_s: float = 20.0
    speed: Path = field(default=lambda t: np.full_like(t, 12.0))
    yaw: Path = field(default=np.zeros_like)
    sideways: Path = field(default=np.zeros_like)
    lights: list[dict[str, Any]] = field(default_factory=list)
    tracks: list[dict[str, Any]] = field(default_factory=list)
    lanes: bool = True
    junction_from_to_m: tuple[float, float] | None = None
    lane_ends_at_m: float | None = None  # where lane 0 ends, from the start
    sky: dict[str, float] | None = None
    drop: dict[str, tuple[float, float]] = field(default_factory=dict)
    without: tuple[str, ...] = ()

    @property
    def t(self) -> np.ndarray:
        return np.arange(round(self.duration_s * 100) + 1) / 100

    @property
    def t10(self) -> np.ndarray:
        return np.arange(round(self.duration_s * 10) + 1) / 10

    def travelled(self, at: np.ndarray) -> np.ndarray:
        v = self.speed(self.t)
        return np.interp(at, self.t, np.concatenate([[0], np.cumsum((v[1:] + v[:-1]) / 200)]))

    def heading(self, at: np.ndarray) -> np.ndarray:
        r = self.yaw(self.t)
        return np.interp(at, self.t, np.concatenate([[0], np.cumsum((r[1:] + r[:-1]) / 200)]))

    def other(self, name: str, x: Path, y: Path, *, cls: str = "car", heading: float = 0.0, box: dict[str, float] = CAR) -> "Build":
        """A road user at world places (x ahead of the start, y left of the ego's first lane), the road being straight."""
        t = self.t10
        vx, vy = np.gradient(x(t), t), np.gradient(y(t), t)
        for i, now in enumerate(t):
            self.tracks.append({
                "drive_id": "d", "t_ns": at_ns(now), "track_id": name, "cls": cls, "z_m": 0.8, "heading_rad": heading, **box,
                "x_m": float(x(t)[i] - self.travelled(now)), "y_m": float(y(t)[i] - self.sideways(t)[i]),
                "vx_mps": float(vx[i]), "vy_mps": float(vy[i]),
            })  # fmt: skip
        return self

    def light(self, state: str, since: float, until: float, stop_line_x_m: float) -> "Build":
        """A light whose stop line is at a distance from the start."""
        for now in self.t10[(self.t10 >= since) & (self.t10 < until)]:
            front = float(self.travelled(now)) + 3.7
            self.lights.append({"drive_id": "d", "t_ns": at_ns(now), "light_id": "a", "state": state, "stop_line_m": stop_line_x_m - front})
        return self

    def _signals(self) -> pa.Table:
        t, v, yaw = self.t, self.speed(self.t), self.yaw(self.t)
        heading, way = self.heading(t), self.travelled(t)
        x = np.concatenate([[0], np.cumsum(np.diff(way) * np.cos(heading[:-1]))])
        y = np.concatenate([[0], np.cumsum(np.diff(way) * np.sin(heading[:-1]))]) + self.sideways(t)
        ax, still = np.gradient(v, t), np.zeros_like(t)
        streams = {
            "ego": {"speed_mps": v, "ax_mps2": ax, "ay_mps2": v * yaw, "yaw_rate_radps": yaw, "x_m": x, "y_m": y, "heading_rad": heading},
            "imu": {"imu_ax_mps2": ax, "imu_az_mps2": still + 9.81},
            "gnss": {"lat_deg": still + 48.0, "lon_deg": still + 11.0},
            "sky": {name: still + value for name, value in (self.sky or {}).items()},
        }
        columns: dict[str, Any] = {"drive_id": ["d"] * len(t), "t_ns": [at_ns(now) for now in t]}
        for stream, series in streams.items():
            since, until = self.drop.get(stream, (0.0, 0.0))
            gone = ((t > since + 1e-6) & (t < until - 1e-6)) | (np.arange(len(t)) % {"gnss": 10, "sky": 100}.get(stream, 1) != 0)
            columns |= {n: pa.array(np.where(gone, np.nan, s), from_pandas=True) for n, s in series.items() if n not in self.without}
        return conform("SIGNALS", pa.table(columns))

    def _lanes(self) -> list[dict[str, Any]]:
        rows = []
        for now in self.t10 if self.lanes else []:
            side = float(self.sideways(np.array([now]))[0])
            index = int(np.floor(side / LANE_M + 0.5))
            way = float(self.travelled(now))
            inside, ahead = False, None
            if self.junction_from_to_m:
                start, end = self.junction_from_to_m
                inside = start <= way <= end
                ahead = start - way if way < start else None
            rows.append({
                "drive_id": "d", "t_ns": at_ns(now), "lane_id": f"l{index}", "lane_index": index + 5, "offset_m": side - index * LANE_M,
                "width_m": LANE_M, "curvature_1pm": 0.0, "in_junction": inside, "junction_m": ahead,
                "lane_ends_m": None if self.lane_ends_at_m is None or index else self.lane_ends_at_m - way - 3.7,
            })  # fmt: skip
        return rows

    def tables(self) -> DriveTables:
        """The drive's tables, as ingest would have written them."""
        row = {"drive_id": "d", "t0_ns": T0_NS, "t1_ns": at_ns(self.duration_s), "signals": [], "root_group": "v1|2026-11-01|town"}
        return DriveTables(
            row=row, signals=self._signals(), tracks=rows_table("TRACKS", self.tracks),
            lights=rows_table("LIGHTS", self.lights), lanes=rows_table("LANES", self._lanes()), frames=rows_table("FRAMES", []),
        )  # fmt: skip

    def drive(self) -> Drive:
        """The drive, ready for detectors."""
        return Drive(self.tables())


def ramp(*points: tuple[float, float]) -> Path:
    """A piecewise linear course through (time, value) points."""
    at, values = zip(*points, strict=True)
    return lambda t: np.interp(t, at, values)
