"""What a log format gives back: a landed log to read from, and a Drive: tables without ids, media on demand, findings."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import field_validator

from flywheel.errors import BadData
from flywheel.ingest.land import LandedFile, LandedLog, file_sha256
from flywheel.store import Store
from flywheel.types import Record, sha256_hex

Severity = Literal["error", "warning"]
MAX_OBJECT_BYTES = 1 << 30
WORD = re.compile(r"[^|\x00-\x1f]{1,120}")


class Finding(Record):
    """What a gate saw: an error sends the log to quarantine, a warning stays in the report."""

    severity: Severity
    gate: str
    message: str


class DriveFacts(Record):
    """What a log says about itself. vehicle_id, day and place make the root group that splits belong to."""

    vehicle_id: str
    place: str
    day: str
    clock: str
    licence: str | None = None
    clock_error_ns: int | None = None
    derived: tuple[str, ...] = ()
    has_map: bool = False

    @field_validator("vehicle_id", "place", "clock")
    @classmethod
    def _word(cls, value: str) -> str:
        if not WORD.fullmatch(value) or value.strip() != value:
            raise ValueError(f"{value!r} must be 1 to 120 printable characters without '|'")
        return value

    @field_validator("day")
    @classmethod
    def _day(cls, value: str) -> str:
        if date.fromisoformat(value).isoformat() != value:
            raise ValueError(f"{value!r} is not a day as YYYY-MM-DD")
        return value

    @property
    def root_group(self) -> str:
        """Recordings that must never be split apart."""
        return f"{self.vehicle_id}|{self.day}|{self.place}"


Media = Callable[[], Iterator[tuple[bytes, str]]]


def no_media() -> Iterator[tuple[bytes, str]]:
    """The media of a drive without cameras."""
    return iter(())


@dataclass(frozen=True)
class Drive:
    """One parsed log. tables: SIGNALS TRACKS LIGHTS LANES FRAMES without drive_id; media() reads (bytes, ext) anew at each call."""

    facts: DriveFacts
    tables: Mapping[str, pa.Table]
    media: Media = no_media
    first_frames: Mapping[str, bytes] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Log:
    """A landed log: its paths, and their bytes checked against the manifest's hashes."""

    store: Store
    batch_id: str
    landed: LandedLog

    @property
    def name(self) -> str:
        """The log's name within its batch."""
        return self.landed.name

    @cached_property
    def paths(self) -> dict[str, LandedFile]:
        """Path inside the log -> object; the single path '' if the log is one file."""
        return self.landed.paths(self.batch_id)

    @property
    def is_file(self) -> bool:
        """Whether the log is one file."""
        return "" in self.paths

    def read(self, path: str, *, limit: int = MAX_OBJECT_BYTES) -> bytes:
        """The bytes of one file; BadData if it is missing, larger than the limit, or not what was landed."""
        file = self._file(path)
        if file.bytes > limit:
            raise BadData(f"{path}: {file.bytes} bytes, more than the {limit} allowed here")
        if not self.store.exists(file.key):
            raise BadData(f"{file.key}: the landed object is gone; land the log again")
        data = self.store.get(file.key)
        if sha256_hex(data) != file.sha256:
            raise BadData(f"{file.key}: the landed object has changed since its manifest was written; land the log again")
        return data

    def local(self) -> AbstractContextManager[Path]:
        """A local file with the log's bytes (a log that is one file)."""
        key = self._file("").key
        if not self.store.exists(key):
            raise BadData(f"{key}: the landed object is gone; land the log again")
        return self.store.path(key)

    def check(self, file: Path) -> None:
        """BadData unless the local file is what was landed."""
        if file_sha256(file) != self._file("").sha256:
            raise BadData(f"{self._file('').key}: the landed object has changed since its manifest was written; land the log again")

    def _file(self, path: str) -> LandedFile:
        if path not in self.paths:
            raise BadData(f"{self.name}: {path or 'the file'} is missing")
        return self.paths[path]
