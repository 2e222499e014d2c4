"""Declared mappings: how the columns of a CSV, or the signals of a CAN database, become SIGNALS. A mapping is a TOML file.

It lies beside the log (`<log>.mapping.toml` or `mapping.toml`, landed with it) or among the built-in ones, found by a CSV's header.
"""

import math
import re
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from flywheel.errors import BadData
from flywheel.ingest.drive import Log, Word
from flywheel.tables import SCHEMAS
from flywheel.types import Record

BUILT_IN = Path(__file__).parent / "mappings"
MAX_TOML_BYTES = 1 << 20
SIDECAR = re.compile(r"(?:.+\.)?mapping\.toml|.+\.dbc")
TARGETS = tuple(field.name for field in SCHEMAS["SIGNALS"] if field.name not in ("drive_id", "t_ns"))
# What one of a unit is, in the unit that the target column's name ends with.
UNITS: dict[str, dict[str, float]] = {
    "mps": {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "kn": 1852 / 3600},
    "mps2": {"m/s2": 1.0, "g": 9.80665},
    "rad": {"rad": 1.0, "deg": math.pi / 180},
    "radps": {"rad/s": 1.0, "deg/s": math.pi / 180},
    "deg": {"deg": 1.0, "rad": 180 / math.pi},
    "m": {"m": 1.0, "km": 1000.0, "ft": 0.3048},
    "lx": {"lx": 1.0},
    "mmph": {"mm/h": 1.0},
    "": {"fraction": 1.0, "%": 0.01},
}
TIME_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "iso": 1, "iso_tz": 1}
# 2000-01-01T00:00:00Z; 1980-01-06T00:00:00Z less the 18 s that GPS is ahead of UTC since 2017.
EPOCHS_NS = {"unix": 0, "relative": 946_684_800 * 10**9, "gps": (315_964_800 - 18) * 10**9}


def unit_of(target: str) -> str:
    """The ending of a column's name that says its unit; '' for a fraction (brake, throttle)."""
    ending = target.rsplit("_", 1)[-1]
    return ending if ending in UNITS else ""


class Value(Record):
    """A number of the log: times scale plus offset it is in `unit`; no unit means the unit of the target column."""

    unit: str | None = None
    scale: float = 1.0
    offset: float = 0.0

    def factors(self, target: str) -> tuple[float, float]:
        """(a, b) so that a * number + b is in the target column's unit."""
        one = 1.0 if self.unit is None else UNITS[unit_of(target)][self.unit]
        return self.scale * one, self.offset * one


class Column(Value):
    """A column of a CSV."""

    source: str


class Signal(Value):
    """A signal of a message in a CAN database."""

    message: str
    signal: str


class Time(Record):
    """Where a CSV's times are. epoch: unix, gps, relative (no wall clock) or the ISO time that the numbers count from."""

    column: str
    unit: Literal["ns", "us", "ms", "s", "iso", "iso_tz"]
    epoch: str = "unix"

    @field_validator("epoch")
    @classmethod
    def _epoch(cls, value: str) -> str:
        epoch_ns(value)
        return value


class Rows(Record):
    """Which rows of a CSV count: those whose column is one of `equals`, or begins with `starts_with`."""

    column: str
    equals: tuple[str, ...] = ()
    starts_with: str | None = None


