"""Tiny logs in Argoverse 2's layouts: a sensor log with two cameras, and a forecasting scenario; no real data."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from tests.ingest import make_road as road
from tests.ingest.make_mcap import jpeg

T0_NS = 315_971_916_900_000_000
AXLE_M = 0.33
LOG_ID = "00000000-0000-3000-8000-000000000001"
SIZES = {"car": (4.5, 1.9, 1.5), "walker": (0.6, 0.7, 1.8), "cone": (0.4, 0.4, 0.8), "ego": (4.9, 2.0, 1.5)}


def yaw(angle: float) -> tuple[float, float, float, float]:
    """The quaternion w x y z of a turn about z."""
    return float(np.cos(angle / 2)), 0.0, 0.0, float(np.sin(angle / 2))


def make_av2_sensor(folder: Path, *, cameras: bool = True, annotated: bool = True, with_ego: bool = False, mapped: bool = True) -> Path:
    """Writes a sensor log: poses at 50 Hz (each twice, 2 ns apart), boxes at 10 Hz, a map, two cameras at 5 Hz."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = np.repeat(np.arange(int(5 * (road.COUNT - 1)) + 1), 2)
    times = T0_NS + steps * 20_000_000 + np.tile([0, 2], len(steps) // 2)
    x = road.X0_M + road.SPEED_MPS * steps * 0.02
    place = road.world(np.stack([x, np.full(len(x), road.LANE_M / 2)], axis=1))
    write(folder / "city_SE3_egovehicle.feather", poses(times, place, yaw(road.TURN)))
    if annotated:
        name = "annotations_with_ego.feather" if with_ego else "annotations.feather"
        write(folder / name, boxes(with_ego=with_ego))
    if mapped:
        file = folder / "map" / f"log_map_archive_{LOG_ID}____MIA_city_47894.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(vector_map()))
    if cameras:
        make_cameras(folder)
    lidar = folder / "sensors/lidar"
    lidar.mkdir(parents=True, exist_ok=True)
    (lidar / f"{T0_NS}.feather").write_bytes(b"not read")
    return folder


def poses(times: Any, place: Any, q: tuple[float, float, float, float]) -> dict[str, Any]:
    """Pose columns at a height of 10 m above the ground."""
    turns = {name: np.full(len(times), value) for name, value in zip(("qw", "qx", "qy", "qz"), q, strict=True)}
    return {"timestamp_ns": times, **turns, "tx_m": place[:, 0], "ty_m": place[:, 1], "tz_m": np.full(len(times), 10.0 + AXLE_M)}


def boxes(*, with_ego: bool) -> dict[str, Any]:
    """In the ego's frame: a car 20 m ahead to the right and 2 m/s faster, a pedestrian who stands 30 m ahead to the left, a cone."""
    rows = []
    for k in range(road.COUNT):
        t = k * road.STEP_S
        rows.append(("car", "REGULAR_VEHICLE", 20 + 2 * t, -road.LANE_M, k))
        rows.append(("walker", "PEDESTRIAN", 30 - road.SPEED_MPS * t, 5.0, k))
        rows.append(("cone", "CONSTRUCTION_CONE", 12 - road.SPEED_MPS * t, -6.0, k))
        if with_ego:
            rows.append(("ego", "EGO_VEHICLE", 0.0, 0.0, k))
    ids, kinds, xs, ys, ks = zip(*rows, strict=True)
    size = np.array([SIZES[name] for name in ids])
    return {
        "timestamp_ns": T0_NS + np.array(ks) * 100_000_000, "track_uuid": list(ids), "category": list(kinds),
        "length_m": size[:, 0], "width_m": size[:, 1], "height_m": size[:, 2],
        "qw": np.ones(len(ids)), "qx": np.zeros(len(ids)), "qy": np.zeros(len(ids)), "qz": np.zeros(len(ids)),
        "tx_m": np.array(xs), "ty_m": np.array(ys), "tz_m": size[:, 2] / 2 - AXLE_M, "num_interior_pts": np.full(len(ids), 9),
    }  # fmt: skip


def vector_map() -> dict[str, Any]:
    """The road's lanes, a bicycle lane and a crosswalk."""
    segments = {name: _segment(name, kind="VEHICLE") for name in road.LANES}
    segments["99"] = _segment("12", kind="BIKE") | {"id": 99}
    ring = _points(road.crosswalk())
    return {
        "lane_segments": segments, "drivable_areas": {},
        "pedestrian_crossings": {"7": {"id": 7, "edge1": [ring[0], ring[1]], "edge2": [ring[3], ring[2]]}},
    }  # fmt: skip


def _points(line: Any) -> list[dict[str, float]]:
    return [{"x": float(x), "y": float(y), "z": 10.0} for x, y in line]


def _segment(name: str, *, kind: str) -> dict[str, Any]:
    _, _, _, junction, right, after = road.LANES[name]
    return {
        "id": int(name), "is_intersection": junction, "lane_type": kind, "left_lane_boundary": _points(road.edge(name, left=True)),
        "right_lane_boundary": _points(road.edge(name, left=False)), "successors": [int(a) for a in after], "predecessors": [],
        "right_neighbor_id": int(right) if right else None, "left_neighbor_id": None,
    }  # fmt: skip


def make_cameras(folder: Path) -> None:
    """Two cameras at 5 Hz, 30 ms after a sweep; the front one looks along x from 1.6 m ahead of the axle, 1.4 m above it."""
    calibration = folder / "calibration"
    calibration.mkdir(exist_ok=True)
    half = 0.5
    names = ["ring_front_center", "ring_side_left"]
    write(calibration / "intrinsics.feather", {
        "sensor_name": names, "fx_px": [100.0, 100.0], "fy_px": [100.0, 100.0], "cx_px": [32.0, 32.0], "cy_px": [18.0, 18.0],
        "k1": [0.0, 0.0], "k2": [0.0, 0.0], "k3": [0.0, 0.0], "height_px": [36, 36], "width_px": [64, 64],
    })  # fmt: skip
    # x right, y down, z forward, turned into x forward, y left, z up.
    write(calibration / "egovehicle_SE3_sensor.feather", {
        "sensor_name": [*names, "up_lidar"], "qw": [half, half, 1.0], "qx": [-half, -half, 0.0], "qy": [half, half, 0.0],
        "qz": [-half, -half, 0.0], "tx_m": [1.6, 1.0, 1.3], "ty_m": [0.0, 0.5, 0.0], "tz_m": [1.4, 1.4, 1.6],
    })  # fmt: skip
    for camera in names:
        (folder / "sensors/cameras" / camera).mkdir(parents=True, exist_ok=True)
        for k in range(0, road.COUNT - 1, 2):
            (folder / "sensors/cameras" / camera / f"{T0_NS + k * 100_000_000 + 30_000_000}.jpg").write_bytes(jpeg(k))


def make_av2_forecast(folder: Path, *, mapped: bool = True) -> Path:
    """Writes a scenario: the AV, a vehicle ahead, a pedestrian seen for a part, a riderless bicycle."""
    folder.mkdir(parents=True, exist_ok=True)
    tracks = {
        "AV": ("vehicle", road.path(road.X0_M, 1.75, road.SPEED_MPS), road.SPEED_MPS, 0),
        "21": ("vehicle", road.path(road.X0_M + 20, -1.75, 12.0), 12.0, 0),
        "22": ("pedestrian", road.path(100.0, 8.0, 0.0), 0.0, 10),
        "23": ("riderless_bicycle", road.path(80.0, 9.0, 0.0), 0.0, 0),
    }
    rows = [
        {
            "observed": k < 20, "track_id": name, "object_type": kind, "object_category": 2, "timestep": k,
            "position_x": float(line[k, 0]), "position_y": float(line[k, 1]), "heading": road.TURN,
            "velocity_x": float(road.velocity(speed)[0]), "velocity_y": float(road.velocity(speed)[1]),
            "scenario_id": LOG_ID, "start_timestamp": float(T0_NS), "end_timestamp": float(T0_NS + 4 * 10**9),
            "num_timestamps": road.COUNT, "focal_track_id": "21", "city": "austin",
        }
        for name, (kind, line, speed, first) in tracks.items() for k in range(first, road.COUNT)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / f"scenario_{LOG_ID}.parquet")
    if mapped:
        (folder / f"log_map_archive_{LOG_ID}.json").write_text(json.dumps(vector_map()))
    return folder


def write(file: Path, columns: dict[str, Any]) -> None:
    """A feather file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pa.table(columns), str(file), compression="lz4")
