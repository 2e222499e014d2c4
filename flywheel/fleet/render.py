"""The software-drawn front camera: one instant of a world under any condition, with exact depth and classes.

The scene is drawn once without light (ids, depth, texture); a condition is then image formation on those layers. So the
pictures of one instant under all conditions show the same things in the same pixels: pairs for image-to-image training.

Segmentation classes (uint8): 0 sky (and the far skyline), 1 road, 2 marking, 3 sidewalk, 4 ground, 5 building,
6 vegetation, 7 vehicle, 8 pedestrian, 9 cyclist, 10 light or pole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import lighting, surface, weather
from flywheel.fleet.raster import FAR_M, optical_axes
from flywheel.fleet.scene import Camera, Instant, World
from flywheel.types import Condition

CLASSES: tuple[str, ...] = (
    "sky",
    "road",
    "marking",
    "sidewalk",
    "ground",
    "building",
    "vegetation",
    "vehicle",
    "pedestrian",
    "cyclist",
    "pole",
)
SKY_DEPTH_M = FAR_M
FRONT = Camera()


@dataclass(frozen=True)
class Rendered:
    """rgb (H, W, 3) uint8; depth_m (H, W) float32 along the optical axis, SKY_DEPTH_M for sky; segmentation (H, W) uint8."""

    rgb: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    segmentation: NDArray[np.uint8]


def render(world: World, instant: Instant, condition: Condition, *, camera: Camera = FRONT, seed: int = 0) -> Rendered:
    """One picture with its depth and classes. Same arguments, same bytes; keep the seed fixed within a drive."""
    return render_many(world, instant, (condition,), camera=camera, seed=seed)[0]


def render_many(
    world: World, instant: Instant, conditions: Sequence[Condition], *, camera: Camera = FRONT, seed: int = 0
) -> list[Rendered]:
    """The same instant under several conditions; geometry, textures and road users are drawn once and shared."""
    base = surface.base_pass(world, instant, camera, seed)
    albedo, sky_share = lighting.albedo(base)
    return [Rendered(weather.develop(base, condition, albedo, sky_share), base.depth_m, base.cls) for condition in conditions]


def camera_frame(camera: Camera = FRONT) -> dict[str, float]:
    """The calibration columns of FRAMES: intrinsics, place in the ego frame, quaternion of the optical axes in ego axes."""
    w, x, y, z = quaternion(optical_axes(camera))
    return {
        "width_px": camera.width_px, "height_px": camera.height_px,
        "fx_px": camera.fx_px, "fy_px": camera.fy_px, "cx_px": camera.cx_px, "cy_px": camera.cy_px,
        "cam_x_m": camera.x_m, "cam_y_m": 0.0, "cam_z_m": camera.z_m, "cam_qw": w, "cam_qx": x, "cam_qy": y, "cam_qz": z,
    }  # fmt: skip


def quaternion(turn: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Unit quaternion (w, x, y, z), w >= 0, of a rotation matrix whose trace is above -1 (Shepperd's first case)."""
    w = 0.5 * math.sqrt(max(1.0 + float(np.trace(turn)), 1e-12))
    x, y, z = turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]
    return w, float(x) / (4 * w), float(y) / (4 * w), float(z) / (4 * w)


def encode_jpeg(rgb: NDArray[np.uint8], *, quality: int = 92) -> bytes:
    """JPEG bytes of an RGB picture."""
    import cv2

    done, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _bytes(done, data, "jpeg")


def encode_png16(depth_m: NDArray[np.float32]) -> bytes:
    """16-bit PNG bytes of a depth image in centimetres; 65535 is SKY_DEPTH_M or farther."""
    import cv2

    return _bytes(*cv2.imencode(".png", np.rint(np.clip(depth_m * 100.0, 0, 65535)).astype(np.uint16)), "16-bit png")


def encode_png8(segmentation: NDArray[np.uint8]) -> bytes:
    """8-bit PNG bytes of class ids."""
    import cv2

    return _bytes(*cv2.imencode(".png", segmentation), "8-bit png")


def _bytes(done: bool, data: NDArray[np.uint8], kind: str) -> bytes:
    if not done:
        raise ValueError(f"OpenCV could not encode a {kind} image")
    return data.tobytes()
