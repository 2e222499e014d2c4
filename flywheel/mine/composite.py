"""A catalogue entry with a query as a scenario like any other: its hits, and when it could have been seen."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from flywheel.errors import BadData, NotEvaluable
from flywheel.mine import query as q
from flywheel.mine.answer import Asking
from flywheel.mine.boxes import EGO
from flywheel.mine.catalogue import Scenario, Threshold, scenario
from flywheel.mine.hits import Hit
from flywheel.mine.intervals import Intervals, long, merged, overlapping
from flywheel.mine.leaves import LEVELS, HitsOf
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Mask
from flywheel.mine.threefold import Answer, Fact

QUANTITIES = ("duration", "actors")


def ask(drive: Drive, node: q.Node, *, hits_of: HitsOf) -> tuple[Answer, list[str]]:
    """The answer for the drive, in ns since its beginning, and why parts of it could not be evaluated."""
    asking = Asking(drive, hits_of)
    return asking.answer(node, asking.whole), asking.reasons


def checked(entry: Scenario, *, of: tuple[str, ...] = ()) -> q.Node:
    """The entry's query, checked with the queries of all scenarios it is made of; BadData for what is wrong, or goes in a circle."""
    if entry.name in of:
        raise BadData(f"scenario {entry.name!r} asks for itself: {' -> '.join((*of, entry.name))}")
    node = q.parse(entry.where, f"scenario {entry.name!r}: where")
    for part in q.leaves(node):
        if isinstance(part, q.Mined) and scenario(part.scenario).where is not None:
            checked(scenario(part.scenario), of=(*of, entry.name))
    for limit in (limit for found in entry.levels.values() for limit in found if limit.quantity not in QUANTITIES):
        raise BadData(f"scenario {entry.name!r}: threshold {limit.quantity}: a query is graded by {' and '.join(QUANTITIES)}")
    return node


def _asked(drive: Drive, entry: Scenario, hits_of: HitsOf) -> Answer:
    """The answer to an entry's query, worked out once; NotEvaluable where a missing part leaves anything open."""
    key = f"query {entry.digest}"
    if key not in drive.memo:
        drive.memo[key] = ask(drive, checked(entry), hits_of=hits_of)
    found, reasons = drive.memo[key]
    if reasons and len(found.open):
        raise NotEvaluable(", ".join(reasons))
    answer: Answer = found
    return answer


def composite(drive: Drive, entry: Scenario, *, hits_of: HitsOf) -> list[Hit]:
    """The detector of every entry with a query: its stretches, joined and long enough as the entry says.

    The level is that of the mildest scenario in it (1 without any), or the highest whose `duration` the event reaches, if that is more.
    """
    found = _asked(drive, entry, hits_of)
    when = merged(found.sure.take(long(found.sure, min_s=entry.min_duration_s)), within_s=entry.merge_s)
    hits = [event(drive, int(a), int(b), found.facts) for a, b in zip(when.t0_ns, when.t1_ns, strict=True)]
    return [graded for hit in hits if (graded := _graded(hit, entry))]


def event(drive: Drive, t0_ns: int, t1_ns: int, facts: Iterable[Fact]) -> Hit:
    """The event of one stretch (ns since the drive's beginning): who was in it, its level, its peak where that of its first scenario is."""
    inside_it = [fact for fact in facts if fact.t0_ns < t1_ns and fact.t1_ns > t0_ns]
    levels = [fact.level for fact in inside_it if fact.level]
    peaks = [fact.t_peak_ns for fact in inside_it if fact.level and t0_ns <= fact.t_peak_ns - drive.t0_ns <= t1_ns]
    actors = tuple(sorted({name for fact in inside_it for name in fact.actors if name != EGO}))
    t0, t1 = drive.t0_ns + t0_ns, drive.t0_ns + t1_ns
    return Hit(t0, t1, peaks[0] if peaks else (t0 + t1) // 2, (t1 - t0) / NS, min(levels, default=1), actors)


def _graded(hit: Hit, entry: Scenario) -> Hit | None:
    """The hit at the highest level whose duration it reaches, if it reaches the first level's."""
    reached = [LEVELS[level] for level, limits in entry.levels.items() if all(_reaches(hit, t) for t in limits)]
    if entry.levels and min(LEVELS[level] for level in entry.levels) not in reached:
        return None
    return replace(hit, level=max([hit.level, *reached]))


def _reaches(hit: Hit, limit: Threshold) -> bool:
    value = hit.peak if limit.quantity == "duration" else len(hit.actors)
    return {"<=": value <= limit.value, ">=": value >= limit.value, "<": value < limit.value, ">": value > limit.value}[limit.sign]


def decided(drive: Drive, entry: Scenario, *, hits_of: HitsOf) -> Mask:
    """At which of the grid's instants the entry's query is answered, yes or no."""
    unknown, at = _asked(drive, entry, hits_of).open, drive.grid_ns - drive.t0_ns
    return ~np.asarray(overlapping(Intervals(at, at + 1), unknown))
