"""Which stratum of the operational design domain (`flywheel/odd.py`) a drive is in at each instant; "unknown" where a signal is missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from flywheel.mine.prepare import GRID_NS, Drive
from flywheel.mine.segments import NS, Ints, Mask, Reals
from flywheel.mine.signals import CURVE_SPEED_MPS, column, nearest, series, times
from flywheel.odd import UNKNOWN, Attribute, attributes, written
from flywheel.types import LIGHTINGS, WEATHERS

CURVE_1PM = 1 / 200
TRAFFIC_M, TRAFFIC_S = 50.0, 10.0
MOVING_MPS = 0.5
ENCOUNTER_M = 30.0
VEHICLES = ("car", "truck", "bus")
ROAD_USERS = (*VEHICLES, "cyclist", "pedestrian")


@dataclass(frozen=True)
class Strata:
    """The stratum at each of a drive's grid instants, as an index of `names`."""

    grid_ns: Ints
    code: Ints
    names: tuple[str, ...]

    def at(self, t_ns: Ints) -> list[str]:
        """The stratum at the grid instant nearest to each time."""
        return [self.names[code] for code in self.code[nearest(self.grid_ns, t_ns)]]


def strata(drive: Drive) -> Strata:
    """The strata of one drive at its grid's instants."""
    codes = np.stack([_CODES[a.name](drive, a) for a in attributes()])
    unique, code = np.unique(codes, axis=1, return_inverse=True)
    values = [[(*a.values, UNKNOWN)[k] for a, k in zip(attributes(), row, strict=True)] for row in unique.T]
    names = (written({a.name: value for a, value in zip(attributes(), row, strict=True)}) for row in values)
    return Strata(drive.grid_ns, np.asarray(code, np.int64).ravel(), tuple(names))


def _illumination(drive: Drive, attribute: Attribute) -> Ints:
    """By the sun, by light in lx, or (where the drive says neither) by what its camera showed."""
    unknown = len(attribute.values)
    if not drive.sky.known:
        return np.full(len(drive.grid_ns), unknown if drive.lighting is None else LIGHTINGS.index(drive.lighting))
    said = np.isfinite(drive.sky.at(drive.grid_ns, "sun_elevation_deg")) | np.isfinite(drive.sky.at(drive.grid_ns, "illuminance_lx"))
    return np.where(said, drive.grid_conditions // len(WEATHERS), unknown)


def _sky(name: str, drive: Drive, attribute: Attribute) -> Ints:
    return attribute.code(drive.sky.at(drive.grid_ns, name))


def _temperature(drive: Drive, attribute: Attribute) -> Ints:
    t_ns, value = series(drive.tables.signals, "temperature_c")
    at = np.maximum(np.searchsorted(t_ns, drive.grid_ns, side="right") - 1, 0)
    return attribute.code(value[at] if len(value) else np.full(len(drive.grid_ns), np.nan))


def _held(values: Reals) -> Reals:
    """NaN filled with the last value before it."""
    return values[np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))]


def _curvature(drive: Drive) -> Reals:
    """The road's curvature at the grid, 1/m: the map's, else the yaw rate over the speed; NaN where neither is known."""
    found = np.full(len(drive.grid_ns), np.nan)
    if not (drive.missing("ego speed") or drive.missing("path")):
        ego = drive.ego
        assert ego.yaw is not None
        fast = ego.covers(drive.grid_ns) & (drive.grid_speed >= CURVE_SPEED_MPS)
        found = _held(np.where(fast, ego.at(drive.grid_ns, ego.yaw) / np.maximum(drive.grid_speed, CURVE_SPEED_MPS), np.nan))
    if not drive.missing("lanes"):
        mapped = column(drive.tables.lanes, "curvature_1pm")[nearest(times(drive.tables.lanes), drive.grid_ns)]
        found = np.where(drive.lanes.covers(drive.grid_ns) & np.isfinite(mapped), mapped, found)
    return found


