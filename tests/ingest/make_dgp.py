"""A tiny valid DGP scene: a lidar's poses and boxes, one camera; made anew with the same bytes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np

KEY = "0123456789abcdef0123456789abcdef01234567"
BEGAN = datetime(2463, 5, 15, 0, 38, 58, 203752, tzinfo=UTC)
LEVEL = {"qw": 1.0, "qx": 0.0, "qy": 0.0, "qz": 0.0}
AHEAD = {"qw": 0.5, "qx": -0.5, "qy": 0.5, "qz": -0.5}
SPEED_MPS, LEAD_M, CAMERA = 5.0, 12.0, "CAMERA_01"


def _pose(x: float, y: float = 0.0, z: float = 0.0, turn: dict[str, float] = LEVEL) -> dict[str, Any]:
    return {"translation": {"x": x, "y": y, "z": z}, "rotation": turn}


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def _box(number: int, cls: int, x: float, y: float) -> dict[str, Any]:
    return {"class_id": cls, "instance_id": number, "box": {"pose": _pose(x, y, 0.8), "length": 4.5, "width": 1.9, "height": 1.6}}


def make_dgp(folder: Path, *, steps: int = 12, step_s: float = 0.1) -> Path:
    """The ego drives at 5 m/s along world +x; a car keeps 12 m ahead of it and a person stands still at its side."""
    for name in ("calibration", "ontology", f"rgb/{CAMERA}", "bounding_box_3d/LIDAR"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    mounts = {
        "names": ["LIDAR", CAMERA], "extrinsics": [_pose(0.0), _pose(1.6, 0.2, 1.4, AHEAD)],
        "intrinsics": [dict.fromkeys(("fx", "fy", "cx", "cy"), 0.0), {"fx": 60.0, "fy": 60.0, "cx": 32.0, "cy": 24.0, "skew": 0.0}],
    }  # fmt: skip
    (folder / f"calibration/{KEY}.json").write_text(json.dumps(mounts))
    (folder / f"ontology/{KEY}.json").write_text(json.dumps({"items": [{"id": 0, "name": "Person"}, {"id": 2, "name": "Car"}]}))
    data, samples = [], []
    for step in range(steps):
        at, x = BEGAN + timedelta(seconds=step * step_s), SPEED_MPS * step * step_s
        boxes, image = f"bounding_box_3d/LIDAR/{step:03d}.json", f"rgb/{CAMERA}/{step:03d}.jpg"
        seen = [_box(7, 2, LEAD_M, 0.0), _box(8, 0, 10.0 - x, 5.0)]
        (folder / boxes).write_text(json.dumps({"annotations": seen}))
        pixels = (np.add.outer(np.arange(48), np.arange(64))[..., None] * [1, 2, 3] + 5 * step).astype(np.uint8)
        (folder / image).write_bytes(bytes(cv2.imencode(".jpg", pixels)[1]))
        for name, kind, filename, late_s in (
            ("LIDAR", "point_cloud", f"point_cloud/LIDAR/{step:03d}.npz", 0),
            (CAMERA, "image", image, 0.03),
        ):
            datum = {"filename": filename, "pose": _pose(x), "annotations": {"1": boxes} if name == "LIDAR" else {}}
            identity = {"log": "", "name": name, "timestamp": _text(at + timedelta(seconds=late_s)), "index": str(step)}
            data.append({"id": identity, "key": f"{name}{step}", "datum": {kind: datum}})
        samples.append({"calibration_key": KEY, "datum_keys": [f"LIDAR{step}", f"{CAMERA}{step}"]})
    scene = {"name": "", "data": data, "samples": samples, "ontologies": {"1": KEY}}
    (folder / f"scene_{KEY}.json").write_text(json.dumps(scene))
    return folder
