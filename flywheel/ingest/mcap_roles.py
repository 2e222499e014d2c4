"""Which channel of an MCAP feeds what: the fleet's topics by name, everything else by its schema."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from flywheel.errors import BadData
from flywheel.ingest.drive import DriveFacts, Item
from flywheel.ingest.mcap_ego import FixMotion, PoseSource
from flywheel.ingest.mcap_facts import METADATA, assumed, of_fleet, stated
from flywheel.ingest.mcap_frames import Cameras
from flywheel.ingest.mcap_mounts import Mounts
from flywheel.ingest.mcap_names import CALIBRATION, PICTURES, POSES, picture_topics
from flywheel.ingest.mcap_others import OtherTracks
from flywheel.ingest.mcap_proto import foxglove_name
from flywheel.ingest.mcap_read import Batch, Channel, MetadataRecord
from flywheel.ingest.mcap_ros import Merged, RosTopics, is_ros, streams_of
from flywheel.ingest.mcap_signals import EGO, ENVIRONMENT, GNSS, IMU, VEHICLE, FixSource, JsonSource, Signals, Source
from flywheel.ingest.mcap_streams import JsonTable, Sink, Unread, unread_findings
from flywheel.ingest.mcap_survey import Survey
from flywheel.ingest.mcap_tracks import TRACKS, FleetTracks
from flywheel.ingest.whereabouts import tenth_of_a_degree

LIGHTS, LANES = "/lights", "/lane"
UNKNOWN = "topics that no reader knows were left in landing"
TWICE = "topics that say what another topic says already were left in landing"
# How long poses and the ego's motion are kept for rows that wait.
KEEP_NS = 20 * 10**9


@dataclass
class Drive:
    """The sinks of a drive by channel id, its metadata records, and the sinks that know the ego."""

    survey: Survey
    mounts: Mounts
    signals: Signals
    tracks: FleetTracks | OtherTracks
    ros: RosTopics | None = None
    merged: Merged | None = None
    relative: bool = False
    sinks: dict[int, Sink] = field(default_factory=dict)
    metadata: list[MetadataRecord] = field(default_factory=list)

    @cached_property
    def told(self) -> dict[int, Channel]:
        """The channels of the index by id."""
        return {channel.id: channel for channel in self.survey.channels}

    def take(self, batch: Batch) -> Iterator[Item]:
        """Takes messages; BadData if the file's index did not mention their channel so."""
        told = self.told.get(batch.channel.id)
        if told is None or (told.topic, told.encoding, told.schema) != (batch.channel.topic, batch.channel.encoding, batch.channel.schema):
            raise BadData(f"{batch.channel.topic}: channel {batch.channel.id} is not as the file's index has it: {told and told.topic}")
        items = self.sinks[batch.channel.id].take(batch)
        yield from self.merged.take(items) if self.merged else items

    def waiting_bytes(self, batch: Batch) -> int:
        """How much of a batch its sink keeps until a window is whole; pictures, transforms and unread messages do not wait."""
        passing = isinstance(self.sinks.get(batch.channel.id), Cameras | Mounts | Unread | RosTopics)
        return 0 if passing else sum(map(len, batch.data))

    def all_sinks(self) -> list[Sink]:
        """Each sink once, in the order of channels."""
        found = {id(sink): sink for _, sink in sorted(self.sinks.items())}
        return [*found.values(), *([self.signals] if id(self.signals) not in found else [])]

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """What is whole before a time. The ego's signals come first: tracks ask for its motion."""
        for sink in sorted(self.all_sinks(), key=lambda sink: sink is not self.signals):
            items = sink.cut(until_ns)
            yield from self.merged.take(items) if self.merged else items
        if self.merged:
            yield from self.merged.cut(until_ns)
        if until_ns is not None:
            self.mounts.forget(until_ns - KEEP_NS)
            self.signals.forget(until_ns - KEEP_NS)

    def facts(self) -> Iterator[Item]:
        """DriveFacts and every finding, once all is taken."""
        derived = sorted({name for source in self.signals.sources for name in source.derived})
        if isinstance(self.tracks, OtherTracks) and self.tracks.derived:
            derived += ["TRACKS.vx_mps", "TRACKS.vy_mps"]
        ros = self.ros.facts() if self.ros else None
        more = {"has_map": self.has_map, "derived": tuple(sorted({*derived, *(ros.derived if ros else ())}))}
        said = of_fleet(self.metadata)
        if said is not None:
            yield stated(said, **more)
        else:
            yield from assumed(self.metadata, t0_ns=self.survey.t0_ns, place=self._place(ros), relative=self.relative, **more)
        for sink in self.all_sinks():
            yield from sink.findings()
        yield from unread_findings(self.all_sinks())

    @property
    def has_map(self) -> bool:
        """Whether a topic of lanes spoke."""
        return any(isinstance(s, JsonTable) and s.name == "LANES" and self.survey.counts.get(n, 0) for n, s in self.sinks.items())

    def _place(self, ros: DriveFacts | None) -> str | None:
        fixes = [source.fixes if isinstance(source, FixMotion) else source for source in self.signals.sources]
        median = next((fix.places.median() for fix in fixes if isinstance(fix, FixSource)), None)
        return tenth_of_a_degree(*median) if median else ros.place if ros else None


