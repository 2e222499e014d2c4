"""ROS 1 bags (format 2.0), read from front to back: every declared size is held against the file, every chunk unpacked to its stated size.

Counts come from the index at the bag's end, which also says whether anything is missing. A bag whose recording was not closed has none:
it is read up to its last whole record. Format: http://wiki.ros.org/Bags/Format/2.0
"""

import bz2
import struct
from collections import Counter
from collections.abc import Iterator
from typing import IO, NamedTuple

from flywheel.errors import BadData, require
from flywheel.ingest.drive import Blob, Item, Log, warning
from flywheel.ingest.ros_vocab import RosStreams

MAGIC = b"#ROSBAG V2.0\n"
MAX_HEADER_BYTES, MAX_CHUNK_BYTES, MAX_RECORD_BYTES = 1 << 20, 1 << 28, 1 << 29
MESSAGE, BAG, INDEX, CHUNK, CHUNK_INFO, CONNECTION = 2, 3, 4, 5, 6, 7
Fields = dict[str, bytes]


class Connection(NamedTuple):
    """One connection: its id, topic, type name and definition."""

    id: int
    topic: str
    type: str
    definition: str


class Message(NamedTuple):
    """One message: its connection's id, when it was recorded, its bytes."""

    connection: int
    t_ns: int
    data: bytes


class CutOff(BadData):
    """The bag ends within a record."""


def matches(log: Log) -> bool:
    """Whether the log is one file that begins as a ROS 1 bag does."""
    return log.is_file and log.head(size=len(MAGIC)) == MAGIC


def read(log: Log) -> Iterator[Item]:
    """The drive of a bag; BadData says where it is damaged."""
    streams, seen = RosStreams(), 0
    index = read_index(log)
    for record in records(log, closed=index is not None):
        if _feed(streams, record, counts=index or Counter()):
            seen += 1
            yield from streams.items(record.t_ns if isinstance(record, Message) else None)
    yield from streams.items(None)
    if index is None:
        text = f"the recording was not closed: it has no index, and is read up to its last whole record ({seen} messages)"
        yield warning("index", text)
    elif seen != index.total():
        raise BadData(f"the bag's index tells of {index.total()} messages, its chunks hold {seen}")


def media(log: Log) -> Iterator[Blob]:
    """The images of a bag, as recorded or as PNG."""
    streams = RosStreams()
    index = read_index(log)
    for record in records(log, closed=index is not None):
        if _feed(streams, record, counts=index or Counter(), take=False) and isinstance(record, Message):
            blob = streams.blob(record.connection, record.data)
            if blob is not None:
                yield blob


def _feed(streams: RosStreams, record: Connection | Message, *, counts: Counter[int], take: bool = True) -> bool:
    """Hands a record on; True for a message."""
    if isinstance(record, Message):
        if take:
            streams.take(*record)
        return True
    if record.definition.strip() or record.type:
        streams.register(record.id, record.topic, record.type, record.definition, "ros1msg", messages=counts[record.id])
    return False


def read_index(log: Log) -> Counter[int] | None:
    """Connection id -> messages, from the bag's end; None for a recording that was not closed; BadData if the index is damaged."""
    size = log.file("").bytes
    with log.open() as stream:
        stream.read(len(MAGIC))
        fields, _ = _record(stream, size)
        if _op(fields) != BAG:
            raise BadData("the bag does not begin with its header")
        if fields.get("encryptor"):
            raise BadData("the bag is encrypted")
        at = _number(fields, "index_pos", "<Q")
        if at == 0:
            return None
        if at >= size:
            raise CutOff(f"the bag is cut off: its index should begin at byte {at}, it has {size}")
        stream.seek(at)
        return _counts(stream, size)


