"""Which road users the camera can see: five sight lines a box, blocked by boxes that are high enough."""

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.scene import Camera, Instant

Array = NDArray[np.float64]
HIGH_ENOUGH = 0.9
SPOTS = np.array([[0.0, 0.0], [0.45, 0.45], [0.45, -0.45], [-0.45, 0.45], [-0.45, -0.45]])


def visible(scene: Instant) -> list[bool]:
    """One flag an actor: at least one of its centre and corners is in plain view (buildings do not count)."""
    if not scene.actors:
        return []
    boxes = np.array([[a.x_m, a.y_m, a.heading_rad, a.length_m, a.width_m, a.height_m] for a in scene.actors])
    eye_x = Camera().x_m
    eye = np.array([scene.ego_x_m + eye_x * np.cos(scene.ego_heading_rad), scene.ego_y_m + eye_x * np.sin(scene.ego_heading_rad)])
    spots = _spots(boxes)
    blocked = _crosses(eye, spots, boxes) & (boxes[None, None, :, 5] >= HIGH_ENOUGH * boxes[:, None, None, 5])
    blocked &= ~np.eye(len(boxes), dtype=bool)[:, None, :]
    clear = np.logical_not(np.any(blocked, axis=2))
    return [bool(flag) for flag in np.any(clear, axis=1).tolist()]


def _spots(boxes: Array) -> Array:
    """(N, 5, 2) world points of each box."""
    local = SPOTS[None] * boxes[:, None, 3:5]
    cos, sin = np.cos(boxes[:, 2, None]), np.sin(boxes[:, 2, None])
    x, y = local[..., 0], local[..., 1]
    return np.stack([boxes[:, 0, None] + cos * x - sin * y, boxes[:, 1, None] + sin * x + cos * y], axis=-1)


def _crosses(eye: Array, spots: Array, boxes: Array) -> NDArray[np.bool_]:
    """(N, 5, M): does the line from the eye to a spot pass through box m (slab test in the box's own axes)?"""
    cos, sin = np.cos(boxes[:, 2]), np.sin(boxes[:, 2])
    enter, leave = -np.inf, np.inf
    for along, across, half in ((cos, sin, boxes[:, 3] / 2), (-sin, cos, boxes[:, 4] / 2)):
        start = along * (eye[0] - boxes[:, 0]) + across * (eye[1] - boxes[:, 1])
        way = along * (spots[..., None, 0] - eye[0]) + across * (spots[..., None, 1] - eye[1])
        way = np.where(np.abs(way) < 1e-9, 1e-9, way)
        a, b = (-half - start) / way, (half - start) / way
        enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    return np.asarray((enter < leave) & (leave > 0) & (enter < 0.999))
