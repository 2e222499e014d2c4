"""Faces to pixels: a pinhole view, near-plane clipping and flat ground, at twice the image's resolution.

Pixel (i, j) covers [i, i+1) x [j, j+1) and its centre is (i + 0.5, j + 0.5). The inverse depth of a flat face is linear
in pixel coordinates, 1/z = (n . ray) / (n . p), so depth is exact per pixel and needs no interpolation.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.faces import Faces, Reals, taken
from flywheel.fleet.scene import Camera, Instant

NEAR_M, FAR_M = 0.3, 655.35
OVER = 2  # samples a pixel, in each direction
SHIFT = 4  # fractional bits of corner coordinates


@dataclass(frozen=True)
class View:
    """Where the camera is: `turn` (3, 3) takes world offsets to optical axes (x right, y down, z forward) by `offset @ turn`."""

    camera: Camera
    eye: NDArray[np.float64]
    turn: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.camera.height_px, self.camera.width_px


def optical_axes(camera: Camera) -> NDArray[np.float64]:
    """(3, 3): columns are the optical x, y, z axes in ego axes."""
    c, s = math.cos(camera.pitch_rad), math.sin(camera.pitch_rad)
    return np.array([[0.0, -s, c], [-1.0, 0.0, 0.0], [0.0, -c, -s]])


def view_of(instant: Instant, camera: Camera) -> View:
    """The camera's view at an instant."""
    c, s = math.cos(instant.ego_heading_rad), math.sin(instant.ego_heading_rad)
    ego = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    eye = ego @ np.array([camera.x_m, 0.0, camera.z_m]) + np.array([instant.ego_x_m, instant.ego_y_m, 0.0])
    return View(camera, eye, ego @ optical_axes(camera))


def to_optical(points: NDArray[Any], view: View) -> Reals:
    """World points (..., 3) in the optical frame."""
    return np.asarray((points - view.eye) @ view.turn, np.float32)


def to_samples(seen: Reals, view: View) -> Reals:
    """Optical points (..., 3) with z > 0 to sample coordinates (..., 2), whose integers are sample centres."""
    camera, z = view.camera, seen[..., 2]
    u, v = camera.fx_px * seen[..., 0] / z + camera.cx_px, camera.fy_px * seen[..., 1] / z + camera.cy_px
    return np.stack([u, v], axis=-1).astype(np.float32) * OVER - np.float32(0.5)


def clip_near(seen: Reals) -> Reals:
    """A polygon (K, 3) cut at the near plane (Sutherland-Hodgman); fewer than three points when nothing is left."""
    kept: list[list[float]] = []
    points = seen.tolist()
    for a, b in zip(points, points[1:] + points[:1], strict=True):
        if a[2] >= NEAR_M:
            kept.append(a)
        if (a[2] >= NEAR_M) != (b[2] >= NEAR_M):
            t = (NEAR_M - a[2]) / (b[2] - a[2])
            kept.append([a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, NEAR_M])
    return np.array(kept, np.float32).reshape(-1, 3)


def fixed(samples: Reals) -> NDArray[np.int32]:
    """Sample coordinates as fixed-point integers for OpenCV."""
    return np.rint(np.clip(samples, -3e4, 3e4) * (1 << SHIFT)).astype(np.int32)


def planes(faces: Faces, view: View) -> Reals:
    """(N, 3) a, b, c with 1/z = a u + b v + c, u and v in pixels."""
    camera = view.camera
    normal = faces.normal.astype(np.float64) @ view.turn
    reach = np.einsum("ij,ij->i", normal, (faces.verts[:, 0] - view.eye) @ view.turn)
    reach = np.where(np.abs(reach) < 1e-6, 1e-6, reach)
    a, b = normal[:, 0] / camera.fx_px / reach, normal[:, 1] / camera.fy_px / reach
    return np.stack([a, b, normal[:, 2] / reach - a * camera.cx_px - b * camera.cy_px], axis=1).astype(np.float32)


def span(faces: Faces, view: View) -> Reals:
    """(N, 2) nearest and farthest depth of each face's corners in front of the camera, metres."""
    depth = (faces.verts - view.eye.astype(np.float32)) @ view.turn[:, 2].astype(np.float32)
    return np.asarray(np.clip(np.stack([depth.min(axis=1), depth.max(axis=1)], axis=1), NEAR_M, FAR_M), np.float32)


