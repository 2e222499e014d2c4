"""What moves in a scene, as faces in the world: road users at an instant, and tree crowns turned to the camera."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet.faces import Bytes, FaceList, Faces, Reals, grouped, hashed, placed, quads, unit
from flywheel.fleet.people import cyclist, pedestrian
from flywheel.fleet.scene import Actor
from flywheel.fleet.vehicles import vehicle


def road_user(actor: Actor, *, t_s: float, eye: NDArray[np.float64], group: int) -> Faces:
    """One actor's faces in the world, as one thing for the depth test."""
    if actor.cls == "pedestrian":
        return grouped(pedestrian(actor, t_s, eye), group)
    if actor.cls == "cyclist":
        return grouped(cyclist(actor, t_s, eye), group)
    c, s = math.cos(actor.heading_rad), math.sin(actor.heading_rad)
    front_seen = c * (eye[0] - actor.x_m) + s * (eye[1] - actor.y_m) > 0.2 * actor.length_m
    still = vehicle(actor.cls, actor.length_m, actor.width_m, actor.height_m, actor.seed, bool(front_seen))
    moved = placed(still, x_m=actor.x_m, y_m=actor.y_m, heading_rad=actor.heading_rad)
    return replace(moved, glow=lights_on(still.glow, actor), group=np.full(len(still), group, np.int32))


def lights_on(glow: Bytes, actor: Actor) -> Bytes:
    """Brake lights replace tail lights while braking and are dark otherwise; a parked vehicle (still, not braking) shows none."""
    if actor.braking:
        return np.where(glow == f.TAIL_LIGHT, f.BRAKE_LIGHT, glow).astype(np.uint8)
    return np.where(glow == f.BRAKE_LIGHT, f.NO_GLOW, glow).astype(np.uint8) if actor.speed_mps > 0.05 else np.zeros_like(glow)


# Offset to the side, middle and size of the leaf masks of one tree, as fractions of its height; a far tree has one.
CROWN = ((0.0, 0.66, 0.66), (-0.15, 0.58, 0.48), (0.16, 0.62, 0.46))


def crowns(
    places: Reals, heights: Reals, seeds: Sequence[int], eye: NDArray[np.float64], right: NDArray[np.float64], *, stamps: int
) -> Faces:
    """Tree crowns (N,): upright leaf masks facing the camera, three to a tree at slightly different depths."""
    rows, normal, colour, stamp = [], [], [], []
    for place, height, seed in zip(places.tolist(), heights.tolist(), seeds, strict=True):
        green = np.array([0.22 + 0.16 * unit(seed, 41), 0.36 + 0.10 * unit(seed, 42), 0.15 + 0.06 * unit(seed, 43)])
        towards = np.array([place[0] - eye[0], place[1] - eye[1], 0.0])
        towards /= max(float(np.linalg.norm(towards)), 1e-6)
        near = math.hypot(place[0] - eye[0], place[1] - eye[1]) < 55.0
        for k, (dx, dz, size) in enumerate(CROWN if near else CROWN[:1]):
            centre = np.array([place[0], place[1], height * dz]) + right * (dx * height) - towards * (0.03 * height * k)
            half, up = right * (size * height / 2), np.array([0.0, 0.0, size * height / 2])
            rows.append([centre - half - up, centre + half - up, centre + half + up, centre - half + up])
            normal.append(-towards)
            colour.append(green * (0.9 + 0.1 * k))
            stamp.append(hashed(seed, 44, k) % stamps)
    if not rows:
        return FaceList(cls=f.VEGETATION).build()
    return quads(
        np.array(rows, np.float32),
        normal=np.array(normal),
        colour=np.array(colour),
        cls=f.VEGETATION,
        material=f.LEAF,
        stamp=np.array(stamp),
    )
