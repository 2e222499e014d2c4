"""What became of a plan: coverage before it and now, cell by cell, and what still waits for a verdict."""

from collections import Counter

from flywheel.generate.ledger import FAILED, WAITING, judged, picture, read_ledger
from flywheel.generate.outlook import Measure, Outlook, outlook
from flywheel.generate.plan import Plan
from flywheel.store import Store
from flywheel.types import Record
from flywheel.verdicts import ACCEPT, REJECT


class CellEffect(Record):
    """One cell that a plan chose: `before` and `now` are real events plus accepted variations, `real` the events alone, now.

    `planned` is the sum of `accepted`, `rejected`, `waiting` (drawn, without a verdict), `failed` and what is not drawn yet.
    """

    scenario: str
    condition: str
    real: int
    before: int
    planned: int
    accepted: int
    rejected: int
    waiting: int
    failed: int
    now: int
    why: str


class Effect(Record):
    """A plan's effect. `before` is what the plan saw; `now` is read from the tables, with what waits as what is hoped for."""

    batch_id: str
    number: int
    budget: int
    planned: int
    drawn: int
    before: tuple[Measure, ...]
    now: Outlook
    cells: tuple[CellEffect, ...]


def effect(store: Store, plan: Plan) -> Effect | None:
    """What the tables say of a plan's requests now; None for a plan that had no frame to vary."""
    if plan.outlook is None:
        return None
    asked, ledger = {request.variation_id for request in plan.requests}, read_ledger(store, generator=plan.generator)
    rows = [row for row in judged(store) if row["variation_id"] in asked]
    found = Counter((row["scenario"], row["target_condition"], row["verdict"]) for row in rows)
    cells = []
    for cell in plan.chosen():
        key = cell.scenario, cell.condition
        counts = {name: found[*key, verdict] for name, verdict in zip(NAMES, VERDICTS, strict=True)}
        real = ledger.cell(key).real_events
        cells.append(CellEffect(
            scenario=cell.scenario, condition=cell.condition, real=real, before=cell.real_events + cell.accepted, planned=cell.planned,
            now=real + ledger.synthetic(key)[0], why=cell.why, **counts,
        ))  # fmt: skip
    reach = {(cell.scenario, cell.condition) for cell in plan.cells}
    return Effect(
        batch_id=plan.batch_id, number=plan.number, budget=plan.budget, planned=len(plan.requests), drawn=len(rows),
        before=plan.outlook.measures, now=outlook(ledger, [picture(row) for row in rows if row["verdict"] == WAITING], reach=reach),
        cells=tuple(cells),
    )  # fmt: skip


NAMES = ("accepted", "rejected", "waiting", "failed")
VERDICTS = (ACCEPT, REJECT, WAITING, FAILED)
