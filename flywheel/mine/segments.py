"""Stretches of samples on which a condition holds: found, joined, measured and graded without a Python loop.

A stretch is a pair of sample indices, first and last, both inside it. Its time runs from its first sample to the first
sample at which the condition no longer holds, so a lone sample lasts one sample period.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
Reals = NDArray[np.float64]
NS = 1_000_000_000


@dataclass(frozen=True)
class Spans:
    """Disjoint stretches in time order: `first` and `last` hold the indices of their outermost samples."""

    first: Ints
    last: Ints

    def __len__(self) -> int:
        return len(self.first)

    def take(self, chosen: Mask) -> "Spans":
        """The chosen stretches."""
        return Spans(self.first[chosen], self.last[chosen])


@dataclass(frozen=True)
class Clock:
    """Sample times that only grow, and the longest step that still counts as continuous."""

    t_ns: Ints
    max_gap_ns: int

    @cached_property
    def steps_ns(self) -> Ints:
        """From each sample to the next."""
        return np.diff(self.t_ns)

    @cached_property
    def period_ns(self) -> int:
        """Median step; 0 with fewer than two samples. A step that more than half of all are equal to needs no sorting."""
        if len(self.t_ns) < 2:
            return 0
        steps = self.steps_ns
        guess = steps[len(steps) // 2]
        return int(guess if 2 * np.count_nonzero(steps == guess) > len(steps) else np.median(steps))

    def bridging(self, max_gap_ns: int) -> "Clock":
        """The same times with another longest step."""
        made = Clock(self.t_ns, max_gap_ns)
        vars(made).update(steps_ns=self.steps_ns, period_ns=self.period_ns)
        return made

    @cached_property
    def broken(self) -> Mask:
        """True at each sample that follows a gap."""
        return np.concatenate([np.zeros(min(len(self.t_ns), 1), bool), self.steps_ns > self.max_gap_ns])

    @cached_property
    def breaks(self) -> Ints:
        """The samples that follow a gap."""
        return np.flatnonzero(self.broken).astype(np.int64)

    def start_ns(self, spans: Spans) -> Ints:
        """When each stretch begins."""
        return self.t_ns[spans.first]

    def end_ns(self, spans: Spans) -> Ints:
        """When each stretch no longer holds: the next sample's time, or one period on where samples end."""
        if len(spans) == 0:
            return spans.last
        follows = np.minimum(spans.last + 1, len(self.t_ns) - 1)
        step = self.t_ns[follows] - self.t_ns[spans.last]
        usual = (step > 0) & (step <= self.max_gap_ns)
        return self.t_ns[spans.last] + np.where(usual, step, self.period_ns)


def runs(mask: Mask, clock: Clock) -> Spans:
    """Maximal stretches on which the mask is true; a gap in time ends one."""
    if len(mask) == 0:
        return Spans(np.zeros(0, np.int64), np.zeros(0, np.int64))
    edges = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    edges = np.concatenate([np.zeros(int(mask[0]), np.int64), edges, np.full(int(mask[-1]), len(mask), np.int64)])
    first, last = edges[::2], edges[1::2] - 1
    inside = clock.breaks[mask[clock.breaks] & mask[clock.breaks - 1]]
    if len(inside) == 0:
        return Spans(first, last)
    return Spans(np.sort(np.concatenate([first, inside])), np.sort(np.concatenate([last, inside - 1])))


def hysteresis(enter: Mask, hold: Mask, clock: Clock) -> Spans:
    """Stretches that begin where `enter` first holds and last while `hold` or `enter` does."""
    wide = runs(enter | hold, clock)
    entries = np.flatnonzero(enter)
    if len(entries) == 0:
        return Spans(entries.astype(np.int64), entries.astype(np.int64))
    at = np.searchsorted(entries, wide.first)
    begins = entries[np.minimum(at, len(entries) - 1)]
    entered = (at < len(entries)) & (begins <= wide.last)
    return Spans(begins[entered].astype(np.int64), wide.last[entered])


def lasting(spans: Spans, clock: Clock, *, min_s: float) -> Spans:
    """The stretches of at least `min_s` seconds (to the microsecond)."""
    return spans.take(clock.end_ns(spans) - clock.start_ns(spans) >= min_s * NS - 1000)


def merge(spans: Spans, clock: Clock, *, within_s: float) -> Spans:
    """Stretches less than `within_s` seconds apart become one."""
    if len(spans) < 2:
        return spans
    apart = clock.start_ns(spans)[1:] - clock.end_ns(spans)[:-1] >= within_s * NS
    heads = np.concatenate([[True], apart])
    tails = np.concatenate([apart, [True]])
    return Spans(spans.first[heads], spans.last[tails])


def touched(spans: Spans, parts: Spans) -> Mask:
    """For each stretch, whether one of `parts` begins inside it."""
    at = np.searchsorted(parts.first, spans.first)
    begins = np.concatenate([parts.first, [np.iinfo(np.int64).max]])[at]
    return np.asarray(begins <= spans.last)


def graded(levels: Sequence[Mask], hold: Mask, clock: Clock, *, min_s: float, merge_s: float) -> tuple[Spans, Ints]:
    """Events and their levels (1 is the mildest) from one mask a level, each harder than the one before.

    A level counts where its mask holds for `min_s` without a break. A stretch begins at level 1, ends when `hold` ends,
    and joins the next one if that begins within `merge_s`.
    """
    proofs = [lasting(runs(mask, clock), clock, min_s=min_s) for mask in levels]
    spans = hysteresis(levels[0], hold, clock)
    spans = merge(spans.take(touched(spans, proofs[0])), clock, within_s=merge_s)
    level = np.zeros(len(spans), np.int64)
    for rank, proof in enumerate(proofs, 1):
        level[touched(spans, proof)] = rank
    return spans, level
