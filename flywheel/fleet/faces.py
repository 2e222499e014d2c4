"""Flat convex faces in the world frame, as arrays: what scenery and road users are made of before they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Corner = Sequence[float] | NDArray[np.float64]
CORNERS = 8  # faces with fewer corners repeat the last one

# Segmentation classes.
SKY, ROAD, MARKING, SIDEWALK, GROUND, BUILDING, VEGETATION, VEHICLE, PEDESTRIAN, CYCLIST, POLE = range(11)
# Materials decide the texture; glows decide how strongly a face shines under which lighting.
PLAIN, ASPHALT, PAINT, PAVING, GRASS, FACADE, LEAF, GLASS, BODY, ROOF = range(10)
NO_GLOW, HEADLIGHT, TAIL_LIGHT, BRAKE_LIGHT, LAMP, SIGNAL = range(6)


@dataclass(frozen=True)
class Faces:
    """N faces. verts (N, 8, 3) m, normal (N, 3) outwards, colour (N, 3) sRGB 0..1, the rest (N,).

    bias: how much nearer a face counts in the depth test (paint on a body); stamp: index of a leaf mask, -1 for none;
    tag: which building a facade belongs to, -1 for none; group: faces of one group (>= 0) are given in painting order and
    pass the depth test as one thing, faces of group -1 pass it one by one.
    """

    verts: Reals
    normal: Reals
    colour: Reals
    cls: Bytes
    material: Bytes
    glow: Bytes
    bias: Reals
    stamp: NDArray[np.int32]
    tag: NDArray[np.int32]
    group: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.verts)


FIELDS = ("verts", "normal", "colour", "cls", "material", "glow", "bias", "stamp", "tag", "group")


def joined(parts: Sequence[Faces]) -> Faces:
    """All faces in one; no parts give zero faces."""
    parts = [part for part in parts if len(part)] or [FaceList(cls=SKY).build()]
    return parts[0] if len(parts) == 1 else Faces(*(np.concatenate([getattr(part, name) for part in parts]) for name in FIELDS))


def taken(faces: Faces, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Faces:
    """The faces at an index or mask."""
    return Faces(*(getattr(faces, name)[keep] for name in FIELDS))


def grouped(faces: Faces, group: int) -> Faces:
    """The faces as one thing for the depth test."""
    return replace(faces, group=np.full(len(faces), group, np.int32))


def placed(faces: Faces, *, x_m: float, y_m: float, heading_rad: float, z_m: float = 0.0) -> Faces:
    """Faces of a local frame (x forward, y left, z up) set into the world."""
    c, s = float(np.cos(heading_rad)), float(np.sin(heading_rad))
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]], np.float32)
    moved = faces.verts @ turn + np.array([x_m, y_m, z_m], np.float32)
    return Faces(moved, faces.normal @ turn, *(getattr(faces, name) for name in FIELDS[2:]))


class FaceList:
    """Collects faces of one class; normals come from the corner order (counter-clockwise seen from outside)."""

    def __init__(self, *, cls: int) -> None:
        self.cls = cls
        self.rows: list[tuple[Reals, Reals, Sequence[float], int, int, float, int]] = []

    def face(
        self, points: Sequence[Corner], colour: Sequence[float], *,
        material: int = PLAIN, glow: int = NO_GLOW, bias: float = 0.0, tag: int = -1,
    ) -> None:  # fmt: skip
        """Add one convex face of 3 to 8 corners."""
        corners: Reals = np.asarray(points, np.float32)
        normal: Reals = np.cross(corners[1] - corners[0], corners[2] - corners[1])
        full = np.concatenate([corners, np.repeat(corners[-1:], CORNERS - len(corners), axis=0)])
        self.rows.append((full, normal / max(float(np.linalg.norm(normal)), 1e-9), colour, material, glow, bias, tag))

    def prism(
        self, profile: Sequence[tuple[float, float]], y0: float, y1: float, colour: Sequence[float], *, material: int = PLAIN
    ) -> None:
        """A convex (x, z) outline, counter-clockwise seen from the right (-y), drawn out from y0 (right) to y1 (left)."""
        self.face([(x, y0, z) for x, z in profile], colour, material=material)
        self.face([(x, y1, z) for x, z in reversed(profile)], colour, material=material)
        for (xa, za), (xb, zb) in zip(profile, [*profile[1:], profile[0]], strict=True):
            self.face([(xa, y0, za), (xa, y1, za), (xb, y1, zb), (xb, y0, zb)], colour, material=material)

    def box(
        self, low: Sequence[float], high: Sequence[float], colour: Sequence[float], *, material: int = PLAIN, tag: int = -1
    ) -> None:  # fmt: skip
        """An axis-aligned box without its underside."""
        self.taper(low, high, (low[0], high[0]), (low[1], high[1]), colour, material=material, tag=tag)

    def taper(
        self, low: Sequence[float], high: Sequence[float], top_x: tuple[float, float], top_y: tuple[float, float],
        colour: Sequence[float], *, material: int = PLAIN, tag: int = -1, roof: Sequence[float] | None = None,
    ) -> None:  # fmt: skip
        """A box whose upper rectangle differs from its lower one: a cabin, a roof."""
        (x0, y0, z0), (x1, y1, z1), (a, b), (c, d) = low, high, top_x, top_y
        lower = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
        upper = [(a, c, z1), (b, c, z1), (b, d, z1), (a, d, z1)]
        for i in range(4):
            j = (i + 1) % 4
            self.face([lower[i], lower[j], upper[j], upper[i]], colour, material=material, tag=tag)
        self.face(upper, roof if roof is not None else colour, material=ROOF if roof is not None else material)

    def build(self) -> Faces:
        """The faces collected so far."""
        n = len(self.rows)
        return Faces(
            verts=np.array([row[0] for row in self.rows], np.float32).reshape(n, CORNERS, 3),
            normal=np.array([row[1] for row in self.rows], np.float32).reshape(n, 3),
            colour=np.array([row[2] for row in self.rows], np.float32).reshape(n, 3),
            cls=np.full(n, self.cls, np.uint8),
            material=np.array([row[3] for row in self.rows], np.uint8),
            glow=np.array([row[4] for row in self.rows], np.uint8),
            bias=np.array([row[5] for row in self.rows], np.float32),
            stamp=np.full(n, -1, np.int32),
            tag=np.array([row[6] for row in self.rows], np.int32),
            group=np.full(n, -1, np.int32),
        )  # fmt: skip


def quads(
    points: Reals, *, normal: Reals, colour: Reals, cls: int, material: int = PLAIN, stamp: NDArray[np.int32] | None = None
) -> Faces:  # fmt: skip
    """Four-cornered faces (N, 4, 3) that already face the camera."""
    n = len(points)
    none = np.full(n, -1, np.int32)
    full = np.concatenate([points, np.repeat(points[:, -1:], CORNERS - 4, axis=1)], axis=1).astype(np.float32)
    return Faces(
        full, normal.astype(np.float32), colour.astype(np.float32), np.full(n, cls, np.uint8), np.full(n, material, np.uint8),
        np.zeros(n, np.uint8), np.zeros(n, np.float32), none if stamp is None else stamp.astype(np.int32), none, none,
    )  # fmt: skip


def hashed(*values: int) -> int:
    """A well-mixed 32-bit number of a few integers (Wang-style multiply and shift)."""
    h = 2166136261
    for value in values:
        h = ((h ^ (value & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
        h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
        h ^= h >> 13
    return h


def unit(*values: int) -> float:
    """A number in [0, 1) that depends only on a few integers."""
    return hashed(*values) / 2**32
