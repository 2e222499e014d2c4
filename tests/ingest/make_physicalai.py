"""A small folder in the layout of the PhysicalAI-Autonomous-Vehicles dataset: two clips, loose or in chunk zips; no real data."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.ingest.make_video import make_video

CLIPS = ("0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000002")
CAMERA = "camera_front_wide_120fov"
SECONDS, RATE_HZ, FIRST_US = 3, 100, -20_000
SPEED_MPS, TURN_RADPS, ACCELERATION_MPS2 = 10.0, 0.1, 0.5
FRAMES, FPS, BOXES = 30, 10, 30
LEAD_M, LEAD_MPS = 20.0, 12.0


def table(columns: dict[str, Any]) -> bytes:
    """A parquet file's bytes."""
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def path_at(t_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and heading on a circle to the left, at SPEED_MPS."""
    heading = TURN_RADPS * t_s
    return SPEED_MPS / TURN_RADPS * np.sin(heading), SPEED_MPS / TURN_RADPS * (1 - np.cos(heading)), heading


def egomotion() -> bytes:
    """Poses at 100 Hz from a little before the clip's zero; velocity and acceleration in the anchor's axes."""
    stamps = FIRST_US + np.arange(SECONDS * RATE_HZ) * (1_000_000 // RATE_HZ)
    t_s = stamps / 1e6
    x, y, heading = path_at(t_s)
    zero = np.zeros(len(t_s))
    c, s = np.cos(heading), np.sin(heading)
    left = SPEED_MPS * TURN_RADPS
    return table({
        "timestamp": stamps, "qx": zero, "qy": zero, "qz": np.sin(heading / 2), "qw": np.cos(heading / 2), "x": x, "y": y, "z": zero,
        "vx": SPEED_MPS * c, "vy": SPEED_MPS * s, "vz": zero,
        "ax": ACCELERATION_MPS2 * c - left * s, "ay": ACCELERATION_MPS2 * s + left * c, "az": zero,
        "curvature": zero + TURN_RADPS / SPEED_MPS,
    })  # fmt: skip


def obstacles() -> bytes:
    """At 10 Hz a car that drives along the anchor's x, and a person who stands; both in the rig frame of each instant."""
    rows = []
    for k in range(BOXES):
        t_s = np.array(k / 10)
        x, y, heading = (float(v) for v in path_at(t_s))
        for name, cls, wx, wy, size in (
            ("7", "automobile", LEAD_M + LEAD_MPS * k / 10, 0.0, (4.5, 1.9, 1.5)),
            ("8", "person", 15.0, 4.0, (0.6, 0.7, 1.8)),
        ):
            dx, dy, c, s = wx - x, wy - y, np.cos(heading), np.sin(heading)
            turn = -heading / 2
            rows.append({
                "track_id": name, "timestamp_us": 100_000 * k, "reference_frame": "rig", "reference_frame_timestamp_us": 100_000 * k,
                "label_class": cls, "center_x": c * dx + s * dy, "center_y": c * dy - s * dx, "center_z": size[2] / 2,
                "size_x": size[0], "size_y": size[1], "size_z": size[2], "orientation_x": 0.0, "orientation_y": 0.0,
                "orientation_z": np.sin(turn), "orientation_w": np.cos(turn), "source": "autolabel",
            })  # fmt: skip
    return table({name: [row[name] for row in rows] for name in rows[0]})


def film() -> bytes:
    """The camera's mp4."""
    sink = io.BytesIO()
    make_video(sink, frames=FRAMES, fps=FPS, gop=10, b_frames=0)
    return sink.getvalue()


def members(clip: str) -> dict[str, dict[str, bytes]]:
    """Folder -> member name -> bytes, of one clip."""
    stamps = table({"timestamp": 5_000 + np.arange(FRAMES) * (1_000_000 // FPS)})
    radar = table({"timestamp": np.arange(20) * 50_000, "distance": np.ones(20)})
    return {
        "labels/egomotion": {f"{clip}.egomotion.parquet": egomotion()},
        "labels/obstacle.offline": {f"{clip}.obstacle.offline.parquet": obstacles()},
        f"camera/{CAMERA}": {f"{clip}.{CAMERA}.mp4": film(), f"{clip}.{CAMERA}.timestamps.parquet": stamps},
        "radar/radar_front_center": {f"{clip}.radar_front_center.parquet": radar},
    }


def shared() -> dict[str, bytes]:
    """The tables of all clips."""
    count = len(CLIPS)
    model = json.dumps({"principal_point": [96.0, 56.0], "resolution": [192, 112], "linear_cde": [1, 0, 0]})
    return {
        "features.csv": b"feature,directory,chunk_path,clip_files_in_zip\n",
        "clip_index.parquet": table({"clip_id": CLIPS, "chunk": [0] * count, "split": ["train", "test"]}),
        "metadata/data_collection.parquet": table({
            "clip_id": CLIPS, "country": ["Germany", "Japan"], "month": [5, 6], "hour_of_day": [14, 15],
            "platform_class": ["hyperion_8"] * count,
        }),
        "calibration/sensor_extrinsics/sensor_extrinsics.chunk_0000.parquet": table({
            "clip_id": CLIPS, "sensor_name": [CAMERA] * count, "qx": [-0.5] * count, "qy": [0.5] * count, "qz": [-0.5] * count,
            "qw": [0.5] * count, "x": [1.7] * count, "y": [0.0] * count, "z": [1.4] * count,
        }),
        "calibration/camera_intrinsics/camera_intrinsics.chunk_0000.parquet": table({
            "clip_id": CLIPS, "camera_name": [CAMERA] * count, "model_type": ["ftheta"] * count, "model_parameters": [model] * count,
        }),
        "reasoning/ood_reasoning.parquet": table({
            "clip_id": CLIPS[:1], "events": [json.dumps([{"event_start_timestamp": 1_000_000, "cot": "a person stands near the lane"}])],
        }),
    }  # fmt: skip


def make_physicalai(folder: Path, *, zips: bool = True, clips: tuple[str, ...] = CLIPS) -> Path:
    """Writes the folder, its clips in chunk zips or loose, and gives it back."""
    for name, data in shared().items():
        write(folder / name, data)
    found = [(home, name, data) for clip in clips for home, inside in members(clip).items() for name, data in inside.items()]
    for home in sorted({home for home, _, _ in found}):
        mine = [(name, data) for place, name, data in found if place == home]
        if zips:
            write(folder / home / f"{home.split('/')[1]}.chunk_0000.zip", zipped(mine))
        else:
            for name, data in mine:
                write(folder / home / name, data)
    return folder


def zipped(files: list[tuple[str, bytes]], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with fixed times."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
    return sink.getvalue()


def write(file: Path, data: bytes) -> None:
    """A file and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
