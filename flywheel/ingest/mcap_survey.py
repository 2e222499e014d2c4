"""What an MCAP holds, found before it is read: its channels, how far its chunks reach back in time, and the first of its fixed facts."""

from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from flywheel.ingest.drive import Log
from flywheel.ingest.mcap_read import (
    CHUNK,
    HEAD,
    MAX_RECORD_BYTES,
    Batch,
    Block,
    Channel,
    Wanted,
    damage_errors,
    parsed,
    read_mcap,
    split,
    unpacked,
)  # fmt: skip

# Some writers note a chunk's first message as its earliest; others shuffle messages a little.
SLACK_NS = 10**9
# Footer record and magic, which end a whole file.
FOOT_BYTES = 37
NEVER_NS = (1 << 63) - 1


class Survey(NamedTuple):
    """floors[k]: no message of block k or later is earlier (indexed: only chunks count). heads: the first messages of fixed topics."""

    channels: tuple[Channel, ...]
    counts: dict[int, int]
    floors: tuple[int, ...]
    t0_ns: int
    t1_ns: int
    heads: tuple[Batch, ...]
    indexed: bool
    metadata: frozenset[str]

    def shifted(self, shift_ns: int) -> "Survey":
        """The same on a clock that is ahead by so much."""
        return self._replace(
            floors=tuple(floor + shift_ns for floor in self.floors), t0_ns=self.t0_ns + shift_ns, t1_ns=self.t1_ns + shift_ns,
            heads=tuple(batch._replace(t_ns=batch.t_ns + shift_ns) for batch in self.heads),
        )  # fmt: skip

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return (self.t1_ns - self.t0_ns) / 1e9

    def count(self, topic: str) -> int:
        """Messages of a topic over all its channels."""
        return sum(self.counts.get(channel.id, 0) for channel in self.channels if channel.topic == topic)

    def complete(self, blocks: int) -> int | None:
        """The time up to which everything has been read after so many blocks; None after the last."""
        return self.floors[blocks] - SLACK_NS if blocks < len(self.floors) else None


def survey(log: Log, *, fixed: Wanted) -> Survey:
    """From the index at the file's end where there is a whole one, else from one more pass over the file (BadData if it is damaged).

    fixed: which channels tell what hardly changes (calibrations, transforms); their first messages are given.
    """
    return _indexed(log, fixed=fixed) or _scanned(log, fixed=fixed)


def _indexed(log: Log, *, fixed: Wanted) -> Survey | None:
    """None if the file has no index, or one that does not say enough."""
    from mcap.reader import SeekingReader

    size = log.file("").bytes
    if size < FOOT_BYTES:
        return None
    with log.open() as stream:
        try:
            summary = SeekingReader(stream, validate_crcs=True, record_size_limit=min(MAX_RECORD_BYTES, size)).get_summary()
            stats = summary.statistics if summary else None
            if summary is None or stats is None or not _says_enough(summary, stats):
                return None
            channels = {c.id: _channel(c, summary.schemas) for c in summary.channels.values()}
            chunks = sorted(summary.chunk_indexes, key=lambda chunk: int(chunk.chunk_start_offset))
            heads = tuple(_heads(stream, chunks, {c.id: c for c in channels.values() if fixed(c)}, size=size))
        except damage_errors():
            return None  # the pass over the whole file says what is wrong
    return Survey(
        channels=tuple(channels.values()), counts=dict(stats.channel_message_counts), heads=heads,
        floors=_floors([c.message_start_time if c.message_end_time else stats.message_end_time for c in chunks]), indexed=True,
        metadata=frozenset(index.name for index in summary.metadata_indexes),
        t0_ns=stats.message_start_time, t1_ns=stats.message_end_time,
    )  # fmt: skip


def _says_enough(summary: Any, stats: Any) -> bool:
    if stats.chunk_count == 0 or stats.chunk_count != len(summary.chunk_indexes):
        return False
    if not 0 <= stats.message_start_time <= stats.message_end_time < NEVER_NS:
        return False
    spoke = {channel for channel, count in stats.channel_message_counts.items() if count}
    return spoke <= set(summary.channels) and sum(stats.channel_message_counts.values()) == stats.message_count


def _channel(said: Any, schemas: dict[int, Any]) -> Channel:
    schema = schemas[said.schema_id] if said.schema_id else None
    about = (schema.name, schema.encoding, schema.data) if schema else ("", "", b"")
    return Channel(said.id, said.topic, said.message_encoding, *about)


def _heads(stream: IO[bytes], chunks: list[Any], lacking: dict[int, Channel], *, size: int) -> Iterator[Batch]:
    """The messages of each channel in the first chunk that holds any."""
    for chunk in chunks:
        here = {channel: lacking[channel] for channel in chunk.message_index_offsets if channel in lacking}
        if here:
            lacking = {channel: known for channel, known in lacking.items() if channel not in here}
            yield from _chunk_at(stream, chunk.chunk_start_offset, here, size=size)


def _chunk_at(stream: IO[bytes], offset: int, here: dict[int, Channel], *, size: int) -> tuple[Batch, ...]:
    from mcap.records import Chunk

    stream.seek(offset)
    opcode, length = HEAD.unpack(stream.read(HEAD.size))
    if opcode != CHUNK or length > min(MAX_RECORD_BYTES, size):
        raise ValueError(f"the index names a chunk at byte {offset}, where there is none")
    return split(unpacked(parsed(Chunk, stream.read(length))), channel=here.get, learn=lambda opcode, content: None)


def _floors(starts: list[int]) -> tuple[int, ...]:
    floors, low = [], starts[-1] if starts else 0
    for start in reversed(starts):
        low = min(low, start)
        floors.append(low)
    return tuple(reversed(floors))


def _scanned(log: Log, *, fixed: Wanted) -> Survey:
    channels: dict[int, Channel] = {}
    counts: Counter[int] = Counter()
    heads: dict[int, Batch] = {}
    starts, ends, names = list[int](), list[int](), set[str]()
    with log.stream() as stream:
        for block in read_mcap(stream, size=log.file("").bytes):
            if not isinstance(block, Block):
                names.add(block.name)
            else:
                starts.append(min((int(batch.t_ns.min()) for batch in block.batches), default=NEVER_NS))
                ends.extend(int(batch.t_ns.max()) for batch in block.batches)
                for batch in block.batches:
                    channels[batch.channel.id] = batch.channel
                    counts[batch.channel.id] += len(batch.data)
                    if fixed(batch.channel):
                        heads.setdefault(batch.channel.id, batch)
    return Survey(
        channels=tuple(channels.values()), counts=dict(counts), floors=_floors(starts), heads=tuple(heads.values()), indexed=False,
        metadata=frozenset(names),
        t0_ns=min(starts, default=0), t1_ns=max(ends, default=0),
    )  # fmt: skip
