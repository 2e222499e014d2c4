"""What three-valued answers are made of: when something surely holds, when it may, who was in it, and on whose timeline."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flywheel.mine.boxes import STRIDE_NS
from flywheel.mine.intervals import Intervals, both, either, followed, joined, overlapping, widened, without
from flywheel.mine.segments import Ints


class Fact(NamedTuple):
    """Who took part in a part of a query, and when (on the timelines of its scope); level 0 where it is no scenario."""

    t0_ns: int
    t1_ns: int
    actors: tuple[str, ...]
    level: int = 0
    t_peak_ns: int = 0


@dataclass(frozen=True)
class Answer:
    """When it surely holds, when it may hold, and who was in it."""

    sure: Intervals
    maybe: Intervals
    facts: tuple[Fact, ...] = ()

    @property
    def open(self) -> Intervals:
        """When nobody can say."""
        return without(self.maybe, self.sure)


@dataclass(frozen=True)
class Scope:
    """The timelines a query is answered on: that of the ego (track 0), or one for each of some tracks; `windows` when each exists."""

    tracks: Ints
    windows: Intervals

    def tiled(self, once: Intervals) -> Intervals:
        """What holds of the whole drive, on every timeline."""
        shift = self.tracks[:, None] * STRIDE_NS
        return both(joined((once.t0_ns + shift).ravel(), (once.t1_ns + shift).ravel()), self.windows)


def in_turn(parts: list[Answer], within_s: float) -> Answer:
    """One part after another. Where a part is open, anything from the one before on may be."""
    found = parts[0]
    for after in parts[1:]:
        sure = followed(found.sure, after.sure, within_s=within_s)
        if len(found.open) or len(after.open):
            reach = widened(found.maybe, within_s)
            maybe = either(sure, reach.take(overlapping(reach, after.maybe)))
        else:
            maybe = sure
        found = Answer(sure, maybe)
    return found


def sharing(facts: Iterable[Fact], when: Intervals) -> list[Fact]:
    """Facts that share time with some of these stretches."""
    kept = list(facts)
    t0, t1 = (np.array([fact[k] for fact in kept], np.int64) for k in (0, 1))
    return [fact for fact, keep in zip(kept, overlapping(Intervals(t0, t1), when), strict=True) if keep]
