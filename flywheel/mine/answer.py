"""Queries answered on a drive, in three values: when a query surely holds, when it may, and never a "no" where nobody could know.

Every part gives two sets of time: `sure` and, around it, `maybe` (sure, or not known). Both go through the same operators, `not`
swaps them. Inside `some` there is a timeline for each track, laid one after another (see `boxes`), so that one operator works on all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from flywheel.errors import NotEvaluable
from flywheel.mine import query as q
from flywheel.mine.boxes import EGO, STRIDE_NS, Boxes
from flywheel.mine.catalogue import Scenario, scenario
from flywheel.mine.hits import Hit
from flywheel.mine.intervals import (
    NONE,
    Intervals,
    at_least,
    both,
    either,
    followed,
    inside,
    joined,
    long,
    merged,
    of_spans,
    overlapping,
    widened,
    without,
)
from flywheel.mine.odd import UNKNOWN, Strata, strata
from flywheel.mine.odd import parse as parse_odd
from flywheel.mine.prepare import Drive
from flywheel.mine.related import Relation
from flywheel.mine.relations import OF_ONE, OF_TWO, ON_THE_MAP
from flywheel.mine.segments import NS, Clock, Ints, Mask, runs
from flywheel.mine.signals import CONDITION_NAMES, Sky, column, times
from flywheel.types import LIGHTINGS, WEATHERS

HitsOf = Callable[[Drive, Scenario], list[Hit]]
AHEAD = ("junction_m", "stop_line_m", "crosswalk_m", "lane_ends_m")  # null where there is none ahead: a "no", not a gap
LEVELS = {"L1": 1, "L2": 2, "L3": 3}


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


@dataclass
class Asking:
    """One query on one drive; `reasons` gathers why parts could not be evaluated at all."""

    drive: Drive
    hits_of: HitsOf
    reasons: list[str] = field(default_factory=list)

    @property
    def boxes(self) -> Boxes:
        """The drive's boxes, made once."""
        if "boxes" not in self.drive.memo:
            self.drive.memo["boxes"] = Boxes(self.drive)
        found: Boxes = self.drive.memo["boxes"]
        return found

    @property
    def whole(self) -> Scope:
        """The ego's timeline: the drive."""
        return Scope(np.zeros(1, np.int64), joined([0], [self.drive.t1_ns - self.drive.t0_ns]))

    def answer(self, node: q.Node, scope: Scope) -> Answer:
        """The answer to any query; a part that the drive cannot answer is open throughout."""
        try:
            found = self._leaf(node, scope) if not q.children(node) else self._combined(node, scope)
        except NotEvaluable as err:
            self.reasons += [str(err)] if str(err) not in self.reasons else []
            return Answer(NONE, scope.windows)
        sure = both(found.sure, scope.windows)
        return replace(found, sure=sure, maybe=both(either(found.maybe, sure), scope.windows))

    def _combined(self, node: q.Node, scope: Scope) -> Answer:
        if isinstance(node, q.Some):
            return self._some(node, scope)
        parts = [self.answer(part, scope) for part in q.children(node)]
        sure, maybe = [part.sure for part in parts], [part.maybe for part in parts]
        facts = tuple(fact for part in parts for fact in part.facts)
        match node:
            case q.Not():
                return Answer(without(scope.windows, maybe[0]), without(scope.windows, sure[0]))
            case q.And():
                return Answer(both(*sure), both(*maybe), facts)
            case q.Or():
                return Answer(either(*sure), either(*maybe), facts)
            case q.Lasting():
                return Answer(sure[0].take(long(sure[0], min_s=node.min_s)), maybe[0].take(long(maybe[0], min_s=node.min_s)), facts)
            case q.Then():
                return replace(_in_turn(parts, node.within_s), facts=facts)
            case q.Pair():
                return self._pair(node, parts[0], parts[1])
        raise AssertionError(node)

    def _pair(self, node: q.Pair, this: Answer, of: Answer) -> Answer:
        def reach(whole: Intervals) -> Intervals:
            if node.within_m:
                return self._within_m(whole, node.within_m)
            return widened(whole, node.within_s or 0)

        chosen = inside(this.sure, of.sure) if node.kind == "during" else overlapping(this.sure, reach(of.sure))
        sure, facts = this.sure.take(chosen), this.facts + of.facts
        if not (len(this.open) or len(of.open)):
            return Answer(sure, sure, facts)
        return Answer(sure, this.maybe.take(overlapping(this.maybe, reach(of.maybe))), facts)

    def _within_m(self, whole: Intervals, within_m: float) -> Intervals:
        """Stretches prolonged by metres of the ego's way, on whichever timeline they are."""
        ego, shift = self.drive.ego, whole.t0_ns // STRIDE_NS * STRIDE_NS
        at_ns, way = ego.clock.t_ns - self.drive.t0_ns, np.maximum.accumulate(ego.travelled_m) + 1e-6 * np.arange(len(ego.speed))
        begin, end = (np.interp(np.interp(t - shift, at_ns, way) + by, way, at_ns)
                      for t, by in ((whole.t0_ns, -within_m), (whole.t1_ns, within_m)))  # fmt: skip
        return either(whole, joined(begin.astype(np.int64) + shift, end.astype(np.int64) + shift))

    def _some(self, node: q.Some, scope: Scope) -> Answer:
        self._need("tracks")
        rows = self.boxes.is_a(_classes(node.some)) & (self.boxes.track > 0)
        there = of_spans(runs(rows, self.boxes.clock), self.boxes.clock)
        inner = Scope(np.unique(self.boxes.track[rows]), merged(there, within_s=STRIDE_NS / 4 / NS))
        found = self.answer(node.where, inner) if node.where else Answer(there, there)
        sure, maybe = both(found.sure, there), both(found.maybe, inner.windows)
        facts = [Fact(a % STRIDE_NS, b % STRIDE_NS, (self.boxes.names[a // STRIDE_NS],))
                 for a, b in zip(sure.t0_ns.tolist(), sure.t1_ns.tolist(), strict=True)]  # fmt: skip
        facts += [fact._replace(t0_ns=fact.t0_ns % STRIDE_NS, t1_ns=fact.t1_ns % STRIDE_NS) for fact in _in(found.facts, sure)]
        counted = [at_least(node.min_number, part.t0_ns % STRIDE_NS, part.t1_ns % STRIDE_NS) for part in (sure, maybe)]
        return Answer(scope.tiled(counted[0]), scope.tiled(counted[1]), tuple(facts))

    def _need(self, *signals: Any) -> None:
        lacks = [why for why in (self.drive.missing(signal) for signal in signals) if why]
        if lacks:
            raise NotEvaluable(", ".join(lacks))

    def _leaf(self, node: q.Node, scope: Scope) -> Answer:
        match node:
            case q.Mined():
                return self._mined(node, scope)
            case q.Some():
                return self._some(node, scope)
            case q.Condition():
                self._need("environment")
                return self._on_grid(self._under(node), np.ones(len(self.drive.grid_ns), bool), scope)
            case q.Odd():
                return self._odd(node, scope)
            case q.Signal():
                return self._signal(node, scope)
            case Relation():
                return self._relation(node, scope)
        raise AssertionError(node)

    def _on_grid(self, holds: Mask, known: Mask, scope: Scope) -> Answer:
        clock = Clock(self.drive.grid_ns - self.drive.t0_ns, NS)
        sure, maybe = (scope.tiled(of_spans(runs(mask, clock), clock)) for mask in (holds & known, holds | ~known))
        return Answer(sure, maybe)

    def _under(self, node: q.Condition) -> Mask:
        names = [f"{light}_{weather}" for light in node.lighting or LIGHTINGS for weather in node.weather or WEATHERS]
        return np.isin(self.drive.grid_conditions, [CONDITION_NAMES.index(name) for name in names])

    def _odd(self, node: q.Odd, scope: Scope) -> Answer:
        """Where a value is unknown, nobody can say, unless it was asked for."""
        if "strata" not in self.drive.memo:
            self.drive.memo["strata"] = strata(self.drive)
        found: Strata = self.drive.memo["strata"]
        values = [parse_odd(name) for name in found.names]
        yes = np.array([all(value[name] in wanted for name, wanted in node.odd.items()) for value in values])
        maybe = np.array([all(value[name] in (*wanted, UNKNOWN) for name, wanted in node.odd.items()) for value in values])
        return self._on_grid(yes[found.code], (yes | ~maybe)[found.code], scope)

    def _mined(self, node: q.Mined, scope: Scope) -> Answer:
        entry = scenario(node.scenario)
        hits = [hit for hit in self.hits_of(self.drive, entry) if hit.level >= LEVELS[node.level]]
        known = self.drive.covered(entry.signals)
        t0 = self.drive.t0_ns
        facts = [(hit, Fact(hit.t0_ns - t0, max(hit.t1_ns, hit.t0_ns + 1) - t0, hit.actors, hit.level, hit.t_peak_ns)) for hit in hits]
        if scope.tracks.tolist() == [0]:
            placed = [fact for _, fact in facts]
        else:
            shift = {name: at * STRIDE_NS for at, name in enumerate(self.boxes.names) if at in set(scope.tracks.tolist())}
            placed = [fact._replace(t0_ns=fact.t0_ns + shift[name], t1_ns=fact.t1_ns + shift[name])
                      for hit, fact in facts for name in hit.actors if name in shift]  # fmt: skip
        blind = self._on_grid(np.zeros(len(known), bool), known, scope).maybe
        sure = joined([fact.t0_ns for fact in placed], [fact.t1_ns for fact in placed])
        return Answer(sure, either(sure, blind), tuple(placed))

    def _signal(self, node: q.Signal, scope: Scope) -> Answer:
        drive, name = self.drive, node.signal
        if name in Sky.NAMES:
            self._need("environment")
            values = drive.sky.at(drive.grid_ns, name)
            return self._on_grid(_within(values, node), np.isfinite(values), scope)
        table = drive.tables.lanes if q.NUMBERS[name] == "LANES" else drive.tables.signals
        if len(table) == 0 or (name not in AHEAD and table[name].null_count == len(table)):
            raise NotEvaluable(f"no {name}")
        values = column(table.set_column(0, name, table[name].cast("float64")), name) if name == "in_junction" else column(table, name)
        told = np.isfinite(values) | (name in AHEAD)
        rate = Clock(times(table)[told] - drive.t0_ns, NS)
        clock = Clock(rate.t_ns, max(NS // 2, 3 * rate.period_ns))
        sure, known = (of_spans(runs(mask, clock), clock) for mask in (_within(values[told], node), np.ones(told.sum(), bool)))
        return Answer(scope.tiled(sure), either(scope.tiled(sure), without(scope.windows, scope.tiled(known))))

    def _relation(self, node: Relation, scope: Scope) -> Answer:
        boxes, one = self.boxes, OF_ONE.get(type(node))
        if not one:
            self._need("tracks")
        if not len(boxes.t_ns):
            raise NotEvaluable("no ego speed")
        subjects = np.isin(boxes.track, scope.tracks)
        told = subjects & boxes.along.known if isinstance(node, ON_THE_MAP) else subjects
        holds, facts = (one(boxes, node), ()) if one else self._with_others(node, subjects)
        sure, known = (of_spans(runs(mask, boxes.clock), boxes.clock) for mask in (holds & told, told))
        return Answer(sure, either(sure, without(scope.windows, known)), tuple(facts))

    def _with_others(self, node: Any, subjects: Mask) -> tuple[Mask, Iterable[Fact]]:
        """Rows that hold a relation to enough others, and who those are."""
        boxes = self.boxes
        others = boxes.track == 0 if node.of == EGO else boxes.is_a(_classes(node.of)) & (boxes.track > 0)
        pairs = boxes.pairs(subjects, others)
        holds = OF_TWO[type(node)](boxes, pairs, node)
        i, j = pairs[0][holds], pairs[1][holds]
        enough = np.bincount(i, minlength=len(boxes.t_ns)) >= max(getattr(node, "min_number", 1), 1)
        return enough, _facts(boxes, i[enough[i]], j[enough[i]])


def _facts(boxes: Boxes, i: Ints, j: Ints) -> list[Fact]:
    """When each other stood in the relation, on the timelines of the subjects."""
    found = []
    for other in np.unique(boxes.track[j]):
        rows = np.unique(i[boxes.track[j] == other])
        mask = np.zeros(len(boxes.t_ns), bool)
        mask[rows] = True
        when = of_spans(runs(mask, boxes.clock), boxes.clock)
        found += [Fact(a, b, (boxes.names[other],)) for a, b in zip(when.t0_ns.tolist(), when.t1_ns.tolist(), strict=True) if other]
    return found


def _classes(said: str | tuple[str, ...]) -> tuple[str, ...]:
    names = (said,) if isinstance(said, str) else said
    return () if "any" in names else tuple(cls for name in names for cls in q.CLASSES[name])


def _within(values: Any, node: q.Signal) -> Mask:
    bounds = ((node.below, np.less), (node.at_most, np.less_equal), (node.above, np.greater), (node.at_least, np.greater_equal))
    return np.asarray(np.all([compare(values, bound) for bound, compare in bounds if bound is not None], axis=0))


def _in_turn(parts: list[Answer], within_s: float) -> Answer:
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


def _in(facts: Iterable[Fact], when: Intervals) -> list[Fact]:
    """Facts that share time with some of these stretches."""
    kept = list(facts)
    shared = overlapping_any(kept, when)
    return [fact for fact, keep in zip(kept, shared, strict=True) if keep]


def overlapping_any(facts: list[Fact], when: Intervals) -> list[bool]:
    """For each fact, whether it shares time with one of these stretches."""
    t0, t1 = (np.array([fact[k] for fact in facts], np.int64) for k in (0, 1))
    return [bool(flag) for flag in overlapping(Intervals(t0, t1), when)]
