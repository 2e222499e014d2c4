"""ROS 2 bags kept in SQLite: a lone .db3, or a folder with metadata.yaml and one or more .db3, compressed by zstd as files or by message.

The database is opened read-only as it lies, may only be asked for the bag's own tables, and gets so many steps as a sound one of its size
could need. Order and counts come from the database; metadata.yaml only tells which files belong together and how many messages there were.
"""

import contextlib
import re
import sqlite3
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from flywheel.errors import BadData, require
from flywheel.ingest.drive import Blob, Finding, Item, Log, warning
from flywheel.ingest.ros_vocab import RosStreams

ROOT = re.compile(r"(?P<root>(?:.*/)?)metadata\.yaml")
SQLITE, ZSTD = b"SQLite format 3\0", b"\x28\xb5\x2f\xfd"
METADATA = "metadata.yaml"
TABLES = frozenset({"topics", "messages", "message_definitions", "sqlite_master"})
FUNCTIONS = frozenset({"count", "min"})
MAX_MESSAGE_BYTES, MAX_METADATA_BYTES, MAX_TOPICS = 1 << 28, 1 << 24, 100_000
MAX_UNPACKED_BYTES, MAX_RATIO = 1 << 37, 200
STEPS, STEPS_A_BYTE, MIN_STEPS = 10_000, 40, 10**8
COMPUTED = re.compile(r"\bvirtual\b|\bas\s*\(", re.IGNORECASE)


class Topic(NamedTuple):
    """One topic of a database."""

    id: int
    name: str
    type: str
    definition: str
    messages: int


def matches(log: Log) -> bool:
    """Whether the log is an SQLite file (compressed or not), or a folder with metadata.yaml and such files."""
    files = [""] if log.is_file else bag_files(log)
    return bool(files) and all(_is_database(log, path) for path in files)


def bag_files(log: Log, *, ending: str = "db3") -> list[str]:
    """The paths of a bag folder's data files, sorted; none if the folder has no metadata.yaml or another kind of file."""
    kind = re.compile(rf".*\.{ending}(\.zstd)?")
    return sorted(path for path in log.paths if kind.fullmatch(path)) if METADATA in log.paths else []


def read(log: Log) -> Iterator[Item]:
    """The drive of a bag; BadData says what is wrong with which file."""
    streams, seen = RosStreams(), 0
    with contextlib.ExitStack() as stack:
        for channel, t_ns, data in _messages(stack, log, streams):
            seen += 1
            streams.take(channel, t_ns, data)
            yield from streams.items(t_ns)
    yield from streams.items(None)
    yield from _missing(log, seen)


def media(log: Log) -> Iterator[Blob]:
    """The images of a bag, as recorded or as PNG."""
    streams = RosStreams()
    with contextlib.ExitStack() as stack:
        for channel, _, data in _messages(stack, log, streams):
            blob = streams.blob(channel, data)
            if blob is not None:
                yield blob


def _messages(stack: contextlib.ExitStack, log: Log, streams: RosStreams) -> Iterator[tuple[int, int, bytes]]:
    """(channel, record time, bytes) of every message of all files, the earliest file first; registers the topics on the way."""
    files = [""] if log.is_file else bag_files(log)
    bases = [stack.enter_context(_database(log, path)) for path in files]
    first = 0
    for base in sorted(bases, key=lambda base: (base.first_ns(), base.name)):
        topics = base.topics()
        for at, topic in enumerate(topics):
            streams.register(first + at, topic.name, topic.type, topic.definition, "ros2msg", messages=topic.messages)
        channels = {topic.id: first + at for at, topic in enumerate(topics)}
        for topic_id, t_ns, data in base.messages():
            if topic_id not in channels:
                raise BadData(f"{base.name}: a message of topic {topic_id}, which the bag does not describe")
            yield channels[topic_id], t_ns, data
        first += len(topics)


def _missing(log: Log, seen: int) -> Iterator[Finding]:
    """BadData if a file that metadata.yaml names is not there; a finding if it tells of more or fewer messages."""
    if log.is_file:
        return
    text = log.read(METADATA, limit=MAX_METADATA_BYTES).decode("utf-8", "replace")
    names = re.search(r"relative_file_paths:\s*\n((?:[ \t]*-[ \t]*[^\n]+\n)+)", text)
    for name in re.findall(r"-[ \t]*[\"']?([^\n\"']+)", names[1] if names else ""):
        if name.strip() not in log.paths and name.strip().removesuffix(".zstd") not in log.paths:
            raise BadData(f"{METADATA} names {name.strip()[:200]!r}, which is not in the folder")
    said = re.search(r"^  message_count:[ \t]*(\d{1,15})\s*$", text, re.MULTILINE)
    if said and int(said[1]) != seen:
        yield warning("index", f"{METADATA} tells of {said[1]} messages, the files hold {seen}")


