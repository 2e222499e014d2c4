"""PandaSet cuboids (pandas pickles in the world frame) to TRACKS rows in the ego frame."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Log
from flywheel.ingest.ego_path import EgoPath
from flywheel.ingest.kinematics import central_difference
from flywheel.ingest.quality import check_finite
from flywheel.ingest.unpickle import Column, frame_columns, gunzip
from flywheel.subclasses import subclass_of
from flywheel.tables import rows_table

Array = NDArray[np.float64]
Row = dict[str, Any]

CUBOID_FILE = re.compile(r"annotations/cuboids/(\d{2,4})\.pkl\.gz")
NUMBERS = ("yaw", "position.x", "position.y", "position.z", "dimensions.x", "dimensions.y", "dimensions.z")
MAX_GAP_S = 0.25
# Pickups haul cargo, so they are trucks, as in nuScenes' instructions. A bicycle without a rider is furniture. All else is `other`.
CLASSES = {
    "Car": "car", "Emergency Vehicle": "car", "Pickup Truck": "truck", "Medium-sized Truck": "truck", "Semi-truck": "truck", "Bus": "bus",
    "Pedestrian": "pedestrian", "Pedestrian with Object": "pedestrian",
    "Bicycle": "cyclist", "Motorcycle": "cyclist", "Motorized Scooter": "cyclist", "Other Vehicle - Pedicab": "cyclist",
}  # fmt: skip


def tracks_table(log: Log, ego: EgoPath) -> pa.Table:
    """TRACKS without drive_id, at the poses' times. Velocities are derived: the central difference of world positions.

    An object seen by both lidars has two cuboids that name each other as siblings; both are kept as they are annotated.
    """
    found: dict[str, list[tuple[int, Row]]] = {}
    for path, at in cuboid_files(log, count=len(ego.times)).items():
        for row in cuboids(log, path):
            found.setdefault(row["uuid"], []).append((at, row))
    rows = [row for uuid in sorted(found) for row in track_rows(uuid, found[uuid], ego=ego)]
    return rows_table("TRACKS", rows).drop_columns(["drive_id"])


def cuboid_files(log: Log, *, count: int) -> dict[str, int]:
    """Path -> index of its pose; BadData if there are none or one has no pose."""
    files = {path: int(found[1]) for path in sorted(log.paths) if (found := CUBOID_FILE.fullmatch(path))}
    if not files:
        raise BadData("annotations/cuboids/ holds no NN.pkl.gz")
    beyond = [path for path, at in files.items() if at >= count]
    if beyond:
        raise BadData(f"{beyond[0]}: there are only {count} poses")
    return files


def cuboids(log: Log, path: str) -> list[Row]:
    """The cuboids of one file; BadData names the file and what is wrong."""
    try:
        columns = frame_columns(gunzip(log.read(path)))
    except BadData as err:
        raise BadData(f"{path}: {err}") from err
    missing = [name for name in ("uuid", "label", "stationary", *NUMBERS) if name not in columns]
    if missing:
        raise BadData(f"{path}: no columns {missing}")
    columns |= {name: _numbers(path, name, columns[name]) for name in NUMBERS}
    kept = [name for name in (*NUMBERS, "uuid", "label", "stationary", "attributes.rider_status") if name in columns]
    rows = [dict(zip(kept, values, strict=True)) for values in zip(*(columns[name] for name in kept), strict=True)]
    if len({row["uuid"] for row in rows}) != len(rows):
        raise BadData(f"{path}: a uuid appears twice")
    return rows


def _numbers(path: str, name: str, column: Column) -> Array:
    try:
        values = np.asarray(column, np.float64)
    except (TypeError, ValueError) as err:
        raise BadData(f"{path}: {name} holds something that is not a number: {err}") from err
    check_finite(path, name, times=np.arange(len(values)), values=values)
    return values


def class_of(row: Row) -> str:
    """Our class of a PandaSet label."""
    cls = CLASSES.get(str(row["label"]), "other")
    return "other" if cls == "cyclist" and row.get("attributes.rider_status") == "Without Rider" else cls


def track_rows(uuid: str, seen: list[tuple[int, Row]], *, ego: EgoPath) -> list[Row]:
    """The TRACKS rows of one object, seen at pose indices in rising order."""
    world = np.array([[row["position.x"], row["position.y"], row["position.z"]] for _, row in seen])
    moving = np.array([not row["stationary"] for _, row in seen])
    velocity = central_difference(ego.t_s[[at for at, _ in seen]], world[:, :2], max_gap_s=MAX_GAP_S) * moving[:, None]
    return [
        _row(uuid, row, at=at, ego=ego, place=ego.to_ego(world[k : k + 1], at=at)[0], velocity=ego.turn(velocity[k : k + 1], at=at)[0])
        for k, (at, row) in enumerate(seen)
    ]


def _row(uuid: str, row: Row, *, at: int, ego: EgoPath, place: Array, velocity: Array) -> Row:
    # A cuboid's length runs along its own y, and yaw turns its x: objects move along yaw + 90 degrees.
    heading = row["yaw"] + np.pi / 2 - ego.heading[at]
    return {
        "drive_id": "", "t_ns": int(ego.times[at]), "track_id": str(uuid), "cls": class_of(row), "subclass": subclass_of(str(row["label"])),
        "x_m": float(place[0]), "y_m": float(place[1]), "z_m": float(place[2]),
        "heading_rad": float((heading + np.pi) % (2 * np.pi) - np.pi),
        "length_m": float(row["dimensions.y"]), "width_m": float(row["dimensions.x"]), "height_m": float(row["dimensions.z"]),
        "vx_mps": float(velocity[0]), "vy_mps": float(velocity[1]),
    }  # fmt: skip
