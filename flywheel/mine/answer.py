"""Queries answered on a drive, in three values: when a query surely holds, when it may, and never a "no" where nobody could know.

Every part gives two sets of time: `sure` and, around it, `maybe` (sure, or not known). Both go through the same operators, `not`
swaps them. Inside `some` there is a timeline for each track, laid one after another (see `boxes`), so that one operator works on all.
"""

from dataclasses import replace

import numpy as np

from flywheel.errors import NotEvaluable
from flywheel.mine import query as q
from flywheel.mine.boxes import STRIDE_NS
from flywheel.mine.intervals import (
    NONE,
    Intervals,
    at_least,
    both,
    either,
    inside,
    joined,
    long,
    merged,
    of_spans,
    overlapping,
    widened,
    without,
)
from flywheel.mine.leaves import Leaves, classes_in
from flywheel.mine.segments import NS, runs
from flywheel.mine.threefold import Answer, Fact, Scope, in_turn, sharing


class Asking(Leaves):
    """One query on one drive."""

    def answer(self, node: q.Node, scope: Scope) -> Answer:
        """The answer to any query; a part that the drive cannot answer is open throughout."""
        try:
            found = self._combined(node, scope) if q.children(node) or isinstance(node, q.Some) else self.leaf(node, scope)
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
                return replace(in_turn(parts, node.within_s), facts=facts)
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
        self.need("tracks")
        rows = self.boxes.is_a(classes_in(node.some)) & (self.boxes.track > 0)
        there = of_spans(runs(rows, self.boxes.clock), self.boxes.clock)
        inner = Scope(np.unique(self.boxes.track[rows]), merged(there, within_s=STRIDE_NS / 4 / NS))
        found = self.answer(node.where, inner) if node.where else Answer(there, there)
        sure, maybe = both(found.sure, there), both(found.maybe, inner.windows)
        facts = [Fact(a % STRIDE_NS, b % STRIDE_NS, (self.boxes.names[a // STRIDE_NS],))
                 for a, b in zip(sure.t0_ns.tolist(), sure.t1_ns.tolist(), strict=True)]  # fmt: skip
        facts += [fact._replace(t0_ns=fact.t0_ns % STRIDE_NS, t1_ns=fact.t1_ns % STRIDE_NS) for fact in sharing(found.facts, sure)]
        counted = [at_least(node.min_number, part.t0_ns % STRIDE_NS, part.t1_ns % STRIDE_NS) for part in (sure, maybe)]
        return Answer(scope.tiled(counted[0]), scope.tiled(counted[1]), tuple(facts))
