"""How a budget is divided: cells by highest averages, then frames that show most new pairs. Pure, and the same for the same inputs.

Seats are given out by d'Hondt's rule: the cell with the highest weight / (1 + what it holds) is served next. So a budget is divided in
proportion to the weights, with real events and standing variations as seats already taken; cells that hold enough come last.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from flywheel.generate.cells import Cell, Closed, cell_of, closed
from flywheel.generate.frames import KeyFrame
from flywheel.generate.ledger import Key, Ledger
from flywheel.generate.pairs import Picture, shown
from flywheel.types import Condition, digest_of

LEVEL_WEIGHT = {"L1": 1.0, "L2": 2.0, "L3": 4.0}
# The share of a budget that is kept for pairs of ODD values which nothing shows yet.
PAIRS_SHARE = 0.2
NAMED_PAIRS = 3


@dataclass(frozen=True)
class Choice:
    """A frame to redraw under a target; `new` is the mask of the pairs it shows first, `pairs`: it was chosen for them."""

    frame: KeyFrame
    target: str
    pairs: bool
    new: int

    @property
    def picture(self) -> Picture:
        """What it adds to coverage."""
        return Picture(self.frame.scenario, self.target, self.frame.odd)


class Chooser:
    """A plan being made: which frames are used, which pairs are shown, what each cell was given."""

    def __init__(self, ledger: Ledger, frames: Sequence[KeyFrame], *, targets: Sequence[Condition], per_event: int) -> None:
        self.ledger, self.per_event, self.targets = ledger, per_event, targets
        self.chosen: list[Choice] = []
        self._used: Counter[Key] = Counter()
        self._taken = set(ledger.made)
        self._drawn: Counter[str] = Counter()
        self._seen = ledger.tuples.of([*ledger.driven, *(one.values for one in (*ledger.accepted, *ledger.waiting))])
        self._queues: dict[Key, list[KeyFrame]] = defaultdict(list)
        self._shut: dict[Key, Counter[str]] = defaultdict(Counter)
        self._can_show: Counter[Key] = Counter()  # the pairs that some frame of a cell shows, as a mask
        for target in targets:
            for frame in sorted(frames, key=lambda frame: _severest(frame, target)):
                self._sort_in(frame, target)
        self._cells = {key: cell_of(ledger, key) for key in self._queues}
        self._held = Counter({key: cell.before for key, cell in self._cells.items()})

    def _sort_in(self, frame: KeyFrame, target: Condition) -> None:
        if frame.source_condition == target.name:
            return
        why = closed(frame, target, self.ledger)
        if why is None:
            self._queues[frame.scenario, target.name].append(frame)
            self._can_show[frame.scenario, target.name] |= self.ledger.tuples.mask(shown(frame.odd, target.name))
        else:
            self._shut[frame.scenario, target.name][why] += 1

    def choose(self, budget: int) -> None:
        """Chooses up to `budget`: most of it by cells, a share for new pairs, and by cells again what no pair needed."""
        self._by_cells(budget - round(budget * PAIRS_SHARE))
        self._by_pairs(budget)
        self._by_cells(budget)

    def _order(self, key: Key) -> tuple[bool, float, float, int, int, Key]:
        """Sorts the neediest cell first; of equal ones that with least exposure, then the condition this plan has drawn least."""
        known, cell, held = self.ledger.cell(key), self._cells[key], self._held[key]
        lighting, _, weather = key[1].rpartition("_")
        drawn = self._drawn[key[1]], self._drawn[lighting] + self._drawn[weather]
        return held >= known.enough, -cell.weight / (1 + held), known.exposure_s, *drawn, key

    def _new(self, frame: KeyFrame, target: str) -> int:
        return self.ledger.tuples.mask(shown(frame.odd, target)) & ~self._seen

    def _best(self, key: Key, *, pairs: bool) -> KeyFrame | None:
        """The frame for a cell: an event's best frame before its next best, an unused before a used one, then most new pairs (or these
        first), then the severest. What may be drawn no longer is forgotten."""
        left = self._queues[key] = [frame for frame in self._queues[key] if self._is_free(frame, key[1])]

        def order(frame: KeyFrame) -> tuple[int, ...]:
            spread, new = (frame.rank, self._used[frame.event_id, frame.parent_sha256]), (-self._new(frame, key[1]).bit_count(),)
            return new + spread if pairs else spread + new

        return min(left, key=order, default=None)

    def _is_free(self, frame: KeyFrame, target: str) -> bool:
        return self._used[frame.event_id, frame.parent_sha256] < self.per_event and (frame.parent_sha256, target) not in self._taken

    def _take(self, frame: KeyFrame, target: str, *, pairs: bool) -> None:
        self.chosen.append(Choice(frame, target, pairs, self._new(frame, target)))
        self._used[frame.event_id, frame.parent_sha256] += 1
        self._taken.add((frame.parent_sha256, target))
        self._seen |= self.chosen[-1].new
        self._held[frame.scenario, target] += 1
        lighting, _, weather = target.rpartition("_")
        self._drawn.update((target, lighting, weather))

    def _by_cells(self, upto: int) -> None:
        left = set(self._queues)
        while left and len(self.chosen) < upto:
            key = min(left, key=self._order)
            if frame := self._best(key, pairs=False):
                self._take(frame, key[1], pairs=False)
            else:
                left.discard(key)

    def _by_pairs(self, upto: int) -> None:
        while len(self.chosen) < upto:
            rich = [key for key in self._queues if self._can_show[key] & ~self._seen]
            offers = [(key, frame) for key in rich if (frame := self._best(key, pairs=True)) and self._new(frame, key[1])]
            if not offers:
                return
            key, frame = min(offers, key=lambda offer: (-self._new(offer[1], offer[0][1]).bit_count(), self._order(offer[0])))
            self._take(frame, key[1], pairs=True)

    def cells(self) -> tuple[Cell, ...]:
        """Every cell that may be filled, by name, with what it was given and why."""
        given: dict[Key, list[Choice]] = defaultdict(list)
        for choice in self.chosen:
            given[choice.frame.scenario, choice.target].append(choice)
        return tuple(self._told(self._cells[key], given[key]) for key in sorted(self._cells))

    def _told(self, cell: Cell, given: Sequence[Choice]) -> Cell:
        new = 0
        for choice in given:
            new |= choice.new
        counts = {"planned": len(given), "for_pairs": sum(choice.pairs for choice in given), "after": cell.before + len(given)}
        return cell.model_copy(update={**counts, "new_pairs": new.bit_count(), "why": _why(cell, self.ledger.tuples.names(new))})

    def closed(self) -> tuple[Closed, ...]:
        """The cells of the frames' scenarios that no frame may fill, each with its commonest reason, by name."""
        shut = {key: why.most_common(1)[0][0] for key, why in self._shut.items() if key not in self._cells}
        return tuple(Closed(scenario=key[0], condition=key[1], why=why) for key, why in sorted(shut.items()))


def _severest(frame: KeyFrame, target: Condition) -> tuple[float, str]:
    """Severest first; ties in an order of their own for each target, so work spreads."""
    return -LEVEL_WEIGHT.get(frame.level, 1.0), digest_of([frame.parent_sha256, frame.event_id, target.name])


def _why(cell: Cell, pairs: Sequence[str]) -> str:
    """The cell's reasons in words."""
    seen = f"{cell.real_events} seen in {cell.exposure_h * 60:.3g} min, up to {cell.upper_per_h or 0:.3g}/h not excluded"
    asked = [f"a model fails here ({cell.demand:.2g})"] if cell.demand else []
    more = f" and {len(pairs) - NAMED_PAIRS} more" if len(pairs) > NAMED_PAIRS else ""
    shows = [f"first to show {', '.join(pairs[:NAMED_PAIRS])}{more}"] if pairs else []
    return "; ".join([seen if cell.exposure_h else "never driven", *asked, *shows])
