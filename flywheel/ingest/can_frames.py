"""CAN frames of a log: candump text, Vector ASC and Vector BLF, read by python-can from a stream that was made safe for it."""

import io
import re
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, Literal, NamedTuple

from flywheel.errors import BadData, require
from flywheel.ingest.drive import Log

Kind = Literal["candump", "asc", "blf"]
BLF_MAGIC = b"LOGG"
CANDUMP = re.compile(rb"\s*\(\d+(?:\.\d+)?\)\s+\S{1,32}\s+[0-9A-Fa-f]{1,8}#")
ASC = re.compile(rb"\s*(?:date\s+\w|base\s+(?:hex|dec)\b)", re.IGNORECASE)
ASC_DATE = re.compile(r"date\s+\S+\s+(\S+)\s+(\d+)\s+(\d+:\d\d:\d\d)(?:\.(\d+))?\s*([ap]m)?\s*(\d{4})", re.IGNORECASE)
ASC_DELTAS = re.compile(r"base\s+(?:hex|dec)\s+timestamps\s+relative", re.IGNORECASE)
MONTHS = {name: number for number, names in enumerate(
    ("jan", "feb", "mar mär mrz", "apr", "may mai", "jun", "jul", "aug", "sep", "oct okt", "nov", "dec dez"), 1) for name in names.split()
}  # fmt: skip
MAX_LINE, MAX_CONTAINER_BYTES = 1 << 14, 1 << 24
# signature, header size, version, object size, type; and of a container: compression, uncompressed size.
OBJECT, CONTAINER, CONTAINER_TYPE, ZLIB = struct.Struct("<4sHHLL"), struct.Struct("<H6xL4x"), 10, 2
BLF_HEADER = struct.Struct("<4sL32x8H8H")
DAMAGE = (
    ValueError, IndexError, KeyError, TypeError, AttributeError, AssertionError, OverflowError, EOFError, MemoryError,
    struct.error, zlib.error, ArithmeticError,
)  # fmt: skip


class Frame(NamedTuple):
    """One data frame: seconds on the log's clock, identifier, whether it is an extended one, channel, payload."""

    t_s: float
    address: int
    extended: bool
    bus: str
    data: bytes


def kind_of(head: bytes) -> Kind | None:
    """Which kind of CAN log begins like this; None for anything else."""
    if head.startswith(BLF_MAGIC):
        return "blf"
    if CANDUMP.match(head):
        return "candump"
    return "asc" if ASC.match(head) else None


def zero_s(kind: Kind, head: bytes) -> float | None:
    """What the log's times count from, in seconds since 1970 as its own clock showed it (zone unknown); None if it does not say."""
    if kind == "blf":
        if len(head) < BLF_HEADER.size:
            raise BadData("a BLF that ends within its header: cut off")
        year, month, _, day, hour, minute, second, ms = BLF_HEADER.unpack_from(head)[2:10]
        return _moment(year, month, day, hour, minute, second, ms * 1000)
    if kind == "candump":
        return 0.0
    text = head.decode("utf-8", "replace")
    if ASC_DELTAS.search(text):
        raise BadData("this ASC counts each time from the event before: save it with absolute timestamps")
    found = ASC_DATE.search(text)
    if not found or found[1].lower()[:3] not in MONTHS:
        return None
    hour, minute, second = map(int, found[3].split(":"))
    hour = hour % 12 + 12 * (found[5].lower() == "pm") if found[5] else hour
    micros = int((found[4] or "0").ljust(6, "0")[:6])
    return _moment(int(found[6]), MONTHS[found[1].lower()[:3]], int(found[2]), hour, minute, second, micros)


