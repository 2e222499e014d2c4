"""Lanes of a map as centre lines with a width to either side, whatever the map holds: two boundaries, a polygon, or a line and widths."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

STEP_M = 2.0
MAX_POINTS, CHUNK = 500, 4096
DEFAULT_WIDTH_M = 3.5


@dataclass(frozen=True)
class Lane:
    """One lane in its driving direction: (k, 2) centre line, (k,) widths to the left and right of it.

    in_junction and right_id (the lane of the same direction to the right) are None where the map does not say. stop_m is where along
    the centre line its stop line lies.
    """

    lane_id: str
    centre: Array
    left_m: Array
    right_m: Array
    in_junction: bool | None = None
    right_id: str | None = None
    successors: tuple[str, ...] = ()
    stop_m: float | None = None

    @cached_property
    def s_m(self) -> Array:
        """(k,) distances along the centre line."""
        return arc(self.centre)

    @cached_property
    def heading(self) -> Array:
        """(k - 1,) headings of the centre line's pieces."""
        return headings(self.centre)

    @property
    def length_m(self) -> float:
        """The centre line's length."""
        return float(self.s_m[-1])


class Placed(NamedTuple):
    """Points laid onto a line: distance along it and to its left, the line's heading there, its piece, whether they lie beside it."""

    s_m: Array
    d_m: Array
    heading: Array
    piece: Ints
    beside: NDArray[np.bool_]


def arc(line: Array) -> Array:
    """(k,) distances along a (k, 2) line."""
    return np.asarray(np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def headings(line: Array) -> Array:
    """(k - 1,) headings of a line's pieces."""
    steps = np.diff(line, axis=0)
    return np.asarray(np.arctan2(steps[:, 1], steps[:, 0]))


def clean(points: Array) -> Array | None:
    """(k, 2) points without repeats; None if fewer than two are left. BadData if one is not finite."""
    line = np.asarray(points, np.float64)
    if line.ndim != 2 or line.shape[1] < 2 or len(line) < 2:
        return None
    line = line[:, :2]
    if not np.isfinite(line).all() or np.abs(line).max() > 1e8:
        raise BadData("a lane of the map has points that are not finite numbers of metres")
    kept = line[np.r_[True, np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-3]]
    return kept if len(kept) > 1 else None


def spread(line: Array, count: int) -> Array:
    """(count, 2) points at equal distances along a line."""
    s = arc(line)
    at = np.linspace(0.0, s[-1], count)
    return np.stack([np.interp(at, s, line[:, 0]), np.interp(at, s, line[:, 1])], axis=1)


def between(left: Array, right: Array) -> tuple[Array, Array, Array] | None:
    """Centre line and widths of a lane between two boundaries of its own direction; None if it has no length."""
    edges = clean(left), clean(right)
    if edges[0] is None or edges[1] is None:
        return None
    longest = max(arc(edges[0])[-1], arc(edges[1])[-1])
    count = int(min(max(len(edges[0]), len(edges[1]), np.ceil(longest / STEP_M) + 1), MAX_POINTS))
    sides = spread(edges[0], count), spread(edges[1], count)
    centre, half = (sides[0] + sides[1]) / 2, np.linalg.norm(sides[0] - sides[1], axis=1) / 2
    return None if arc(centre)[-1] < 0.1 else (centre, half, half)


def along(points: Array, widths: Array | None = None) -> tuple[Array, Array, Array] | None:
    """Centre line and widths of a lane that is a line with (k, 2) widths left and right; where these are 0, half of 3.5 m is taken."""
    line = clean(points)
    if line is None:
        return None
    centre = spread(line, int(min(max(np.ceil(arc(line)[-1] / STEP_M) + 1, 2), MAX_POINTS)))
    half = np.full((len(centre), 2), DEFAULT_WIDTH_M / 2)
    if widths is not None and len(widths) == len(points):
        nearest = np.argmin(np.linalg.norm(points[None, :, :2] - centre[:, None], axis=2), axis=1)
        half = np.where((widths[nearest] > 0.5) & (widths[nearest] < 15), widths[nearest], half)
    return centre, half[:, 0], half[:, 1]


def within(points: Array, polygon: Array) -> tuple[Array, Array, Array] | None:
    """Centre line and widths of a lane that is a line inside a (p, 2) polygon: how far it is to the polygon's edge, square to the line."""
    found = along(points)
    ring = clean(polygon)
    if found is None or ring is None:
        return found
    centre = found[0]
    turn = headings(centre)[np.r_[np.arange(len(centre) - 1), len(centre) - 2]]
    normal = np.stack([-np.sin(turn), np.cos(turn)], axis=1)
    a, b = ring, np.roll(ring, -1, axis=0)
    # centre + u normal = a + v (b - a), for every point and edge of the polygon
    edge, away = b - a, a[None] - centre[:, None]
    cross = normal[:, None, 0] * edge[None, :, 1] - normal[:, None, 1] * edge[None, :, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (away[..., 0] * edge[None, :, 1] - away[..., 1] * edge[None, :, 0]) / cross
        v = (away[..., 0] * normal[:, None, 1] - away[..., 1] * normal[:, None, 0]) / cross
    hit = (np.abs(cross) > 1e-9) & (np.abs(v - 0.5) <= 0.5 + 1e-6)
    sides = [np.where(hit & (sign * u > 0), np.abs(u), np.inf).min(axis=1) for sign in (1, -1)]
    left, right = (np.where((side > 0.5) & (side < 15), side, DEFAULT_WIDTH_M / 2) for side in sides)
    return centre, left, right


def place(line: Array, points: Array) -> Placed:
    """(n, 2) points on the nearest piece of a (k, 2) line."""
    if len(points) > CHUNK:
        parts = [place(line, points[k : k + CHUNK]) for k in range(0, len(points), CHUNK)]
        return Placed(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    a, step = line[:-1], np.diff(line, axis=0)
    length2 = np.maximum((step**2).sum(axis=1), 1e-12)
    share = ((points[:, None] - a[None]) * step[None]).sum(axis=2) / length2
    inside = np.clip(share, 0.0, 1.0)
    apart = points[:, None] - (a[None] + inside[..., None] * step[None])
    piece = np.argmin((apart**2).sum(axis=2), axis=1)
    row = np.arange(len(points))
    turn, off = headings(line)[piece], points - a[piece]
    d = np.cos(turn) * off[:, 1] - np.sin(turn) * off[:, 0]
    kept, free = inside[row, piece], share[row, piece]
    beyond = ((piece == 0) & (free < 0)) | ((piece == len(a) - 1) & (free > 1))
    return Placed(arc(line)[piece] + kept * np.sqrt(length2[piece]), d, turn, piece, ~beyond)


def inside_polygon(points: Array, polygon: Array) -> NDArray[np.bool_]:
    """Whether each of (n, 2) points lies in a (p, 2) polygon (even-odd rule)."""
    a, b = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, None, 0], points[:, None, 1]
    spans = (a[None, :, 1] > y) != (b[None, :, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = a[None, :, 0] + (y - a[None, :, 1]) * (b - a)[None, :, 0] / (b - a)[None, :, 1]
    return np.asarray((spans & (x < at)).sum(axis=1) % 2 == 1)
