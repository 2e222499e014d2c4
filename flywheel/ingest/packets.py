"""Encoded video packets become GOP-bounded segments of an elementary stream: bytes as recorded, never decoded."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from flywheel.errors import BadData, require
from flywheel.ingest.images import MAX_PIXELS
from flywheel.nal import AV_NAMES, CLEAN, KEYFRAMES, SKIPPED_LEADING, START, Codec, parameter_sets, slice_kind
from flywheel.types import sha256_hex

SEGMENT_BYTES, SEGMENT_NS = 8 << 20, 10 * 10**9
# A keyframe that its leading pictures need the past for (CRA) ends a segment only when no clean one came for this many segments' worth.
PATIENCE = 4
MAX_BYTES_WITHOUT_KEYFRAME = 256 << 20
CODECS: dict[str, Codec] = {"h264": "h264", "avc": "h264", "h265": "h265", "hevc": "h265"}


class Segment(NamedTuple):
    """One media object. rows hold what FRAMES needs of each packet but camera, kind and calibration, in rising time."""

    sha256: str
    ext: str
    data: bytes
    rows: tuple[dict[str, Any], ...]


def codec_named(name: str) -> Codec:
    """The codec a log names (`h264`, `avc`, `h265`, `hevc`, in any case); BadData for another."""
    if name.lower() not in CODECS:
        raise BadData(f"video codec {name[:40]!r}: only H.264 and H.265 are read")
    return CODECS[name.lower()]


class Segments:
    """Takes the packets of one stream in decoding order, one picture each, and gives finished segments.

    Length-prefixed packets are rewritten with start codes; Annex B packets are kept byte for byte. `dropped` counts packets before the
    first keyframe; `undecodable` those that need a picture before the segment they stand in (in its bytes, but without a row).
    """

    def __init__(self, codec: Codec, *, name: str = "video") -> None:
        self.codec, self.name = codec, name
        self.packets = self.dropped = self.undecodable = 0
        self._done: list[Segment] = []
        self._data, self._rows = bytearray(), list[dict[str, Any]]()
        self._parameters, self._pending = b"", b""
        self._prefixed: bool | None = None
        self._clean = True
        self._size = (0, 0)
        self._since_keyframe, self._began_ns, self._last_ns = 0, 0, -1

    def take(self, t_ns: int, data: bytes) -> None:
        """Takes a packet and its picture's time; BadData if it is no packet of this codec or no keyframe comes for too long."""
        data = self._pending + self._annexb(data)
        kind = slice_kind(data, self.codec)
        self._since_keyframe += len(data) - len(self._pending)
        if self._since_keyframe > MAX_BYTES_WITHOUT_KEYFRAME:
            raise BadData(f"{self.name}: no keyframe in {self._since_keyframe} bytes up to {t_ns} ns: nothing can be decoded from there")
        self._pending = data if kind is None else b""
        if kind is not None:
            self.packets += 1
            self._place(t_ns, data, kind)

    def closed(self) -> Iterator[Segment]:
        """The segments finished since the last call; each is given once."""
        while self._done:
            yield self._done.pop(0)

    def close(self) -> None:
        """Ends the stream: what is open becomes the last segment."""
        if self._rows:
            self._finish()

    def _place(self, t_ns: int, data: bytes, kind: int) -> None:
        keyframe = kind in KEYFRAMES[self.codec]
        self._parameters = parameter_sets(data, self.codec) or self._parameters if keyframe else self._parameters
        if keyframe:
            if t_ns <= self._last_ns:  # no picture before a keyframe is shown after it, in either codec
                raise BadData(f"{self.name}: time does not advance: {self._last_ns} ns is followed by the keyframe at {t_ns} ns")
            self._since_keyframe = len(data)
            if self._full(t_ns, clean=kind in CLEAN[self.codec]):
                self.close()
            self._clean = bool(self._rows) or kind in CLEAN[self.codec]
            if not self._rows:
                self._begin(t_ns, data)
        elif not self._rows:
            self.dropped += 1
            return
        self._append(t_ns, data, kind, keyframe=keyframe)

    def _full(self, t_ns: int, *, clean: bool) -> bool:
        share = 1 if clean else PATIENCE
        return bool(self._rows) and (len(self._data) >= share * SEGMENT_BYTES or t_ns - self._began_ns >= share * SEGMENT_NS)

    def _begin(self, t_ns: int, data: bytes) -> None:
        if not self._parameters:
            raise BadData(f"{self.name}: the keyframe at {t_ns} ns has no parameter sets and none came before: nothing can be decoded")
        self._data = bytearray() if parameter_sets(data, self.codec) else bytearray(self._parameters)
        self._began_ns, self._size = t_ns, picture_size(self._parameters + data, self.codec, name=self.name)

    def _append(self, t_ns: int, data: bytes, kind: int, *, keyframe: bool) -> None:
        offset = len(self._data)
        self._data += data
        self._last_ns = max(self._last_ns, t_ns)
        if kind in SKIPPED_LEADING[self.codec] and not self._clean:
            self.undecodable += 1
            return
        self._rows.append(
            {"t_ns": t_ns, "video_offset": offset, "video_bytes": len(data), "keyframe": keyframe,
             "width_px": self._size[0], "height_px": self._size[1]}
        )  # fmt: skip

    def _finish(self) -> None:
        data, rows = bytes(self._data), sorted(self._rows, key=lambda row: int(row["t_ns"]))
        times = [row["t_ns"] for row in rows]
        if len(set(times)) < len(times):
            raise BadData(f"{self.name}: two pictures at one time between {times[0]} and {times[-1]} ns")
        sha256, ext = sha256_hex(data), self.codec
        self._done.append(Segment(sha256, ext, data, tuple(row | {"media_sha256": sha256, "ext": ext} for row in rows)))
        self._data, self._rows = bytearray(), []

    def _annexb(self, data: bytes) -> bytes:
        if self._prefixed is None:
            self._prefixed = not data.startswith(b"\0" + START) and _lengths(data) is not None
        if not self._prefixed:
            if data[:64].lstrip(b"\0")[:1] != b"\1" or data[:2] != b"\0\0":
                raise BadData(f"{self.name}: a packet begins with {data[:8].hex()}: neither a start code nor a unit's length")
            return data
        found = _lengths(data)
        if found is None:
            raise BadData(f"{self.name}: a packet of {len(data)} bytes is not cut into length-prefixed units as those before it")
        return b"".join(b"\0" + START + data[begin:end] for begin, end in found)


def _lengths(data: bytes) -> list[tuple[int, int]] | None:
    """(begin, end) of every unit of a packet in which each stands behind its length in four bytes; None if it is not such a packet."""
    found, at = [], 0
    while at + 4 < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if end == at + 4 or end > len(data) or data[at + 4] & 0x80:
            return None
        found.append((at + 4, end))
        at = end
    return found if found and at == len(data) else None


def picture_size(keyframe: bytes, codec: Codec, *, name: str) -> tuple[int, int]:
    """(width, height) in pixels that the parameter sets before a keyframe declare; BadData if there is none or it is out of bounds."""
    av = require("av", extra="ingest")
    parser = av.CodecContext.create(AV_NAMES[codec], "r")
    try:
        parser.parse(keyframe)
        parser.parse(None)
    except av.FFmpegError as err:
        raise BadData(f"{name}: the first keyframe cannot be parsed: {err}") from err
    if not 0 < parser.width * parser.height <= MAX_PIXELS:
        raise BadData(f"{name}: the stream declares {parser.width} x {parser.height} pixels; 1 to {MAX_PIXELS} are allowed")
    return parser.width, parser.height
