"""Boxes in the ego frame to boxes in an image, with the pinhole model and the calibration kept in FRAMES."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.types import Record

Array = NDArray[np.float64]
NEAR_M = 0.5
VRU = ("pedestrian", "cyclist")


class ImageBox(Record):
    """One object in one image: pixel corners clipped to the image, distance along the optical axis."""

    track_id: str
    cls: str
    x0_px: float
    y0_px: float
    x1_px: float
    y1_px: float
    distance_m: float


def rotation(q: Sequence[float] | Array) -> Array:
    """3x3 rotation matrix of a unit quaternion (w, x, y, z)."""
    w, x, y, z = np.asarray(q, float) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def corners(box: Mapping[str, Any]) -> Array:
    """(8, 3) corners in the ego frame of a TRACKS row, whose z_m is the box centre."""
    signs = np.array([[i, j, k] for i in (-0.5, 0.5) for j in (-0.5, 0.5) for k in (-0.5, 0.5)])
    local: Array = signs * [box["length_m"], box["width_m"], box["height_m"]]
    c, s = np.cos(box["heading_rad"]), np.sin(box["heading_rad"])
    turned: Array = local @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    placed: Array = turned + [box["x_m"], box["y_m"], box["z_m"]]
    return placed


def to_camera(points: Array, frame: Mapping[str, Any]) -> Array:
    """(N, 3) ego points to the optical frame (x right, y down, z forward) of a FRAMES row."""
    turn = rotation((frame["cam_qw"], frame["cam_qx"], frame["cam_qy"], frame["cam_qz"]))
    offset: Array = points - [frame["cam_x_m"], frame["cam_y_m"], frame["cam_z_m"]]
    return offset @ turn


def pixel_rays(frame: Mapping[str, Any], *, size: tuple[int, ...]) -> Array:
    """(H, W, 3) direction in the ego frame of each pixel's ray in an image of this size, one metre long along the optical axis."""
    height, width = size[:2]
    u = (np.arange(width) + 0.5) * frame["width_px"] / width
    v = (np.arange(height) + 0.5) * frame["height_px"] / height
    x, y = np.meshgrid((u - frame["cx_px"]) / frame["fx_px"], (v - frame["cy_px"]) / frame["fy_px"])
    turn = rotation((frame["cam_qw"], frame["cam_qx"], frame["cam_qy"], frame["cam_qz"]))
    found: Array = np.stack([x, y, np.ones_like(x)], axis=-1) @ turn.T
    return found


def ground_distance(frame: Mapping[str, Any], *, size: tuple[int, ...]) -> Array:
    """(H, W) metres along the optical axis to the flat ground (z = 0 of the ego frame); infinite where a ray does not meet it."""
    down = pixel_rays(frame, size=size)[..., 2]
    with np.errstate(divide="ignore"):
        return np.where(down < 0, -frame["cam_z_m"] / np.where(down < 0, down, -1.0), np.inf)


def box_distance(box: Mapping[str, Any], frame: Mapping[str, Any], *, size: tuple[int, ...]) -> Array:
    """(H, W) metres along the optical axis to a TRACKS row's box (Kay and Kajiya's slabs, 1986); infinite where a ray misses it."""
    c, s = np.cos(box["heading_rad"]), np.sin(box["heading_rad"])
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    eye = np.array([frame["cam_x_m"] - box["x_m"], frame["cam_y_m"] - box["y_m"], frame["cam_z_m"] - box["z_m"]]) @ turn
    rays = pixel_rays(frame, size=size) @ turn
    half = np.array([box["length_m"], box["width_m"], box["height_m"]]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-half - eye) / rays, (half - eye) / rays
    enter, leave = np.minimum(one, two).max(axis=-1), np.maximum(one, two).min(axis=-1)
    return np.where((enter <= leave) & (enter > NEAR_M), enter, np.inf)


def project_box(box: Mapping[str, Any], frame: Mapping[str, Any]) -> ImageBox | None:
    """The box as seen in the image, or None if it is behind the camera, outside, or under 2 px."""
    seen = to_camera(corners(box), frame)
    seen = seen[seen[:, 2] > NEAR_M]
    if len(seen) == 0:
        return None
    u = frame["fx_px"] * seen[:, 0] / seen[:, 2] + frame["cx_px"]
    v = frame["fy_px"] * seen[:, 1] / seen[:, 2] + frame["cy_px"]
    x0, x1 = np.clip([u.min(), u.max()], 0, frame["width_px"])
    y0, y1 = np.clip([v.min(), v.max()], 0, frame["height_px"])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    return ImageBox(
        track_id=str(box["track_id"]), cls=str(box["cls"]), distance_m=float(seen[:, 2].mean()),
        x0_px=float(x0), y0_px=float(y0), x1_px=float(x1), y1_px=float(y1),
    )  # fmt: skip


def image_boxes(tracks: Sequence[Mapping[str, Any]], frame: Mapping[str, Any], *, max_distance_m: float = 80.0) -> list[ImageBox]:
    """Boxes of one instant's TRACKS rows in one frame, nearest first; rows marked invisible are left out."""
    if frame.get("fx_px") is None or frame.get("cam_qw") is None:
        return []
    found = [project_box(row, frame) for row in tracks if row.get("visible") is not False]
    return sorted((b for b in found if b and b.distance_m <= max_distance_m), key=lambda b: (b.distance_m, b.track_id))


def nearest_instant(times_ns: NDArray[np.int64], t_ns: int, *, tolerance_ns: int) -> int | None:
    """The time in a sorted array nearest to t_ns, or None if none lies within the tolerance."""
    if len(times_ns) == 0:
        return None
    right = int(np.clip(np.searchsorted(times_ns, t_ns), 1, len(times_ns) - 1)) if len(times_ns) > 1 else 0
    best = min((int(times_ns[right]), int(times_ns[max(right - 1, 0)])), key=lambda t: abs(t - t_ns))
    return best if abs(best - t_ns) <= tolerance_ns else None
