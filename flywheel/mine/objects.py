"""Road users in path coordinates, one row a track and frame, and the lead vehicle of every frame."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.mine.lanes import Lanes
from flywheel.mine.path import Line, Placed, place, place_on_arc
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals
from flywheel.mine.signals import CURVE_SPEED_MPS, Ego, column, times

FRAME_GAP_S = 0.35
FASTEST_HZ = 12.0
REACH_M = 120.0
SIDE_M = 30.0
BEHIND_M, FOLLOWS_M, FOLLOWS_MPS = 20.0, 80.0, 3.0
CROSSED_M, CROSSES_MPS = 50.0, 2.0
ALIGNED_RAD, COURSE_RAD, COURSE_SPEED_MPS = np.radians(45.0), np.radians(30.0), 2.0
VEHICLES = ("car", "truck", "bus")
RIDERS = (*VEHICLES, "cyclist")


@dataclass(frozen=True)
class Objects:
    """Rows sorted by (frame, track). Lengths in m, speeds in m/s over ground along the path's axes.

    `gap_m` runs from the ego's front bumper to the object's rear end along the path; `side_m` is its centre's distance to
    the left of the ego's own path, `lane_m` to the left of the ego lane's centre (NaN without lanes). `reach_m` and `half_m` are half of
    what it covers along and across the path as it is turned, `width_m` its own width. `rows` are the TRACKS rows, for their other columns.
    """

    clock: Clock
    speed: Reals
    frame: Ints
    track: Ints
    names: list[str]
    cls: Ints
    classes: list[str]
    front_m: Reals
    reach_m: Reals
    gap_m: Reals
    side_m: Reals
    lane_m: Reals
    abs_m: Reals
    half_m: Reals
    width_m: Reals
    turned_rad: Reals
    along_mps: Reals
    across_mps: Reals
    rows: pa.Table

    def is_a(self, *classes: str) -> Mask:
        """Rows of these classes."""
        chosen = np.array([name in classes for name in self.classes] or [False])
        return np.asarray(chosen[self.cls])

    def is_kind(self, *subclasses: str) -> Mask:
        """Rows whose subclass is one of these."""
        known = pa.compute.is_in(self.rows["subclass"], pa.array(subclasses, pa.string()))
        return np.asarray(known.to_numpy(zero_copy_only=False), bool)

    @property
    def aligned(self) -> Mask:
        """Rows whose heading is within 45 degrees of the path."""
        return np.asarray(np.abs(self.turned_rad) <= ALIGNED_RAD)

    @property
    def in_path(self) -> Mask:
        """Aligned vehicles and riders ahead whose box overlaps the ego's width on its path."""
        return self.is_a(*RIDERS) & self.aligned & (self.front_m > 0) & (np.abs(self.side_m) < self.half_m + WIDTH_M / 2)

    @property
    def behind_m(self) -> Reals:
        """From the ego's rear end back to the object's front, negative once it reaches past that end."""
        return REAR_M - FRONT_M - self.front_m - self.reach_m

    @property
    def follows(self) -> Mask:
        """Aligned vehicles and riders behind whose box overlaps the ego's width on its path."""
        behind = (self.behind_m > 0) & np.isfinite(self.behind_m)
        return self.is_a(*RIDERS) & self.aligned & behind & (np.abs(self.side_m) < self.half_m + WIDTH_M / 2)

    def nearest_ahead(self, chosen: Mask) -> Ints:
        """For every frame the chosen row with the smallest gap, -1 where there is none."""
        return self.nearest(chosen, self.gap_m)

    def nearest(self, chosen: Mask, distance_m: Reals) -> Ints:
        """For every frame the chosen row with the smallest distance, -1 where there is none."""
        rows = np.flatnonzero(chosen)
        order = rows[np.lexsort((distance_m[rows], self.frame[rows]))]
        first = np.flatnonzero(np.diff(self.frame[order], prepend=-1))
        found = np.full(len(self.clock.t_ns), -1, np.int64)
        found[self.frame[order[first]]] = order[first]
        return found


