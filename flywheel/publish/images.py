"""The size of an encoded image, read from its header: publishing needs no decoder."""

import struct

from flywheel.errors import BadData

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of PNG or JPEG bytes; BadData for anything else or a broken header."""
    try:
        if data.startswith(_PNG):
            width, height = struct.unpack(">II", data[16:24])
            return width, height
        if data.startswith(b"\xff\xd8"):
            return _jpeg_size(data)
    except (struct.error, IndexError) as err:
        raise BadData(f"image header ends early ({len(data)} bytes)") from err
    raise BadData(f"neither PNG nor JPEG: the first bytes are {data[:8].hex() or 'missing'}")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Walks the marker segments of ITU-T T.81 annex B to the frame header."""
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    raise BadData("JPEG without a frame header")
