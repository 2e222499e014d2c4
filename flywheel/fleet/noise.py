"""Stable noise: tiles that repeat every 256 cells, looked up at world places, so that a texture never swims or flickers."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.faces import Reals, hashed

TILE = 256


@lru_cache(maxsize=16)
def tile(kind: int, sigma: float) -> Reals:
    """(256, 256) noise of mean 0 and deviation 1 that wraps around; sigma in cells."""
    import cv2

    white = np.random.default_rng(1000 + kind).standard_normal((TILE, TILE)).astype(np.float32)
    if sigma > 0:
        margin = int(4 * sigma) + 1
        padded = np.pad(white, margin, mode="wrap")
        white = cv2.GaussianBlur(padded, (0, 0), sigma)[margin:-margin, margin:-margin].astype(np.float32)
    return np.ascontiguousarray((white - white.mean()) / white.std())


def at(places_x: Reals, places_y: Reals, *, cell_m: float, kind: int, sigma: float, seed: int) -> Reals:
    """Noise at world places (any equal 2-d shapes), interpolated; seed shifts the tile."""
    import cv2

    shift = hashed(seed, kind)
    u = places_x * np.float32(1 / cell_m / TILE) + np.float32((shift & 255) / TILE)
    v = places_y * np.float32(1 / cell_m / TILE) + np.float32(((shift >> 8) & 255) / TILE)
    u, v = (u - np.floor(u)) * np.float32(TILE), (v - np.floor(v)) * np.float32(TILE)
    return np.asarray(cv2.remap(tile(kind, sigma), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


@lru_cache(maxsize=1)
def leaf_masks() -> tuple[NDArray[np.uint8], ...]:
    """Six (72, 72) crown masks: 0 gap, 1 dark, 2 middle, 3 light leaves; light ones lie towards the top."""
    import cv2

    masks = []
    yy, xx = np.mgrid[0:72, 0:72].astype(np.float32) / 36 - 1
    for k in range(6):
        rng = np.random.default_rng(50 + k)
        clumps = cv2.GaussianBlur(rng.standard_normal((72, 72)).astype(np.float32), (0, 0), 5)
        leaves = cv2.GaussianBlur(rng.standard_normal((72, 72)).astype(np.float32), (0, 0), 1.4)
        rough = clumps / clumps.std() * 0.14 + leaves / leaves.std() * 0.09
        inside = np.hypot(xx, yy * 1.05) + rough < 0.86
        light = -yy * 0.8 - xx * 0.35 + leaves / leaves.std() * 0.42 + clumps / clumps.std() * 0.3
        masks.append(np.where(inside, 1 + (light > -0.35).astype(np.uint8) + (light > 0.45).astype(np.uint8), 0).astype(np.uint8))
    return tuple(masks)
