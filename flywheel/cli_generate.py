"""Commands around generation: plan and draw variations. `flywheel generate` alone draws; its sub-commands do the rest."""

from typing import Annotated

import typer

from flywheel import show
from flywheel.commands import Batch, Json, Root, app, batches, guarded, plugin
from flywheel.store import open_store

generation = typer.Typer(help="Plans and generates variations where coverage is thin.")
app.add_typer(generation, name="generate")


@generation.callback(invoke_without_command=True)
@guarded
def generate(
    context: typer.Context,
    root: Root,
    batch: Batch = None,
    generator: str = "bundled",
    budget: Annotated[int, typer.Option(help="Variations a landing batch may cost.")] = 32,
    dry_run: Annotated[bool, typer.Option(help="Show the plan only.")] = False,
    as_json: Json = False,
) -> None:
    """Plans and generates variations where coverage is thin."""
    if context.invoked_subcommand is not None:
        return
    from flywheel.generate.plan import plan_batch
    from flywheel.generate.run import run_plan

    store = open_store(root)
    engine = plugin("flywheel.generators", generator)()
    plans = [plan_batch(store, name, generator=engine.info, budget=budget, pin=not dry_run) for name in batches(store, batch)]
    if dry_run:
        show.emit_rows([request for plan in plans for request in plan.requests], title="planned variations", as_json=as_json)
        return
    show.emit_rows([run_plan(store, plan, engine) for plan in plans], title="generate", as_json=as_json)
