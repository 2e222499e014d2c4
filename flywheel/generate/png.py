"""PNG chunks: read, checked, and put in. PNG specification, third edition, 5 and 11.3."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from flywheel.errors import BadData

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT, C2PA = b"iTXt", b"caBX"


class Chunk(NamedTuple):
    """One chunk: its type, what it holds, and where it begins and ends in the file."""

    kind: bytes
    body: bytes
    start: int
    end: int


def chunks(png: bytes) -> Iterator[Chunk]:
    """The chunks in order; BadData if the bytes are no whole PNG."""
    if not png.startswith(SIGNATURE):
        raise BadData("not a PNG: the signature is missing")
    at = len(SIGNATURE)
    while at < len(png):
        if at + 12 > len(png):
            raise BadData(f"the PNG is cut short at byte {at}")
        end = at + 12 + int(struct.unpack(">I", png[at : at + 4])[0])
        body = png[at + 8 : end - 4]
        if end > len(png) or zlib.crc32(png[at + 4 : end - 4]) != struct.unpack(">I", png[end - 4 : end])[0]:
            raise BadData(f"the PNG is damaged at byte {at} (chunk {png[at + 4 : at + 8]!r})")
        yield Chunk(png[at + 4 : at + 8], body, at, end)
        at = end


def chunk(kind: bytes, body: bytes) -> bytes:
    """The bytes of one chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def after_header(png: bytes, extra: bytes) -> bytes:
    """The PNG with more chunks right behind its header."""
    end = next(found.end for found in chunks(png) if found.kind == b"IHDR")
    return png[:end] + extra + png[end:]


def without(png: bytes, kind: bytes) -> tuple[bytes, list[bytes]]:
    """The PNG without its chunks of one kind, and what they held."""
    gone = [found for found in chunks(png) if found.kind == kind]
    for found in reversed(gone):
        png = png[: found.start] + png[found.end :]
    return png, [found.body for found in gone]


def text_chunk(keyword: str, text: str) -> bytes:
    """An uncompressed iTXt chunk (11.3.3.4)."""
    return chunk(TEXT, keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode())


def texts(png: bytes) -> dict[str, str]:
    """The international texts inside a PNG, by keyword."""
    return dict(_parsed(found.body) for found in chunks(png) if found.kind == TEXT)


def _parsed(body: bytes) -> tuple[str, str]:
    keyword, _, rest = body.partition(b"\0")
    if len(rest) < 2 or rest[0] not in (0, 1):
        raise BadData("a PNG text chunk (iTXt) is cut short: the image was damaged or badly edited")
    text = rest[2:].split(b"\0", 2)[-1]
    return keyword.decode("latin-1"), (zlib.decompress(text) if rest[0] == 1 else text).decode()
