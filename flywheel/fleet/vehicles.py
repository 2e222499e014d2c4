"""Vehicles as faces in painting order: a body, a cabin, windows, wheels and lights, all within the actor's box."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet.faces import Corner, FaceList, Faces, hashed

PAINTS = (
    (0.86, 0.87, 0.88), (0.13, 0.14, 0.15), (0.55, 0.57, 0.59), (0.62, 0.10, 0.10), (0.12, 0.25, 0.48), (0.33, 0.35, 0.37),
    (0.80, 0.78, 0.72), (0.16, 0.33, 0.27), (0.75, 0.50, 0.12), (0.30, 0.44, 0.60), (0.72, 0.74, 0.77), (0.45, 0.12, 0.16),
)  # fmt: skip
GLASS, TYRE, RIM, TRIM = (0.13, 0.16, 0.19), (0.07, 0.07, 0.075), (0.50, 0.51, 0.53), (0.11, 0.11, 0.12)
RED, WHITE = (0.70, 0.05, 0.05), (0.93, 0.95, 1.0)
# Cabin of each style as fractions of length and height: rear and front foot, rear and front of the roof, belt height.
STYLES = {
    "sedan": (-0.41, 0.20, -0.25, 0.02, 0.60),
    "hatch": (-0.48, 0.20, -0.40, 0.04, 0.58),
    "suv": (-0.48, 0.21, -0.42, 0.07, 0.60),
    "van": (-0.49, 0.32, -0.48, 0.20, 0.55),
}


def inset(quad: Sequence[Corner], *, sides: float, low: float, high: float) -> list[NDArray[np.float64]]:
    """A quad (lower left, lower right, upper right, upper left) shrunk within its own plane."""
    a, b, c, d = (np.asarray(p, float) for p in quad)

    def point(s: float, t: float) -> NDArray[np.float64]:
        return (a * (1 - s) + b * s) * (1 - t) + (d * (1 - s) + c * s) * t

    return [point(sides, low), point(1 - sides, low), point(1 - sides, 1 - high), point(sides, 1 - high)]


def cabin(
    out: FaceList,
    low: Sequence[float],
    high: Sequence[float],
    top_x: tuple[float, float],
    top_y: tuple[float, float],
    paint: Sequence[float],
) -> None:
    """A tapered cabin with a glass pane on each side, the flanks split by a pillar."""
    out.taper(low, high, top_x, top_y, paint, material=f.BODY)
    (x0, y0, z0), (x1, y1, z1), (a, b), (c, d) = low, high, top_x, top_y
    foot, roof = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)], [(a, c, z1), (b, c, z1), (b, d, z1), (a, d, z1)]
    for i in range(4):
        j = (i + 1) % 4
        pane = inset([foot[i], foot[j], roof[j], roof[i]], sides=0.05, low=0.08, high=0.12)
        out.face(pane, GLASS, material=f.GLASS, bias=2e-3)
        if i in (0, 2):
            post = inset(pane, sides=0.48, low=0.0, high=0.0)
            out.face(post, paint, material=f.BODY, bias=3e-3)


def treads(out: FaceList, xs: Sequence[float], half_width: float, radius: float, tread: float) -> None:
    """The tyres below the body: painted before it."""
    for x in xs:
        for side in (-1, 1):
            low, high = sorted((side * half_width, side * (half_width - tread)))
            out.box((x - radius * 0.9, low, 0.0), (x + radius * 0.9, high, radius), TYRE)


def wheels(out: FaceList, xs: Sequence[float], half_width: float, radius: float) -> None:
    """Tyres and rims on the flanks: painted after the body."""
    angles = [2 * math.pi * (k + 0.5) / 8 for k in range(8)]
    for x in xs:
        for side in (-1, 1):
            y = side * half_width
            ring = [(x + radius * math.cos(t), y, radius + radius * math.sin(t)) for t in angles]
            hub = [(x + 0.58 * radius * math.cos(t), y, radius + 0.58 * radius * math.sin(t)) for t in angles]
            out.face(ring if side < 0 else ring[::-1], TYRE, bias=4e-3)
            out.face(hub if side < 0 else hub[::-1], RIM, bias=6e-3)


def end_patch(
    out: FaceList,
    x: float,
    y: tuple[float, float],
    z: tuple[float, float],
    colour: Sequence[float],
    *,
    front: bool,
    glow: int = f.NO_GLOW,
    bias: float = 4e-3,
    material: int = f.PLAIN,
) -> None:
    """A rectangle on the front or rear face."""
    (ya, yb), (za, zb) = y, z
    corners = [(x, ya, za), (x, yb, za), (x, yb, zb), (x, ya, zb)]
    out.face(corners if front else corners[::-1], colour, glow=glow, bias=bias, material=material)


def lamps(
    out: FaceList, *, rear_x: float, front_x: float, half: float, tail_z: tuple[float, float], head_z: tuple[float, float], wide: float
) -> None:
    """A pair of tail lights and a pair of headlights."""
    for side in (-1, 1):
        outer, inner = side * half * 0.96, side * (half * 0.96 - wide)
        pair = (min(outer, inner), max(outer, inner))
        end_patch(out, rear_x, pair, tail_z, RED, front=False, glow=f.TAIL_LIGHT, bias=6e-3)
        end_patch(out, front_x, pair, head_z, WHITE, front=True, glow=f.HEADLIGHT, bias=6e-3)


def car(length: float, width: float, height: float, seed: int, front_seen: bool) -> Faces:
    """A passenger car in painting order; seed picks its style and paint."""
    out, paint = FaceList(cls=f.VEHICLE), PAINTS[hashed(seed, 11) % len(PAINTS)]
    style = "van" if height > 1.9 else "suv" if height > 1.62 else ("sedan", "hatch", "suv")[hashed(seed, 12) % 3]
    back, front, roof_back, roof_front, belt = STYLES[style]
    a, b, z = length / 2, width / 2, height
    deck = belt - (0.02 if style == "sedan" else 0.0)
    body = [
        (-a, 0.24 * z),
        (-a * 0.97, 0.14 * z),
        (a * 0.97, 0.14 * z),
        (a, 0.24 * z),
        (a, 0.38 * z),
        (a * 0.93, 0.47 * z),
        (front * length, belt * z),
        (-a * 0.98, deck * z),
    ]
    axles, radius = (-0.30 * length, 0.31 * length), min(0.33, 0.22 * z)
    treads(out, axles, b, radius, 0.2)
    out.prism(body, -b, b, paint, material=f.BODY)
    top_half = b * 0.76
    cabin(
        out,
        (back * length, -b * 0.94, belt * z - 0.02),
        (front * length, b * 0.94, z),
        (roof_back * length, roof_front * length),
        (-top_half, top_half),
        paint,
    )
    wheels(out, axles, b, radius)
    lamps(out, rear_x=-a * 0.99, front_x=a, half=b, tail_z=(0.40 * z, 0.51 * z), head_z=(0.31 * z, 0.39 * z), wide=0.34)
    end_patch(out, -a, (-b * 0.92, b * 0.92), (0.15 * z, 0.24 * z), TRIM, front=False, bias=3e-3)
    end_patch(out, -a * 0.985, (-0.2, 0.2), (belt * z - 0.1, belt * z - 0.055), RED, front=False, glow=f.BRAKE_LIGHT)
    end_patch(out, -a, (-0.27, 0.27), (0.29 * z, 0.36 * z), (0.92, 0.90, 0.80), front=False)
    end_patch(out, a, (-b * 0.6, b * 0.6), (0.25 * z, 0.33 * z), TRIM, front=True)
    return out.build()


def truck(length: float, width: float, height: float, seed: int, front_seen: bool) -> Faces:
    """A cab and a load on a dark frame; the one farther from the camera comes first."""
    out, a, b = FaceList(cls=f.VEHICLE), length / 2, width / 2
    split, axles = a - min(2.2, 0.32 * length), (-a * 0.72, -a * 0.48, a * 0.66)
    treads(out, axles, b, 0.5, 0.35)
    out.box((-a * 0.98, -b * 0.8, 0.5), (a * 0.98, b * 0.8, 1.0), TRIM)
    for part in (truck_load, truck_cab) if front_seen else (truck_cab, truck_load):
        part(out, a, b, split, height, seed)
    wheels(out, axles, b, 0.5)
    lamps(out, rear_x=-a, front_x=a, half=b, tail_z=(0.72, 0.98), head_z=(0.62, 0.86), wide=0.4)
    end_patch(out, -a, (-b * 0.8, b * 0.8), (0.45, 0.62), TRIM, front=False)
    return out.build()


def truck_load(out: FaceList, a: float, b: float, split: float, height: float, seed: int) -> None:
    """The box body with its rear doors."""
    hue = ((0.88, 0.88, 0.86), (0.80, 0.82, 0.84), (0.55, 0.63, 0.72), (0.78, 0.70, 0.50))[hashed(seed, 14) % 4]
    out.box((-a, -b, 1.0), (split - 0.25, b, height), hue)
    end_patch(out, -a, (-b * 0.94, -0.03), (1.08, height - 0.12), [0.9 * c for c in hue], front=False)
    end_patch(out, -a, (0.03, b * 0.94), (1.08, height - 0.12), [0.9 * c for c in hue], front=False)


def truck_cab(out: FaceList, a: float, b: float, split: float, height: float, seed: int) -> None:
    """The driver's cab with its panes."""
    paint, cab = PAINTS[hashed(seed, 13) % len(PAINTS)], min(height, 2.9)
    out.prism(
        [(split, 0.45), (a, 0.45), (a, 0.52 * cab), (a * 0.985, cab * 0.97), (a * 0.96, cab), (split, cab)], -b, b, paint, material=f.BODY
    )
    end_patch(out, a * 0.995, (-b * 0.88, b * 0.88), (0.53 * cab, 0.84 * cab), GLASS, front=True, material=f.GLASS)
    for side in (-1, 1):
        pane = [
            (split + 0.5, side * b, 0.55 * cab),
            (a - 0.25, side * b, 0.55 * cab),
            (a - 0.35, side * b, 0.86 * cab),
            (split + 0.5, side * b, 0.86 * cab),
        ]
        out.face(pane if side < 0 else pane[::-1], GLASS, material=f.GLASS, bias=4e-3)


