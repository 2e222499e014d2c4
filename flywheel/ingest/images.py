"""What an image's first bytes say, without decoding it; and one cheap look at its pixels."""

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.types import Record

MAX_PIXELS = 64_000_000
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
# SOF0..SOF15 carry the size; C4, C8 and CC are tables, not frames (ITU-T T.81, table B.1).
START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
SMALL, THUMB = (320, 180), (64, 36)


class ImageInfo(Record):
    """An image's kind (`jpg` or `png`) and size."""

    ext: str
    width_px: int
    height_px: int


def image_info(data: bytes) -> ImageInfo:
    """Kind and size from the header; BadData if it is neither JPEG nor PNG, has no size, or declares too many pixels."""
    if data.startswith(PNG_MAGIC):
        ext, (width, height) = "png", _png_size(data)
    elif data.startswith(JPEG_MAGIC):
        ext, (width, height) = "jpg", _jpeg_size(data)
    else:
        raise BadData(f"neither JPEG nor PNG: starts with {data[:8].hex()}")
    if not 0 < width * height <= MAX_PIXELS:
        raise BadData(f"declares {width} x {height} pixels; 1 to {MAX_PIXELS} are allowed")
    return ImageInfo(ext=ext, width_px=width, height_px=height)


def _png_size(data: bytes) -> tuple[int, int]:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise BadData("PNG without an IHDR header")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in START_OF_FRAME:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 if marker in STANDALONE else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    raise BadData("JPEG without a frame header: the image is cut off or damaged")


class Look(NamedTuple):
    """What one small decode shows: mean and spread of the grey levels, sharpness, and a thumbnail of THUMB grey cells."""

    mean: float
    spread: float
    sharpness: float
    thumb: NDArray[np.uint8]


def look(data: bytes) -> Look:
    """A small grey decode of an image; BadData if it cannot be decoded.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) over the variance of the grey levels at 320 x 180 pixels:
    the share of fine detail, whatever the contrast and the exposure.
    """
    cv2 = require("cv2", extra="ingest")
    width = image_info(data).width_px
    reduced = {1: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4}
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), reduced[4 if width >= 4 * SMALL[0] else 2 if width >= 2 * SMALL[0] else 1])
    if pixels is None:
        raise BadData("the image's header is whole but its pixels cannot be decoded")
    small = cv2.resize(pixels, SMALL, interpolation=cv2.INTER_AREA)
    detail = float(cv2.Laplacian(small, cv2.CV_32F).var())
    thumb = np.asarray(cv2.resize(small, THUMB, interpolation=cv2.INTER_AREA), np.uint8)
    return Look(mean=float(small.mean()), spread=float(small.std()), sharpness=detail / (float(small.var()) + 1), thumb=thumb)
