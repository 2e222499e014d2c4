"""How much memory an Arrow IPC (feather) file would take, read from its headers before any of its buffers is unpacked.

A compressed buffer begins with the size that it says it unpacks to, and a reader reserves that much at once. The places of the buffers
stand in flatbuffer tables (format/File.fbs, Message.fbs of Apache Arrow), of which these few fields are read by hand.
"""

import struct
from collections.abc import Iterator

from flywheel.errors import BadData

MAGIC = b"ARROW1"
# Places of fields in their tables: Footer.dictionaries and .recordBatches; Message.header_type and .header; DictionaryBatch.data;
# RecordBatch.buffers and .compression.
DICTIONARIES, BATCHES, HEADER_TYPE, HEADER, DATA, BUFFERS, COMPRESSION = 2, 3, 1, 2, 1, 2, 3
DICTIONARY_BATCH, RECORD_BATCH = 2, 3
BLOCK, BUFFER = struct.Struct("<qi4xq"), struct.Struct("<qq")


def unpacked_bytes(data: bytes) -> int:
    """The bytes that all buffers of the file say they take; BadData if the headers lead out of the file."""
    if not (data.startswith(MAGIC) and data.endswith(MAGIC)) or len(data) < 20:
        raise BadData("not an Arrow file")
    try:
        (length,) = struct.unpack_from("<i", data, len(data) - 10)
        footer = data[len(data) - 10 - length : len(data) - 10] if 0 < length <= len(data) - 18 else b""
        root = _follow(footer, 0)
        blocks = [block for field in (DICTIONARIES, BATCHES) for block in _structs(footer, _field(footer, root, field), BLOCK)]
        return sum(_batch_bytes(data, *block) for block in blocks)
    except (struct.error, IndexError) as err:
        raise BadData(f"damaged: the headers of the Arrow file lead out of it: {err}") from err


def _batch_bytes(data: bytes, offset: int, meta_length: int, body_length: int) -> int:
    """What one batch's buffers take."""
    if offset < 0 or meta_length < 8 or body_length < 0 or offset + meta_length + body_length > len(data):
        raise BadData("damaged: a batch of the Arrow file lies outside it")
    meta = data[offset + 8 : offset + meta_length]
    message = _follow(meta, 0)
    kind, batch = _field(meta, message, HEADER_TYPE), _field(meta, message, HEADER)
    if kind is None or batch is None or meta[kind] not in (DICTIONARY_BATCH, RECORD_BATCH):
        raise BadData("damaged: a batch of the Arrow file is none")
    table = _follow(meta, batch)
    if meta[kind] == DICTIONARY_BATCH:
        inner = _field(meta, table, DATA)
        if inner is None:
            return 0
        table = _follow(meta, inner)
    buffers = list(_structs(meta, _field(meta, table, BUFFERS), BUFFER))
    if _field(meta, table, COMPRESSION) is None:
        return sum(max(length, 0) for _, length in buffers)
    body = data[offset + meta_length : offset + meta_length + body_length]
    return sum(_unpacked(body, at, length) for at, length in buffers if length > 0)


def _unpacked(body: bytes, at: int, length: int) -> int:
    """What a compressed buffer says it unpacks to; -1 there means that it is not compressed."""
    if at < 0:
        raise BadData("damaged: a buffer of the Arrow file lies outside it")
    (said,) = struct.unpack_from("<q", body, at)
    return length if said < 0 else int(said)


def _follow(table: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", table, at)[0])


def _field(table: bytes, at: int, index: int) -> int | None:
    """Where a table's field lies, None if it is absent."""
    vtable = at - int(struct.unpack_from("<i", table, at)[0])
    if vtable < 0:
        raise IndexError("a table before the file")
    (size,) = struct.unpack_from("<H", table, vtable)
    place = int(struct.unpack_from("<H", table, vtable + 4 + 2 * index)[0]) if 4 + 2 * index < size else 0
    return at + place if place else None


def _structs(table: bytes, field: int | None, layout: struct.Struct) -> Iterator[tuple[int, ...]]:
    if field is not None:
        start = _follow(table, field)
        (count,) = struct.unpack_from("<I", table, start)
        if count * layout.size > len(table) - start:
            raise IndexError("a list longer than the file")
        yield from (layout.unpack_from(table, start + 4 + k * layout.size) for k in range(count))
