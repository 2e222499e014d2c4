"""Messages of an MCAP stream, from front to back: a chunk at a time, bounded decompression, checksums, and one error for any damage."""

import io
import struct
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK_BYTES = 1 << 28
MAX_RECORD_BYTES = 1 << 29
SKIM_BYTES = 1 << 22
LOOSE_MESSAGES, LOOSE_BYTES = 4096, 1 << 22
SCHEMA, CHANNEL, MESSAGE, CHUNK, METADATA, DATA_END, FOOTER = 3, 4, 5, 6, 12, 15, 2
# Opcode, length; of a message also channel, sequence, log time, publish time (MCAP specification, "Records").
HEAD, MESSAGE_HEAD = struct.Struct("<BQ"), struct.Struct("<BQHIQQ")
# What the MCAP and lz4 packages raise, besides their own errors, on bytes that are not what they should be.
DAMAGE = (struct.error, ValueError, KeyError, EOFError, RuntimeError, MemoryError, OverflowError)


class Channel(NamedTuple):
    """A channel and its schema: how the messages of a topic are encoded, and as what."""

    id: int
    topic: str
    encoding: str
    schema: str
    schema_encoding: str
    definition: bytes


class Batch(NamedTuple):
    """Messages of one channel in file order: log times (N,) in ns, and N payloads."""

    channel: Channel
    t_ns: NDArray[np.int64]
    data: list[bytes]


class Block(NamedTuple):
    """The messages of one chunk (or of a run outside chunks), by channel."""

    batches: tuple[Batch, ...]
    is_chunk: bool


class MetadataRecord(NamedTuple):
    """A metadata record: its name and string values."""

    name: str
    values: dict[str, str]


Wanted = Callable[[Channel], bool]


def read_mcap(
    stream: IO[bytes], *, size: int, wanted: Wanted = lambda _: True, checked: bool = False
) -> Generator[Block | MetadataRecord, None, None]:
    """Blocks of messages (of the wanted channels) and metadata in file order, then the rest of the stream is read to its end.

    size: of the file in bytes; checked: whether the chunks' checksums were found right before.
    BadData if the file is cut off, damaged or a decompression bomb.
    """
    reader = Reader(stream, size=size, wanted=wanted, checked=checked)
    try:
        yield from reader.pieces()
    except damage_errors() as err:
        drain(stream)  # a stream that checks its hash says here that the file has changed, which then is the reason
        text = str(err) or type(err).__name__
        raise BadData(f"damaged or cut off MCAP near byte {reader.at} of {size}: {type(err).__name__}: {text[:300]}") from err
    drain(stream)


def damage_errors() -> tuple[type[Exception], ...]:
    """Every exception that damaged bytes can raise while an MCAP is taken apart."""
    mcap_errors, zstd = require("mcap.exceptions", extra="ingest"), require("zstandard", extra="ingest")
    return (mcap_errors.McapError, zstd.ZstdError, *DAMAGE)


def drain(stream: IO[bytes]) -> None:
    """Reads a stream to its end."""
    while stream.read(SKIM_BYTES):
        pass


