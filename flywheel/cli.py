"""The `flywheel` command. Every command takes --root; every list has --json; errors name the next step and exit with 1."""

import functools
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from flywheel import show
from flywheel.errors import FlywheelError
from flywheel.state import default_root, state_dir
from flywheel.store import Store, open_store

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
vehicle_app = typer.Typer(help="What runs in a vehicle.", no_args_is_help=True)
app.add_typer(vehicle_app, name="vehicle")

Root = Annotated[str, typer.Option(help="A folder or s3://bucket/prefix.", envvar="FLYWHEEL_ROOT", default_factory=default_root)]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Batch = Annotated[str | None, typer.Option(help="One landing batch; all of them when left out.")]


def command(group: typer.Typer, *, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a command whose FlywheelErrors become one clear line and exit code 1."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> None:
            try:
                function(*args, **kwargs)
            except FlywheelError as error:
                show.err.print(f"[bold red]{type(error).__name__}[/]: {error}", soft_wrap=True)
                raise typer.Exit(1) from error

        return group.command(name=name)(run)

    return register


def plugin(group: str, name: str) -> Any:
    """An installed plug-in by name; the error lists what there is."""
    found = {entry.name: entry for entry in entry_points(group=group)}
    if name not in found:
        raise FlywheelError(f"no {group} plug-in named {name!r}; there are: {', '.join(sorted(found)) or 'none'}")
    return found[name].load()


def batches(store: Store, only: str | None) -> list[str]:
    """The landing batches of a root, or the one asked for."""
    landed = [key.split("/")[1] for key in store.list("landing/") if key.endswith("/_MANIFEST.json")]
    if only is not None and only not in landed:
        raise FlywheelError(
            f"no landing batch {only!r} in {store.uri}; there are: {', '.join(landed) or 'none: run `flywheel ingest --logs DIR`'}"
        )
    return [only] if only else landed


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
    budget: Annotated[int, typer.Option(help="Variations a landing batch may cost.")] = 48,
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
def ingest(root: Root, logs: Path | None = None, batch: Batch = None, as_json: Json = False) -> None:
    """Lands logs (when given) and ingests landing batches into tables."""
    from flywheel.ingest.land import land
    from flywheel.ingest.run import ingest_batch

    store = open_store(root)
    wanted = [land(store, logs)] if logs else batches(store, batch)
    show.emit_rows([ingest_batch(store, name) for name in wanted], title="ingest", as_json=as_json)


@command(app)
def mine(root: Root, batch: Batch = None, as_json: Json = False) -> None:
    """Mines rare events and the exposure they were mined from."""
    from flywheel.mine.run import mine_batch

    store = open_store(root)
    show.emit_rows([mine_batch(store, name) for name in batches(store, batch)], title="mine", as_json=as_json)


@command(app)
def generate(
    root: Root,
    batch: Batch = None,
    generator: str = "bundled",
    budget: int = 48,
    dry_run: Annotated[bool, typer.Option(help="Show the plan only.")] = False,
    as_json: Json = False,
) -> None:
    """Plans and generates variations where coverage is thin."""
    from flywheel.generate.plan import plan_batch
    from flywheel.generate.run import run_plan

    store = open_store(root)
    engine = plugin("flywheel.generators", generator)()
    plans = [plan_batch(store, name, generator=engine.info, budget=budget, pin=not dry_run) for name in batches(store, batch)]
    if dry_run:
        show.emit_rows([request for plan in plans for request in plan.requests], title="planned variations", as_json=as_json)
        return
    show.emit_rows([run_plan(store, plan, engine) for plan in plans], title="generate", as_json=as_json)


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
    from flywheel.publish.recipe import Recipe

    show.emit_report(publish_dataset(open_store(root), Recipe(name=recipe)), title="dataset", as_json=as_json)


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


@command(app)
def scenarios(as_json: Json = False) -> None:
    """The catalogue: what is mined, from which signals, above which thresholds."""
    from flywheel.mine.catalogue import catalogue

    columns = ("name", "definition", "levels", "min_duration_s", "signals", "source")
    rows = [scenario.model_dump(mode="json") for scenario in catalogue()]
    show.emit_rows(rows, title="scenarios", as_json=as_json, columns=columns)


@command(app)
def events(root: Root, scenario: str | None = None, as_json: Json = False) -> None:
    """What was mined."""
    from flywheel.tables import read_table

    rows = read_table(open_store(root), "EVENTS").to_pylist()
    columns = ("event_id", "scenario", "level", "drive_id", "t0_ns", "t1_ns", "peak", "peak_unit", "condition")
    show.emit_rows([r for r in rows if scenario in (None, r["scenario"])], title="events", as_json=as_json, columns=columns)


@command(app, name="score-mining")
def score_mining(root: Root, truth: Annotated[Path, typer.Option(help="The fleet's truth.json.")], as_json: Json = False) -> None:
    """Precision and recall per scenario against planted truth."""
    from flywheel.mine.score import score_mining as score

    result = score(open_store(root), truth)
    if as_json:
        show.emit_json(result)
    else:
        show.emit_rows(result.scenarios, title="mining against truth", as_json=False)


@command(app)
def coverage(root: Root, as_json: Json = False) -> None:
    """Scenario x condition: real exposure, counts, intervals, rarity and gaps."""
    from flywheel.mine.coverage import coverage as cells

    show.emit_rows(cells(open_store(root)), title="coverage", as_json=as_json)


@command(app)
def review(root: Root, port: int = 5151) -> None:
    """Opens FiftyOne on the review queue (http://127.0.0.1:5151)."""
    from flywheel.curate.review import launch_review

    launch_review(open_store(root), state=state_dir(root), port=port)


@command(app)
def datasets(root: Root, as_json: Json = False) -> None:
    """Published dataset versions."""
    from flywheel.publish.dataset import list_datasets

    rows = [row.model_dump(mode="json") for row in list_datasets(open_store(root))]
    show.emit_rows(rows, title="datasets", as_json=as_json, columns=("name", "version", "digest", "rows"))


@command(app)
def pull(root: Root, dataset: str, folder: Path, as_json: Json = False) -> None:
    """Copies NAME@VERSION to a folder: images, labels and the manifest."""
    from flywheel.publish.dataset import pull as pull_dataset

    show.emit_report(pull_dataset(open_store(root), dataset, folder), title=f"pulled {dataset}", as_json=as_json)


@command(app)
def diff(root: Root, name: str, a: str, b: str, as_json: Json = False) -> None:
    """What changed between two versions of a dataset."""
    from flywheel.publish.dataset import diff as diff_datasets

    show.emit_report(diff_datasets(open_store(root), name, a, b), title=f"{name}: {a} to {b}", as_json=as_json)


@command(app)
def verify(root: Root, dataset: str, as_json: Json = False) -> None:
    """Recomputes every hash, the digest and the splits of NAME@VERSION; exit code 1 with a list of what is wrong."""
    from flywheel.publish.dataset import verify as verify_dataset

    problems = verify_dataset(open_store(root), dataset)
    if as_json:
        show.emit_json(problems)
    elif problems:
        show.emit_rows([{"problem": text} for text in problems], title=f"{dataset} is NOT sound", as_json=False)
    else:
        show.out.print(f"{dataset}: sound")
    if problems:
        raise typer.Exit(1)