def facing(faces: Faces, view: View) -> Faces:
    """The faces that look at the camera and lie at least partly in front of it, within the field of view."""
    to_eye = faces.verts[:, 0] - view.eye.astype(np.float32)
    ahead = (faces.verts - view.eye.astype(np.float32)) @ view.turn[:, 2].astype(np.float32)
    keep = (np.einsum("ij,ij->i", to_eye, faces.normal) < 0) & (ahead.max(axis=1) > NEAR_M)
    return taken(faces, keep)


@dataclass
class Canvas:
    """ids (2H, 2W): which face each sample shows (0: sky); near (2H, 2W): its inverse depth, bias included."""

    ids: NDArray[np.int32]
    near: Reals
    columns: Reals
    rows: Reals


def blank(view: View) -> Canvas:
    """A canvas of sky."""
    h, w = view.shape[0] * OVER, view.shape[1] * OVER
    columns: Reals = (np.arange(w, dtype=np.float32) + np.float32(0.5)) / np.float32(OVER)
    rows: Reals = (np.arange(h, dtype=np.float32) + np.float32(0.5)) / np.float32(OVER)
    return Canvas(np.zeros((h, w), np.int32), np.zeros((h, w), np.float32), columns, rows[:, None])


def outlines(verts: NDArray[Any], view: View) -> tuple[list[NDArray[np.int32] | None], NDArray[np.int32]]:
    """Fixed-point outlines of (N, K, 3) world polygons and their (N, 4) sample bounds x0, y0, x1, y1; None where outside."""
    h, w = view.shape[0] * OVER, view.shape[1] * OVER
    seen = to_optical(verts, view)
    crossing = np.asarray((seen[..., 2] < NEAR_M).any(axis=1))
    safe = np.where(crossing[:, None, None], np.float32(1.0), seen)
    flat = to_samples(safe, view)
    shapes: list[NDArray[np.int32] | None] = list(fixed(flat))
    low, high = flat.min(axis=1), flat.max(axis=1)
    _cut(seen, np.flatnonzero(crossing).tolist(), view, shapes, low, high)
    bounds = np.concatenate([np.floor(low), np.ceil(high) + 1], axis=1)
    bounds = np.clip(bounds, 0, [w, h, w, h]).astype(np.int32)
    size = bounds[:, 2:] - bounds[:, :2]
    for index in np.flatnonzero((size <= 0).any(axis=1) | (size <= 2).all(axis=1)).tolist():
        shapes[index] = None
    return shapes, bounds


def _cut(seen: Reals, crossing: list[int], view: View, shapes: list[NDArray[np.int32] | None], low: Reals, high: Reals) -> None:
    """Write outlines and extremes of the polygons that cross the near plane: what is left of them, or nothing."""
    parts = {index: clip_near(seen[index]) for index in crossing}
    kept = [index for index, part in parts.items() if len(part) >= 3]
    for index in crossing:
        shapes[index], high[index] = None, -9
    if not kept:
        return
    points = to_samples(np.concatenate([parts[index] for index in kept]), view)
    starts = np.cumsum([0, *(len(parts[index]) for index in kept)])
    low[kept], high[kept] = np.minimum.reduceat(points, starts[:-1]), np.maximum.reduceat(points, starts[:-1])
    whole = fixed(points)
    for index, start, end in zip(kept, starts.tolist(), starts[1:].tolist(), strict=False):
        shapes[index] = whole[start:end]


def paint_flat(canvas: Canvas, polygons: NDArray[Any], view: View, *, ids: list[int]) -> None:
    """Fill convex ground polygons (N, K, 3) over what is there: the ground is flat, so the last coat wins."""
    import cv2

    if len(polygons):
        for outline, face_id in zip(outlines(polygons, view)[0], ids, strict=True):
            if outline is not None:
                cv2.fillConvexPoly(canvas.ids, outline, float(face_id), shift=SHIFT)


def paint_area(canvas: Canvas, polygon: NDArray[Any], view: View, *, face_id: int) -> None:
    """Fill one ground polygon (K, 3) of any shape."""
    import cv2

    outline = outlines(polygon[None], view)[0][0]
    if outline is not None:
        cv2.fillPoly(canvas.ids, [outline], float(face_id), shift=SHIFT)
