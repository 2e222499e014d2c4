"""Egomotion and obstacles of a PhysicalAI clip to SIGNALS and TRACKS.

The rig frame is ours: x forward, y left, z up, origin on the ground under the rear axle's centre. Poses are of the rig in an anchor frame
(the rig at the clip's start), velocity and acceleration are given in the anchor's axes, so they are turned into the ego's. Boxes are in the
rig frame of their own time. Times are microseconds since the clip's start (some begin a little before), or since 1970.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.ego_path import EgoPath, velocities, wrap, yaw_of
from flywheel.ingest.physicalai_tables import numbers, parquet, texts, times_us
from flywheel.ingest.quality import T_MIN_NS, check_times
from flywheel.ingest.signals import Stream
from flywheel.subclasses import subclass_of
from flywheel.tables import SCHEMAS

Array = NDArray[np.float64]
Times = NDArray[np.int64]

TURN, PLACE, VELOCITY, ACCELERATION = ("qw", "qx", "qy", "qz"), ("x", "y", "z"), ("vx", "vy", "vz"), ("ax", "ay", "az")
CENTRE, SIZE = ("center_x", "center_y", "center_z"), ("size_x", "size_y", "size_z")
ORIENTATION = ("orientation_w", "orientation_x", "orientation_y", "orientation_z")
MAX_GAP_S = 0.35
# Times beyond this many microseconds are since 1970 (2001), not since a clip began.
ABSOLUTE_US, MAX_US = 10**15, 4 * 10**15
# Where a clip's zero is put: an hour into the year 2000, because some begin a little before their zero.
CLIP_ZERO_NS = T_MIN_NS + 3600 * 10**9
# The labels are made by machine from lidar and cameras; no error is stated for them, so this is a guess that detectors may weigh.
POSITION_SIGMA_M = 0.3
CLASSES = {
    "automobile": "car", "heavy_truck": "truck", "bus": "bus", "person": "pedestrian", "stroller": "pedestrian", "rider": "cyclist",
}  # fmt: skip


class Ego(NamedTuple):
    """The ego's path with its motion, and what t_ns adds to the clip's own microseconds (0: they were since 1970)."""

    path: EgoPath
    stream: Stream
    added_ns: int
    derived: tuple[str, ...]


def clip_ns(stamps_us: Times) -> tuple[Times, int]:
    """Microseconds as int64 ns, and what was added: CLIP_ZERO_NS where they count from the clip's start, 0 where from 1970."""
    if len(stamps_us) and (stamps_us.max() > MAX_US or stamps_us.min() < -MAX_US):
        raise BadData(f"times reach from {stamps_us.min()} to {stamps_us.max()}, which are no microseconds")
    added = 0 if len(stamps_us) and np.median(stamps_us) > ABSOLUTE_US else CLIP_ZERO_NS
    return stamps_us * 1000 + added, added


def ego_motion(where: str, data: bytes) -> Ego:
    """The ego of an egomotion parquet; BadData if it does not hold poses, or they go back in time."""
    table = parquet(where, data, columns=("timestamp", *TURN, *PLACE, *VELOCITY, *ACCELERATION))
    stamps = times_us(where, table, "timestamp")
    order = np.argsort(stamps, kind="stable")
    times, added = clip_ns(stamps[order])
    check_times(where, times)
    if not len(times):
        raise BadData(f"{where}: no poses")
    said = numbers(where, table, (*TURN, *PLACE))
    turns, places = (np.stack([said[name][order] for name in names], axis=1) for names in (TURN, PLACE))
    lengths = np.linalg.norm(turns, axis=1)
    if np.abs(lengths - 1).max() > 1e-2:
        raise BadData(f"{where}: row {int(np.argmax(np.abs(lengths - 1)))} holds no unit quaternion")
    path = EgoPath(times=times, origin=places, heading=yaw_of(turns / lengths[:, None]))
    given = {
        kind: np.stack([numbers(where, table, names)[name][order] for name in names], axis=1)
        for kind, names in (("velocity", VELOCITY), ("acceleration", ACCELERATION)) if set(names) <= set(table.column_names)
    }  # fmt: skip
    return _ego(path, turns / lengths[:, None], given, added)