class _Mapping(Record):
    vehicle_id: Word
    place: Word
    licence: str | None = None
    clock: Word | None = None
    clock_error_ns: int | None = Field(None, ge=0)

    def sources(self) -> dict[str, Value]:
        """Target column -> what fills it."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _targets(self) -> "_Mapping":
        for target, value in self.sources().items():
            if target not in TARGETS:
                raise ValueError(f"{target!r} is no column of SIGNALS; there are {', '.join(TARGETS)}")
            if value.unit is not None and value.unit not in UNITS[unit_of(target)]:
                raise ValueError(f"{target}: {value.unit!r} is not one of {', '.join(UNITS[unit_of(target)])}")
        if not self.sources():
            raise ValueError("it fills no column")
        return self


class CsvMapping(_Mapping):
    """How a CSV is read. header: the exact header it is for (built-in mappings); subset: any of these columns, in any order, will do.

    column_names: the columns of a file without a header. ignored: columns that are known and not wanted (others are reported).
    """

    kind: Literal["csv"]
    header: tuple[str, ...] = ()
    subset: bool = False
    column_names: tuple[str, ...] = ()
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: Literal["utf-8", "latin-1", "utf-16"] = "utf-8"
    skip_lines: int = Field(0, ge=0, le=1000)
    time: Time
    columns: dict[str, Column]
    rows: tuple[Rows, ...] = ()
    ignored: tuple[str, ...] = ()

    def sources(self) -> dict[str, Value]:
        return dict(self.columns)

    def fits(self, header: tuple[str, ...]) -> bool:
        """Whether a built-in mapping is for this header."""
        if self.subset:
            return self.time.column in header and len(header) > 1 and set(header) <= set(self.header) and len(set(header)) == len(header)
        return self.header == header

    def present(self, header: tuple[str, ...]) -> "CsvMapping":
        """The mapping without the columns that a header lacks, where it is for any of its columns."""
        if not self.subset:
            return self
        return self.model_copy(update={"columns": {target: c for target, c in self.columns.items() if c.source in header}})


class CanMapping(_Mapping):
    """How a CAN log is decoded with the database beside it.

    epoch: `log` (what the log itself says), `relative` (no wall clock), or the ISO time of the log's zero. utc_offset_h: how far the clock
    that wrote an ASC or BLF was ahead of UTC, which those formats do not say. bus: only frames of this channel.
    """

    kind: Literal["can"]
    epoch: str = "log"
    utc_offset_h: float | None = Field(None, ge=-14, le=14)
    bus: str | None = None
    signals: dict[str, Signal]

    @field_validator("epoch")
    @classmethod
    def _epoch(cls, value: str) -> str:
        if value != "log":
            epoch_ns(value)
        return value

    def sources(self) -> dict[str, Value]:
        return dict(self.signals)


Mapping = CsvMapping | CanMapping
MAPPING: TypeAdapter[Mapping] = TypeAdapter(Annotated[Mapping, Field(discriminator="kind")])


def epoch_ns(epoch: str) -> int:
    """What an epoch's zero is in ns since 1970; ValueError if it is neither a known word nor an ISO time."""
    if epoch in EPOCHS_NS:
        return EPOCHS_NS[epoch]
    moment = datetime.fromisoformat(epoch)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    apart = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (apart.days * 86_400 + apart.seconds) * 10**9 + apart.microseconds * 1000


def parse(text: bytes, *, where: str) -> Mapping:
    """The mapping of a TOML file; BadData names every field that is wrong."""
    try:
        return MAPPING.validate_python(tomllib.loads(text.decode()))
    except ValidationError as err:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors()[:8])
        raise BadData(f"{where}: {wrong}") from err
    except (ValueError, RecursionError) as err:
        raise BadData(f"{where}: not TOML: {str(err)[:200]}") from err


def main_path(log: Log) -> str | None:
    """The log's file without its sidecars ('' if it has none); None if the log is something else."""
    if log.is_file:
        return ""
    mains = [path for path in log.paths if not SIDECAR.fullmatch(PurePosixPath(path).name)]
    return mains[0] if len(mains) == 1 and "/" not in mains[0] else None


def sidecar(log: Log) -> Mapping | None:
    """The mapping landed beside the log, that of its own name before the folder's; None if there is none. BadData if it is wrong."""
    paths = sorted((path for path in log.paths if path.endswith("mapping.toml")), key=lambda path: (path == "mapping.toml", path))
    return parse(log.read(paths[0], limit=MAX_TOML_BYTES), where=paths[0]) if paths else None


@lru_cache(maxsize=1)
def built_in() -> dict[str, CsvMapping]:
    """The mappings that come with the package, by name."""
    found = {file.stem: parse(file.read_bytes(), where=file.name) for file in sorted(BUILT_IN.glob("*.toml"))}
    return {name: mapping for name, mapping in found.items() if isinstance(mapping, CsvMapping)}


def csv_snippet(header: Iterable[str]) -> str:
    """A mapping for a header, ready to be edited and saved beside the log."""
    names = list(header)
    time = next((name for name in names if re.search(r"time|stamp|^t$|^ts$", name, re.IGNORECASE)), names[0])
    speed = next((name for name in names if re.search(r"speed|velocity", name, re.IGNORECASE)), names[-1])
    return (
        f'kind = "csv"\nvehicle_id = "EDIT"\nplace = "EDIT"\n'
        f'time = {{column = {_quoted(time)}, unit = "s", epoch = "unix"}} # unit: {" ".join(TIME_NS)}; epoch: unix gps relative\n'
        f'[columns]\nspeed_mps = {{source = {_quoted(speed)}, unit = "m/s"}} # or "km/h"; further columns: {" ".join(TARGETS[1:8])} ...'
    )


def can_snippet(signals: Iterable[tuple[str, str]]) -> str:
    """A mapping for the (message, signal) pairs of a database, ready to be edited and saved beside the log."""
    pairs = list(signals)
    message, signal = next(
        (pair for pair in pairs if re.search(r"speed|velocity", pair[1], re.IGNORECASE)), (pairs or [("MESSAGE", "SIGNAL")])[0]
    )
    return (
        f'kind = "can"\nvehicle_id = "EDIT"\nplace = "EDIT"\nepoch = "log" # or relative, or the ISO time of its zero\n'
        f'[signals]\nspeed_mps = {{message = {_quoted(message)}, signal = {_quoted(signal)}, unit = "km/h"}}'
    )


def _quoted(text: str) -> str:
    kept = "".join(c for c in text if c.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{kept[:80]}"'
