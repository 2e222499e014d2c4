"""Which channel of an MCAP feeds what: the fleet's topics by name, everything else by its schema."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from flywheel.errors import BadData
from flywheel.ingest.drive import Item
from flywheel.ingest.mcap_frames import Cameras
from flywheel.ingest.mcap_mounts import Mounts
from flywheel.ingest.mcap_names import CALIBRATION, PICTURES, TRANSFORMS, picture_topics
from flywheel.ingest.mcap_proto import foxglove_name
from flywheel.ingest.mcap_read import Batch, Channel, MetadataRecord
from flywheel.ingest.mcap_signals import EGO, ENVIRONMENT, GNSS, IMU, JSON_SIGNALS, FixSource, JsonSource, Signals, Source
from flywheel.ingest.mcap_streams import JsonTable, Sink, Unread
from flywheel.ingest.mcap_survey import Survey
from flywheel.ingest.mcap_tracks import TRACKS, FleetTracks

LIGHTS, LANES = "/lights", "/lane"
UNKNOWN = "topics that no reader knows were left in landing"
TWICE = "topics that say what another topic says already were left in landing"


@dataclass
class Drive:
    """The sinks of a drive by channel id, and its metadata records."""

    sinks: dict[int, Sink] = field(default_factory=dict)
    metadata: list[MetadataRecord] = field(default_factory=list)

    def sink_of(self, channel: Channel) -> Sink:
        """The sink of a channel; BadData if the file's index did not mention it."""
        if channel.id not in self.sinks:
            raise BadData(f"{channel.topic}: channel {channel.id} is not in the file's index")
        return self.sinks[channel.id]

    def waiting_bytes(self, batch: Batch) -> int:
        """How much of a batch its sink keeps until a window is whole; pictures, transforms and unread messages do not wait."""
        return 0 if isinstance(self.sinks[batch.channel.id], Cameras | Mounts | Unread) else sum(map(len, batch.data))

    def all_sinks(self) -> list[Sink]:
        """Each sink once, in the order of channels."""
        return list({id(sink): sink for _, sink in sorted(self.sinks.items())}.values())

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """What is whole before a time."""
        for sink in self.all_sinks():
            yield from sink.cut(until_ns)
        for sink in self.all_sinks():
            if isinstance(sink, Mounts) and until_ns is not None:
                sink.forget(until_ns)


def drive_of(survey: Survey) -> Drive:
    """The sinks for the channels of a log; BadData naming topics and schemas if no reader can use any of them."""
    drive = Drive()
    mounts = Mounts()
    cameras = Cameras(named=picture_topics(survey.channels), mounts=mounts)
    sources = _sources(survey)
    signals = Signals(sources=tuple(sources.values()), seconds=survey.seconds)
    tables: dict[str, Sink] = {
        LIGHTS: JsonTable("LIGHTS", LIGHTS, strict=False, once=("light_id",)), LANES: JsonTable("LANES", LANES), TRACKS: FleetTracks(),
    }  # fmt: skip
    for channel in survey.channels:
        drive.sinks[channel.id] = _sink(channel, dict.fromkeys(sources, signals), tables, cameras, mounts)
    for batch in survey.heads:
        (cameras if foxglove_name(batch.channel) == CALIBRATION else mounts).learn(batch)
    return drive


def _sources(survey: Survey) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for topic in (EGO, IMU, GNSS, ENVIRONMENT):
        for channel in survey.channels:
            if channel.topic == topic and survey.count(topic):
                if topic in JSON_SIGNALS and channel.encoding == "json":
                    found[topic] = JsonSource(topic, count=survey.count(topic))
                elif foxglove_name(channel) == "LocationFix":
                    found[topic] = FixSource(topic, count=survey.count(topic))
    return found


def _sink(channel: Channel, signals: dict[str, Sink], tables: dict[str, Sink], cameras: Cameras, mounts: Mounts) -> Sink:
    name = foxglove_name(channel)
    if channel.topic in signals and (channel.encoding == "json" or name == "LocationFix"):
        return signals[channel.topic]
    if channel.topic in tables and (name == "SceneUpdate" if channel.topic == TRACKS else channel.encoding == "json"):
        return tables[channel.topic]
    if name in (*PICTURES, CALIBRATION):
        return cameras
    return mounts if name in (*TRANSFORMS, "PoseInFrame") else Unread(channel.topic, UNKNOWN)
