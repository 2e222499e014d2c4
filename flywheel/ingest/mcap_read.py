"""Messages of an MCAP file, read once from front to back: bounded decompression, checksums, and one error for any damage."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from flywheel.errors import BadData, require

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK_BYTES = 1 << 28
MAX_RECORD_BYTES = 1 << 29
# What the MCAP and lz4 packages raise, besides their own errors, on bytes that are not what they should be.
DAMAGE = (struct.error, ValueError, KeyError, EOFError, RuntimeError, MemoryError, OverflowError)


class Message(NamedTuple):
    """One message: topic, the schema's name, log time in ns, payload."""

    topic: str
    schema: str
    t_ns: int
    data: bytes


class MetadataRecord(NamedTuple):
    """A metadata record: its name and string values."""

    name: str
    values: dict[str, str]


def read_mcap(file: Path) -> Iterator[Message | MetadataRecord]:
    """Messages and metadata in file order; BadData if the file is cut off, damaged or a decompression bomb."""
    mcap_errors, zstd = require("mcap.exceptions", extra="ingest"), require("zstandard", extra="ingest")
    damage = (mcap_errors.McapError, zstd.ZstdError, *DAMAGE)
    with file.open("rb") as stream:
        try:
            yield from _messages(_records(stream, limit=min(MAX_RECORD_BYTES, file.stat().st_size)))
        except damage as err:
            text = str(err) or type(err).__name__
            raise BadData(
                f"damaged or cut off MCAP near byte {stream.tell()} of {file.stat().st_size}: {type(err).__name__}: {text[:300]}"
            ) from err


def _records(stream: Any, *, limit: int) -> Iterator[Any]:
    from mcap.records import Chunk
    from mcap.stream_reader import StreamReader, breakup_chunk

    for record in StreamReader(stream, emit_chunks=True, validate_crcs=True, record_size_limit=limit).records:
        if isinstance(record, Chunk):
            yield from breakup_chunk(unpacked(record), validate_crc=True)
        else:
            yield record


def unpacked(chunk: Any) -> Any:
    """The chunk with its content decompressed, never to more than it declares nor above the cap."""
    from mcap.records import Chunk

    size = chunk.uncompressed_size
    if size > MAX_CHUNK_BYTES:
        raise BadData(f"an MCAP chunk declares {size} bytes; at most {MAX_CHUNK_BYTES} are allowed")
    if chunk.compression == "":
        return chunk
    data = _decompress(chunk.compression, chunk.data, size + 1)
    if len(data) != size:
        raise BadData(f"an MCAP chunk declares {size} bytes but holds {'more' if len(data) > size else len(data)}")
    return Chunk(
        compression="", data=data, message_start_time=chunk.message_start_time, message_end_time=chunk.message_end_time,
        uncompressed_crc=chunk.uncompressed_crc, uncompressed_size=size,
    )  # fmt: skip


def _decompress(kind: str, data: bytes, limit: int) -> bytes:
    if kind == "zstd":
        import zstandard

        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data, read_across_frames=True) as reader:
            plain: bytes = reader.read(limit)
        return plain
    if kind == "lz4":
        from lz4.frame import LZ4FrameDecompressor

        return bytes(LZ4FrameDecompressor().decompress(data, max_length=limit))
    raise BadData(f"an MCAP chunk is compressed with {kind!r}; zstd and lz4 can be read")


def _messages(records: Iterator[Any]) -> Iterator[Message | MetadataRecord]:
    from mcap import records as kinds

    schemas: dict[int, str] = {0: ""}
    channels: dict[int, tuple[str, str]] = {}
    for record in records:
        if isinstance(record, kinds.Schema):
            schemas[record.id] = record.name
        elif isinstance(record, kinds.Channel):
            channels[record.id] = (record.topic, schemas[record.schema_id])
        elif isinstance(record, kinds.Metadata):
            yield MetadataRecord(record.name, dict(record.metadata))
        elif isinstance(record, kinds.Message):
            topic, schema = channels[record.channel_id]
            yield Message(topic, schema, record.log_time, record.data)
