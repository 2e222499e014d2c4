"""Commands around generation: plan and draw variations. `flywheel generate` alone draws; its sub-commands do the rest."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel import show
from flywheel.cli_drawing import BatchSize, Compile, Gpus, Options, maker_of, prepared
from flywheel.commands import Batch, Json, Root, app, batches, command, guarded
from flywheel.plan_tables import show_effect, show_plan
from flywheel.store import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flywheel.generate.plan import Plan
    from flywheel.store import Store

REPORT = ("batch_id", "planned", "done", "failed", "skipped", "reasons", "seconds")
generation = typer.Typer(help="Plans and generates variations where coverage is thin.")
app.add_typer(generation, name="generate")


@generation.callback(invoke_without_command=True)
@guarded
def generate(
    context: typer.Context,
    root: Root,
    batch: Batch = None,
    generator: str = "bundled",
    recipe: Annotated[str | None, typer.Option(help="A generation recipe (flywheel recipes): targets, clips, inserted objects.")] = None,
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
    from flywheel.generate.recipes import recipe_named

    store = open_store(root)
    info, draw = prepared(maker_of(generator, options=option, batch_size=batch_size, compiled=compiled), gpus=gpus)
    asked = recipe_named(recipe) if recipe else None
    plans = [
        plan_batch(store, name, generator=info, budget=budget, recipe=asked, replan=replan, pin=not dry_run)
        for name in batches(store, batch)
    ]
    if not as_json:
        for plan in plans:
            show_plan(plan)
    if dry_run:
        if as_json:
            show.emit_json([row for plan in plans for row in requests_of(plan)])
        return
    reports = draw(store, plans)
    show.emit_rows(reports, title="generate", as_json=as_json, columns=REPORT)
    if not as_json:
        show_effects(store, plans)
        show.out.print("next: `flywheel curate` judges what was drawn, `flywheel coverage` shows what that changed", highlight=False)


@command(generation, name="retry")
def retry(
    root: Root,
    batch: Batch = None,
    generator: str = "bundled",
    share: Annotated[float, typer.Option(help="At most this share of a plan's size is drawn again.")] = 0.25,
    attempts: Annotated[int, typer.Option(help="At most so many more tries of one request.")] = 2,
    batch_size: BatchSize = None,
    compiled: Compile = None,
    option: Options = None,
    as_json: Json = False,
) -> None:
    """Draws again what the gates turned away: another seed, and less or more strength where the generator has one."""
    from flywheel.generate.plan import pinned_plan
    from flywheel.generate.retry import RetryPolicy, retry_rejected

    store, engine = open_store(root), maker_of(generator, options=option, batch_size=batch_size, compiled=compiled)()
    plans = [plan for name in batches(store, batch) if (plan := pinned_plan(store, name))]
    policy = RetryPolicy(attempts=attempts, share=share)
    reports = [report for plan in plans for report in retry_rejected(store, plan, engine, policy=policy)]
    show.emit_rows(reports, title="retries", as_json=as_json, columns=REPORT)


@command(generation, name="plan")
def plan_command(
    root: Root,
    batch: Batch = None,
    as_json: Json = False,
) -> None:
    """The plans that hold: the cells they chose and why, and coverage before them and now."""
    from flywheel.generate.effect import effect
    from flywheel.generate.plan import pinned_plan

    store = open_store(root)
    plans = [plan for name in batches(store, batch) if (plan := pinned_plan(store, name))]
    if as_json:
        show.emit_json([{"plan": plan, "effect": effect(store, plan)} for plan in plans])
        return
    for plan in plans:
        show_plan(plan)
    show_effects(store, plans)


def show_effects(store: "Store", plans: "Sequence[Plan]") -> None:
    """What became of plans."""
    from flywheel.generate.effect import effect

    for plan in plans:
        if found := effect(store, plan):
            show_effect(found)


def requests_of(plan: "Plan") -> list[dict[str, Any]]:
    """A plan's requests as plain rows, each with the cell it fills."""
    cells = {(cell.scenario, cell.condition): cell.model_dump(mode="json") for cell in plan.cells}
    return [
        request.model_dump(mode="json") | {"cell": cells.get((request.scenario, request.target_condition))} for request in plan.requests
    ]
