"""A look at the boxes of an mp4 or mov (ISO/IEC 14496-12), or the outermost ones of an mkv (RFC 9559), before FFmpeg sees the file.

Cut-off files and absurd declared counts end here.
"""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

from flywheel.errors import BadData

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
HOLDERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
# Where the number of entries stands after a box's header; each entry costs FFmpeg memory even where it has no bytes in the file.
COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
MAX_BOXES, MAX_DEPTH, MAX_SAMPLES = 1_000_000, 8, 20_000_000


class Box(NamedTuple):
    """A box: its type, and where its content begins and ends."""

    kind: bytes
    begin: int
    end: int


def check_boxes(stream: IO[bytes]) -> None:
    """BadData if a box leaves the file or its parent, there is no movie header, or more samples are declared than any drive has."""
    size = stream.seek(0, 2)
    samples, header = 0, False
    for boxes, box in enumerate(_walk(stream, 0, size, depth=0)):
        header |= box.kind == b"moov"
        if box.kind == b"cmov":
            raise BadData("the movie header is compressed, which no recorder does; write the file anew with: ffmpeg -i IN -c copy OUT.mp4")
        if box.kind in COUNTS:
            samples += _count(stream, box)
        if boxes > MAX_BOXES or samples > MAX_SAMPLES:
            raise BadData(f"declares more than {MAX_SAMPLES} samples or {MAX_BOXES} boxes: the file is damaged or hostile")
    if not header:
        raise BadData("no movie header (moov): the recording was cut off before it was finished")


def _walk(stream: IO[bytes], begin: int, end: int, *, depth: int) -> Iterator[Box]:
    at = begin
    while at + 8 <= end:
        stream.seek(at)
        head = stream.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        if kind == b"\0\0\0\0":  # padding at the end, as cameras that reserve space leave it
            return
        skip = 16 if length == 1 else 8
        length = struct.unpack(">Q", head[8:])[0] if length == 1 and len(head) == 16 else length or end - at
        if length < skip or at + length > end:
            raise BadData(f"box {kind!r} at byte {at} declares {length} bytes but {end - at} are left: the file is cut off or damaged")
        yield Box(kind, at + skip, at + length)
        if kind in HOLDERS and depth < MAX_DEPTH:
            yield from _walk(stream, at + skip, at + length, depth=depth + 1)
        at += length


def _count(stream: IO[bytes], box: Box) -> int:
    """Entries that a table declares; none for one whose samples have a common size of a few bytes (uncompressed sound)."""
    stream.seek(box.begin)
    head = stream.read(12).ljust(12, b"\0")
    common = struct.unpack(">I", head[4:8])[0] if box.kind == b"stsz" else 0
    return 0 if 0 < common <= 64 else int(struct.unpack_from(">I", head, COUNTS[box.kind])[0])


def rotation_deg(stream: IO[bytes]) -> int:
    """By how much the first film track is turned for showing (tkhd matrix): 0, 90, 180 or 270 degrees clockwise; 0 for another matrix."""
    turn = 0
    for box in _walk(stream, 0, stream.seek(0, 2), depth=0):
        stream.seek(box.begin)
        if box.kind == b"tkhd":
            data = stream.read(box.end - box.begin if box.end - box.begin < 200 else 0)
            turn = _turn(data)
        elif box.kind == b"hdlr" and stream.read(12)[8:12] == b"vide":
            return turn
    return 0


def _turn(tkhd: bytes) -> int:
    at = 52 if tkhd[:1] == b"\1" else 40
    if len(tkhd) < at + 36:
        return 0
    a, b, _, c, d = struct.unpack_from(">5i", tkhd, at)
    signs = tuple((value > 0) - (value < 0) for value in (a, b, c, d))
    return {(0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}.get(signs, 0)


def check_matroska(stream: IO[bytes]) -> None:
    """BadData if the segment is declared longer than the file (a size left open, as while recording, is not)."""
    size = stream.seek(0, 2)
    at = _element(stream, 0)[1]
    begin, end = _element(stream, at)
    if end > size:
        raise BadData(f"declares {end - begin} bytes from byte {begin} on but {size - begin} are left: the file is cut off or damaged")


def _element(stream: IO[bytes], at: int) -> tuple[int, int]:
    """Where an EBML element's content begins and ends (RFC 8794, 4 to 6); an open size ends where it begins."""
    stream.seek(at)
    head = stream.read(12).ljust(12, b"\0")
    width = 9 - head[0].bit_length()
    rest = head[width:]
    count = 9 - rest[0].bit_length() if width <= 4 else 9
    if count > 8:
        raise BadData(f"no element begins at byte {at}: the file is cut off or damaged")
    length = int.from_bytes(rest[:count], "big") & ((1 << 7 * count) - 1)
    return at + width + count, at + width + count + (0 if length == (1 << 7 * count) - 1 else length)
