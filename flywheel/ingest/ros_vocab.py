"""ROS messages, of bags or of MCAP channels, to items: the type says what a message is, whatever its topic is called.

Rows are on the log's clock (the time a message was recorded), in windows on a fixed grid; a topic's own stamps go to SENSORS.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, warning
from flywheel.ingest.quality import T_MAX_NS, T_MIN_NS
from flywheel.ingest.ros_cameras import CAMERAS, Cameras
from flywheel.ingest.ros_frames import Frames
from flywheel.ingest.ros_motion import Motion
from flywheel.ingest.ros_objects import OBJECTS, Objects
from flywheel.ingest.ros_samples import MOTION
from flywheel.ingest.ros_types import DAMAGE, MessageType, message_type
from flywheel.ingest.whereabouts import day_of, tenth_of_a_degree

WINDOW_NS, MARGIN_NS, MAX_WINDOWS = 10 * 10**9, 2 * 10**9, 60
TRANSFORMS = frozenset({"tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"})
WANTED = TRANSFORMS | MOTION.keys() | OBJECTS.keys() | CAMERAS
# Types that add nothing to the tables, so that nobody need be told they were left in landing.
SILENT = ("sensor_msgs/msg/TimeReference", "rosgraph_msgs/", "rcl_interfaces/", "diagnostic_msgs/", "bond/", "rosbag2_interfaces/")
MAX_BAD_SHARE, MAX_LATE_SHARE = 0.1, 0.001
UNKNOWN_VEHICLE, UNKNOWN_PLACE = "unknown-vehicle", "unknown-place"


@dataclass
class Channel:
    """One channel of the log: what it carries and what became of its messages."""

    topic: str
    type: MessageType
    unreadable: str = ""
    taken: int = 0
    bad: int = 0
    first_bad: str = ""


@dataclass
class Spoken:
    """When a topic spoke since the last window, in the order of the log, with its stamps."""

    times: list[int] = field(default_factory=list)
    stamps: list[int | None] = field(default_factory=list)

    def beats(self, topic: str) -> Beats:
        """All of it; the stamps only if every message had one."""
        known = [stamp for stamp in self.stamps if stamp is not None]
        stamped = len(known) == len(self.times)
        return Beats(topic, np.array(self.times, np.int64), np.array(known, np.int64) if stamped else None)


class RosStreams:
    """Takes the messages of one drive in rising time and gives its items back, in memory that does not grow with the drive.

    Call `items` after every message or few: pictures wait for it. give_facts: whether the last `items` holds the DriveFacts.
    """

    def __init__(self, *, give_facts: bool = True) -> None:
        self.give_facts = give_facts
        self.shift_ns = 0
        self._channels: dict[int, Channel] = {}
        self._spoken: dict[str, Spoken] = {}
        self._frames = Frames()
        self._motion, self._cameras, self._objects = Motion(self._frames), Cameras(self._frames), Objects(self._frames)
        self._first_ns: int | None = None
        self._newest_ns = self._done_ns = 0
        self._late = self._done = 0
        self._pending: deque[Item] = deque()

    def register(self, channel_id: int, topic: str, type_name: str, definition: str, encoding: str, *, messages: int = 0) -> None:
        """Makes a channel known. encoding is "ros2msg" or "ros1msg"; the definition may be empty; messages says how many will come.

        Where several topics tell the same, the one with the most messages carries the columns, so say how many there are if you can.
        """
        name = message_type(type_name, definition="", encoding=encoding, wanted=False).name
        try:
            kind, wrong = message_type(type_name, definition=definition, encoding=encoding, wanted=name in WANTED), ""
        except BadData as err:
            kind, wrong = message_type(type_name, definition=definition, encoding=encoding, wanted=False), str(err)
        self._channels[channel_id] = Channel(topic=topic, type=kind, unreadable=wrong)
        if name in WANTED and not wrong:
            for part in (self._motion, self._cameras, self._objects):
                part.expect(topic, name, messages)

    def take(self, channel_id: int, t_ns: int, data: bytes) -> None:
        """One message, recorded at t_ns (int64 ns; times before 2000 are taken as counting from the recording's own zero)."""
        channel = self._channels.get(channel_id)
        if channel is None:
            raise BadData(f"a message at {t_ns} ns on channel {channel_id}, which the log does not describe")
        t_ns = self._on_clock(t_ns, channel.topic)
        stamp = channel.type.stamp(data)
        channel.taken += 1
        stamp = None if stamp is None else stamp + self.shift_ns
        spoken = self._spoken.setdefault(channel.topic, Spoken())
        spoken.times.append(t_ns)
        spoken.stamps.append(stamp)
        if t_ns <= self._done_ns:
            self._late += 1
        elif channel.type.name in WANTED and not channel.unreadable:
            self._read(channel, t_ns, stamp, data)

    def items(self, until_t_ns: int | None) -> Iterator[Item]:
        """The items complete when every message up to until_t_ns has been taken (None: all), on the times given to `take`."""
        yield from self._drain_pending()
        yield from self._windows(self._newest_ns if until_t_ns is None else until_t_ns + self.shift_ns)
        if until_t_ns is None:
            yield from self._window(None)
            yield from self._findings()
            if self.give_facts:
                yield self.facts()

    def facts(self) -> DriveFacts:
        """What the recording says about itself, from what has been taken so far; BadData if that is nothing."""
        if self._first_ns is None:
            raise BadData("the log holds no messages")
        where = self._motion.median_fix()
        return DriveFacts(
            vehicle_id=UNKNOWN_VEHICLE, place=tenth_of_a_degree(*where) if where else UNKNOWN_PLACE,
            day=day_of(self._first_ns),
            clock="relative" if self.shift_ns else "utc", derived=tuple(sorted(self._motion.derived | self._objects.derived)),
        )  # fmt: skip

    def blob(self, channel_id: int, data: bytes) -> Blob | None:
        """The media object that a message's FRAMES row names; None for a message without one."""
        channel = self._channels[channel_id]
        if channel.type.name not in CAMERAS or channel.unreadable:
            return None
        try:
            return self._cameras.blob(channel.topic, channel.type.name, channel.type.decode(data))
        except BadData:  # `take` has counted it and left it out
            return None

    def _on_clock(self, t_ns: int, topic: str) -> int:
        if self._first_ns is None and 0 <= t_ns < T_MIN_NS:
            self.shift_ns = T_MIN_NS
        t_ns += self.shift_ns
        if not T_MIN_NS <= t_ns < T_MAX_NS:
            raise BadData(f"{topic}: a message at {t_ns} ns: not nanoseconds UTC of the years 2000 to 2099")
        self._first_ns = t_ns if self._first_ns is None else self._first_ns
        self._newest_ns = max(self._newest_ns, t_ns)
        return t_ns

    def _read(self, channel: Channel, t_ns: int, stamp_ns: int | None, data: bytes) -> None:
        name = channel.type.name
        try:
            message = channel.type.decode(data)
            if name in TRANSFORMS:
                self._motion.take_transforms(t_ns, message)
            elif name in MOTION:
                self._motion.take(channel.topic, name, t_ns, stamp_ns, message)
            elif name in OBJECTS:
                self._objects.take(channel.topic, name, t_ns, stamp_ns, message)
            elif picture := self._cameras.take(channel.topic, name, t_ns, message):
                self._pending.append(picture)
        except (BadData, *DAMAGE) as err:  # DAMAGE: a definition in the log under a known name, with other fields than that type has
            channel.bad += 1
            channel.first_bad = channel.first_bad or f"at {t_ns} ns: {err}"

    def _drain_pending(self) -> Iterator[Item]:
        while self._pending:
            yield self._pending.popleft()

    def _windows(self, known_ns: int) -> Iterator[Item]:
        """Every window that what is known up to a time completes, one after another; a long silence in one piece."""
        if self._first_ns is None:
            return
        last = (known_ns - MARGIN_NS - self._first_ns) // WINDOW_NS
        if last - self._done > MAX_WINDOWS:
            self._done = last - 1
        while self._done < last:
            self._done += 1
            yield from self._window(self._first_ns + self._done * WINDOW_NS)

    def _window(self, until_ns: int | None) -> Iterator[Item]:
        for topic, spoken in self._spoken.items():
            yield spoken.beats(topic)
        self._spoken = {}
        yield from self._motion.window(self._done_ns, until_ns, known_ns=None if until_ns is None else until_ns + MARGIN_NS)
        yield from self._objects.window(self._motion, self._done_ns, until_ns)
        yield from self._cameras.window(until_ns)
        if until_ns is not None:
            self._done_ns = until_ns
            for part in (self._motion, self._objects):
                part.forget(until_ns - MARGIN_NS)

    def _findings(self) -> Iterator[Finding]:
        taken = sum(channel.taken for channel in self._channels.values())
        if self.shift_ns:
            yield warning("clock", "message times count from the recording's own zero (simulation time?), not from a wall clock")
        if self._late:
            text = f"{self._late} of {taken} messages come more than {MARGIN_NS / 1e9:g} s after later ones: left out of the tables"
            severity = "error" if self._late > MAX_LATE_SHARE * taken else "warning"
            yield Finding.model_validate({"severity": severity, "gate": "clock", "message": text})
        yield from self._channel_findings()
        for part in (self._motion, self._cameras, self._objects):
            yield from part.findings()
        if self.give_facts and taken:
            yield warning("vehicle", f"a bag does not say which vehicle recorded it: {UNKNOWN_VEHICLE}, so its split group is a guess")

    def _channel_findings(self) -> Iterator[Finding]:
        spoke = [channel for channel in self._channels.values() if channel.taken]
        for channel in spoke:
            if channel.bad:
                text = f"{channel.topic}: {channel.bad} of {channel.taken} messages cannot be used, the first {channel.first_bad}"
                severity = "error" if channel.bad > MAX_BAD_SHARE * channel.taken else "warning"
                yield Finding.model_validate({"severity": severity, "gate": "messages", "message": text})
            if channel.unreadable:
                yield warning("topics", f"{channel.topic}: {channel.taken} messages were left in landing: {channel.unreadable}")
        unread = [c for c in spoke if c.type.name not in WANTED and not c.type.name.startswith(SILENT)]
        if unread:
            text = ", ".join(f"{c.topic} ({c.type.name}, {c.taken})" for c in sorted(unread, key=lambda c: c.topic)[:50])
            yield warning("topics", f"{len(unread)} topics of types that no reader knows were left in landing: {text}"[:4000])
