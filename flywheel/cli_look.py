"""Commands that look at what a root holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from flywheel import show
from flywheel.commands import Json, Root, Scenarios, app, command
from flywheel.state import state_dir
from flywheel.store import open_store

if TYPE_CHECKING:
    from flywheel.mine.catalogue import Scenario


@command(app)
def scenarios(
    root: Root,
    name: Annotated[str | None, typer.Argument(help="Explain this one, with an example.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the explanation (.html) or the picture (.png) to a file.")] = None,
    files: Scenarios = None,
    as_json: Json = False,
) -> None:
    """The catalogue: what is mined, from which signals, above which thresholds; or one scenario, explained."""
    from flywheel.mine.catalogue import catalogue, scenario

    if name is not None:
        _explain(root, scenario(name), out, as_json=as_json)
        return
    columns = ("name", "definition", "levels", "min_duration_s", "signals", "source")
    rows = [scenario.model_dump(mode="json") for scenario in catalogue()]
    show.emit_rows(rows, title="scenarios", as_json=as_json, columns=columns)


def _explain(root: str, entry: "Scenario", out: Path | None, *, as_json: bool) -> None:
    from flywheel.look.example import example_png, explained, scenario_page, sparkline

    store = open_store(root)
    if out is not None:
        out.write_bytes(example_png(store, entry) if out.suffix == ".png" else scenario_page(store, entry).encode())
    if as_json:
        show.emit_json(entry)
        return
    rows = [{"what": what, "value": escape(text)} for what, text in explained(entry)]
    show.emit_rows(rows, title=entry.name, as_json=False)
    for text in (*sparkline(store, entry), *([str(out)] if out else [])):
        show.out.print(f"  {escape(text)}", highlight=False)


@command(app)
def events(root: Root, scenario: str | None = None, files: Scenarios = None, as_json: Json = False) -> None:
    """What was mined; with --scenarios only what was mined under exactly that catalogue."""
    from flywheel.mine.catalogue import catalogue
    from flywheel.tables import read_table

    rows = read_table(open_store(root), "EVENTS").to_pylist()
    current = {entry.digest for entry in catalogue()} if files else None
    columns = ("event_id", "scenario", "level", "drive_id", "t0_ns", "t1_ns", "peak", "peak_unit", "condition")
    wanted = [r for r in rows if scenario in (None, r["scenario"]) and (current is None or r["params_sha256"] in current)]
    show.emit_rows(wanted, title="events", as_json=as_json, columns=columns)


@command(app, name="score-mining")
def score_mining(
    root: Root, truth: Annotated[Path, typer.Option(help="The fleet's truth.json.")], files: Scenarios = None, as_json: Json = False
) -> None:
    """Precision and recall per scenario against planted truth."""
    from flywheel.mine.score import ScenarioScore
    from flywheel.mine.score import score_mining as score

    result = score(open_store(root), truth)
    if as_json:
        show.emit_json(result)
    else:
        columns = [name for name in ScenarioScore.model_fields if not name.endswith("_interval")]
        show.emit_rows(result.scenarios, title="mining against truth", as_json=False, columns=columns)


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
