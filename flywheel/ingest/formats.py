"""The log formats: one Protocol, one tuple. A new format is one file with two functions and one line here."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from flywheel.errors import BadData
from flywheel.ingest import mcap_log, pandaset
from flywheel.ingest.drive import Drive, Log


class LogFormat(Protocol):
    """A reader of one kind of log; it is found by what the log holds, never by its name."""

    @property
    def name(self) -> str:
        """What DRIVES.source_format says."""

    def matches(self, log: Log, file: Path | None) -> bool:
        """Whether the log is of this format; `file` is the local copy of a log that is one file."""

    def read(self, log: Log, file: Path | None) -> Drive:
        """The parsed drive, valid while `file` lasts; BadData says what is wrong and where."""


class Format(NamedTuple):
    """A LogFormat made of two functions."""

    name: str
    matches: Callable[[Log, Path | None], bool]
    read: Callable[[Log, Path | None], Drive]


FORMATS: tuple[LogFormat, ...] = (
    Format("mcap", mcap_log.matches, mcap_log.read),
    Format("pandaset", pandaset.matches, pandaset.read),
)


def local_file(log: Log) -> contextlib.AbstractContextManager[Path | None]:
    """The local copy of a log that is one file; None for a folder."""
    return log.local() if log.is_file else contextlib.nullcontext(None)


def detect(log: Log, file: Path | None) -> LogFormat:
    """The format of a log, or BadData naming the formats there are."""
    for candidate in FORMATS:
        if candidate.matches(log, file):
            return candidate
    known = ", ".join(f.name for f in FORMATS)
    raise BadData(f"{log.name}: no known log format ({known}) by its content; it stays in landing until a reader for it is added")