def bus(length: float, width: float, height: float, seed: int, front_seen: bool) -> Faces:
    """A long body with a band of windows, in painting order."""
    out, a, b = FaceList(cls=f.VEHICLE), length / 2, width / 2
    paint = ((0.80, 0.66, 0.15), (0.72, 0.14, 0.14), (0.85, 0.86, 0.86), (0.20, 0.42, 0.62))[hashed(seed, 15) % 4]
    axles = (-a * 0.55, a * 0.62)
    treads(out, axles, b, 0.48, 0.3)
    out.taper((-a, -b, 0.3), (a, b, height), (-a * 0.99, a * 0.985), (-b * 0.95, b * 0.95), paint, material=f.BODY)
    count = max(int(length / 1.6), 3)
    for side in (-1, 1):
        for k in range(count):
            x0 = -a + 0.35 + k * (length - 0.7) / count
            x1, lean = x0 + (length - 0.7) / count - 0.14, side * b * 0.985
            pane = [
                (x0, lean, 0.42 * height),
                (x1, lean, 0.42 * height),
                (x1, side * b * 0.962, 0.80 * height),
                (x0, side * b * 0.962, 0.80 * height),
            ]
            out.face(pane if side < 0 else pane[::-1], GLASS, material=f.GLASS, bias=2e-2)
    end_patch(out, -a * 0.994, (-b * 0.8, b * 0.8), (0.50 * height, 0.82 * height), GLASS, front=False, material=f.GLASS, bias=1e-2)
    end_patch(out, a * 0.992, (-b * 0.88, b * 0.88), (0.36 * height, 0.80 * height), GLASS, front=True, material=f.GLASS, bias=1e-2)
    end_patch(
        out, a * 0.988, (-b * 0.6, b * 0.6), (0.85 * height, 0.94 * height), (0.95, 0.65, 0.15), front=True, bias=1e-2, glow=f.TAIL_LIGHT
    )
    wheels(out, axles, b, 0.48)
    lamps(out, rear_x=-a, front_x=a, half=b, tail_z=(0.70, 1.05), head_z=(0.55, 0.80), wide=0.32)
    end_patch(out, -a, (-b * 0.9, b * 0.9), (0.32, 0.52), TRIM, front=False)
    return out.build()


def thing(length: float, width: float, height: float, seed: int, front_seen: bool) -> Faces:
    """Something that lies or stands on the road: a plain body, narrower at its top."""
    out, a, b = FaceList(cls=f.POLE), length / 2, width / 2
    hue = ((0.85, 0.35, 0.10), (0.45, 0.33, 0.22), (0.25, 0.24, 0.23))[hashed(seed, 16) % 3]
    out.taper((-a, -b, 0.0), (a, b, height), (-a * 0.6, a * 0.6), (-b * 0.6, b * 0.6), hue)
    return out.build()


@lru_cache(maxsize=1024)
def vehicle(cls: str, length: float, width: float, height: float, seed: int, front_seen: bool) -> Faces:
    """A vehicle's faces in its own frame (x forward, ground at z = 0), all within its box, in painting order."""
    return {"car": car, "truck": truck, "bus": bus, "other": thing}[cls](length, width, height, seed, front_seen)
