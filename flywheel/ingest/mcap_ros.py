"""ROS channels inside an MCAP (`cdr` and `ros1` messages): handed to the same reader that reads bags."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from flywheel.errors import BadData
from flywheel.ingest.drive import Blob, DriveFacts, Finding, Item, Rows
from flywheel.ingest.mcap_read import Batch, Channel
from flywheel.ingest.ros_vocab import RosStreams

ENCODINGS = {"cdr": "ros2msg", "ros1": "ros1msg"}
# Where ROS and other topics feed one table, rows wait this long for those of the other kind.
PATIENCE_NS = 60 * 10**9


def is_ros(channel: Channel) -> bool:
    """Whether a channel holds ROS messages of a named type."""
    return channel.encoding in ENCODINGS and bool(channel.schema)


def streams_of(channels: Iterable[Channel], counts: Mapping[int, int]) -> RosStreams:
    """The reader of these channels' messages, every one registered."""
    streams = RosStreams(give_facts=False)
    for channel in channels:
        # A definition in another language (ros2idl, OMG IDL) is left aside: common types are known by name.
        definition = channel.definition.decode("utf-8", "replace") if channel.schema_encoding == ENCODINGS[channel.encoding] else ""
        encoding = ENCODINGS[channel.encoding]
        streams.register(channel.id, channel.topic, channel.schema, definition, encoding, messages=counts.get(channel.id, 0))
    return streams


@dataclass
class RosTopics:
    """The sink of all ROS channels."""

    streams: RosStreams
    until_ns: int = 0
    left: list[Finding] = field(default_factory=list)

    def take(self, batch: Batch) -> Iterator[Item]:
        """Takes messages; gives the pictures among them."""
        for t_ns, data in zip(batch.t_ns.tolist(), batch.data, strict=True):
            self.streams.take(batch.channel.id, t_ns, data)
        yield from self._items(self.until_ns)

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """What is whole before a time."""
        self.until_ns = max(until_ns or 0, self.until_ns)
        yield from self._items(until_ns)

    def _items(self, until_ns: int | None) -> Iterator[Item]:
        for item in self.streams.items(until_ns):
            if isinstance(item, Finding):
                self.left.append(item)
            else:
                yield item

    def findings(self) -> Iterable[Finding]:
        """What the ROS reader noticed."""
        return self.left

    def facts(self) -> DriveFacts:
        """What the ROS topics say of the drive."""
        return self.streams.facts()


def ros_blobs(streams: RosStreams, batch: Batch) -> Iterator[Blob]:
    """The media objects of a batch."""
    found = (streams.blob(batch.channel.id, data) for data in batch.data)
    return (blob for blob in found if blob is not None)


@dataclass
class Merged:
    """Rows of one table from ROS and other topics in one order of time, a minute late."""

    held: dict[str, list[pa.Table]] = field(default_factory=dict)
    given_ns: dict[str, int] = field(default_factory=dict)

    def take(self, items: Iterable[Item]) -> Iterator[Item]:
        """Holds rows, passes everything else."""
        for item in items:
            if isinstance(item, Rows):
                self.held.setdefault(item.table, []).append(item.rows)
            else:
                yield item

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """Rows old enough that none can come before them; BadData if one did."""
        for name, tables in self.held.items():
            whole = pa.concat_tables(tables, promote_options="default").sort_by("t_ns")
            times = whole["t_ns"].to_numpy()
            count = len(times) if until_ns is None else int(times.searchsorted(until_ns - PATIENCE_NS))
            self.held[name] = [whole.slice(count)]
            if count:
                if times[0] < self.given_ns.get(name, times[0]):
                    raise BadData(f"{name}: rows at {times[0]} ns come more than a minute late: land ROS and other topics as two files")
                self.given_ns[name] = int(times[count - 1])
                yield Rows(name, whole.slice(0, count))