def _counts(stream: IO[bytes], size: int) -> Counter[int]:
    counts: Counter[int] = Counter()
    while stream.tell() < size:
        fields, data = _record(stream, size)
        if _op(fields) == CHUNK_INFO:
            for connection, count in struct.iter_unpack("<II", data[: len(data) // 8 * 8]):
                counts[connection] += count
    return counts


def records(log: Log, *, closed: bool) -> Iterator[Connection | Message]:
    """Connections (each once) and messages in file order; a bag that was not closed may end within a record."""
    size, known = log.file("").bytes, dict[int, Connection]()
    with log.stream() as stream:
        stream.read(len(MAGIC))
        try:
            while stream.tell() < size:
                fields, data = _record(stream, size)
                for record in _unpacked(fields, data):
                    if isinstance(record, Message) or _is_new(record, known):
                        yield record
        except CutOff:
            if closed:
                raise
        stream.read()


def _is_new(connection: Connection, known: dict[int, Connection]) -> bool:
    before = known.setdefault(connection.id, connection)
    if before != connection:
        raise BadData(f"connection {connection.id} is {before.topic} first and {connection.topic} later, or changes its type")
    return before is connection


def _unpacked(fields: Fields, data: bytes) -> Iterator[Connection | Message]:
    """What a record holds for a reader: a chunk's records, a connection, a message; nothing for the others."""
    kind = _op(fields)
    if kind == CHUNK:
        yield from _chunk(fields, data)
    elif kind == CONNECTION:
        yield _connection(fields, data)
    elif kind == MESSAGE:
        seconds, nanos = struct.unpack("<II", _sized(fields, "time", 8))
        yield Message(_number(fields, "conn", "<I"), seconds * 10**9 + nanos, data)
    elif kind not in (BAG, INDEX, CHUNK_INFO):
        raise BadData(f"a record of unknown kind {kind}")


def _chunk(fields: Fields, data: bytes) -> Iterator[Connection | Message]:
    plain, at = decompress(fields.get("compression", b"").decode("ascii", "replace"), data, _number(fields, "size", "<I")), 0
    while at < len(plain):
        inner, at = _block(plain, at)
        body, at = _block(plain, at)
        found = _fields(inner)
        if _op(found) == CHUNK:
            raise BadData("a chunk within a chunk")
        yield from _unpacked(found, body)


def decompress(kind: str, data: bytes, size: int) -> bytes:
    """A chunk's records; BadData if they are not as many bytes as it declares, or more than the cap."""
    if size > MAX_CHUNK_BYTES:
        raise BadData(f"a chunk declares {size} bytes; at most {MAX_CHUNK_BYTES} are allowed")
    try:
        plain = _plain(kind, data, size + 1)
    except (OSError, ValueError, EOFError, RuntimeError) as err:
        raise BadData(f"a damaged {kind} chunk: {str(err)[:200]}") from err
    if len(plain) != size:
        raise BadData(f"a {kind} chunk declares {size} bytes but holds {'more' if len(plain) > size else len(plain)}")
    return plain


def _plain(kind: str, data: bytes, limit: int) -> bytes:
    if kind == "none":
        return data
    if kind == "bz2":
        return bz2.BZ2Decompressor().decompress(data, limit)
    if kind == "lz4":
        return bytes(require("lz4.frame", extra="ingest").LZ4FrameDecompressor().decompress(data, max_length=limit))
    raise BadData(f"a chunk is compressed with {kind[:20]!r}; none, bz2 and lz4 can be read")


def _connection(fields: Fields, data: bytes) -> Connection:
    said = _fields(data)
    topic, kind, definition = (said.get(name, b"").decode("utf-8", "replace") for name in ("topic", "type", "message_definition"))
    topic = fields.get("topic", b"").decode("utf-8", "replace") or topic
    return Connection(_number(fields, "conn", "<I"), topic[:300], kind[:200], definition)


def _record(stream: IO[bytes], size: int) -> tuple[Fields, bytes]:
    """The next record's fields and data."""
    header = _read_block(stream, size, limit=MAX_HEADER_BYTES)
    return _fields(header), _read_block(stream, size, limit=MAX_RECORD_BYTES)


def _read_block(stream: IO[bytes], size: int, *, limit: int) -> bytes:
    """The next bytes, as many as the four bytes before them say."""
    at, head = stream.tell(), stream.read(4)
    count = struct.unpack("<I", head)[0] if len(head) == 4 else size
    if count > limit and at + 4 + count <= size:
        raise BadData(f"byte {at}: {count} bytes are declared; at most {limit} are allowed")
    if len(head) < 4 or at + 4 + count > size:
        raise CutOff(f"the bag is cut off or damaged near byte {at} of {size}")
    return stream.read(count)


def _block(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes at a place in a chunk, as many as the four bytes there say, and the place after them."""
    count = struct.unpack_from("<I", data, at)[0] if at + 4 <= len(data) else len(data)
    if at + 4 + count > len(data):
        raise BadData(f"a chunk's record at byte {at} reaches beyond the chunk's {len(data)} bytes")
    return data[at + 4 : at + 4 + count], at + 4 + count


def _fields(header: bytes) -> Fields:
    found, at = Fields(), 0
    while at < len(header):
        block, at = _block(header, at)
        name, equals, value = block.partition(b"=")
        if not equals:
            raise BadData("a record header with a field that has no '='")
        found[name.decode("ascii", "replace")] = value
    return found


def _sized(fields: Fields, name: str, size: int) -> bytes:
    value = fields.get(name, b"")
    if len(value) != size:
        raise BadData(f"a record's {name} has {len(value)} bytes instead of {size}")
    return value


def _number(fields: Fields, name: str, code: str) -> int:
    return int(struct.unpack(code, _sized(fields, name, struct.calcsize(code)))[0])


def _op(fields: Fields) -> int:
    return _sized(fields, "op", 1)[0]
