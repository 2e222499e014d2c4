"""People as faces: pedestrians and cyclists made of limbs that move with time and speed and always face the camera."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet.faces import Faces, hashed, quads, unit
from flywheel.fleet.scene import Actor

CLOTHES = (
    (0.70, 0.15, 0.13),
    (0.15, 0.26, 0.52),
    (0.20, 0.20, 0.22),
    (0.82, 0.78, 0.70),
    (0.20, 0.42, 0.30),
    (0.80, 0.60, 0.15),
    (0.46, 0.25, 0.45),
)
TROUSERS = ((0.16, 0.19, 0.28), (0.22, 0.21, 0.20), (0.42, 0.37, 0.30), (0.10, 0.10, 0.11))
SKINS = ((0.86, 0.68, 0.56), (0.72, 0.52, 0.40), (0.46, 0.31, 0.24))
TYRE, TRIM = (0.07, 0.07, 0.075), (0.11, 0.11, 0.12)
Stroke = tuple[Sequence[float], Sequence[float], float, float, Sequence[float]]


def limbs(
    parts: Sequence[tuple[Sequence[float], Sequence[float], float, float, Sequence[float]]],
    actor: Actor,
    eye: NDArray[np.float64],
    *,
    cls: int,
) -> Faces:
    """Tapered strokes (from, to, width at both ends in metres, colour) in the actor's frame, turned to the camera."""
    c, s = math.cos(actor.heading_rad), math.sin(actor.heading_rad)
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
    start = np.array([p[0] for p in parts]) @ turn + [actor.x_m, actor.y_m, 0.0]
    end = np.array([p[1] for p in parts]) @ turn + [actor.x_m, actor.y_m, 0.0]
    view = (start + end) / 2 - eye
    order = np.argsort(-np.einsum("ij,ij->i", view, view), kind="stable")
    parts, start, end, view = [parts[k] for k in order], start[order], end[order], view[order]
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    across = np.cross(end - start, view)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    wide = np.array([[p[2] / 2, p[3] / 2] for p in parts])
    near, far = across * wide[:, :1], across * wide[:, 1:]
    corners = np.stack([start - near, start + near, end + far, end - far], axis=1)
    return quads(corners, normal=-view, colour=np.array([p[4] for p in parts]), cls=cls)


def pedestrian(actor: Actor, t_s: float, eye: NDArray[np.float64]) -> Faces:
    """A walking or standing person; the stride follows speed and time (about one stride length of 0.8 height)."""
    h, seed = actor.height_m, actor.seed
    stride_hz = actor.speed_mps / (0.8 * h) if actor.speed_mps > 0.2 else 0.0
    phase = 2 * math.pi * (t_s * stride_hz + unit(seed, 21))
    swing = min(0.16 * h, actor.length_m / 2 - 0.06) * (1.0 if stride_hz else 0.15)
    shirt, trousers, skin = CLOTHES[hashed(seed, 22) % 7], TROUSERS[hashed(seed, 23) % 4], SKINS[hashed(seed, 24) % 3]
    hair = ((0.12, 0.09, 0.07), (0.35, 0.24, 0.14), (0.55, 0.5, 0.45))[hashed(seed, 25) % 3]
    half = min(0.11 * h, actor.width_m / 2 - 0.08)
    parts: list[Stroke] = []
    for side in (-1, 1):
        step = side * math.sin(phase)
        foot = (swing * step, side * half * 0.45, 0.04 + 0.05 * max(0.0, side * math.cos(phase)) * (stride_hz > 0))
        knee = (swing * 0.55 * step + 0.03, side * half * 0.45, 0.27 * h)
        parts += [((0, side * half * 0.45, 0.50 * h), knee, 0.085 * h, 0.065 * h, trousers), (knee, foot, 0.065 * h, 0.05 * h, trousers)]
        parts.append(
            (
                (foot[0] - 0.05, foot[1], foot[2]),
                (min(foot[0] + 0.12, actor.length_m / 2), foot[1], foot[2]),
                0.07,
                0.06,
                (0.10, 0.09, 0.09),
            )
        )
        hand = (-swing * 0.8 * step, side * half * 1.05, 0.46 * h)
        elbow = (-swing * 0.35 * step - 0.02, side * half * 1.05, 0.63 * h)
        parts += [
            ((0, side * half * 0.9, 0.79 * h), elbow, 0.055 * h, 0.05 * h, shirt),
            (elbow, hand, 0.045 * h, 0.035 * h, shirt if hashed(seed, 26) % 2 else skin),
        ]
    parts += [
        ((0, 0, 0.47 * h), (0, 0, 0.68 * h), 0.155 * h, 0.19 * h, shirt),
        ((0, 0, 0.68 * h), (0, 0, 0.83 * h), 0.19 * h, 0.12 * h, shirt),
    ]
    return limbs([*parts, *head((0.0, 0.0, 0.91 * h), 0.075 * h, skin, hair)], actor, eye, cls=f.PEDESTRIAN)