@dataclass
class Reader:
    """Takes records from a stream; knows the channels met so far."""

    stream: IO[bytes]
    size: int
    wanted: Wanted
    checked: bool = False
    at: int = 0
    crc: int = 0
    schemas: dict[int, tuple[str, str, bytes]] = field(default_factory=lambda: {0: ("", "", b"")})
    channels: dict[int, Channel] = field(default_factory=dict)

    def pieces(self) -> Iterator[Block | MetadataRecord]:
        """Everything up to the footer."""
        if self._read(len(MAGIC)) != MAGIC:
            raise ValueError("the file does not begin as an MCAP does")
        loose = bytearray()
        loose_count = 0
        opcode = 0
        while opcode != FOOTER:
            before = self.crc
            head = self._read(HEAD.size)
            opcode, length = HEAD.unpack(head)
            if opcode == MESSAGE:
                loose += head + self._content(opcode, length)
                loose_count += 1
            if loose and (opcode in (CHUNK, FOOTER) or loose_count >= LOOSE_MESSAGES or len(loose) >= LOOSE_BYTES):
                yield Block(self.split(bytes(loose)), is_chunk=False)
                loose, loose_count = bytearray(), 0
            if opcode != MESSAGE:
                yield from self._record(opcode, length, crc=before)
        if self._read(len(MAGIC)) != MAGIC:
            raise ValueError("the file does not end as an MCAP does")

    def _record(self, opcode: int, length: int, *, crc: int) -> Iterator[Block | MetadataRecord]:
        """One record that is no message. crc: of all bytes before it."""
        from mcap import records

        if opcode == CHUNK:
            yield Block(self.split(unpacked(parsed(records.Chunk, self._content(opcode, length)), checked=self.checked)), is_chunk=True)
        elif opcode == METADATA:
            found = parsed(records.Metadata, self._content(opcode, length))
            yield MetadataRecord(found.name, dict(found.metadata))
        elif opcode in (SCHEMA, CHANNEL):
            self._learn(opcode, self._content(opcode, length))
        elif opcode == DATA_END:
            said = parsed(records.DataEnd, self._content(opcode, length)).data_section_crc
            if said not in (0, crc):
                raise ValueError(f"the data section's checksum is {crc:#x}, the file says {said:#x}")
        else:
            self._skim(length)

    def split(self, data: bytes) -> tuple[Batch, ...]:
        """The messages of wanted channels in a chunk's plain content; its schemas and channels are learnt."""
        return split(data, channel=self._wanted_channel, learn=self._learn)

    def _wanted_channel(self, channel_id: int) -> Channel | None:
        channel = self.channels[channel_id]
        return channel if self.wanted(channel) else None

    def _learn(self, opcode: int, content: bytes) -> None:
        from mcap import records

        if opcode == SCHEMA:
            schema = parsed(records.Schema, content)
            self.schemas[schema.id] = (schema.name, schema.encoding, schema.data)
        elif opcode == CHANNEL:
            said = parsed(records.Channel, content)
            self.channels[said.id] = Channel(said.id, said.topic, said.message_encoding, *self.schemas[said.schema_id])

    def _content(self, opcode: int, length: int) -> bytes:
        if length > min(MAX_RECORD_BYTES, self.size):
            raise ValueError(f"a record (opcode {opcode}) declares {length} bytes")
        return self._read(length)

    def _skim(self, length: int) -> None:
        while length > 0:
            length -= len(self._read(min(length, SKIM_BYTES)))

    def _read(self, length: int) -> bytes:
        data = self.stream.read(length)
        self.at += len(data)
        self.crc = zlib.crc32(data, self.crc)
        if len(data) < length:
            raise EOFError("the file ends in the middle of a record")
        return data


def split(data: bytes, *, channel: Callable[[int], Channel | None], learn: Callable[[int, bytes], None]) -> tuple[Batch, ...]:
    """The messages of a chunk's plain content by channel. channel: of an id, None to leave its messages out; learn: of other records.

    One step of a loop a message, with nothing but its time and payload kept: this is where most of reading could be lost.
    """
    kept: dict[int, tuple[Channel, list[int], list[bytes]] | None] = {}
    at, end = 0, len(data)
    unpack, head_size = MESSAGE_HEAD.unpack_from, MESSAGE_HEAD.size
    while at < end:
        if data[at] == MESSAGE:
            _, length, channel_id, _, t_ns, _ = unpack(data, at)
            stop = at + HEAD.size + length
            if channel_id not in kept:
                found = channel(channel_id)
                kept[channel_id] = (found, [], []) if found is not None else None
            lists = kept[channel_id]
            if lists is not None:
                lists[1].append(t_ns)
                lists[2].append(data[at + head_size : stop])
        else:
            opcode, length = HEAD.unpack_from(data, at)
            stop = at + HEAD.size + length
            learn(opcode, data[at + HEAD.size : stop])
        if stop > end or (data[at] == MESSAGE and length < head_size - HEAD.size):
            raise ValueError(f"a record of {length} bytes does not fit its chunk")
        at = stop
    return tuple(Batch(k[0], np.array(k[1], np.int64), k[2]) for _, k in sorted(kept.items()) if k is not None)


def parsed(kind: Any, content: bytes) -> Any:
    """A record of the `mcap` package from its content."""
    from mcap.data_stream import ReadDataStream

    return kind.read(ReadDataStream(io.BytesIO(content)))


def unpacked(chunk: Any, *, checked: bool = False) -> bytes:
    """The plain content of a chunk, never more than it declares nor above the cap; checked against its checksum unless it was before."""
    size = chunk.uncompressed_size
    if size > MAX_CHUNK_BYTES:
        raise BadData(f"an MCAP chunk declares {size} bytes; at most {MAX_CHUNK_BYTES} are allowed")
    data = _decompress(chunk.compression, chunk.data, size + 1) if chunk.compression else bytes(chunk.data)
    if len(data) != size:
        raise BadData(f"an MCAP chunk declares {size} bytes but holds {'more' if len(data) > size else len(data)}")
    if not checked and chunk.uncompressed_crc not in (0, zlib.crc32(data)):
        raise BadData("damaged or cut off MCAP: a chunk's checksum does not match its content")
    return data


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
