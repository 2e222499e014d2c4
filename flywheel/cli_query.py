"""Commands that ask a root something that nobody wrote a detector for."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from flywheel import show
from flywheel.commands import Batch, Json, Root, Scenarios, app, command
from flywheel.store import open_store

COLUMNS = ("drive_id", "t0_ns", "t1_ns", "duration_s", "level", "actors", "condition")
Asked = Annotated[str, typer.Argument(metavar="FILE|TEXT", help="A TOML or JSON file, or the query itself as TOML, JSON or plain words.")]


@command(app)
def query(root: Root, asked: Asked, batch: Batch = None, files: Scenarios = None, as_json: Json = False) -> None:
    """Asks every drive of a root: scenarios, relations and conditions put together with and, or, not, then, during, near."""
    from flywheel.mine.adhoc import run_query
    from flywheel.mine.query import parse, read_query
    from flywheel.mine.understand import understand

    file = Path(asked)
    if file.suffix in (".toml", ".json"):
        node = read_query(file.read_text() if file.is_file() else "", at=asked)
    elif "{" in asked or "=" in asked:
        node = read_query(asked)
    else:
        node = parse(understand(asked).query())
    answered = run_query(open_store(root), node, batch_id=batch)
    if as_json:
        show.emit_json(answered)
        return
    show.out.print(f"[bold]query[/]  {escape(answered.query)}", highlight=False)
    show.emit_rows(answered.events, title=f"{len(answered.events)} events in {answered.drives} drives", as_json=False, columns=COLUMNS)
    for why, drives in sorted(answered.not_evaluable.items()):
        show.out.print(f"not evaluable in {drives} of {answered.drives} drives: {escape(why)}", highlight=False)
