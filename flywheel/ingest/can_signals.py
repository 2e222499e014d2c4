"""Decoded CAN messages to SIGNALS, window by window: memory does not grow with the log, and derivatives do not depend on the windows."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.kinematics import derivative
from flywheel.ingest.signals import Stream, signals_table

Times = NDArray[np.int64]
WINDOW_NS = 60 * 10**9
# Buses are logged side by side, so one message may overtake another by this much; what is younger waits for twice as long.
OVERTAKE_NS, WAIT_NS = 10**9, 2 * 10**9
MAX_WAITING = 1 << 21
ACCELERATION_WINDOW_S = 0.5


@dataclass
class Samples:
    """One message's decoded samples, in the order of time."""

    columns: tuple[str, ...]
    times: list[int] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)

    def stream(self, *, begin: int, end: int, acceleration: bool) -> Stream:
        """The samples of [begin, end) as SIGNALS columns, with ax_mps2 derived from speed_mps (parabola over +-0.5 s) if asked for."""
        times = np.array(self.times, np.int64)
        values = np.array(self.values, np.float64).reshape(len(times), len(self.columns))
        columns = {name: values[:, k] for k, name in enumerate(self.columns)}
        if acceleration and "speed_mps" in columns:
            columns["ax_mps2"] = _derived(times, columns["speed_mps"])
        inside = (times >= begin) & (times < end)
        return Stream(times[inside], {name: column[inside] for name, column in columns.items()})

    def forget(self, *, before: int) -> None:
        """Drops old samples, but never the last one: it says where time has come to."""
        done = min(int(np.searchsorted(np.array(self.times, np.int64), before)), len(self.times) - 1)
        if done > 0:
            del self.times[:done], self.values[:done]


@dataclass
class Windows:
    """Takes decoded messages in the log's order; gives SIGNALS rows in windows. repeats: samples left out for repeating a time."""

    samples: dict[str, Samples]
    acceleration: bool
    repeats: int = 0
    _done_ns: int | None = None
    _waiting: int = 0

    def take(self, message: str, t_ns: int, values: tuple[float, ...]) -> pa.Table | None:
        """Takes one decoded frame; gives the rows of the window that it closes. BadData if its time goes back."""
        mine = self.samples[message]
        last = mine.times[-1] if mine.times else t_ns - 1
        self._done_ns = t_ns - OVERTAKE_NS if self._done_ns is None else self._done_ns
        if t_ns < last or t_ns < self._done_ns:
            raise BadData(f"{message}: time goes back from {max(last, self._done_ns)} to {t_ns} ns")
        if t_ns == last:
            self.repeats += 1
            return None
        mine.times.append(t_ns)
        mine.values.append(values)
        self._waiting += 1
        if self._waiting > MAX_WAITING:
            raise BadData(f"more than {MAX_WAITING} samples between {self._done_ns} and {t_ns} ns: that is no bus's rate")
        return self.rows(t_ns - WAIT_NS) if t_ns >= self._done_ns + WINDOW_NS + WAIT_NS else None

    def rows(self, end: int) -> pa.Table | None:
        """The rows up to `end` that have not been given yet; None if there are none."""
        begin = self._done_ns or 0
        streams = [s.stream(begin=begin, end=end, acceleration=self.acceleration) for _, s in sorted(self.samples.items()) if s.times]
        self._done_ns = end
        for one in self.samples.values():
            one.forget(before=end - OVERTAKE_NS)
        self._waiting = sum(len(one.times) for one in self.samples.values())
        found = sorted((s for s in streams if len(s.times)), key=lambda s: -len(s.times))
        return signals_table(found) if found else None


def _derived(times: Times, speed: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(speed)
    slopes = np.full(len(times), np.nan)
    if known.any():
        slopes[known] = derivative((times[known] - times[0]) / 1e9, speed[known], half_window_s=ACCELERATION_WINDOW_S)
    return slopes
