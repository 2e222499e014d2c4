"""What a drive held, counted while its items pass by: everything the gates and the DRIVES row need, in memory that does not grow."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData

Array = NDArray[np.float64]
MAX_GAP_S = 1.0


def column(table: pa.Table, name: str) -> Array:
    """A numeric column as an array (times stay int64; null is NaN elsewhere)."""
    values = table[name]
    return np.asarray(values.to_numpy() if name == "t_ns" or values.type == pa.float64() else values.cast(pa.float64()).to_numpy())


@dataclass
class Extreme:
    """The lowest and highest value of a column, and when."""

    low: float = np.inf
    low_t_ns: int = 0
    high: float = -np.inf
    high_t_ns: int = 0

    def see(self, times: Array, values: Array) -> None:
        """Takes more values; NaN does not count."""
        low, high = int(np.argmin(values)), int(np.argmax(values))
        if np.isnan(values[low]) and np.isfinite(values).any():  # the first NaN is both the least and the greatest
            low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
        if not np.isnan(values[low]):
            if values[low] < self.low:
                self.low, self.low_t_ns = float(values[low]), int(times[low])
            if values[high] > self.high:
                self.high, self.high_t_ns = float(values[high]), int(times[high])


@dataclass
class Trapezoid:
    """The sum of |value| over time, or of hops between points, across steps of at most MAX_GAP_S (a hole adds nothing)."""

    total_m: float = 0.0
    last: tuple[int, Array] | None = None

    def see(self, times: Array, values: Array, *, hops: bool) -> None:
        """Takes (N, d) values at N times; rows with NaN are left out. hops: add distances between rows, else mean value times step."""
        known = np.isfinite(values).all(axis=1)
        t, v = times[known], values[known]
        if self.last is not None:
            t, v = np.r_[self.last[0], t], np.vstack([self.last[1], v])
        if len(t) == 0:
            return
        steps = np.diff(t) / 1e9
        parts = np.linalg.norm(np.diff(v, axis=0), axis=1) if hops else steps * (np.abs(v[1:, 0]) + np.abs(v[:-1, 0])) / 2
        self.total_m += float(parts[steps <= MAX_GAP_S].sum())
        self.last = (int(t[-1]), v[-1])


@dataclass
class Tally:
    """Counts, spans and extremes of a drive's tables."""

    rows: Counter[str] = field(default_factory=Counter)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    extremes: dict[tuple[str, str], Extreme] = field(default_factory=dict)
    measured: set[str] = field(default_factory=set)
    track_ids: set[str] = field(default_factory=set)
    driven: Trapezoid = field(default_factory=Trapezoid)
    moved: Trapezoid = field(default_factory=Trapezoid)
    holes: int = 0
    longest_hole_s: float = 0.0

    @property
    def t0_ns(self) -> int:
        """The earliest time of any row."""
        return min(low for low, _ in self.spans.values())

    @property
    def t1_ns(self) -> int:
        """The latest time of any row."""
        return max(high for _, high in self.spans.values())

    @property
    def seconds(self) -> float:
        """From the first row of any table to the last; 0 for a drive without rows."""
        return (self.t1_ns - self.t0_ns) / 1e9 if self.spans else 0.0

    def see(self, name: str, table: pa.Table) -> None:
        """Takes the next rows of a table; BadData if they begin before the last ones ended."""
        if not len(table):
            return
        times = column(table, "t_ns")
        first, last = int(times[0]), int(times[-1])
        before = self.spans.get(name)
        if before is not None and first < before[1]:
            raise BadData(f"{name}: time does not advance: {before[1]} ns is followed by {first} ns")
        self.rows[name] += len(table)
        self.spans[name] = (before[0] if before else first, last)
        for limited in (f.name for f in table.schema if pa.types.is_floating(f.type) and table[f.name].null_count < len(table)):
            self.extremes.setdefault((name, limited), Extreme()).see(times, column(table, limited))
        if name == "TRACKS":
            self.track_ids.update(table["track_id"].unique().to_pylist())
        if name == "SIGNALS":
            self._see_signals(table, times, before[1] if before else None)

    def _see_signals(self, table: pa.Table, times: Array, before: int | None) -> None:
        steps = np.diff(times if before is None else np.r_[before, times]) / 1e9
        self.holes += int((steps > MAX_GAP_S).sum())
        self.longest_hole_s = max(self.longest_hole_s, float(steps.max(initial=0.0)))
        self.measured |= {f.name for f in table.schema if f.name not in ("drive_id", "t_ns") and table[f.name].null_count < len(table)}
        self.driven.see(times, column(table, "speed_mps")[:, None], hops=False)
        self.moved.see(times, np.stack([column(table, "x_m"), column(table, "y_m")], axis=1), hops=True)
