"""Gates on other road users: tracks that leap, and velocities that their own positions deny. Pure functions of a window."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.ingest.gates_parts import Array, Defect, Times, Window, point_series
from flywheel.ingest.tally import column

Flags = NDArray[np.bool_]

# Seen from the turning ego a standing object 100 m away can sweep by at 100 m/s: without poses only more than that is a leap.
LEAP_MPS, LEAP_UNPOSED_MPS, LEAP_SLACK_M = 60.0, 200.0, 3.0
MAX_POSE_GAP_NS = 500_000_000
# Over half a second the noise of a measured position counts little.
MIN_MOVING, MOVING_MPS, APART_MPS, APART_NS = 40, 4.0, 3.0, 500_000_000
COLUMNS = ["t_ns", "track_id", "x_m", "y_m", "vx_mps", "vy_mps"]


class Rows(NamedTuple):
    """Rows sorted by track and time: places and velocities (N, 2), in the world where posed."""

    ids: Times
    t_ns: Times
    places: Array
    speeds: Array
    posed: Flags


class Hops(NamedTuple):
    """From one row of a track to its next: the later time, seconds between, metres moved in the world (N, 2), reported velocity there.

    posed: whether the ego's pose was known at both ends; where not, positions are those in the ego frame.
    """

    t_ns: Times
    step_s: Array
    moved: Array
    reported: Array
    posed: Flags


def tracks_gate(window: Window, ego: pa.Table | None) -> list[Defect]:
    """All gates on one window of TRACKS; `ego` holds t_ns, x_m, y_m and heading_rad of SIGNALS around it."""
    rows = placed(window.table, ego)
    return [*leaps(hops_of(rows, least_ns=1), window.since_ns), *denied(hops_of(rows, least_ns=APART_NS), window.since_ns)]


def placed(tracks: pa.Table, ego: pa.Table | None) -> Rows:
    """The rows of a window, one track after another, in the world where the ego's pose is known."""
    times, ids = column(tracks, "t_ns").astype(np.int64), tracks["track_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.argsort(ids, kind="stable")  # rows come in the order of time
    places, speeds = (np.stack([column(tracks, n)[order] for n in names], axis=1) for names in (("x_m", "y_m"), ("vx_mps", "vy_mps")))
    new = np.diff(times, prepend=times[0] - 1) > 0
    poses, posed = _poses(times[new], ego)
    instants = (np.cumsum(new) - 1)[order]
    return Rows(ids[order].astype(np.int64), times[order], *_in_world(poses[instants], posed[instants], places, speeds))


def hops_of(rows: Rows, *, least_ns: int) -> Hops:
    """From every row of every track to the first one at least least_ns later."""
    before, after = _later(rows.ids, rows.t_ns, least_ns)
    alike = rows.posed[before] == rows.posed[after]  # a hop from the ego frame into the world is none
    before, after = before[alike], after[alike]
    return Hops(
        t_ns=rows.t_ns[after], step_s=(rows.t_ns[after] - rows.t_ns[before]) / 1e9, moved=rows.places[after] - rows.places[before],
        reported=(rows.speeds[after] + rows.speeds[before]) / 2, posed=rows.posed[after],
    )  # fmt: skip


def _later(ids: Times, times: Times, least_ns: int) -> tuple[Times, Times]:
    """Of rows sorted by (id, time): each row that has one of its track at least least_ns later, and the first such row."""
    if not len(times):
        return ids, ids
    keys = ids * (int(times.max() - times.min()) + least_ns + 1) + (times - times.min())
    after = np.searchsorted(keys, keys + least_ns)
    before = np.flatnonzero(after < len(ids))
    before = before[ids[after[before]] == ids[before]]
    return before, after[before]


def _poses(times: Times, ego: pa.Table | None) -> tuple[Array, Flags]:
    """(N, 3) x, y and heading of the ego at N times, and where they are known."""
    at, poses = point_series(ego, "x_m", "y_m", "heading_rad") if ego is not None else (np.empty(0, np.int64), np.empty((0, 3)))
    if len(at) < 2:
        return np.zeros((len(times), 3)), np.zeros(len(times), bool)
    found = np.stack([np.interp(times, at, values) for values in (poses[:, 0], poses[:, 1], np.unwrap(poses[:, 2]))], axis=1)
    right = np.clip(np.searchsorted(at, times), 1, len(at) - 1)
    return found, (times >= at[0]) & (times <= at[-1]) & (at[right] - at[right - 1] <= MAX_POSE_GAP_NS)


def _in_world(poses: Array, posed: Flags, places: Array, speeds: Array) -> tuple[Array, Array, Flags]:
    """Places and velocities in the world where the ego's pose is known, and where that is."""
    c, s = np.cos(poses[:, 2]), np.sin(poses[:, 2])
    turned = [np.stack([c * v[:, 0] - s * v[:, 1], s * v[:, 0] + c * v[:, 1]], axis=1) for v in (places, speeds)]
    world = turned[0] + poses[:, :2]
    return np.where(posed[:, None], world, places), np.where(posed[:, None], turned[1], speeds), posed


def lengths(vectors: Array) -> Array:
    """(N,) lengths of (N, 2) vectors: what np.linalg.norm gives, several times as fast."""
    return np.asarray(np.sqrt(vectors[:, 0] ** 2 + vectors[:, 1] ** 2))


def leaps(hops: Hops, since_ns: int) -> list[Defect]:
    """Tracks that move faster than any road user from one row to the next."""
    speed = np.maximum(lengths(hops.moved) - LEAP_SLACK_M, 0) / np.maximum(hops.step_s, 1e-3)
    bad = np.flatnonzero((speed > np.where(hops.posed, LEAP_MPS, LEAP_UNPOSED_MPS)) & (hops.t_ns > since_ns))
    if not len(bad):
        return []
    worst = bad[int(np.argmax(speed[bad]))]
    what = f"a track leaps faster than {LEAP_MPS:g} m/s from one row to the next"
    return [Defect("teleport", what, len(bad), float(speed[worst]), "m/s", int(hops.t_ns[worst]))]


def denied(hops: Hops, since_ns: int) -> list[Defect]:
    """Velocities that disagree with the positions for most hops of moving objects: another frame, another unit, or the ego's left in."""
    told = hops.moved / np.maximum(hops.step_s, 1e-3)[:, None]
    moving = hops.posed & (hops.t_ns > since_ns) & (hops.step_s < 1.5)
    moving &= np.maximum(lengths(told), lengths(hops.reported)) > MOVING_MPS
    moving &= lengths(told) < LEAP_MPS
    if moving.sum() < MIN_MOVING:
        return []
    apart = lengths((told - hops.reported)[moving])
    if float(np.median(apart)) < APART_MPS:
        return []
    what = "the velocities of moving tracks disagree with their positions for most of a minute"
    return [Defect("track_velocity", what, 1, float(np.median(apart)), "m/s", int(hops.t_ns[moving][0]))]
