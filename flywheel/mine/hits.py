"""What a detector gives back, and the shape every detector has."""

from collections.abc import Callable
from dataclasses import dataclass

from flywheel.mine.catalogue import Scenario
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import Clock, Ints, Reals, Spans


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
    start, end = clock.start_ns(spans), clock.end_ns(spans)
    found = []
    for i, (first, last) in enumerate(zip(spans.first, spans.last, strict=True)):
        at = int(first + values[first : last + 1].argmin())
        found.append(Hit(int(start[i]), int(end[i]), int(clock.t_ns[at]), float(values[at]), int(level[i])))
    return found
