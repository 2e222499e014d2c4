"""The wide SIGNALS table: the ego state's clock carries the rows, slower and separate streams are laid onto it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.tables import SCHEMAS

Array = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Samples of one topic: strictly increasing times and, by SIGNALS column, values (NaN where a sample has none)."""

    times: Times
    columns: Mapping[str, Array]

    @property
    def half_period_ns(self) -> int | None:
        """Half the median step; None for fewer than two samples."""
        return int(np.median(np.diff(self.times))) // 2 if len(self.times) > 1 else None


def nearest_rows(base: Times, times: Times, *, tolerance_ns: int) -> NDArray[np.int64]:
    """For each time the index of the nearest base time, or -1 if none is within tolerance or a nearer sample took it."""
    if len(base) == 0 or len(times) == 0:
        return np.full(len(times), -1, np.int64)
    right = np.clip(np.searchsorted(base, times), 1, max(len(base) - 1, 1))
    left, right = right - 1, np.minimum(right, len(base) - 1)
    rows = np.where(np.abs(base[left] - times) <= np.abs(base[right] - times), left, right)
    apart = np.abs(base[rows] - times)
    rows[apart > tolerance_ns] = -1
    order = np.lexsort((apart, rows))
    repeated = order[1:][rows[order][1:] == rows[order][:-1]]
    rows[repeated] = -1
    return rows


def lay_onto(base: Stream, other: Stream) -> Stream:
    """Both streams on one clock: the base's rows, plus a row for every sample of `other` that no base row is near enough to hold.

    Near enough is half the other stream's own median period; nothing is repeated, interpolated or dropped.
    """
    tolerance_ns = other.half_period_ns if other.half_period_ns is not None else base.half_period_ns or 0
    rows = nearest_rows(base.times, other.times, tolerance_ns=tolerance_ns)
    alone = rows < 0
    times = np.union1d(base.times, other.times[alone])
    places = np.searchsorted(times, np.where(alone, other.times, base.times[rows] if len(base.times) else other.times))
    columns = {name: _spread(values, at=np.searchsorted(times, base.times), size=len(times)) for name, values in base.columns.items()}
    columns |= {name: _spread(values, at=places, size=len(times)) for name, values in other.columns.items()}
    return Stream(times=times, columns=columns)


def _spread(values: Array, *, at: NDArray[np.int64], size: int) -> Array:
    wide = np.full(size, np.nan)
    wide[at] = values
    return wide


def signals_table(streams: Sequence[Stream]) -> pa.Table:
    """SIGNALS without drive_id from streams, the row-giving one first; NaN becomes null."""
    wide = streams[0]
    for stream in streams[1:]:
        wide = lay_onto(wide, stream)
    columns = {"t_ns": pa.array(wide.times, pa.int64())}
    for field in SCHEMAS["SIGNALS"]:
        if field.name not in ("drive_id", "t_ns"):
            values = wide.columns.get(field.name, np.full(len(wide.times), np.nan))
            columns[field.name] = pa.array(values, pa.float64(), from_pandas=True)
    return pa.table(columns)


def measured(signals: pa.Table) -> list[str]:
    """The columns that hold at least one value."""
    return [name for name in signals.column_names if name != "t_ns" and signals[name].null_count < len(signals)]
