"""What a query asks of a drive directly, in three values: scenarios, relations, conditions, strata and numbers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flywheel.errors import NotEvaluable
from flywheel.mine import query as q
from flywheel.mine.boxes import EGO, STRIDE_NS, Boxes
from flywheel.mine.catalogue import Scenario, scenario
from flywheel.mine.hits import Hit
from flywheel.mine.intervals import either, joined, of_spans, without
from flywheel.mine.odd import Strata, strata
from flywheel.mine.prepare import Drive
from flywheel.mine.related import Relation
from flywheel.mine.relations import OF_ONE, OF_TWO, ON_THE_MAP
from flywheel.mine.segments import NS, Clock, Ints, Mask, runs
from flywheel.mine.signals import CONDITION_NAMES, Sky, column, times
from flywheel.mine.threefold import Answer, Fact, Scope
from flywheel.odd import UNKNOWN
from flywheel.odd import parse as parse_odd
from flywheel.types import LIGHTINGS, WEATHERS

HitsOf = Callable[[Drive, Scenario], list[Hit]]
AHEAD = ("junction_m", "stop_line_m", "crosswalk_m", "lane_ends_m")  # null where there is none ahead: a "no", not a gap
LEVELS = {"L1": 1, "L2": 2, "L3": 3}


@dataclass
class Leaves:
    """One drive asked; `reasons` gathers why parts could not be evaluated at all."""

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

    def need(self, *signals: Any) -> None:
        """NotEvaluable unless the drive has these kinds of signals."""
        lacks = [why for why in (self.drive.missing(signal) for signal in signals) if why]
        if lacks:
            raise NotEvaluable(", ".join(lacks))

    def leaf(self, node: q.Node, scope: Scope) -> Answer:
        """The answer to a query without parts; NotEvaluable where the drive cannot answer it."""
        match node:
            case q.Mined():
                return self._mined(node, scope)
            case q.Condition():
                self.need("environment")
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
            self.need("environment")
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
            self.need("tracks")
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
        others = boxes.track == 0 if node.of == EGO else boxes.is_a(classes_in(node.of)) & (boxes.track > 0)
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


def classes_in(said: str | tuple[str, ...]) -> tuple[str, ...]:
    """The classes that a word or words of a query stand for; none for any."""
    names = (said,) if isinstance(said, str) else said
    return () if "any" in names else tuple(cls for name in names for cls in q.CLASSES[name])


def _within(values: Any, node: q.Signal) -> Mask:
    bounds = ((node.below, np.less), (node.at_most, np.less_equal), (node.above, np.greater), (node.at_least, np.greater_equal))
    return np.asarray(np.all([compare(values, bound) for bound, compare in bounds if bound is not None], axis=0))
