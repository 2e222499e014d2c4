"""How coverage changes: now, if all that is planned were accepted, and at the acceptance seen so far. Pure functions.

Three measures: cells with an example, examples that cells still lack, and pairs of ODD values that something shows. In each the real
part stands by itself, and nothing here adds to it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from math import prod

from flywheel.generate.cells import wilson
from flywheel.generate.ledger import ANY, Key, Ledger
from flywheel.generate.pairs import Picture
from flywheel.types import Condition, Record


class Measure(Record):
    """One measure of coverage. `real` is what drives alone give, `before` adds accepted variations, `if_all` the planned ones too.

    `expected` counts a planned one with the chance that it is accepted; None before anything was judged.
    """

    what: str
    possible: int
    real: int
    before: int
    if_all: int
    expected: float | None


class Outlook(Record):
    """The expected change of coverage, with the acceptance it rests on (Wilson 95 %) and the real exposure, which no plan changes."""

    judged: int
    accepted: int
    rate: float | None
    low: float
    high: float
    exposure_h: float
    measures: tuple[Measure, ...]


def outlook(ledger: Ledger, hoped: Sequence[Picture], *, reach: Collection[Key]) -> Outlook:
    """The change that these pictures would bring; `reach` are the cells that the frames at hand could fill."""
    judged, accepted = ledger.acceptance.judged, ledger.acceptance.accepted
    low, high = wilson(judged, accepted)
    cells = [key for key, known in ledger.known.items() if key[1] != ANY and known.possible and _inside(ledger, key[1])]
    planned = Counter(picture.cell for picture in hoped)
    near = [key for key in cells if key in reach]
    return Outlook(
        judged=judged, accepted=accepted, rate=accepted / judged if judged else None, low=low, high=high,
        exposure_h=round(max((known.exposure_s for (_, name), known in ledger.known.items() if name == ANY), default=0.0) / 3600, 9),
        measures=(
            _filled("cells with an example", ledger, cells, planned),
            _filled("of them within reach of these frames", ledger, near, planned),
            _lacking("examples that cells still lack", ledger, cells, planned),
            _pairs("pairs of ODD values shown", ledger, hoped),
        ),
    )  # fmt: skip


def _inside(ledger: Ledger, condition: str) -> bool:
    said = Condition.parse(condition)
    return ledger.domain.outside({"illumination": said.lighting, "weather": said.weather}) is None


def _filled(what: str, ledger: Ledger, cells: Sequence[Key], planned: Counter[Key]) -> Measure:
    real = {key for key in cells if ledger.cell(key).real_events}
    before = real | {key for key in cells if ledger.synthetic(key)[0]}
    rest = [key for key in cells if key not in before and planned[key]]
    chances = [(ledger.acceptance.likely(key[1]), planned[key]) for key in rest]
    expected = len(before) + sum(1 - (1 - p) ** n for p, n in chances if p is not None)
    return Measure(
        what=what, possible=len(cells), real=len(real), before=len(before), if_all=len(before) + len(rest),
        expected=round(expected, 1) if ledger.acceptance.judged else None,
    )  # fmt: skip


def _lacking(what: str, ledger: Ledger, cells: Sequence[Key], planned: Counter[Key]) -> Measure:
    """Examples missing up to `enough` in each cell; `expected` takes the mean number of accepted ones."""

    def lack(more: Sequence[float]) -> float:
        rest = zip(cells, more, strict=True)
        return sum(max(ledger.cell(key).enough - ledger.cell(key).real_events - n, 0) for key, n in rest)

    accepted = [ledger.synthetic(key)[0] for key in cells]
    likely = [n + (ledger.acceptance.likely(key[1]) or 0.0) * planned[key] for key, n in zip(cells, accepted, strict=True)]
    return Measure(
        what=what, possible=sum(ledger.cell(key).enough for key in cells), real=int(lack([0] * len(cells))), before=int(lack(accepted)),
        if_all=int(lack([n + planned[key] for key, n in zip(cells, accepted, strict=True)])),
        expected=round(lack(likely), 1) if ledger.acceptance.judged else None,
    )  # fmt: skip


def _pairs(what: str, ledger: Ledger, hoped: Sequence[Picture]) -> Measure:
    tuples = ledger.tuples
    real, before = tuples.of(ledger.driven), tuples.of([*ledger.driven, *(picture.values for picture in ledger.accepted)])
    masks = [(tuples.mask(picture.values), ledger.acceptance.likely(picture.condition) or 0.0) for picture in hoped]
    new = tuples.of(picture.values for picture in hoped) & ~before
    bits = [k for k in range(len(tuples)) if new >> k & 1]
    expected = before.bit_count() + sum(1 - prod(1 - p for mask, p in masks if mask >> k & 1) for k in bits)
    return Measure(
        what=what, possible=len(tuples), real=real.bit_count(), before=before.bit_count(), if_all=(before | new).bit_count(),
        expected=round(expected, 1) if ledger.acceptance.judged else None,
    )  # fmt: skip
