"""Faces through a depth buffer: the nearer wins; faces of one group are painted in their order and tested as one thing."""

from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.faces import Faces, Reals
from flywheel.fleet.raster import SHIFT, Canvas, View, outlines, planes

LEAF_LEVELS = 3  # a leaf mask draws three neighbouring face ids: dark, middle, light
Shapes = list[NDArray[np.int32] | None]


def paint_faces(canvas: Canvas, faces: Faces, view: View, *, first_id: int, stamps: list[NDArray[np.uint8]]) -> Reals:
    """Draw faces (already culled) through the depth buffer; gives back their planes (N, 3). Face k gets id first_id + 3 k."""
    coefficients = planes(faces, view)
    shapes, bounds = outlines(faces.verts, view)
    groups = _groups(faces.group, shapes)
    sheets = _sheets(bounds, groups)
    shapes, places = _within(shapes, sheets), sheets.tolist()
    pulled, stamp = (coefficients * (1.0 + faces.bias)[:, None]).tolist(), faces.stamp.tolist()
    for k in np.flatnonzero(faces.group < 0).tolist():
        if (shape := shapes[k]) is not None:
            mask = _mask(shape, places[k], stamps[stamp[k]] if stamp[k] >= 0 else None)
            _merge(canvas, mask, places[k], pulled[k], first_id + LEAF_LEVELS * k, stamped=stamp[k] >= 0)
    rows = _rows(coefficients, first_id)
    for members in groups:
        _merge_group(canvas, _sheet(shapes, members, places[members[0]]), places[members[0]], rows)
    return coefficients


class Rows(NamedTuple):
    """What the numbers in a sheet stand for (0: nothing there): each face's plane, a column a coefficient, and its id."""

    a: Reals
    b: Reals
    c: Reals
    ids: NDArray[np.int32]


def _rows(coefficients: Reals, first_id: int) -> Rows:
    a, b, c = np.concatenate([np.zeros((3, 1), np.float32), coefficients.T], axis=1)
    ids = np.arange(len(coefficients) + 1, dtype=np.int32) * np.int32(LEAF_LEVELS) + np.int32(first_id - LEAF_LEVELS)
    return Rows(a, b, c, ids)


def _groups(group: NDArray[np.int32], shapes: Shapes) -> list[list[int]]:
    """The visible faces of each group, in the order given."""
    found: dict[int, list[int]] = {}
    for k, number in enumerate(group.tolist()):
        if number >= 0 and shapes[k] is not None:
            found.setdefault(number, []).append(k)
    return list(found.values())


def _sheets(bounds: NDArray[np.int32], groups: list[list[int]]) -> NDArray[np.int32]:
    """The samples (N, 4) x0, y0, x1, y1 that each face is drawn on: its own bounds, or those of its whole group."""
    sheets = bounds.copy()
    if groups:
        members, counts = list(chain.from_iterable(groups)), [len(group) for group in groups]
        starts = np.cumsum([0, *counts[:-1]])
        low, high = np.minimum.reduceat(bounds[members, :2], starts), np.maximum.reduceat(bounds[members, 2:], starts)
        sheets[members] = np.repeat(np.concatenate([low, high], axis=1), counts, axis=0)
    return sheets


def _within(shapes: Shapes, sheets: NDArray[np.int32]) -> Shapes:
    """The outlines counted from the first sample of their sheets."""
    shown = [(k, shape) for k, shape in enumerate(shapes) if shape is not None]
    moved: Shapes = [None] * len(shapes)
    if shown:
        counts = [len(shape) for _, shape in shown]
        corners = sheets[[k for k, _ in shown], :2] << SHIFT
        points = np.concatenate([shape for _, shape in shown]) - np.repeat(corners, counts, axis=0)
        for (k, _), count, end in zip(shown, counts, np.cumsum(counts).tolist(), strict=True):
            moved[k] = points[end - count : end]
    return moved


def _sheet(shapes: Shapes, members: list[int], place: list[int]) -> NDArray[np.int32]:
    """Faces of one thing, each over the one before: the number of the face that each sample shows, from 1; 0 for none."""
    import cv2

    x0, y0, x1, y1 = place
    sheet = np.zeros((y1 - y0, x1 - x0), np.int32)
    for k in members:
        if (shape := shapes[k]) is not None:
            cv2.fillConvexPoly(sheet, shape, k + 1, shift=SHIFT)
    return sheet


def _merge_group(canvas: Canvas, sheet: NDArray[np.int32], place: list[int], rows: Rows) -> None:
    """Let a drawn thing win where it is nearer than what is there."""
    x0, y0, x1, y1 = place
    depth = rows.a.take(sheet) * canvas.columns[x0:x1] + rows.b.take(sheet) * canvas.rows[y0:y1] + rows.c.take(sheet)
    there = canvas.near[y0:y1, x0:x1]
    wins = depth > there
    np.copyto(there, depth, where=wins)
    np.copyto(canvas.ids[y0:y1, x0:x1], rows.ids.take(sheet), where=wins)


def _mask(shape: NDArray[np.int32], place: list[int], stamp: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """What a face covers within its bounds: 0 nothing, 1..3 one of its ids."""
    import cv2

    x0, y0, x1, y1 = place
    if stamp is not None:
        return _stamped(shape, (x1 - x0, y1 - y0), stamp)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(mask, shape, 1, shift=SHIFT)
    return mask


def _stamped(shape: NDArray[np.int32], size: tuple[int, int], stamp: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A leaf mask stretched over the face's rectangle and cut to its bounds (columns, rows)."""
    import cv2

    left, top = (shape.min(axis=0) / (1 << SHIFT)).tolist()
    right, bottom = (shape.max(axis=0) / (1 << SHIFT)).tolist()
    sx, sy = stamp.shape[1] / max(right - left, 1.0), stamp.shape[0] / max(bottom - top, 1.0)
    move = np.array([[sx, 0.0, -left * sx], [0.0, sy, -top * sy]])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(stamp, move, size, flags=flags), np.uint8)


def _merge(canvas: Canvas, mask: NDArray[np.uint8], place: list[int], plane: list[float], face_id: int, *, stamped: bool) -> None:
    """Let a face win where it is nearer than what is there."""
    x0, y0, x1, y1 = place
    a, b, c = plane
    depth = np.add(np.float32(a) * canvas.columns[x0:x1], np.float32(b) * canvas.rows[y0:y1] + np.float32(c))
    there = canvas.near[y0:y1, x0:x1]
    wins = depth > there
    wins &= mask > 0 if stamped else mask.view(np.bool_)
    np.copyto(there, depth, where=wins)
    np.copyto(canvas.ids[y0:y1, x0:x1], mask.astype(np.int32) + np.int32(face_id - 1) if stamped else np.int32(face_id), where=wins)
