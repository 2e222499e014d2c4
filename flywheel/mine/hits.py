"""What a detector gives back, and the shape every detector has."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flywheel.mine.catalogue import Scenario
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Ints, Reals, Spans


@dataclass(frozen=True)
class Hit:
    """One event: onset, end and peak time, its peak in the scenario's unit, level 1 to 3, and who took part."""

    t0_ns: int
    t1_ns: int
    t_peak_ns: int
    peak: float
    level: int
    actors: tuple[str, ...] = ()


Detector = Callable[[Drive, Scenario], list[Hit]]


def lowest(spans: Spans, level: Ints, clock: Clock, values: Reals) -> list[Hit]:
    """A hit for each stretch, its peak where `values` is smallest."""
    return _peaked(spans, level, clock, values, at=[int(values[a : b + 1].argmin()) for a, b in zip(spans.first, spans.last, strict=True)])


def highest(spans: Spans, level: Ints, clock: Clock, values: Reals) -> list[Hit]:
    """A hit for each stretch, its peak where `values` is largest."""
    return _peaked(spans, level, clock, values, at=[int(values[a : b + 1].argmax()) for a, b in zip(spans.first, spans.last, strict=True)])


def _peaked(spans: Spans, level: Ints, clock: Clock, values: Reals, *, at: list[int]) -> list[Hit]:
    """A hit for each stretch, its peak so many samples after its first."""
    peaks, start, end = spans.first + np.array(at, np.int64), clock.start_ns(spans), clock.end_ns(spans)
    columns = (start, end, clock.t_ns[peaks], values[peaks], level)
    return [Hit(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def together(hits: list[Hit], *, merge_s: float) -> list[Hit]:
    """Hits less than the merge time apart as one, with the largest peak, the highest level and everyone who took part."""
    found: list[Hit] = []
    for hit in sorted(hits, key=lambda h: (h.t0_ns, h.t1_ns)):
        if not found or hit.t0_ns - found[-1].t1_ns >= merge_s * NS:
            found.append(hit)
            continue
        before = found.pop()
        strongest = max(before, hit, key=lambda h: h.peak)
        actors = tuple(sorted({*before.actors, *hit.actors}))
        found.append(
            Hit(before.t0_ns, max(before.t1_ns, hit.t1_ns), strongest.t_peak_ns, strongest.peak, max(before.level, hit.level), actors)
        )
    return found