def head(place: Sequence[float], r: float, skin: Sequence[float], cap: Sequence[float]) -> list[Stroke]:
    """Neck, face and hair."""
    x, y, z = place
    low, middle, high, crown = (x, y, z - 0.9 * r), (x, y, z - 0.2 * r), (x, y, z + 0.45 * r), (x - 0.1 * r, y, z + r)
    neck = ((x, y, z - 1.3 * r), (x, y, z - 0.5 * r), r, r, skin)
    face = [(low, middle, 0.9 * r, 1.55 * r, skin), (middle, high, 1.55 * r, 1.5 * r, skin)]
    return [neck, *face, ((x - 0.1 * r, y, z + 0.3 * r), crown, 1.65 * r, 0.9 * r, cap)]


def cyclist(actor: Actor, t_s: float, eye: NDArray[np.float64]) -> Faces:
    """A rider on a bicycle; the cranks turn with speed and time."""
    h, a, seed = actor.height_m, actor.length_m / 2, actor.seed
    r, k = 0.34 * min(1.0, actor.length_m / 1.75), h / 1.75
    turn_hz = actor.speed_mps / 5.0
    phase = 2 * math.pi * (t_s * turn_hz + unit(seed, 31))
    shirt, trousers, skin = CLOTHES[hashed(seed, 32) % 7], TROUSERS[hashed(seed, 33) % 4], SKINS[hashed(seed, 34) % 3]
    bike = CLOTHES[hashed(seed, 35) % 7]
    parts: list[Stroke] = []
    for x in (-a + r, a - r):
        rim = [(x + (r - 0.03) * math.cos(t), 0.0, r + (r - 0.03) * math.sin(t)) for t in np.arange(9) * math.pi / 4]
        parts += [(rim[i], rim[i + 1], 0.06, 0.06, TYRE) for i in range(8)]
    crank, seat, bar = (-0.05, 0.0, r * 0.9), (-0.22, 0.0, 0.92 * k), (a - r - 0.16, 0.0, 0.98 * k)
    tubes = [
        ((-a + r, 0, r), crank),
        (crank, seat),
        (seat, (bar[0], 0, 0.85 * k)),
        (crank, (bar[0], 0, 0.72 * k)),
        (bar, (a - r, 0, r)),
        ((-a + r, 0, r), seat),
    ]
    parts += [(p, q, 0.05, 0.05, bike) for p, q in tubes]
    parts.append(((bar[0], -0.22, bar[2]), (bar[0], 0.22, bar[2]), 0.05, 0.05, TRIM))
    hip, neck = (-0.20, 0.0, 0.97 * k), (0.12, 0.0, 1.44 * k)
    for side in (-1, 1):
        pedal = (crank[0] + 0.16 * math.cos(phase) * side, side * 0.10, crank[2] + 0.16 * math.sin(phase) * side)
        knee = ((hip[0] + pedal[0]) / 2 + 0.20, side * 0.11, (hip[2] + pedal[2]) / 2 + 0.07)
        parts += [((hip[0], side * 0.09, hip[2]), knee, 0.14 * k, 0.11 * k, trousers), (knee, pedal, 0.11 * k, 0.08 * k, trousers)]
        parts.append(((neck[0] - 0.02, side * 0.17, neck[2] - 0.05), (bar[0], side * 0.2, bar[2] + 0.03), 0.09 * k, 0.07 * k, shirt))
    parts.append((hip, neck, 0.28 * k, 0.36 * k, shirt))
    helmet = CLOTHES[hashed(seed, 36) % 7]
    return limbs([*parts, *head((0.22, 0.0, 1.60 * k), 0.12 * k, skin, helmet)], actor, eye, cls=f.CYCLIST)
