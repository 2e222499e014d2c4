"""Commands around generation: plan and draw variations. `flywheel generate` alone draws; its sub-commands do the rest."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel import show
from flywheel.cli_drawing import BatchSize, Compile, Gpus, Options, maker_of, prepared
from flywheel.commands import Batch, Json, Root, app, batches, guarded
from flywheel.store import open_store

if TYPE_CHECKING:
    from flywheel.generate.plan import Plan

generation = typer.Typer(help="Plans and generates variations where coverage is thin.")
app.add_typer(generation, name="generate")

CELL_COLUMNS = (
    "scenario", "condition", "planned", "severity", "thinness", "demand", "may_pass", "weight", "before", "for_pairs", "why",
)  # fmt: skip


@generation.callback(invoke_without_command=True)
@guarded
def generate(
    context: typer.Context,
    root: Root,
    batch: Batch = None,
    generator: str = "bundled",
    budget: Annotated[int, typer.Option(help="Variations a landing batch may cost.")] = 32,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan only.")] = False,
    replan: Annotated[bool, typer.Option("--replan", help="Plan again, even where a batch has a plan already.")] = False,
    gpus: Gpus = None,
    batch_size: BatchSize = None,
    compiled: Compile = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Plans and generates variations where coverage is thin."""
    if context.invoked_subcommand is not None:
        return
    from flywheel.generate.plan import plan_batch

    store = open_store(root)
    info, draw = prepared(maker_of(generator, options=option, batch_size=batch_size, compiled=compiled), gpus=gpus)
    plans = [
        plan_batch(store, name, generator=info, budget=budget, replan=replan, pin=not dry_run) for name in batches(store, batch)
    ]
    if not as_json:
        for plan in plans:
            show_plan(plan)
    if dry_run:
        if as_json:
            show.emit_json([row for plan in plans for row in requests_of(plan)])
        return
    show.emit_rows(draw(store, plans), title="generate", as_json=as_json)


def requests_of(plan: "Plan") -> list[dict[str, Any]]:
    """A plan's requests as plain rows, each with the cell it fills."""
    cells = {(cell.scenario, cell.condition): cell.model_dump(mode="json") for cell in plan.cells}
    return [
        request.model_dump(mode="json") | {"cell": cells.get((request.scenario, request.target_condition))} for request in plan.requests
    ]


def show_plan(plan: "Plan") -> None:
    """The cells a plan fills and why, those it may not fill, and how coverage is expected to change."""
    title = f"plan {plan.number} of batch {plan.batch_id}: {len(plan.requests)} of {plan.budget}, drawn by {plan.generator.name}"
    show.emit_rows(plan.chosen(), title=title, as_json=False, columns=CELL_COLUMNS)
    shut = Counter(cell.why for cell in plan.closed)
    show.emit_rows([{"not asked for, because": why, "cells": count} for why, count in shut.most_common()], title="closed", as_json=False)
    if plan.outlook is not None:
        show.emit_rows(plan.outlook.measures, title=_title(plan), as_json=False)
    _say(plan.notes)


def _title(plan: "Plan") -> str:
    said = plan.outlook
    assert said is not None
    rate = "nothing judged yet" if said.rate is None else f"acceptance so far {said.rate:.0%} ({said.low:.0%} to {said.high:.0%})"
    return f"expected change of coverage ({rate}; real exposure stays {said.exposure_h:.3g} h)"


def _say(notes: Sequence[str]) -> None:
    for note in notes:
        show.out.print(f"note: {note}", highlight=False, markup=False)