class Database:
    """One bag file, opened so that nothing but reading the bag's own tables can happen."""

    def __init__(self, file: Path, *, name: str) -> None:
        self.name, self._steps = name or "the bag", max(STEPS_A_BYTE * file.stat().st_size, MIN_STEPS)
        self._base = sqlite3.connect(f"file:{urllib.parse.quote(str(file))}?mode=ro&immutable=1", uri=True)
        self._base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_MESSAGE_BYTES)
        self._base.text_factory = bytes
        self._base.set_authorizer(_may)
        self._base.set_progress_handler(self._step, STEPS)

    def close(self) -> None:
        """Lets the file go."""
        self._base.close()

    def _step(self) -> int:
        self._steps -= STEPS
        return self._steps < 0

    def _ask(self, query: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._base.execute(query)
        except (sqlite3.Error, OverflowError, UnicodeDecodeError) as err:
            raise BadData(f"{self.name}: not a sound bag database: {type(err).__name__}: {str(err)[:200]}") from err

    def _columns(self) -> dict[str, str]:
        """Table name -> the text that made it; BadData if the bag's tables are missing, views, virtual or computed."""
        found = {}
        for kind, name, sql in self._ask("SELECT type, name, sql FROM sqlite_master"):
            if isinstance(name, bytes) and name.decode("utf-8", "replace") in TABLES:
                text = sql.decode("utf-8", "replace") if isinstance(sql, bytes) else ""
                if kind != b"table" or COMPUTED.search(text):
                    raise BadData(f"{self.name}: {name.decode()} is not a plain table")
                found[name.decode()] = text
        if not {"topics", "messages"} <= found.keys():
            raise BadData(f"{self.name}: an SQLite database without the tables topics and messages: no ROS 2 bag")
        return found

    def first_ns(self) -> int:
        """The earliest record time; 0 for a bag without messages."""
        self._columns()
        (found,) = self._ask("SELECT min(timestamp) FROM messages")
        return found[0] if isinstance(found[0], int) else 0

    def topics(self) -> list[Topic]:
        """Every topic with its definition (where the bag holds one) and its number of messages."""
        tables = self._columns()
        counts = dict[Any, Any](self._ask("SELECT topic_id, count(*) FROM messages GROUP BY topic_id"))
        texts = dict[bytes, bytes]()
        if "encoded_message_definition" in tables.get("message_definitions", ""):
            asked = self._ask("SELECT topic_type, encoded_message_definition, encoding FROM message_definitions")
            texts = {kind: text for kind, text, encoding in asked if encoding == b"ros2msg" and isinstance(text, bytes)}
        found = list[Topic]()
        for topic, name, kind, encoding in self._ask("SELECT id, name, type, serialization_format FROM topics ORDER BY id"):
            if not isinstance(topic, int) or not isinstance(name, bytes) or not isinstance(kind, bytes) or len(found) >= MAX_TOPICS:
                raise BadData(f"{self.name}: the table of topics holds something else than numbers and names, or too many")
            if encoding != b"cdr" and counts.get(topic):
                raise BadData(f"{self.name}: topic {name[:200]!r} is serialized as {str(encoding)[:40]}; cdr can be read")
            text = texts.get(kind, b"").decode("utf-8", "replace")
            found.append(
                Topic(topic, name.decode("utf-8", "replace")[:300], kind.decode("utf-8", "replace")[:200], text, counts.get(topic, 0))
            )
        return found

    def messages(self) -> Iterator[tuple[int, int, bytes]]:
        """(topic id, record time, CDR bytes) in rising time."""
        for topic, t_ns, data in self._ask("SELECT topic_id, timestamp, data FROM messages ORDER BY timestamp, rowid"):
            if not (isinstance(topic, int) and isinstance(t_ns, int) and isinstance(data, bytes)):
                raise BadData(f"{self.name}: a message whose topic, time or data is not a number, a number and bytes")
            yield topic, t_ns, _plain(data) if data.startswith(ZSTD) else data


def _may(action: int, first: str | None, *_: str | None) -> int:
    """SQLite's leave for one action: reading the bag's tables, and nothing else."""
    allowed = action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_READ and first in TABLES)
    return sqlite3.SQLITE_OK if allowed or (action == sqlite3.SQLITE_FUNCTION and _[0] in FUNCTIONS) else sqlite3.SQLITE_DENY


def _plain(data: bytes) -> bytes:
    """A message that was compressed on its own (CDR never begins as zstd does)."""
    zstd = require("zstandard", extra="ingest")
    try:
        with zstd.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data) as reader:
            plain: bytes = reader.read(MAX_MESSAGE_BYTES + 1)
    except zstd.ZstdError as err:
        raise BadData(f"a damaged zstd message: {err}") from err
    if len(plain) > MAX_MESSAGE_BYTES:
        raise BadData(f"a message unpacks to more than {MAX_MESSAGE_BYTES} bytes")
    return plain


def _is_database(log: Log, path: str) -> bool:
    head = log.head(path, size=1 << 18)
    if not head.startswith(ZSTD):
        return head.startswith(SQLITE)
    zstd = require("zstandard", extra="ingest")
    with contextlib.suppress(zstd.ZstdError), zstd.ZstdDecompressor(max_window_size=1 << 27).stream_reader(head) as plain:
        return bool(plain.read(len(SQLITE)) == SQLITE)
    return False


@contextlib.contextmanager
def _database(log: Log, path: str) -> Iterator[Database]:
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(log.local(path))
        if log.head(path).startswith(ZSTD):
            unpacked = stack.enter_context(tempfile.NamedTemporaryFile(prefix="flywheel-bag-"))
            with file.open("rb") as source:
                _unpack(source, unpacked.file, size=file.stat().st_size)
            file = Path(unpacked.name)
        base = Database(file, name=path)
        stack.callback(base.close)
        yield base


def _unpack(source: IO[bytes], target: IO[bytes], *, size: int) -> None:
    """A zstd file unpacked in pieces; BadData if it is damaged, or swells beyond reason."""
    zstd, done, limit = require("zstandard", extra="ingest"), 0, min(MAX_UNPACKED_BYTES, MAX_RATIO * size + (1 << 26))
    try:
        with zstd.ZstdDecompressor(max_window_size=1 << 27).stream_reader(source, read_across_frames=True) as reader:
            while piece := reader.read(1 << 20):
                done += len(piece)
                if done > limit:
                    raise BadData(f"a compressed bag that swells from {size} to more than {limit} bytes")
                target.write(piece)
    except zstd.ZstdError as err:
        raise BadData(f"a damaged zstd file: {err}") from err
    target.flush()
