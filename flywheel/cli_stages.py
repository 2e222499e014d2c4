"""Commands that turn the wheel: the whole of it, or one stage."""

import time
from pathlib import Path
from typing import Annotated

import typer

from flywheel import show
from flywheel.commands import Batch, Json, Root, Scenarios, app, batches, command, plugin
from flywheel.state import state_dir
from flywheel.store import open_store


@command(app)
def fleet(
    out: Annotated[Path, typer.Option(help="Where the drives go.")],
    drives: int = 12,
    seed: int = 7,
    camera: bool = True,
    as_json: Json = False,
) -> None:
    """Writes sample drives (MCAP) with planted, known events and their truth.json."""
    from flywheel.fleet.make import make_fleet

    show.emit_report(make_fleet(out, drives=drives, seed=seed, camera=camera), title="sample fleet", as_json=as_json)


@command(app)
def spin(
    root: Root,
    logs: Annotated[Path | None, typer.Option(help="A folder of fleet logs to land first.")] = None,
    recipe: Annotated[str, typer.Option(help="The dataset recipe.")] = "rare-driving",
    generator: Annotated[str, typer.Option(help="A generator plug-in.")] = "bundled",
    budget: Annotated[int, typer.Option(help="Variations a landing batch may cost.")] = 32,
    as_json: Json = False,
) -> None:
    """Turns the whole wheel, through Dagster, and shows what was made."""
    from flywheel.summary import summarize

    plugin("flywheel.runners", "spin")(root=root, logs=logs, recipe=recipe, generator=generator, budget=budget)
    summary = summarize(open_store(root), state=state_dir(root))
    if as_json:
        show.emit_json(summary)
    else:
        summary.show(root)


@command(app)
def ingest(
    root: Root,
    logs: Annotated[Path | None, typer.Option(help="A folder of logs to copy into a landing batch.")] = None,
    batch: Batch = None,
    sensors: Annotated[bool, typer.Option("--sensors", help="Also how often each sensor or topic spoke.")] = False,
    settle_s: Annotated[float, typer.Option(help="Logs in inbox/ are taken once untouched for so long.")] = 60.0,
    as_json: Json = False,
) -> None:
    """Lands logs (those of DIR, or what was uploaded to inbox/) and ingests landing batches into tables."""
    from flywheel.ingest.land import land
    from flywheel.ingest.run import ingest_batch
    from flywheel.ingest.seal import take_inbox
    from flywheel.ingest.table import recordings

    store = open_store(root)
    if logs is None and batch is None:
        take_inbox(store, now_t_ns=time.time_ns(), settle_s=settle_s)
    wanted = [land(store, logs)] if logs else batches(store, batch)
    reports = [(ingest_batch(store, name), recordings(store, name)) for name in wanted]
    if as_json:
        show.emit_json([report.model_dump(mode="json") | {"recordings": [r.full for r in found]} for report, found in reports])
        return
    for report, found in reports:
        rows = [recording.short for recording in found]
        show.emit_rows(rows, title=f"recordings of batch {report.batch_id}", as_json=False)
        if sensors:
            spoke = [{"recording": r.name} | sensor.model_dump() for r in found for sensor in r.sensors]
            show.emit_rows(spoke, title="sensors and topics", as_json=False)
        notes = [note for recording in found for note in recording.notes]
        show.emit_rows(notes, title="what was noticed", as_json=False, columns=("name", "gate", "message"))
    columns = ("batch_id", "drives", "skipped", "quarantined", "duplicates", "recorded_s", "rows")
    counted = {"quarantined", "duplicates", "warnings"}
    totals = [report.model_dump(mode="json") | {name: len(getattr(report, name)) for name in counted} for report, _ in reports]
    show.emit_rows(totals, title="ingest", as_json=False, columns=columns)


@command(app)
def mine(
    root: Root,
    batch: Batch = None,
    workers: Annotated[int | None, typer.Option(help="Processes; one a core when left out.")] = None,
    files: Scenarios = None,
    as_json: Json = False,
) -> None:
    """Mines rare events and the exposure they were mined from."""
    from flywheel.mine.ledger import put_ledger
    from flywheel.mine.run import mine_batch

    store = open_store(root)
    reports = [mine_batch(store, name, workers=workers) for name in batches(store, batch)]
    put_ledger(store)
    show.emit_rows(reports, title="mine", as_json=as_json)


@command(app)
def curate(root: Root, batch: Batch = None, as_json: Json = False) -> None:
    """Accepts or rejects every variation, with score, threshold and reason."""
    from flywheel.curate.decisions import curate_batch

    store = open_store(root)
    show.emit_rows([curate_batch(store, name) for name in batches(store, batch)], title="curate", as_json=as_json)


@command(app)
def publish(root: Root, recipe: str = "rare-driving", as_json: Json = False) -> None:
    """Publishes a dataset version from events and accepted variations."""
    from flywheel.publish.dataset import publish as publish_dataset
    from flywheel.publish.recipe import recipe_named

    show.emit_report(publish_dataset(open_store(root), recipe_named(recipe)), title="dataset", as_json=as_json)


@command(app)
def train(root: Root, dataset: str = "rare-driving", as_json: Json = False) -> None:
    """Trains the reference model on a dataset version and evaluates it per slice."""
    from flywheel.train.evaluate import evaluate_model
    from flywheel.train.run import train_model

    store = open_store(root)
    model = train_model(store, dataset)
    evaluation = evaluate_model(store, model)
    if as_json:
        show.emit_json({"model": model, "evaluation": evaluation})
        return
    show.emit_report(model, title="model", as_json=False)
    show.emit_rows(evaluation.slices, title="evaluation", as_json=False)
