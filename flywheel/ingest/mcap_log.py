"""MCAP logs of the fleet: JSON and Foxglove protobuf topics to a Drive. Log time is the sample time."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from pydantic import ValidationError

from flywheel.errors import BadData
from flywheel.ingest import mcap_topics as topics
from flywheel.ingest.drive import Blob, DriveFacts, Finding, Item, Log, Picture, Rows
from flywheel.ingest.mcap_frames import Cameras, images
from flywheel.ingest.mcap_read import MAGIC, Message, MetadataRecord, read_mcap
from flywheel.ingest.quality import check_times
from flywheel.ingest.signals import signals_table

METADATA = "flywheel.drive"
FACTS = ("vehicle_id", "place", "day", "clock", "licence")


@dataclass
class Gathered:
    """Everything one pass over the file found."""

    metadata: dict[str, str] | None = None
    samples: dict[str, topics.Samples] = field(default_factory=lambda: defaultdict(list))
    scene_times: list[int] = field(default_factory=list)
    cameras: Cameras = field(default_factory=Cameras)
    unread: Counter[str] = field(default_factory=Counter)

    def take(self, item: Message | MetadataRecord) -> None:
        """Sorts one record to where it belongs."""
        if isinstance(item, MetadataRecord):
            self.metadata = item.values if item.name == METADATA else self.metadata
        elif item.topic == topics.TRACKS:
            self.scene_times.append(item.t_ns)
            self.samples[item.topic].extend(topics.track_rows(item))
        elif item.topic == topics.GNSS:
            self.samples[item.topic].append((item.t_ns, topics.fix_row(item)))
        elif item.topic in topics.SIGNAL_TOPICS or item.topic in (topics.LIGHTS, topics.LANES):
            self.samples[item.topic].append((item.t_ns, topics.json_row(item)))
        elif not self.cameras.take(item):
            self.unread[item.topic] += 1


def matches(log: Log) -> bool:
    """Whether the log is one file that begins as MCAP does."""
    return log.is_file and log.head(size=len(MAGIC)) == MAGIC


def read(log: Log) -> Iterator[Item]:
    """The drive of an MCAP log; BadData names the topic and time of what is wrong."""
    gathered = Gathered()
    with log.local() as file:
        for item in read_mcap(file):
            gathered.take(item)
    yield facts(gathered.metadata, has_map=bool(gathered.samples[topics.LANES]))
    for name, rows in tables(gathered).items():
        yield Rows(name, rows)
    for camera, data in gathered.cameras.first.items():
        yield Picture(camera, 0, data)
    yield from (*gathered.cameras.findings(), *_unread(gathered.unread))


def media(log: Log) -> Iterator[Blob]:
    """The log's images, byte for byte."""
    with log.local() as file:
        yield from images(file)


def facts(metadata: dict[str, str] | None, *, has_map: bool) -> DriveFacts:
    """What the log's metadata record says about vehicle, place and day; BadData if it is missing or malformed."""
    if metadata is None:
        raise BadData(f"no metadata record {METADATA!r}: vehicle_id, place and day are unknown, so its split group is too")
    try:
        return DriveFacts.model_validate({name: metadata[name] for name in FACTS if name in metadata} | {"has_map": has_map})
    except ValidationError as err:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise BadData(f"metadata record {METADATA!r}: {wrong}") from err


def tables(gathered: Gathered) -> dict[str, pa.Table]:
    """The five tables of a drive, without drive_id."""
    samples = gathered.samples
    if not samples[topics.EGO]:
        raise BadData(f"no messages on {topics.EGO}: there is no ego state to lay the drive out on")
    check_times(topics.TRACKS, pa.array(gathered.scene_times, pa.int64()).to_numpy())
    check_times(topics.LANES, pa.array([t for t, _ in samples[topics.LANES]], pa.int64()).to_numpy())
    check_times(topics.LIGHTS, pa.array([t for t, _ in samples[topics.LIGHTS]], pa.int64()).to_numpy(), strict=False)
    topics.check_lights(samples[topics.LIGHTS])
    topics.check_unique(topics.TRACKS, [(t, row["track_id"]) for t, row in samples[topics.TRACKS]])
    topics.check_unique(topics.LIGHTS, [(t, row.get("light_id")) for t, row in samples[topics.LIGHTS]])
    return {
        "SIGNALS": signals_table([topics.stream(name, samples[name]) for name in topics.SIGNAL_TOPICS if samples[name]]),
        "TRACKS": topics.rows_to_table("TRACKS", topics.TRACKS, samples[topics.TRACKS]),
        "LIGHTS": topics.rows_to_table("LIGHTS", topics.LIGHTS, samples[topics.LIGHTS]),
        "LANES": topics.rows_to_table("LANES", topics.LANES, samples[topics.LANES]),
        "FRAMES": gathered.cameras.table(),
    }


def _unread(unread: Counter[str]) -> list[Finding]:
    text = ", ".join(f"{topic} ({count})" for topic, count in sorted(unread.items()))
    return [Finding(severity="warning", gate="topics", message=f"topics that no reader knows were left in landing: {text}")] if text else []
