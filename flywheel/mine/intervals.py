"""Sets of stretches of time and what can be asked of them: both, either, without, inside, soon after; all vectorised.

A set is disjoint, sorted and half open ([t0, t1), ns), so a stretch that ends where another begins is joined to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.mine.segments import NS, Clock, Ints, Mask, Spans


@dataclass(frozen=True)
class Intervals:
    """Disjoint stretches in time order."""

    t0_ns: Ints
    t1_ns: Ints

    def __len__(self) -> int:
        return len(self.t0_ns)

    def take(self, chosen: Mask | Ints) -> "Intervals":
        """The chosen stretches."""
        return Intervals(self.t0_ns[chosen], self.t1_ns[chosen])

    @property
    def total_s(self) -> float:
        """How long they last together."""
        return float((self.t1_ns - self.t0_ns).sum()) / NS


NONE = Intervals(np.zeros(0, np.int64), np.zeros(0, np.int64))


def joined(t0_ns: Sequence[int] | Ints, t1_ns: Sequence[int] | Ints) -> Intervals:
    """The set of these stretches, in any order and overlapping as they like; empty ones are left out."""
    t0, t1 = np.asarray(t0_ns, np.int64), np.asarray(t1_ns, np.int64)
    order = np.argsort(t0[t1 > t0], kind="stable")
    t0, t1 = t0[t1 > t0][order], t1[t1 > t0][order]
    if len(t0) == 0:
        return NONE
    reach = np.maximum.accumulate(t1)
    heads = np.concatenate([[True], t0[1:] > reach[:-1]])
    return Intervals(t0[heads], reach[np.concatenate([heads[1:], [True]])])


def of_spans(spans: Spans, clock: Clock) -> Intervals:
    """The times of stretches of samples."""
    return joined(clock.start_ns(spans), clock.end_ns(spans))


def _counted(parts: Sequence[Intervals]) -> tuple[Ints, NDArray[np.int64]]:
    """All the edges in order, and how many stretches of each part hold from each edge on; (edges, parts x edges)."""
    edges = np.unique(np.concatenate([edge for part in parts for edge in (part.t0_ns, part.t1_ns)]))
    steps = np.zeros((len(parts), len(edges)), np.int64)
    for row, part in zip(steps, parts, strict=True):
        np.add.at(row, np.searchsorted(edges, part.t0_ns), 1)
        np.add.at(row, np.searchsorted(edges, part.t1_ns), -1)
    return edges, np.cumsum(steps, axis=1)


def _where(mask: Mask, edges: Ints) -> Intervals:
    return joined(edges[:-1][mask[:-1]], edges[1:][mask[:-1]]) if len(edges) else NONE


def both(*parts: Intervals) -> Intervals:
    """When all of them hold."""
    edges, counts = _counted(parts)
    return _where(np.asarray((counts > 0).all(axis=0)), edges)


def either(*parts: Intervals) -> Intervals:
    """When at least one of them holds."""
    return joined(np.concatenate([part.t0_ns for part in parts]), np.concatenate([part.t1_ns for part in parts]))


def without(whole: Intervals, part: Intervals) -> Intervals:
    """When the first holds and the second does not."""
    edges, counts = _counted((whole, part))
    return _where((counts[0] > 0) & (counts[1] == 0), edges)


def at_least(count: int, t0_ns: Ints, t1_ns: Ints) -> Intervals:
    """When `count` or more of these stretches, which may overlap, hold together."""
    edges, counts = _counted([Intervals(t0_ns, t1_ns)])
    return _where(counts[0] >= count, edges)


def overlapping(these: Intervals, others: Intervals) -> Mask:
    """For each of these, whether it shares time with one of the others."""
    at = np.searchsorted(others.t1_ns, these.t0_ns, side="right")
    begins = np.append(others.t0_ns, np.iinfo(np.int64).max)[at]
    return np.asarray(begins < these.t1_ns)


def inside(these: Intervals, others: Intervals) -> Mask:
    """For each of these, whether it lies within one of the others from beginning to end."""
    at = np.searchsorted(others.t0_ns, these.t0_ns, side="right") - 1
    ends = np.append(others.t1_ns, np.iinfo(np.int64).min)[at]
    return np.asarray(ends >= these.t1_ns)


def followed(these: Intervals, others: Intervals, *, within_s: float) -> Intervals:
    """From the beginning of each of these to the end of the first other that begins after it did, at most so long after it ended."""
    at = np.searchsorted(others.t0_ns, these.t0_ns, side="right")
    begins = np.append(others.t0_ns, np.iinfo(np.int64).max)[at]
    soon = begins <= these.t1_ns + round(within_s * NS)
    return joined(these.t0_ns[soon], np.maximum(these.t1_ns, np.append(others.t1_ns, 0)[at])[soon])


def widened(these: Intervals, by_s: float) -> Intervals:
    """Each of these with so much time before and after it."""
    by = round(by_s * NS)
    return joined(these.t0_ns - by, these.t1_ns + by)


def long(these: Intervals, *, min_s: float) -> Mask:
    """For each of these, whether it lasts so long (to the microsecond)."""
    return np.asarray(these.t1_ns - these.t0_ns >= min_s * NS - 1000)


def merged(these: Intervals, *, within_s: float) -> Intervals:
    """Stretches less than so long apart become one."""
    if len(these) < 2:
        return these
    apart = these.t0_ns[1:] - these.t1_ns[:-1] >= within_s * NS
    return Intervals(these.t0_ns[np.append(True, apart)], these.t1_ns[np.append(apart, True)])
