"""Stored media to RGB pixels and back to PNG bytes, and what lies in a frame: its object boxes at the drawing size."""

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.request import VariationRequest
from flywheel.geometry import ImageBox, image_boxes, nearest_instant
from flywheel.store import Store, media_key
from flywheel.tables import read_table

Rgb = NDArray[np.uint8]
BOX_TOLERANCE_NS = 60_000_000


def read_rgb(store: Store, sha256: str, ext: str) -> Rgb:
    """(H, W, 3) RGB pixels of stored media; BadData if it is missing or no image."""
    cv2 = require("cv2", extra="generate")
    key = media_key(sha256, ext)
    try:
        data = store.get(key)
    except KeyError as err:
        raise BadData(f"parent frame {key} is not in the store: was the batch ingested here?") from err
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise BadData(f"parent frame {key} is no image that can be decoded")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def read_plane(store: Store, sha256: str, ext: str, *, size: tuple[int, ...]) -> NDArray[np.float32]:
    """(H, W) values of a stored one-channel image (depth, classes) at this size, nearest neighbour; BadData if it is no such image."""
    cv2 = require("cv2", extra="generate")
    key = media_key(sha256, ext)
    try:
        data = store.get(key)
    except KeyError as err:
        raise BadData(f"{key} is not in the store: was the batch ingested here?") from err
    plane = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if plane is None or plane.ndim != 2:
        raise BadData(f"{key} is no image with one channel")
    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_NEAREST), np.float32)


def encode_png(rgb: Rgb) -> bytes:
    """PNG bytes of (H, W, 3) RGB pixels."""
    cv2 = require("cv2", extra="generate")
    done, data = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not done:
        raise BadData(f"an image of shape {rgb.shape} cannot be written as PNG")
    return bytes(data)


def downsized(rgb: Rgb, *, max_width: int | None) -> Rgb:
    """The image at most `max_width` pixels wide, aspect ratio kept; smaller images and None leave it as it is."""
    cv2 = require("cv2", extra="generate")
    height, width = rgb.shape[:2]
    if max_width is None or width <= max_width:
        return rgb
    size = (max_width, max(round(height * max_width / width), 1))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def scaled(box: ImageBox, *, scale: float) -> ImageBox:
    """The box in an image drawn at `scale` of the frame's size."""
    corners = {name: getattr(box, name) * scale for name in ("x0_px", "y0_px", "x1_px", "y1_px")}
    return box.model_copy(update=corners)


class Boxes:
    """The objects in the frames of one batch, read drive by drive (only the last few drives are held)."""

    def __init__(self, store: Store, batch_id: str) -> None:
        self._drive = lru_cache(maxsize=2)(lambda drive_id: _drive_tables(store, batch_id, drive_id))

    def of(self, request: VariationRequest, *, scale: float) -> list[ImageBox]:
        """Boxes in the request's parent frame at the drawing size; none without calibration or tracks near that time."""
        frames, tracks, times_ns = self._drive(request.drive_id)
        frame = frames.get((request.t_ns, request.camera))
        t_ns = nearest_instant(times_ns, request.t_ns, tolerance_ns=BOX_TOLERANCE_NS)
        if frame is None or t_ns is None:
            return []
        rows = tracks.filter(pc.equal(tracks["t_ns"], t_ns)).to_pylist()
        return [scaled(box, scale=scale) for box in image_boxes(rows, frame)]

    def inserted(self, request: VariationRequest, *, scale: float) -> ImageBox | None:
        """The label of the object that the request has drawn in, at the drawing size; None for any other request."""
        frame = self._drive(request.drive_id)[0].get((request.t_ns, request.camera)) if request.insert else None
        box = request.insert.label(frame) if request.insert and frame else None
        return box and scaled(box, scale=scale)


def _drive_tables(store: Store, batch_id: str, drive_id: str) -> tuple[dict[tuple[int, str], dict[str, Any]], Any, NDArray[np.int64]]:
    frames = read_table(store, "FRAMES", batch_id=batch_id, part=drive_id).to_pylist()
    tracks = read_table(store, "TRACKS", batch_id=batch_id, part=drive_id)
    times_ns = np.unique(tracks["t_ns"].to_numpy())
    return {(row["t_ns"], row["camera"]): row for row in frames if row["kind"] == "rgb"}, tracks, times_ns