def _scenery(drive: Drive, attribute: Attribute) -> Ints:
    bend = np.abs(_curvature(drive))
    code = np.select([bend >= CURVE_1PM, np.isfinite(bend)], [1, 2], len(attribute.values))
    if drive.missing("lanes"):
        return code
    inside = drive.lanes.covers(drive.grid_ns) & drive.lanes.in_junction[nearest(drive.lanes.clock.t_ns, drive.grid_ns)]
    return np.where(inside, 0, code)


def _speed(drive: Drive, attribute: Attribute) -> Ints:
    if drive.missing("ego speed"):
        return np.full(len(drive.grid_ns), len(attribute.values))
    return attribute.code(np.where(drive.ego.covers(drive.grid_ns), drive.grid_speed * 3.6, np.nan))


def _of_class(drive: Drive, classes: Sequence[str]) -> Mask:
    import pyarrow as pa
    import pyarrow.compute as pc

    return np.asarray(pc.is_in(drive.tables.tracks["cls"], pa.array(classes)).to_numpy(), bool)


def _range_m(drive: Drive) -> Reals:
    return np.hypot(column(drive.tables.tracks, "x_m"), column(drive.tables.tracks, "y_m"))


def _tracks(drive: Drive) -> Ints:
    """The number of each row's track."""
    import pyarrow.compute as pc

    return np.asarray(pc.rank(drive.tables.tracks["track_id"].combine_chunks(), tiebreaker="dense"), np.int64) - 1


def _moves(drive: Drive) -> Mask:
    """Rows of tracks that move at some time: a parked car is no traffic, one that waits is."""
    track = _tracks(drive)
    fast = np.hypot(column(drive.tables.tracks, "vx_mps"), column(drive.tables.tracks, "vy_mps")) >= MOVING_MPS
    return np.asarray(np.bincount(track[fast], minlength=track.max() + 1)[track] > 0)


def _traffic(drive: Drive, attribute: Attribute) -> Ints:
    """Moving vehicles near the ego: boxes in a window of time over the tracker's frames in it."""
    if drive.missing("tracks"):
        return np.full(len(drive.grid_ns), len(attribute.values))
    t_ns, half = times(drive.tables.tracks), int(TRAFFIC_S * NS / 2)
    near = t_ns[_of_class(drive, VEHICLES) & _moves(drive) & (_range_m(drive) <= TRAFFIC_M)]
    frames = np.unique(t_ns)
    low, high = np.maximum(drive.grid_ns - half, frames[0]), np.minimum(drive.grid_ns + half, frames[-1])
    boxes = np.searchsorted(near, high, side="right") - np.searchsorted(near, low)
    period = float(np.median(np.diff(frames))) if len(frames) > 1 else float(GRID_NS)
    return attribute.code(np.where(high >= low, boxes / np.maximum((high - low) / period + 1, 1), np.nan))


_CODES: dict[str, Callable[[Drive, Attribute], Ints]] = {
    "illumination": _illumination, "temperature": _temperature, "scenery": _scenery, "speed": _speed, "traffic": _traffic,
    "rain": lambda drive, attribute: _sky("rain_mmph", drive, attribute),
    "snow": lambda drive, attribute: _sky("snow_mmph", drive, attribute),
    "visibility": lambda drive, attribute: _sky("visibility_m", drive, attribute),
}  # fmt: skip


def encounters(drive: Drive) -> Ints | None:
    """The grid index at which each road user that was met came closest, one entry a track; None without tracks.

    Met: its box's centre came within 30 m of the ego's rear axle, or it stood on the ego's path.
    """
    if drive.missing("tracks"):
        return None
    track, away, user = _tracks(drive), _range_m(drive), _of_class(drive, ROAD_USERS)
    order = np.lexsort((away, track))
    first = order[np.flatnonzero(np.diff(track[order], prepend=-1))]
    met = away[first] <= ENCOUNTER_M
    if not drive.missing("ego speed"):
        objects = drive.objects
        ahead = {objects.names[k] for k in np.unique(objects.track[objects.in_path])}
        met |= np.isin(drive.tables.tracks["track_id"].take(first).to_numpy(zero_copy_only=False).astype(str), sorted(ahead))
    closest = times(drive.tables.tracks)[first[met & user[first]]]
    return nearest(drive.grid_ns, closest)
