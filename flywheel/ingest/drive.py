"""What a log format works with: a landed log to read from, and the items a reader yields, one after another, whatever the log's length."""

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import IO, Annotated, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator, field_validator

from flywheel.errors import BadData
from flywheel.ingest.landed import LandedFile, LandedLog, content_sha256
from flywheel.store import Store
from flywheel.types import Record, sha256_hex, short_id

Severity = Literal["error", "warning"]
MAX_OBJECT_BYTES = 1 << 30
HEAD_BYTES = 1 << 12
WORD = re.compile(r"[^|\x00-\x1f]{1,120}")


def _word(value: str) -> str:
    if not WORD.fullmatch(value) or value.strip() != value:
        raise ValueError(f"{value[:200]!r} must be 1 to 120 printable characters without '|'")
    return value


Word = Annotated[str, AfterValidator(_word)]


class Finding(Record):
    """What a gate saw: an error sends the log to quarantine, a warning is kept in FINDINGS."""

    severity: Severity
    gate: str
    message: str


def warning(gate: str, message: str) -> Finding:
    """A finding that is kept, and does not stop the drive."""
    return Finding(severity="warning", gate=gate, message=message)


class DriveFacts(Record):
    """What a log says about itself. vehicle_id, day and place make the root group that splits belong to.

    clock names what t_ns counts (`utc`, `gnss`, `boot`, `relative`); clock_error_ns is how far it may be from UTC, None if unknown.
    derived lists the columns that the log did not hold and a reader worked out.
    """

    vehicle_id: Word
    place: Word
    day: str
    clock: Word
    licence: str | None = None
    clock_error_ns: int | None = None
    derived: tuple[str, ...] = ()
    has_map: bool = False

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


class Rows(NamedTuple):
    """Rows of one table without drive_id. Within a table, later items never hold earlier times than the items before them."""

    table: str
    rows: pa.Table


class Picture(NamedTuple):
    """An encoded rgb image as recorded, for the gates that look at pixels. Yielding it costs nothing: gates choose which to decode."""

    camera: str
    t_ns: int
    data: bytes


class Beats(NamedTuple):
    """When one sensor (or topic) spoke: times on the drive's clock and, where it has its own, the sensor's stamps (int64 ns)."""

    sensor: str
    t_ns: NDArray[np.int64]
    stamp_ns: NDArray[np.int64] | None = None


class Blob(NamedTuple):
    """One media object of a drive: bytes, or a file that lasts until the next blob is asked for.

    A reader that has the bytes in hand may yield them: what is kept of them need not be read again.
    """

    sha256: str
    ext: str
    data: bytes | Path


Item = Rows | Picture | Beats | Blob | Finding | DriveFacts


class _Checked(io.RawIOBase):
    """A stream that hashes what is read in order, and says at its end whether it was what had been landed."""

    def __init__(self, source: IO[bytes], file: LandedFile) -> None:
        self._source, self._file, self._hash = source, file, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._source.read(len(view))
        self._hash.update(data)
        if not data and self._hash.hexdigest() != self._file.sha256:
            raise BadData(f"{self._file.key}: the landed object has changed since its manifest was written; land the log again")
        view[: len(data)] = data
        return len(data)

    def tell(self) -> int:
        return self._source.tell()


@dataclass(frozen=True)
class Log:
    """A landed log, or one part of it (one clip of a dataset folder): its paths, and their bytes checked against the manifest's hashes."""

    store: Store
    batch_id: str
    landed: LandedLog
    part: str = ""
    kept: frozenset[str] | None = None

    @property
    def name(self) -> str:
        """The log's name within its batch, with the part after a '#'."""
        return f"{self.landed.name}#{self.part}" if self.part else self.landed.name

    @cached_property
    def paths(self) -> dict[str, LandedFile]:
        """Path inside the log -> object; the single path '' if the log is one file."""
        found = self.landed.paths(self.batch_id)
        return found if self.kept is None else {path: file for path, file in found.items() if path in self.kept}

    @property
    def is_file(self) -> bool:
        """Whether the log is one file."""
        return "" in self.paths

    @property
    def source_sha256(self) -> str:
        """The hash of what was recorded, whatever it is called."""
        return content_sha256(self.paths)

    @property
    def drive_id(self) -> str:
        """The id of the log's drive: of what was recorded, not of its name or batch."""
        return short_id("drive", [self.source_sha256, self.part] if self.part else self.source_sha256)

    def of_part(self, part: str, paths: frozenset[str]) -> "Log":
        """One part of this log, made of some of its paths."""
        return Log(store=self.store, batch_id=self.batch_id, landed=self.landed, part=part, kept=paths)

    def head(self, path: str = "", *, size: int = 64) -> bytes:
        """The first bytes of one file (fewer if it is shorter), unchecked: to recognise a format by."""
        if len(self._heads.get(path, b"")) < min(size, self.file(path).bytes):
            self._heads[path] = self._range(self.file(path), max(size, HEAD_BYTES))
        return self._heads[path][:size] if path in self._heads else b""

    @cached_property
    def _heads(self) -> dict[str, bytes]:
        """The beginnings read so far: every format asks for one."""
        return {}

    def read(self, path: str, *, limit: int = MAX_OBJECT_BYTES) -> bytes:
        """The bytes of one file; BadData if it is missing, larger than the limit, or not what was landed."""
        file = self.file(path)
        if file.bytes > limit:
            raise BadData(f"{path}: {file.bytes} bytes, more than the {limit} allowed here")
        data = self._range(file, min(limit, file.bytes) + 1)
        if sha256_hex(data) != file.sha256:
            raise BadData(f"{file.key}: the landed object has changed since its manifest was written; land the log again")
        return data

    @contextlib.contextmanager
    def stream(self, path: str = "") -> Iterator[IO[bytes]]:
        """One file from front to back in bounded memory; reading to its end raises BadData if it is not what was landed."""
        with self._open(path) as source:
            yield io.BufferedReader(_Checked(source, self.file(path)), 1 << 20)

    @contextlib.contextmanager
    def open(self, path: str = "") -> Iterator[IO[bytes]]:
        """One file as a seekable stream (range reads on S3), unchecked: for readers that jump to an index."""
        with self._open(path) as source:
            yield source

    @contextlib.contextmanager
    def local(self, path: str = "") -> Iterator[Path]:
        """A local file with the bytes that were landed (a copy, on S3); BadData if they have changed."""
        file = self.file(path)
        with contextlib.ExitStack() as held:
            with self._there(file):
                local = held.enter_context(self.store.path(file.key))
            with local.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256:
                    raise BadData(f"{file.key}: the landed object has changed since its manifest was written; land the log again")
            yield local

    def file(self, path: str) -> LandedFile:
        """The landed object of a path; BadData if the log has none."""
        if path not in self.paths:
            raise BadData(f"{self.name}: {path or 'the file'} is missing")
        return self.paths[path]

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        file = self.file(path)
        with self._there(file):
            stream = self.store.open(file.key)
        with stream:
            yield stream

    def _range(self, file: LandedFile, size: int) -> bytes:
        with self._there(file):
            return self.store.read_range(file.key, 0, size)

    @contextlib.contextmanager
    def _there(self, file: LandedFile) -> Iterator[None]:
        try:
            yield
        except KeyError as err:
            raise BadData(f"{file.key}: the landed object is gone; land the log again") from err