def drive_of(survey: Survey, *, relative: bool = False) -> Drive:
    """The sinks for the channels of a log; BadData naming topics and schemas if no reader can use any of them."""
    spoke = [channel for channel in survey.channels if survey.counts.get(channel.id, 0)]
    mounts = Mounts()
    cameras = Cameras(named=picture_topics(spoke), mounts=mounts)
    for batch in survey.heads:
        (cameras if foxglove_name(batch.channel) == CALIBRATION else mounts).learn(batch)
    signals = Signals(sources=tuple(_sources(survey, spoke, mounts)), seconds=survey.seconds)
    scenes = [channel.topic for channel in spoke if foxglove_name(channel) == "SceneUpdate"]
    fleet = METADATA in survey.metadata or any(source.topic == EGO for source in signals.sources)
    tracks = FleetTracks() if fleet and TRACKS in scenes else OtherTracks(scenes, mounts=mounts, signals=signals)
    ros = [channel for channel in spoke if is_ros(channel)]
    drive = Drive(survey, mounts, signals, tracks, ros=RosTopics(streams_of(ros, survey.counts)) if ros else None, relative=relative)
    once: dict[str, Sink] = {
        LIGHTS: JsonTable("LIGHTS", LIGHTS, strict=False, once=("light_id",)), LANES: JsonTable("LANES", LANES),
    }  # fmt: skip
    for channel in survey.channels:
        drive.sinks[channel.id] = _sink(channel, drive, cameras, once)
    _check_usable(drive, spoke)
    drive.merged = Merged() if ros and len(ros) < len(spoke) else None
    return drive


def _check_usable(drive: Drive, spoke: Sequence[Channel]) -> None:
    told = [c for c in spoke if foxglove_name(c) != CALIBRATION and not isinstance(drive.sinks[c.id], Unread)]
    if not told:
        text = ", ".join(sorted(f"{c.topic} ({c.schema or 'no schema'}, {c.encoding})" for c in spoke)) or "none with messages"
        raise BadData(f"no topic can be used: {text}"[:1900])


def _sources(survey: Survey, spoke: Sequence[Channel], mounts: Mounts) -> Iterator[Source]:
    """Where SIGNALS come from; the first gives the rows: the fleet's ego state, else the ego's poses, else its fixes."""
    by_name = {c.topic for c in spoke if c.encoding == "json" and foxglove_name(c) is None}
    fix = _fix_topic(survey, spoke)
    if EGO in by_name:
        yield JsonSource(EGO, count=survey.count(EGO))
    elif mounts.ego_link() is not None:
        yield PoseSource(mounts)
    elif fix is not None:
        yield FixMotion(fix, count=survey.count(fix))
    if IMU in by_name:
        yield JsonSource(IMU, count=survey.count(IMU))
    if fix is not None and (EGO in by_name or mounts.ego_link() is not None):
        yield FixSource(fix, count=survey.count(fix), strict=EGO in by_name)
    for topic in (ENVIRONMENT, VEHICLE):
        if topic in by_name:
            yield JsonSource(topic, count=survey.count(topic))


def _fix_topic(survey: Survey, spoke: Iterable[Channel]) -> str | None:
    topics = {channel.topic for channel in spoke if foxglove_name(channel) == "LocationFix"}
    return min(topics, key=lambda topic: (topic != GNSS, -survey.count(topic), topic), default=None)


def _sink(channel: Channel, drive: Drive, cameras: Cameras, once: dict[str, Sink]) -> Sink:
    name, topic = foxglove_name(channel), channel.topic
    if drive.ros is not None and is_ros(channel):
        return drive.ros
    if (name == "LocationFix" or (name is None and channel.encoding == "json")) and topic in {s.topic for s in drive.signals.sources}:
        return drive.signals
    if name is None and channel.encoding == "json" and topic in once:
        return once[topic]
    if name == "SceneUpdate" and (isinstance(drive.tracks, OtherTracks) or topic == TRACKS):
        return drive.tracks
    if name in (*PICTURES, CALIBRATION):
        return cameras
    if name in POSES:
        return drive.mounts
    return Unread(topic, TWICE if name in ("LocationFix", "SceneUpdate") else UNKNOWN)
