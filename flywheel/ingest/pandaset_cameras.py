"""PandaSet cameras to FRAMES rows: images as they are, intrinsics, and each frame's place in the ego frame.

The cameras fire 39 to 61 ms before a lidar stamp, while the ego moves on. A frame's extrinsics are therefore given in the ego frame of
the TRACKS instant that `geometry.nearest_instant` finds for it, so that boxes of still objects fall exactly where they are seen.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import BadData
from flywheel.geometry import nearest_instant
from flywheel.ingest.drive import Beats, Blob, Log, Picture
from flywheel.ingest.ego_path import EgoPath
from flywheel.ingest.images import image_info
from flywheel.ingest.pandaset_pose import load_json, load_poses, load_times
from flywheel.ingest.quality import check_camera
from flywheel.tables import rows_table
from flywheel.types import sha256_hex

IMAGE_FILE = re.compile(r"camera/(\w{1,60})/(\d{2,4})\.jpg")
DAY_NS = 86_400 * 10**9


class ImageFile(NamedTuple):
    """One image file: its path, camera and index among the camera's timestamps."""

    path: str
    camera: str
    at: int


def pictures(log: Log) -> list[ImageFile]:
    """The image files of a sequence, sorted."""
    return [ImageFile(path, match[1], int(match[2])) for path in sorted(log.paths) if (match := IMAGE_FILE.fullmatch(path))]


def frames_table(log: Log, ego: EgoPath) -> pa.Table:
    """FRAMES without drive_id; a camera's name loses its `_camera`."""
    found = pictures(log)
    rows = [row for camera in sorted({p.camera for p in found}) for row in _camera_rows(log, camera, found, ego)]
    return rows_table("FRAMES", rows).drop_columns(["drive_id"])


def _camera_rows(log: Log, camera: str, found: list[ImageFile], ego: EgoPath) -> list[dict[str, Any]]:
    times = load_times(log, f"camera/{camera}/timestamps.json")
    places, turns = load_poses(log, f"camera/{camera}/poses.json", times)
    intrinsics = _intrinsics(log, f"camera/{camera}/intrinsics.json")
    rows = []
    for picture in (p for p in found if p.camera == camera):
        if picture.at >= len(times):
            raise BadData(f"{picture.path}: there are only {len(times)} timestamps")
        at, t_ns = picture.at, int(times[picture.at])
        place, turn = _in_ego(ego, t_ns, place=places[at : at + 1], turn=turns[at])
        said = {"drive_id": "", "t_ns": t_ns, "camera": camera.removesuffix("_camera"), "kind": "rgb"}
        rows.append({**said, **intrinsics, **place, **turn, **_image(log, picture.path)})
    return rows


def _in_ego(ego: EgoPath, t_ns: int, *, place: Any, turn: Any) -> tuple[dict[str, float], dict[str, float]]:
    nearest = nearest_instant(ego.times, t_ns, tolerance_ns=DAY_NS)
    if nearest is None:
        raise BadData(f"a camera frame at {t_ns} ns is days away from every pose")
    at = int(ego.times.searchsorted(nearest))
    x, y, z = ego.to_ego(place, at=at)[0]
    qw, qx, qy, qz = ego.turn_quaternion(turn, at=at)
    return {"cam_x_m": x, "cam_y_m": y, "cam_z_m": z}, {"cam_qw": qw, "cam_qx": qx, "cam_qy": qy, "cam_qz": qz}


def _intrinsics(log: Log, path: str) -> dict[str, float]:
    said = load_json(log, path)
    try:
        found = {f"{name}_px": float(said[name]) for name in ("fx", "fy", "cx", "cy")}
    except (KeyError, TypeError, ValueError) as err:
        raise BadData(f"{path}: expected numbers fx, fy, cx, cy: {err!r}") from err
    check_camera(path, found)
    return found


def _image(log: Log, path: str) -> dict[str, Any]:
    data = log.read(path)
    try:
        return {"media_sha256": sha256_hex(data), **image_info(data).model_dump()}
    except BadData as err:
        raise BadData(f"{path}: {err}") from err


def images(log: Log) -> Iterator[Blob]:
    """The sequence's images byte for byte."""
    for picture in pictures(log):
        data = log.read(picture.path)
        yield Blob(sha256_hex(data), "jpg", data)


def shown(log: Log) -> Iterator[Picture]:
    """Every image with its time, for the gates that look at pixels."""
    times = {camera: load_times(log, f"camera/{camera}/timestamps.json") for camera in sorted({p.camera for p in pictures(log)})}
    for picture in pictures(log):
        yield Picture(picture.camera.removesuffix("_camera"), int(times[picture.camera][picture.at]), log.read(picture.path))


def beats(frames: pa.Table) -> Iterator[Beats]:
    """When each camera fired."""
    for camera in sorted(set(frames["camera"].to_pylist())):
        times = np.sort(frames.filter(pc.equal(frames["camera"], camera))["t_ns"].to_numpy())
        yield Beats(f"camera/{camera}", times)