def _moment(*parts: int) -> float | None:
    try:
        moment = datetime(*parts[:6], parts[6], tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return None
    return moment.timestamp() if moment.year >= 2000 else None


def frames(log: Log, path: str, kind: Kind) -> Iterator[Frame]:
    """The log's data frames in file order; BadData names how far it could be read. Times count from the log's zero."""
    can = require("can", extra="ingest")
    count = 0
    with log.stream(path) as stream:
        try:
            for message in _messages(can, stream, kind):
                count += 1
                if not (message.is_error_frame or message.is_remote_frame):
                    address, extended = message.arbitration_id, message.is_extended_id
                    yield Frame(message.timestamp, address, extended, str(message.channel), bytes(message.data))

        except (*DAMAGE, can.CanError, can.io.blf.BLFParseError) as err:
            raise BadData(f"damaged {kind} log after {count} frames: {type(err).__name__}: {str(err)[:200]}") from err
        while stream.read(1 << 20):  # to the end, where the hash is checked
            pass


def _messages(can: Any, stream: IO[bytes], kind: Kind) -> Iterator[Any]:
    if kind == "blf":
        return iter(can.BLFReader(_Feed(safe_blf(stream))))
    reader = can.CanutilsLogReader if kind == "candump" else can.ASCReader
    return iter(reader(_Lines(stream)))


class _Lines(io.TextIOBase):
    """The lines of a text log; BadData for one that is too long to be a frame."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._number = stream, 0

    def readline(self, size: int = -1) -> str:  # type: ignore[override]
        line = self._stream.readline(MAX_LINE)
        self._number += 1
        if len(line) == MAX_LINE:
            raise BadData(f"line {self._number} is longer than {MAX_LINE} bytes")
        return line.decode("utf-8", "replace")


class _Feed(io.RawIOBase):
    """A file of pieces that are made as they are read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._held = pieces, b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._held) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held += piece
        size = len(self._held) if size < 0 else size
        data, self._held = self._held[:size], self._held[size:]
        return data

    def write(self, data: Any) -> int:
        raise io.UnsupportedOperation("write")


def safe_blf(stream: IO[bytes]) -> Iterator[bytes]:
    """A BLF with its containers unpacked, none above the cap, and no object in them that is smaller than its own header.

    python-can would loop for ever over an object of no size, and unpack a container to whatever it holds. The start time is blanked, so
    that frames count from the log's zero, as they do in the other kinds.
    """
    header = stream.read(BLF_HEADER.size)
    if len(header) < BLF_HEADER.size:
        raise BadData("a BLF that ends within its header: cut off")
    size = BLF_HEADER.unpack(header)[1]
    if not 144 <= size <= 1 << 16:
        raise BadData(f"a BLF whose header declares {size} bytes")
    rest = stream.read(size - len(header))
    if len(rest) < size - len(header):
        raise BadData("a BLF that ends within its header: cut off")
    yield header[:40] + bytes(len(header) - 40) + rest
    tail = b""
    while begin := stream.read(OBJECT.size):
        if len(begin) < OBJECT.size:
            raise BadData("a BLF that ends within an object: cut off")
        signature, _, _, size, kind = OBJECT.unpack(begin)
        if signature != b"LOBJ" or not OBJECT.size <= size <= MAX_CONTAINER_BYTES:
            raise BadData(f"a BLF with {signature!r} of {size} bytes where an object should begin")
        body = stream.read(size - OBJECT.size)
        stream.read(size % 4)
        if len(body) < size - OBJECT.size:
            raise BadData("a BLF that ends within an object: cut off")
        if kind == CONTAINER_TYPE:
            plain = _unpacked(body)
            tail = _checked(tail + plain)
            yield _container(plain)


def _unpacked(body: bytes) -> bytes:
    method, _ = CONTAINER.unpack_from(body)
    data = body[CONTAINER.size :]
    if method == 0:
        return data
    if method != ZLIB:
        raise BadData(f"a BLF container of compression {method}: only zlib is known")
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(data, MAX_CONTAINER_BYTES)
    if not unpacker.eof:
        raise BadData(f"a BLF container that is cut off or unpacks to more than {MAX_CONTAINER_BYTES} bytes")
    return plain


def _checked(data: bytes) -> bytes:
    """What is left of the last object, which goes on in the next container."""
    at = 0
    while (begin := data.find(b"LOBJ", at, at + 8)) >= 0 and begin + OBJECT.size <= len(data):
        size = OBJECT.unpack_from(data, begin)[3]
        if not OBJECT.size <= size <= MAX_CONTAINER_BYTES:
            raise BadData(f"a BLF object that declares {size} bytes")
        if begin + size > len(data):
            return data[begin:]
        at = begin + size
    return data[at:]


def _container(plain: bytes) -> bytes:
    size = OBJECT.size + CONTAINER.size + len(plain)
    return OBJECT.pack(b"LOBJ", OBJECT.size, 1, size, CONTAINER_TYPE) + CONTAINER.pack(0, len(plain)) + plain + bytes(size % 4)
