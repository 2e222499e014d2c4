"""Gates over a drive's written parts, read again in short windows: memory stays flat, and every gate is a pure function of a window."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flywheel.ingest.drive import Finding, Severity
from flywheel.ingest.tally import column

Array = NDArray[np.float64]
Times = NDArray[np.int64]

WINDOW_NS, SHARED_NS = 60 * 10**9, 15 * 10**9
BATCH_ROWS, MAX_ROWS = 1 << 15, 1 << 20


class Window(NamedTuple):
    """Rows of one table over about a minute. Rows up to since_ns were in the window before too: what ends there is counted already."""

    table: pa.Table
    since_ns: int


class Series(NamedTuple):
    """Samples of one quantity: rising times in ns and values, none of them NaN."""

    t_ns: Times
    values: Array

    @property
    def t_s(self) -> Array:
        """Seconds since the first sample."""
        return np.asarray((self.t_ns - (self.t_ns[0] if len(self.t_ns) else 0)) / 1e9)


class Defect(NamedTuple):
    """What a gate saw in one window: how often, and the worst of it with its time. One line of text per (gate, what) and drive."""

    gate: str
    what: str
    times: int
    worst: float
    unit: str
    t_ns: int
    severity: Severity = "warning"


def windows(file: Path, columns: list[str], *, window_ns: int = WINDOW_NS, shared_ns: int = SHARED_NS) -> Iterator[Window]:
    """A part's rows, sorted by t_ns, in windows that share their last seconds with the next one; no window has more than MAX_ROWS rows."""
    held, since_ns = pa.table({}), -(2**63)
    for batch in batches(file, columns):
        held = pa.concat_tables([*([held] if len(held) else []), batch])
        times = column(held, "t_ns")
        while len(times) and (times[-1] - times[0] >= window_ns or len(times) > MAX_ROWS):
            end = min(int(np.searchsorted(times, times[0] + window_ns)), MAX_ROWS)
            yield Window(held.slice(0, end), since_ns)
            since_ns = int(times[end - 1])
            begin = max(int(np.searchsorted(times, times[end] - shared_ns)), (end + 1) // 2)
            held, times = held.slice(begin), times[begin:]
    if len(held):
        yield Window(held, since_ns)


def batches(file: Path, columns: list[str]) -> Iterator[pa.Table]:
    """A part's rows in pieces. One row group at a time: reading on across them, Arrow keeps what it has read until the end."""
    source = pq.ParquetFile(file)
    for group in range(source.metadata.num_row_groups):
        for batch in source.iter_batches(batch_size=BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])


def series(table: pa.Table, name: str) -> Series:
    """The samples that a column holds."""
    values = column(table, name)
    known = np.isfinite(values)
    return Series(column(table, "t_ns")[known].astype(np.int64), values[known])


def point_series(table: pa.Table, *names: str) -> tuple[Times, Array]:
    """Times (N,) and values (N, d) of the rows in which all of the columns are known."""
    values = np.stack([column(table, name) for name in names], axis=1)
    known = np.isfinite(values).all(axis=1)
    return column(table, "t_ns")[known].astype(np.int64), values[known]


def folded(defects: Iterable[Defect]) -> list[Finding]:
    """One finding for each (gate, what): how often adds up, the worst of all windows is named."""
    kept: dict[tuple[str, str], Defect] = {}
    for new in defects:
        old = kept.get((new.gate, new.what))
        worst = new if old is None or new.worst > old.worst else old
        kept[new.gate, new.what] = worst._replace(times=new.times + (old.times if old else 0))
    return [_said(defect) for defect in kept.values()]


def _said(defect: Defect) -> Finding:
    often = "once," if defect.times == 1 else f"{defect.times} times, at worst"
    text = f"{defect.what}: {often} {defect.worst:.3g} {defect.unit} at {defect.t_ns} ns"
    return Finding(severity=defect.severity, gate=defect.gate, message=text)


class RowsBetween:
    """A part's rows from one time to another, for spans that move on: the row groups of the last span are kept."""

    def __init__(self, file: Path, columns: list[str]) -> None:
        self.source, self.columns = pq.ParquetFile(file), columns
        self.groups: tuple[int, ...] = ()
        self.table = self._read()

    def __call__(self, low_ns: int, high_ns: int) -> pa.Table:
        """The rows of a span, both ends included."""
        meta = self.source.metadata
        groups = tuple(k for k in range(meta.num_row_groups) if _group_meets(meta.row_group(k), low_ns, high_ns))
        if groups != self.groups:
            self.groups, self.table = groups, self._read(groups)
        times = self.table["t_ns"].to_numpy()
        low, high = np.searchsorted(times, low_ns), np.searchsorted(times, high_ns, side="right")
        return self.table.slice(low, high - low)

    def _read(self, groups: tuple[int, ...] = ()) -> pa.Table:
        return self.source.read_row_groups(list(groups), columns=self.columns, use_threads=False)


def _group_meets(group: pq.RowGroupMetaData, low_ns: int, high_ns: int) -> bool:
    """Whether a row group may hold times of a span."""
    said = next(group.column(k).statistics for k in range(group.num_columns) if group.column(k).path_in_schema == "t_ns")
    return said is None or (said.min <= high_ns and said.max >= low_ns)


def speeds_at(file: Path | None, moments: list[int], *, near_ns: int = 10**9) -> Mapping[int, float]:
    """The ego's speed at some times, where a sample is near; a window of the part is in memory at a time."""
    found: dict[int, float] = {}
    asked = np.array(moments, np.int64)
    for window in windows(file, ["t_ns", "speed_mps"]) if file and moments else ():
        speed = series(window.table, "speed_mps")
        if len(speed.t_ns):
            inside = asked[(asked >= speed.t_ns[0] - near_ns) & (asked <= speed.t_ns[-1] + near_ns)]
            found |= dict(zip(inside.tolist(), np.interp(inside, speed.t_ns, speed.values).tolist(), strict=True))
    return found