def _thinned(t_ns: Ints) -> Mask:
    """Frames kept: all, or at most one every 0.1 s where the tracker is faster than 12 Hz."""
    if len(t_ns) < 3 or NS / np.median(np.diff(t_ns)) <= FASTEST_HZ:
        return np.ones(len(t_ns), bool)
    return np.asarray(np.diff((t_ns - t_ns[0]) // (NS // 10), prepend=-1) != 0)


def _heads(t_ns: Ints) -> Mask:
    """True at the first row of every instant of a sorted column."""
    return np.asarray(np.diff(t_ns, prepend=t_ns[:1] - 1) != 0)


def coded(values: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    """A text column as indices of its distinct values, and those."""
    words = pa.concat_arrays(values.chunks or [pa.array([], pa.string())]).dictionary_encode()
    return np.asarray(words.indices.to_numpy(zero_copy_only=False), np.int64), words.dictionary.to_pylist()


def _near(tracks: pa.Table, ego: Ego) -> pa.Table:
    """The rows that could matter: while the ego is known, from behind it to the reach ahead, in a widening cone.

    Far behind only what drives the ego's way can, for it follows, and what drives across behind it.
    """
    x, y = column(tracks, "x_m"), column(tracks, "y_m")
    heads = _heads(times(tracks))
    t_ns = times(tracks)[heads]
    kept = (_thinned(t_ns) & ego.covers(t_ns))[np.cumsum(heads) - 1]
    follows = (x > -FOLLOWS_M) & (column(tracks, "vx_mps") >= FOLLOWS_MPS)
    crosses = (x > -CROSSED_M) & (np.abs(column(tracks, "vy_mps")) >= CROSSES_MPS)
    return tracks.filter(pa.array(kept & (follows | crosses | (x > -BEHIND_M)) & (x < REACH_M) & (np.abs(y) < np.maximum(SIDE_M, 0.7 * x))))


@dataclass(frozen=True)
class _Frames:
    """The ego at every track frame, spread over the rows by `frame`."""

    t_ns: Ints
    frame: Ints
    ego: Ego
    lanes: Lanes | None

    def spread(self, values: Reals) -> Reals:
        """An ego series at the rows' frames."""
        return self.ego.at(self.t_ns, values)[self.frame]

    @property
    def across(self) -> Reals:
        """The ego's place across the road at the rows' frames, 0 without lanes."""
        if self.lanes is None:
            return np.zeros(len(self.frame))
        return self.lanes.at(self.t_ns, self.lanes.ego_m)[self.frame]


def _leaning(ego: Ego, lanes: Lanes, way_m: Reals) -> Reals:
    """By how much the ego's course is turned against its lane at distances along it, rad; told only by LANES samples of a moving ego."""
    t_ns = lanes.clock.t_ns
    speed, passed_m = ego.at(t_ns, ego.speed), ego.at(t_ns, ego.travelled_m)
    moves = speed >= COURSE_SPEED_MPS
    if not moves.any():
        return np.zeros(len(way_m))
    return np.interp(way_m, passed_m[moves], np.arcsin(np.clip(lanes.lateral_mps[moves] / speed[moves], -1.0, 1.0)))


def _in_lane(ego: Ego, lanes: Lanes, way_m: Reals) -> Mask:
    """Whether the ego has a lane where it passes distances along its way: not when it has turned off or round."""
    if not lanes.clock.broken.any() and ego.clock.t_ns[-1] - lanes.clock.t_ns[-1] <= lanes.clock.max_gap_ns:
        return np.ones(len(way_m), bool)
    passes_ns = np.interp(way_m, np.maximum.accumulate(ego.travelled_m), ego.clock.t_ns).astype(np.int64)
    return lanes.covers(passes_ns)


def _foot(frames: _Frames, x: Reals, y: Reals, line: Line | None) -> tuple[Placed, Reals, Reals, Reals]:
    """Placed rows (distance ahead of the ego's origin), the lane's turn there in the ego frame, places across the road, and to the left.

    Where the ego changes lanes its path is turned against the lane; the lane it is that others go along, and the ego is taken to keep to
    its present place in it. Where the ego turns off the lane its own path counts.
    """
    ego, lanes = frames.ego, frames.lanes
    if line is None or ego.pose is None or lanes is None:
        yaw = frames.spread(ego.yaw) if ego.yaw is not None else np.zeros(len(x))
        foot = place_on_arc(yaw / np.maximum(frames.spread(ego.speed), CURVE_SPEED_MPS), x, y)
        return foot, foot.heading_rad, foot.left_m + frames.across, foot.left_m
    ex, ey, heading = (frames.spread(part) for part in ego.pose)
    travelled, c, s = frames.spread(ego.travelled_m), np.cos(heading), np.sin(heading)
    foot = place(line, ex + x * c - y * s, ey + x * s + y * c, guess_m=travelled + x)
    across = foot.left_m + np.interp(foot.s_m, ego.at(lanes.clock.t_ns, ego.travelled_m), lanes.ego_m)
    known = _in_lane(ego, lanes, foot.s_m)
    leaning, own = np.where(known, _leaning(ego, lanes, foot.s_m), 0.0), _leaning(ego, lanes, ego.at(frames.t_ns, ego.travelled_m))
    keeps = lanes.covers(frames.t_ns) & (np.abs(own) < COURSE_RAD)
    side = np.where(keeps[frames.frame] & known & (np.abs(leaning) < COURSE_RAD), across - frames.across, foot.left_m)
    return Placed(foot.s_m - travelled, foot.left_m, foot.heading_rad, foot.found), foot.heading_rad - leaning - heading, across, side


def read_objects(tracks: pa.Table, *, ego: Ego, lanes: Lanes | None, line: Line | None) -> Objects:
    """The TRACKS rows of one drive near its path. The path is `line` with lanes' offsets if given, else the yaw-rate arc."""
    rows = _near(tracks, ego)
    heads = _heads(times(rows))
    t_ns, frame = times(rows)[heads], np.cumsum(heads) - 1
    frames = _Frames(t_ns, frame, ego, lanes)
    foot, axes, across, side = _foot(frames, column(rows, "x_m"), column(rows, "y_m"), line)
    length, width, vx, vy = (column(rows, name) for name in ("length_m", "width_m", "vx_mps", "vy_mps"))
    turned = column(rows, "heading_rad") - axes
    turned -= 2 * np.pi * np.round(turned / (2 * np.pi))
    c, s = np.abs(np.cos(turned)), np.abs(np.sin(turned))
    centre = lanes.latest(t_ns, lanes.centre_m)[frame] if lanes is not None else np.full(len(across), np.nan)
    front, reach = np.where(foot.found, foot.s_m - FRONT_M, -np.inf), (c * length + s * width) / 2
    track, names = coded(rows["track_id"])
    cls, classes = coded(rows["cls"])
    return Objects(
        clock=Clock(t_ns, int(FRAME_GAP_S * NS)), speed=ego.at(t_ns, ego.speed), frame=frame, track=track, names=names, cls=cls,
        classes=classes, front_m=front, reach_m=reach, gap_m=np.maximum(front - reach, 0.0), side_m=side,
        lane_m=across - centre, abs_m=across, half_m=(s * length + c * width) / 2, width_m=width, turned_rad=turned,
        along_mps=vx * np.cos(axes) + vy * np.sin(axes), across_mps=vy * np.cos(axes) - vx * np.sin(axes), rows=rows,
    )  # fmt: skip
