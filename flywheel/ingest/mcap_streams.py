"""What every topic of an MCAP needs on its way into a table: to wait until a window of time is whole, and to be decoded together."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Finding, Item, Rows, warning
from flywheel.ingest.mcap_json import json_columns
from flywheel.ingest.mcap_read import Batch
from flywheel.ingest.quality import check_times
from flywheel.tables import SCHEMAS

Times = NDArray[np.int64]
LIGHT_STATES = ("green", "red", "yellow")


class Sink(Protocol):
    """Takes the messages of some topics, gives items."""

    def take(self, batch: Batch) -> Iterable[Item]:
        """Takes messages; gives what need not wait."""

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """Everything before a time, of which no message is still to come; all that is left if None."""

    def findings(self) -> Iterable[Finding]:
        """What was noticed, once all is taken."""


@dataclass
class Waiting:
    """Messages of one topic, still encoded; BadData as soon as their time goes back (or, if strict, repeats)."""

    topic: str
    strict: bool = True
    batches: list[Batch] = field(default_factory=list)
    last: Times = field(default_factory=lambda: np.empty(0, np.int64))

    def take(self, batch: Batch) -> None:
        """Takes more messages."""
        check_times(self.topic, np.r_[self.last, batch.t_ns], strict=self.strict)
        self.last = batch.t_ns[-1:]
        self.batches.append(batch)

    def drain(self) -> tuple[Times, list[Batch]]:
        """The times of all that waited, and the messages; nothing waits afterwards."""
        batches, self.batches = self.batches, []
        return np.concatenate([batch.t_ns for batch in batches] or [self.last[:0]]), batches


@dataclass
class Held:
    """Rows of one table in rising t_ns until their window is whole."""

    tables: list[pa.Table] = field(default_factory=list)

    def before(self, until_ns: int | None) -> pa.Table | None:
        """The rows before a time (all if None), which are held no longer; None if there are none."""
        if not self.tables:
            return None
        whole = pa.concat_tables(self.tables)
        count = len(whole) if until_ns is None else int(np.searchsorted(whole["t_ns"].to_numpy(), until_ns))
        self.tables = [whole.slice(count)] if count < len(whole) else []
        return whole.slice(0, count) if count else None


class JsonTable:
    """The sink of a topic whose JSON fields are the columns of one table; BadData for a missing required one."""

    def __init__(self, name: str, topic: str, *, strict: bool = True, once: tuple[str, ...] = ()) -> None:
        self.name, self.topic, self.once = name, topic, once
        self.fields = {f.name: f.type for f in SCHEMAS[name] if f.name not in ("drive_id", "t_ns")}
        self.waiting, self.held = Waiting(topic, strict=strict), Held()

    def take(self, batch: Batch) -> Iterable[Item]:
        """Takes messages."""
        self.waiting.take(batch)
        return ()

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """The table's rows before a time."""
        times, batches = self.waiting.drain()
        if len(times):
            yield Beats(self.topic, times)
            self.held.tables.append(self._decoded(times, batches))
        rows = self.held.before(until_ns)
        if rows is not None:
            check_once(self.topic, rows, ("t_ns", *self.once))
            yield Rows(self.name, rows)

    def findings(self) -> Iterable[Finding]:
        """None."""
        return ()

    def _decoded(self, times: Times, batches: list[Batch]) -> pa.Table:
        found = json_columns(self.topic, times, [data for batch in batches for data in batch.data], self.fields)
        for column in found.column_names:
            if not SCHEMAS[self.name].field(column).nullable and found[column].null_count:
                at = times[int(np.argmax(found[column].is_null().to_numpy()))]
                raise BadData(f"{self.topic} at {at} ns: {column} is missing")
        if self.name == "LIGHTS":
            _check_states(self.topic, times, found["state"])
        return found.add_column(0, "t_ns", pa.array(times, pa.int64()))


def _check_states(topic: str, times: Times, states: pa.ChunkedArray) -> None:
    wrong = np.flatnonzero(~pc.is_in(states, pa.array(LIGHT_STATES)).to_numpy())
    if len(wrong):
        raise BadData(f"{topic} at {times[wrong[0]]} ns: state {states[int(wrong[0])].as_py()!r} is none of {list(LIGHT_STATES)}")


def check_once(topic: str, rows: pa.Table, keys: tuple[str, ...]) -> None:
    """BadData if one instant holds the same thing twice."""
    counted = rows.select(list(keys)).group_by(list(keys)).aggregate([([], "count_all")])
    if len(counted) < len(rows):
        again = counted.filter(pc.greater(counted["count_all"], 1)).drop_columns(["count_all"]).to_pylist()
        raise BadData(f"{topic}: {tuple(again[0].values())} appears twice (and {len(again) - 1} others)")


@dataclass
class Unread:
    """The sink of a topic that feeds no table: its messages are counted and timed."""

    topic: str
    why: str
    times: list[Times] = field(default_factory=list)
    count: int = 0

    def take(self, batch: Batch) -> Iterable[Item]:
        """Takes messages."""
        self.times.append(batch.t_ns)
        self.count += len(batch.t_ns)
        return ()

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """When the topic spoke."""
        if self.times:
            yield Beats(self.topic, np.concatenate(self.times))
            self.times = []

    def findings(self) -> Iterable[Finding]:
        """None: all topics without a reader are named in one finding."""
        return ()


def unread_findings(sinks: Iterable[Sink]) -> Iterator[Finding]:
    """One warning for each reason why topics were left aside."""
    left = [sink for sink in sinks if isinstance(sink, Unread) and sink.count]
    for why in sorted({sink.why for sink in left}):
        text = ", ".join(f"{sink.topic} ({sink.count})" for sink in sorted(left, key=lambda s: s.topic) if sink.why == why)
        yield warning("topics", f"{why}: {text}")
