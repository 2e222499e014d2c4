"""Argoverse 2 cameras to FRAMES rows: images as they are, intrinsics, and each frame's place in the ego frame.

A camera fires between two annotated sweeps while the ego moves on. As with PandaSet, a frame's extrinsics are given in the ego frame of
the TRACKS instant that `geometry.nearest_instant` finds for it, so that boxes of still objects fall where they are seen.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.geometry import nearest_instant
from flywheel.ingest.av2_tables import PLACE, QUATERNION, feather_columns, numbers, stacked, unit_quaternions
from flywheel.ingest.drive import Beats, Blob, Finding, Item, Log, Picture, Rows
from flywheel.ingest.ego_path import EgoPath
from flywheel.ingest.images import image_info
from flywheel.ingest.quality import check_camera
from flywheel.tables import rows_table
from flywheel.types import sha256_hex

IMAGE_FILE = re.compile(r"sensors/cameras/(?P<camera>\w{1,60})/(?P<t_ns>\d{1,19})\.(?:jpg|png)")
INTRINSICS, MOUNTING = "calibration/intrinsics.feather", "calibration/egovehicle_SE3_sensor.feather"
PINHOLE = ("fx_px", "fy_px", "cx_px", "cy_px")
NEAR_NS = 100_000_000


class ImageFile(NamedTuple):
    """One image: its path, camera and time on the log's own clock."""

    path: str
    camera: str
    t_ns: int


@dataclass(frozen=True)
class Mount:
    """A camera's place (3,) in our ego frame and its rotation, w x y z."""

    place: NDArray[np.float64]
    turn: NDArray[np.float64]


def pictures(log: Log) -> list[ImageFile]:
    """The image files, in time order."""
    found = [ImageFile(path, match["camera"], int(match["t_ns"])) for path in log.paths if (match := IMAGE_FILE.fullmatch(path))]
    return sorted(found, key=lambda image: (image.t_ns, image.camera))


def camera_items(log: Log, *, ego: EgoPath, instants: NDArray[np.int64], shift_ns: int, height_m: float) -> Iterator[Item]:
    """Each image as a Picture, then FRAMES and when each camera fired; nothing for a log without images.

    `ego` and `instants` (the times of TRACKS) are on the drive's clock, images are shifted onto it; height_m lifts mounts into our frame.
    """
    images = pictures(log)
    known, rows = _calibration(log, height_m=height_m), []
    for image in images:
        data = log.read(image.path)
        t_ns = image.t_ns + shift_ns
        said = {"drive_id": "", "t_ns": t_ns, "camera": image.camera, "kind": "rgb", **_info(image.path, data)}
        placed = _placed(known[1].get(image.camera), t_ns, ego=ego, instants=instants)
        rows.append({**said, **known[0].get(image.camera, {}), **placed})
        yield Picture(image.camera, t_ns, data)
    if rows:
        yield Rows("FRAMES", rows_table("FRAMES", rows).drop_columns(["drive_id"]))
        lacking = sorted({image.camera for image in images} - set(known[0]))
        if lacking:
            yield Finding(
                severity="warning", gate="calibration", message=f"no intrinsics for {', '.join(lacking)}: boxes cannot be drawn there"
            )
    for camera in sorted({image.camera for image in images}):
        yield Beats(f"camera/{camera}", np.array([image.t_ns + shift_ns for image in images if image.camera == camera], np.int64))


def images(log: Log) -> Iterator[Blob]:
    """The log's images byte for byte."""
    for image in pictures(log):
        data = log.read(image.path)
        yield Blob(sha256_hex(data), image_info(data).ext, data)


def _info(path: str, data: bytes) -> dict[str, Any]:
    try:
        return {"media_sha256": sha256_hex(data), **image_info(data).model_dump()}
    except BadData as err:
        raise BadData(f"{path}: {err}") from err


def _calibration(log: Log, *, height_m: float) -> tuple[dict[str, dict[str, float]], dict[str, Mount]]:
    """Pinhole numbers and mounts by camera; empty for a log without calibration files. Lens distortion is not kept: it is below a pixel
    or two in these images."""
    pinholes: dict[str, dict[str, float]] = {}
    mounts: dict[str, Mount] = {}
    if INTRINSICS in log.paths:
        said = feather_columns(log, INTRINSICS, {"sensor_name": "text", **numbers(*PINHOLE)})
        pinholes = {name: {key: float(said[key][k]) for key in PINHOLE} for k, name in enumerate(said["sensor_name"])}
        for name, values in pinholes.items():
            check_camera(f"{INTRINSICS}: {name}", values)
    if MOUNTING in log.paths:
        said = feather_columns(log, MOUNTING, {"sensor_name": "text", **numbers(*QUATERNION, *PLACE)})
        turns, places = unit_quaternions(MOUNTING, said), stacked(said, PLACE) + [0, 0, height_m]
        mounts = {name: Mount(places[k], turns[k]) for k, name in enumerate(said["sensor_name"])}
    return pinholes, mounts


def _placed(mount: Mount | None, t_ns: int, *, ego: EgoPath, instants: NDArray[np.int64]) -> dict[str, float]:
    """The mount seen from the ego frame of the nearest instant of TRACKS, or as it is where there is none within 0.1 s."""
    if mount is None:
        return {}
    nearest = nearest_instant(instants, t_ns, tolerance_ns=NEAR_NS)
    place, turn = mount.place, mount.turn
    if nearest is not None:
        pair = ego.resampled(np.array([t_ns, nearest], np.int64))
        place = pair.to_ego(pair.to_world(place[None], at=0), at=1)[0]
        turned = EgoPath(pair.times, pair.origin, pair.heading - pair.heading[0])
        turn = turned.turn_quaternion(turn, at=1)
    names = ("cam_x_m", "cam_y_m", "cam_z_m", "cam_qw", "cam_qx", "cam_qy", "cam_qz")
    return dict(zip(names, [float(v) for v in (*place, *turn)], strict=True))
