"""What stands on surfaces: grain and patches anchored in the world, pavement slabs, windows of facades."""

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet import faces as f
from flywheel.fleet import noise
from flywheel.fleet.faces import Bytes, Reals
from flywheel.fleet.scenery import Scenery

Place = tuple[Reals, Reals, Reals]


def textures(
    still: Scenery, tag: NDArray[np.int32], normals: Reals, ids: NDArray[np.int32], material: Bytes, depth: Reals, place: Place, seed: int
) -> tuple[Reals, Reals]:  # fmt: skip
    """Colour factors (H, W, 3) anchored in the world, and (H, W) how much of a pixel is window glass of a lit room."""
    import cv2

    flat = material_mask(material, f.ASPHALT, f.PAVING, f.GRASS, f.PAINT)
    top = int(np.flatnonzero(flat.any(axis=1)).min(initial=len(flat)))
    factor = np.ones(ids.shape, np.float32)
    if top < len(flat):
        factor[top:] = _ground(place[0][top:], place[1][top:], depth[top:], material[top:], seed)
    image: Reals = np.asarray(cv2.merge([factor, factor, factor]), np.float32)
    windows = np.zeros(ids.shape, np.float32)
    if (material == f.FACADE).any():
        _windows(still, tag, normals, ids, material == f.FACADE, depth, place, image, windows)
    return image, windows


def _ground(x: Reals, y: Reals, depth: Reals, material: Bytes, seed: int) -> Reals:
    """Grain, patches and slab joints of flat ground; 1 elsewhere."""
    grain = noise.at(x, y, cell_m=0.035, kind=1, sigma=0.6, seed=seed) * np.exp(depth * np.float32(-1 / 14.0))
    patch = noise.at(x, y, cell_m=0.45, kind=2, sigma=3.0, seed=seed) * np.exp(depth * np.float32(-1 / 60.0))
    strength = np.array([0.0, 0.11, 0.10, 0.09, 0.22, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)[material]
    factor = 1.0 + strength * (grain + patch * np.float32(0.6))
    factor *= 1.0 - slabs(x, y, depth) * (material == f.PAVING)
    return np.asarray(np.maximum(factor, np.float32(0.3)), np.float32)


def material_mask(material: Bytes, *kinds: int) -> NDArray[np.bool_]:
    """Where the material is one of several kinds."""
    wanted = np.zeros(16, bool)
    wanted[list(kinds)] = True
    return wanted[material]


def slabs(x: Reals, y: Reals, depth: Reals) -> Reals:
    """Joints between pavement slabs of 0.8 m, fading with distance."""
    edge = np.minimum(np.abs(x / 0.8 - np.rint(x / 0.8)), np.abs(y / 0.8 - np.rint(y / 0.8))) * 0.8
    return np.asarray((edge < 0.02 + depth * 0.002) * 0.25 * np.exp(depth * np.float32(-1 / 12.0)), np.float32)


def _windows(
    still: Scenery, tag: NDArray[np.int32], normals: Reals, ids: NDArray[np.int32], where: NDArray[np.bool_],
    depth: Reals, place: Place, image: Reals, windows: Reals,
) -> None:  # fmt: skip
    """Write glass, sills and floor bands of facades into the texture, and lit rooms into windows."""
    spots = np.flatnonzero(where)
    face = ids.take(spots)
    x_m, y_m, top_m, hue, storey, pitch = (row.take(tag.take(face)) for row in _facades(still))
    across, z = normals[:, 0].take(face), place[2].take(spots)
    along = (place[0].take(spots) - x_m) * -normals[:, 1].take(face) + (place[1].take(spots) - y_m) * across
    soft = np.maximum(depth.take(spots) * np.float32(1 / 260), 0.01)
    floor, column = np.floor((z - 0.4) / storey), np.floor(along / pitch)
    v, u = (z - 0.4) - floor * storey, along - column * pitch
    ground_floor = floor <= 0
    margin = np.where(ground_floor, 0.25, pitch * 0.24)
    wide = _between(u, margin, pitch - margin, soft)
    tall = _between(v, np.where(ground_floor, 0.5, 0.9), np.where(ground_floor, 2.6, 2.45), soft)
    glass = wide * tall * ((floor + 1) * storey < top_m + 0.3)
    rim = _between(v, storey - 0.22, storey + 0.1, soft) * 0.16 + (z > top_m - 0.55) * -0.18
    cell = (column * 7.31 + floor * 3.17 + hue * 0.61 + across * 1.7) * 12.9898
    chance = np.sin(cell) * 43758.547
    chance -= np.floor(chance)
    dark = np.array([0.20, 0.25, 0.31], np.float32) * (0.7 + 0.8 * chance[:, None])
    plain = image.reshape(-1, 3)
    plain[spots] = plain.take(spots, axis=0) * (1.0 - rim[:, None]) * (1 - glass[:, None]) + glass[:, None] * dark
    windows.reshape(-1)[spots] = glass * (chance < np.where(ground_floor, 0.5, 0.33)) * (0.55 + 0.9 * chance)


def _facades(still: Scenery) -> tuple[Reals, Reals, Reals, Reals, Reals, Reals]:
    """Per building (B,): place x and y, height of the wall, a number of its own, height of a storey and width of a window's bay."""
    blocks = still.world.blocks
    rows = [[b.x_m, b.y_m, b.height_m if b.height_m > 9.5 else b.height_m * 0.68, b.seed % 65521] for b in blocks]
    x_m, y_m, top_m, hue = np.ascontiguousarray(np.array(rows, np.float32).T)
    kind = hue % 5
    return x_m, y_m, top_m, hue, 3.1 + 0.1 * kind, 2.2 + 0.45 * kind


def _between(value: Reals, low: Reals | float, high: Reals | float, soft: Reals) -> Reals:
    """1 inside [low, high], falling to 0 over a pixel's width."""
    return np.asarray(np.clip((value - low) / soft + 0.5, 0, 1) * np.clip((high - value) / soft + 0.5, 0, 1), np.float32)
