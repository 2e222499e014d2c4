"""Road users in path coordinates, one row a track and frame, and the lead vehicle of every frame."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, WIDTH_M
from flywheel.mine.lanes import Lanes
from flywheel.mine.path import Line, Placed, place, place_on_arc
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals
from flywheel.mine.signals import Ego, column, times

FRAME_GAP_S = 0.35
FASTEST_HZ = 12.0
REACH_M = 120.0
SIDE_M = 30.0
ALIGNED_RAD = np.radians(45.0)
VEHICLES = ("car", "truck", "bus")
RIDERS = (*VEHICLES, "cyclist")
CURVE_SPEED_MPS = 3.0


@dataclass(frozen=True)
class Objects:
    """Rows sorted by (frame, track). Lengths in m, speeds in m/s over ground along the path's axes.

    `gap_m` runs from the ego's front bumper to the object's rear end along the path; `side_m` is its centre's distance to
    the left of the ego's own path, `lane_m` to the left of the ego lane's centre (NaN without lanes), `half_m` its half
    width across the path.
    """

    clock: Clock
    speed: Reals
    frame: Ints
    track: NDArray[np.int64]
    names: NDArray[np.object_]
    cls: NDArray[np.object_]
    front_m: Reals
    gap_m: Reals
    side_m: Reals
    lane_m: Reals
    abs_m: Reals
    half_m: Reals
    turned_rad: Reals
    along_mps: Reals
    across_mps: Reals

    def is_a(self, *classes: str) -> Mask:
        """Rows of these classes."""
        return np.asarray(np.isin(self.cls, classes))

    @property
    def aligned(self) -> Mask:
        """Rows whose heading is within 45 degrees of the path."""
        return np.asarray(np.abs(self.turned_rad) <= ALIGNED_RAD)

    @property
    def in_path(self) -> Mask:
        """Aligned vehicles and riders ahead whose box overlaps the ego's width on its path."""
        return self.is_a(*RIDERS) & self.aligned & (self.front_m > 0) & (np.abs(self.side_m) < self.half_m + WIDTH_M / 2)

    def nearest_ahead(self, chosen: Mask) -> Ints:
        """For every frame the chosen row with the smallest gap, -1 where there is none."""
        rows = np.flatnonzero(chosen)
        order = rows[np.lexsort((self.gap_m[rows], self.frame[rows]))]
        first = np.flatnonzero(np.diff(self.frame[order], prepend=-1))
        found = np.full(len(self.clock.t_ns), -1, np.int64)
        found[self.frame[order[first]]] = order[first]
        return found


def _thinned(t_ns: Ints) -> Mask:
    """Rows kept: all, or at most one frame every 0.1 s where the tracker is faster than 12 Hz."""
    frames = np.unique(t_ns)
    if len(frames) < 3 or NS / np.median(np.diff(frames)) <= FASTEST_HZ:
        return np.ones(len(t_ns), bool)
    slot = (frames - frames[0]) // (NS // 10)
    kept = frames[np.flatnonzero(np.diff(slot, prepend=-1))]
    return np.isin(t_ns, kept)


def _foot(rows: "_Rows", ego: Ego, lanes: Lanes | None, line: Line | None) -> tuple[Placed, Reals, Reals]:
    """Placed rows (distance ahead of the ego's origin), the path's turn in the ego frame, places across the road."""
    if line is None or ego.pose is None or lanes is None:
        yaw = ego.at(rows.t_ns, ego.yaw) if ego.yaw is not None else np.zeros(len(rows.t_ns))
        foot = place_on_arc(yaw / np.maximum(ego.at(rows.t_ns, ego.speed), CURVE_SPEED_MPS), rows.x, rows.y)
        return foot, foot.heading_rad, foot.left_m + _ego_across(rows, lanes)
    x, y, heading = (ego.at(rows.t_ns, part) for part in ego.pose)
    travelled = ego.at(rows.t_ns, ego.travelled_m)
    wx, wy = x + rows.x * np.cos(heading) - rows.y * np.sin(heading), y + rows.x * np.sin(heading) + rows.y * np.cos(heading)
    foot = place(line, wx, wy, guess_m=travelled + rows.x)
    across = foot.left_m + np.interp(foot.s_m, ego.at(lanes.clock.t_ns, ego.travelled_m), lanes.ego_m)
    return Placed(foot.s_m - travelled, foot.left_m, foot.heading_rad, foot.found), foot.heading_rad - heading, across


def _ego_across(rows: "_Rows", lanes: Lanes | None) -> Reals:
    return np.zeros(len(rows.t_ns)) if lanes is None else lanes.at(rows.t_ns, lanes.ego_m)


@dataclass(frozen=True)
class _Rows:
    t_ns: Ints
    x: Reals
    y: Reals
    heading: Reals
    length: Reals
    width: Reals
    vx: Reals
    vy: Reals
    track: NDArray[np.int64]
    names: NDArray[np.object_]
    cls: NDArray[np.object_]


def _rows(tracks: pa.Table) -> _Rows:
    t_ns = times(tracks)
    x, y = column(tracks, "x_m"), column(tracks, "y_m")
    keep = _thinned(t_ns) & (x > -20.0) & (x < REACH_M) & (np.abs(y) < np.maximum(SIDE_M, 0.7 * x))
    table = tracks.filter(pa.array(keep))
    coded = pa.concat_arrays(table["track_id"].chunks or [pa.array([], pa.string())]).dictionary_encode()
    parts = {name: column(table, f"{name}_m") for name in ("x", "y", "length", "width")}
    return _Rows(
        t_ns=times(table), heading=column(table, "heading_rad"), vx=column(table, "vx_mps"), vy=column(table, "vy_mps"),
        track=np.asarray(coded.indices.to_numpy(zero_copy_only=False), np.int64), names=np.asarray(coded.dictionary.to_pylist(), object),
        cls=np.asarray(table["cls"].to_pylist(), object), **parts,
    )  # fmt: skip


def read_objects(tracks: pa.Table, *, ego: Ego, lanes: Lanes | None, line: Line | None) -> Objects:
    """The TRACKS rows of one drive near its path. The path is `line` with lanes' offsets if given, else the yaw-rate arc."""
    rows = _rows(tracks)
    foot, axes, across = _foot(rows, ego, lanes, line)
    frames, frame = np.unique(rows.t_ns, return_inverse=True)
    turned = np.angle(np.exp(1j * (rows.heading - axes)))
    c, s = np.abs(np.cos(turned)), np.abs(np.sin(turned))
    half_long = (c * rows.length + s * rows.width) / 2
    centre = lanes.latest(rows.t_ns, lanes.centre_m) if lanes is not None else np.full(len(across), np.nan)
    front = np.where(foot.found, foot.s_m - FRONT_M, -np.inf)
    return Objects(
        clock=Clock(frames, int(FRAME_GAP_S * NS)), speed=ego.at(frames, ego.speed) if len(frames) else np.zeros(0), frame=frame,
        track=rows.track, names=rows.names, cls=rows.cls, front_m=front, gap_m=np.maximum(front - half_long, 0.0),
        side_m=across - _ego_across(rows, lanes), lane_m=across - centre, abs_m=across,
        half_m=(s * rows.length + c * rows.width) / 2, turned_rad=turned,
        along_mps=rows.vx * np.cos(axes) + rows.vy * np.sin(axes), across_mps=rows.vy * np.cos(axes) - rows.vx * np.sin(axes),
    )  # fmt: skip
