"""Poses of a PandaSet sequence, and its levelled ego frame.

The sequence's poses turn a vehicle frame (x right, y forward, z up) into a world frame whose z is up. That is found in the data: the ego
moves along +y of its poses, with the speed that gps.json calls yvel. The poses' origin is taken as the rear axle's centre: it lies on the
vehicle's midline (the side cameras sit at -0.64 m and +0.60 m), 0.26 to 0.33 m above the road of the lidar sweeps, which is less than a
wheel's radius; 0.29 m puts the cuboids of near cars on the ground. How far along the vehicle it lies is stated nowhere, so our ego frame
may be off by some decimetres along x. It is levelled (its z is the world's), because the cuboids stand upright in the world.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.geometry import rotation
from flywheel.ingest.drive import Log
from flywheel.ingest.ego_path import EgoPath
from flywheel.ingest.quality import check_finite, check_times

Array = NDArray[np.float64]
Times = NDArray[np.int64]

ORIGIN_HEIGHT_M = 0.29
MAX_JSON_BYTES = 1 << 26


def load_json(log: Log, path: str) -> Any:
    """A JSON file of the log; BadData if it is not JSON."""
    try:
        return json.loads(log.read(path, limit=MAX_JSON_BYTES))
    except (ValueError, RecursionError) as err:
        raise BadData(f"{path}: not JSON: {err}") from err


def load_times(log: Log, path: str) -> Times:
    """int64 ns of a timestamps.json in epoch seconds (kept to the microsecond, which is what a float64 holds)."""
    said = load_json(log, path)
    if not isinstance(said, list) or not all(isinstance(t, float) for t in said):
        raise BadData(f"{path}: expected a list of epoch seconds")
    seconds = np.array(said, np.float64)
    check_finite(path, "timestamp", times=np.arange(len(seconds)), values=seconds)
    times = np.round(seconds * 1e6).astype(np.int64) * 1000
    check_times(path, times)
    return times


def load_poses(log: Log, path: str, times: Times) -> tuple[Array, Array]:
    """(N, 3) positions and (N, 4) unit quaternions w x y z of a poses.json, one for each time."""
    said = load_json(log, path)
    try:
        places = np.array([[pose["position"][axis] for axis in "xyz"] for pose in said], np.float64)
        turns = np.array([[pose["heading"][axis] for axis in "wxyz"] for pose in said], np.float64)
    except (KeyError, TypeError, ValueError) as err:
        raise BadData(f"{path}: expected a list of position x y z and heading w x y z: {err!r}") from err
    if len(places) != len(times) or not len(places):
        raise BadData(f"{path}: {len(places)} poses for {len(times)} timestamps")
    for name, values in (("position", places), ("heading", turns)):
        check_finite(path, name, times=times, values=values.sum(axis=1))
    lengths = np.linalg.norm(turns, axis=1)
    if (np.abs(lengths - 1) > 1e-3).any():
        raise BadData(f"{path}: heading {int(np.argmax(np.abs(lengths - 1)))} is not a unit quaternion")
    return places, turns / lengths[:, None]


def load_ego_path(log: Log) -> EgoPath:
    """The ego's path at the lidar's timestamps, which are those of the annotations."""
    times = load_times(log, "lidar/timestamps.json")
    places, turns = load_poses(log, "lidar/poses.json", times)
    forward = np.array([rotation(tuple(q))[:, 1] for q in turns])
    return EgoPath(times=times, origin=places - [0, 0, ORIGIN_HEIGHT_M], heading=np.arctan2(forward[:, 1], forward[:, 0]))
