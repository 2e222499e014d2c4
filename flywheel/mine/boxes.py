"""Everyone on a drive as boxes at common instants, the ego first among them: what atomic relations are worked out from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.errors import NotEvaluable
from flywheel.mine.path import driven, place
from flywheel.mine.prepare import GRID_NS, Drive
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals
from flywheel.mine.signals import column, low_pass, nearest, times

EGO = "ego"
GAP_NS = int(0.35 * NS)
SMOOTH_HZ = 1.0
STILL_M = 3.0
STRIDE_NS = 4 * 10**13  # eleven hours between two tracks' timelines: nothing reaches from one into the other
KINDS = ("cls", "subclass")
NUMBERS = ("x_m", "y_m", "heading_rad", "length_m", "width_m", "vx_mps", "vy_mps")


@dataclass(frozen=True)
class Along:
    """Where each row is along the ego's way (s_m, from where the ego began) and across the road (0 is the first lane's centre).

    `found`: it has a place along the way; `known`: the map speaks of that time.
    """

    s_m: Reals
    across_m: Reals
    lane: Ints
    lateral_mps: Reals
    found: Mask
    known: Mask


class Boxes:
    """Rows sorted by (track, time); track 0 is the ego, which has a row at every instant at which it is known.

    `x_m`, `y_m` (box centres), `heading_rad`, `vx_mps`, `vy_mps` (over ground) are in the ego frame; `frame` numbers the instants.
    """

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        table = drive.tables.tracks
        table = table.filter(pa.array(np.isfinite([column(table, name) for name in NUMBERS]).all(axis=0)))
        track, names = _coded(table, "track_id")
        ego_ns = _ego_times(drive, np.unique(times(table)))
        still = np.zeros(len(ego_ns))
        speed = drive.ego.at(ego_ns, drive.ego.speed) if len(ego_ns) else still
        ego = {"x_m": still + (FRONT_M + REAR_M) / 2, "length_m": still + FRONT_M - REAR_M, "width_m": still + WIDTH_M, "vx_mps": speed}
        t_ns = np.concatenate([ego_ns, times(table)])
        track = np.concatenate([np.zeros(len(ego_ns), np.int64), track + 1])
        order = np.lexsort((t_ns, track))
        both = {name: np.concatenate([ego.get(name, still), column(table, name)])[order] for name in NUMBERS}
        self.x_m, self.y_m, self.heading_rad, self.length_m, self.width_m, self.vx_mps, self.vy_mps = (both[name] for name in NUMBERS)
        self.t_ns, self.track, self.names = t_ns[order], track[order], [EGO, *names]
        self.frame = np.unique(self.t_ns, return_inverse=True)[1]
        self.cls, self.subclass = (np.concatenate([np.full(len(ego_ns), EGO, object), _words(table, kind)])[order] for kind in KINDS)

    def is_a(self, classes: tuple[str, ...]) -> Mask:
        """Rows of these classes or subclasses; all but the ego for none."""
        if not classes:
            return self.track > 0
        return np.isin(self.cls, classes) | np.isin(self.subclass, classes)

    @cached_property
    def clock(self) -> Clock:
        """All rows on one clock: each track's time from the drive's beginning, a stride after the track before."""
        return Clock(self.t_ns - self.drive.t0_ns + self.track * STRIDE_NS, GAP_NS)

    @cached_property
    def speed_mps(self) -> Reals:
        """Speed over ground along the heading."""
        return np.asarray(self.vx_mps * np.cos(self.heading_rad) + self.vy_mps * np.sin(self.heading_rad))

    def slope(self, values: Reals) -> Reals:
        """The change per second of a low-passed series (1 Hz), each stretch of a track on its own; 0 where it has one sample."""
        smooth = low_pass(values, self.clock, cutoff_hz=SMOOTH_HZ)
        step = np.diff(self.clock.t_ns) / NS
        rate = np.where(self.clock.broken[1:], np.nan, np.diff(smooth) / np.maximum(step, 1e-3))
        sides = np.stack([np.append(np.nan, rate), np.append(rate, np.nan)]) if len(values) else np.zeros((2, 0))
        count = np.isfinite(sides).sum(axis=0)
        return np.asarray(np.nansum(sides, axis=0) / np.maximum(count, 1))

    def of_ego(self, values: Reals) -> Reals:
        """A series of the ego at the rows' times."""
        return self.drive.ego.at(self.t_ns, values)

    @cached_property
    def pose(self) -> tuple[Reals, Reals, Reals]:
        """The ego's place and heading at the rows' times."""
        if self.drive.ego.pose is None:
            raise NotEvaluable("no pose")
        x, y, heading = (self.of_ego(part) for part in self.drive.ego.pose)
        return x, y, heading

    @cached_property
    def world(self) -> tuple[Reals, Reals]:
        """The rows' places in the fixed frame of the ego's pose."""
        x, y, heading = self.pose
        c, s = np.cos(heading), np.sin(heading)
        return x + self.x_m * c - self.y_m * s, y + self.x_m * s + self.y_m * c

    @cached_property
    def yaw_rate_radps(self) -> Reals:
        """How fast each row turns; the ego's own yaw rate for the ego."""
        if self.drive.ego.yaw is None:
            raise NotEvaluable("no yaw rate")
        turned = np.concatenate([[0.0], np.diff(self.heading_rad)])
        relative = np.cumsum(np.angle(np.exp(1j * turned)))
        ego = self.of_ego(self.drive.ego.yaw)
        return np.where(self.track == 0, ego, self.slope(relative) + ego)

    @cached_property
    def acceleration_mps2(self) -> Reals:
        """Along the heading; the ego's own signal where it has one."""
        told = self.drive.ego.ax
        return self.slope(self.speed_mps) if told is None else np.where(self.track == 0, self.of_ego(told), self.slope(self.speed_mps))

    @cached_property
    def moves(self) -> Mask:
        """Rows of tracks that are not stationary: 3 m or more between the outermost places at which they were seen."""
        x, y = self.world
        heads = np.flatnonzero(np.diff(self.track, prepend=-1))
        if not len(heads):
            return np.zeros(0, bool)
        spread = [np.maximum.reduceat(part, heads) - np.minimum.reduceat(part, heads) for part in (x, y)]
        return np.asarray(np.repeat(np.hypot(*spread) >= STILL_M, np.diff(np.append(heads, len(x)))))

    @cached_property
    def along(self) -> Along:
        """The rows on the ego's way, which takes a map and a pose."""
        drive, lanes = self.drive, self.drive.lanes
        if drive.ego.pose is None:
            raise NotEvaluable("no pose")
        line = driven(drive.ego.pose, drive.ego.travelled_m, end_curvature_1pm=drive.ego.end_curvature_1pm)
        travelled, ego = self.of_ego(drive.ego.travelled_m), self.track == 0
        foot = place(line, *self.world, guess_m=travelled + self.x_m)
        s_m = np.where(ego, travelled + self.x_m, foot.s_m)
        own = np.interp(foot.s_m, drive.ego.at(lanes.clock.t_ns, drive.ego.travelled_m), lanes.ego_m)
        across = np.where(ego, lanes.at(self.t_ns, lanes.ego_m), foot.left_m + own)
        width = lanes.latest(self.t_ns, lanes.width_m)
        place_m = np.where(ego, lanes.latest(self.t_ns, lanes.centre_m), across)
        lane = np.nan_to_num(np.round(place_m / np.where(width > 0, width, np.nan)), nan=-(10**6)).astype(np.int64)
        lateral = np.where(ego, lanes.at(self.t_ns, lanes.lateral_mps), self.slope(across))
        known = lanes.covers(self.t_ns)
        return Along(s_m, across, lane, lateral, known & (foot.found | ego), known)

    def gap_m(self, i: Ints, j: Ints) -> Reals:
        """Distances between the boxes of two sets of rows, 0 where they overlap."""
        return np.minimum(self._from_corners(i, j), self._from_corners(j, i))

    def seen_from(self, i: Ints, j: Ints) -> tuple[Reals, Reals]:
        """Centres of rows j as rows i see them: ahead and to the left."""
        dx, dy = self.x_m[j] - self.x_m[i], self.y_m[j] - self.y_m[i]
        c, s = np.cos(self.heading_rad[i]), np.sin(self.heading_rad[i])
        return dx * c + dy * s, dy * c - dx * s

    def _from_corners(self, i: Ints, j: Ints) -> Reals:
        """The shortest distance from a corner of j's box to the box of i."""
        x, y = self.seen_from(i, j)
        turn = self.heading_rad[j] - self.heading_rad[i]
        c, s = np.cos(turn), np.sin(turn)
        best = np.full(len(i), np.inf)
        for forward, left in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            along, aside = forward * self.length_m[j] / 2, left * self.width_m[j] / 2
            out_x = np.abs(x + along * c - aside * s) - self.length_m[i] / 2
            out_y = np.abs(y + along * s + aside * c) - self.width_m[i] / 2
            best = np.minimum(best, np.hypot(np.maximum(out_x, 0), np.maximum(out_y, 0)))
        return best

    def pairs(self, subjects: Mask, others: Mask) -> tuple[Ints, Ints]:
        """Rows of subjects with rows of others at the same instant, never one with itself; ordered by subject row."""
        i, j = np.flatnonzero(subjects), np.flatnonzero(others)
        j = j[np.argsort(self.frame[j], kind="stable")]
        low, high = (np.searchsorted(self.frame[j], self.frame[i], side=side) for side in ("left", "right"))
        count = high - low
        first = np.repeat(low - np.concatenate([[0], np.cumsum(count)[:-1]]) if len(count) else low, count)
        left, right = np.repeat(i, count), j[first + np.arange(int(count.sum()))]
        apart = self.track[left] != self.track[right]
        return left[apart], right[apart]


def _coded(table: pa.Table, name: str) -> tuple[Ints, list[str]]:
    """A text column as codes and the words they stand for; a null is the last word, which is empty."""
    coded = pa.concat_arrays(table[name].chunks or [pa.array([], pa.string())]).dictionary_encode()
    words = [str(word) for word in coded.dictionary.to_pylist()]
    return np.asarray(coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False), np.int64), [*words, ""]


def _words(table: pa.Table, name: str) -> NDArray[np.object_]:
    codes, words = _coded(table, name)
    return np.array(words, dtype=object)[codes]


def _ego_times(drive: Drive, frames: Ints) -> Ints:
    """Instants at which the ego has a box: those of the tracks, and ten a second where there are none; only while it is known."""
    if drive.missing("ego speed"):
        return np.zeros(0, np.int64)
    grid = drive.grid_ns
    if len(frames):
        grid = grid[np.abs(frames[nearest(frames, grid)] - grid) > GRID_NS]
    t_ns = np.unique(np.concatenate([frames, grid]))
    return t_ns[drive.ego.covers(t_ns)]