def _ego(path: EgoPath, turns: Array, given: dict[str, Array], added: int) -> Ego:
    velocity, acceleration = given.get("velocity"), given.get("acceleration")
    columns = path.signals(velocity=None if velocity is None else velocity[:, :2])
    if velocity is not None:
        columns["speed_mps"] = to_ego(turns, velocity)[:, 0]
    if acceleration is not None:
        columns["ax_mps2"], columns["ay_mps2"] = to_ego(turns, acceleration)[:, :2].T
    lacking = [*(["speed_mps"] if velocity is None else []), *(["ax_mps2", "ay_mps2"] if acceleration is None else [])]
    return Ego(path, Stream(path.times, columns), added, (*lacking, "yaw_rate_radps"))


def to_ego(turns: Array, vectors: Array) -> Array:
    """(N, 3) vectors of the anchor frame in the ego's axes: turned back by (N, 4) quaternions w x y z."""
    w, axis = turns[:, :1], -turns[:, 1:]
    twice = 2 * np.cross(axis, vectors)
    return np.asarray(vectors + w * twice + np.cross(axis, twice))


def tracks_table(where: str, data: bytes, ego: Ego) -> tuple[pa.Table, int]:
    """TRACKS without drive_id and how many boxes lay outside the ego's path in time. Velocities: central differences over ground."""
    wanted = ("timestamp_us", "track_id", "label_class", "reference_frame", *CENTRE, *SIZE, *ORIENTATION)
    table = parquet(where, data, columns=wanted)
    times, _ = clip_ns(times_us(where, table, "timestamp_us"))
    if set(texts(where, table, "reference_frame") if "reference_frame" in table.column_names else ["rig"]) - {"rig"}:
        raise BadData(f"{where}: boxes in another frame than the rig's are not read")
    inside = (times >= ego.path.times[0]) & (times <= ego.path.times[-1])
    table, times = table.filter(pa.array(inside)), times[inside]
    said = numbers(where, table, (*CENTRE, *SIZE, *ORIENTATION))
    names, classes = texts(where, table, "track_id"), texts(where, table, "label_class")
    if len({*zip(times.tolist(), names, strict=True)}) < len(names):
        raise BadData(f"{where}: a track has two boxes at one time")
    centre = np.stack([said[name] for name in CENTRE], axis=1)
    velocity = _velocity(ego.path.resampled(times), names, centre) if len(times) else np.zeros((0, 2))
    heading = yaw_of(np.stack([said[name] for name in ORIENTATION], axis=1))
    columns = {
        "t_ns": times, "track_id": names, "cls": [CLASSES.get(name, "other") for name in classes],
        "subclass": [subclass_of(name) for name in classes],
        "x_m": centre[:, 0], "y_m": centre[:, 1], "z_m": centre[:, 2], "heading_rad": wrap(heading),
        "length_m": said["size_x"], "width_m": said["size_y"], "height_m": said["size_z"],
        "vx_mps": velocity[:, 0], "vy_mps": velocity[:, 1], "visible": [None] * len(times),
        "position_sigma_m": np.full(len(times), POSITION_SIGMA_M), "velocity_sigma_mps": [None] * len(times),
    }  # fmt: skip
    schema = pa.schema([SCHEMAS["TRACKS"].field(name) for name in columns])
    rows = pa.table(columns, schema=schema).sort_by([("t_ns", "ascending"), ("track_id", "ascending")])
    return rows, int((~inside).sum())


def _velocity(path: EgoPath, names: list[str], centre: Array) -> Array:
    each = np.arange(len(names))
    _, track = np.unique(np.array(names), return_inverse=True)
    world = path.to_world(centre, at=each)
    return path.turn(velocities(np.asarray(track, np.int64), path.t_s, world[:, :2], max_gap_s=MAX_GAP_S), at=each)
