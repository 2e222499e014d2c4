"""Commands that ask a root something that nobody wrote a detector for."""

from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.markup import escape

from flywheel import show
from flywheel.commands import Batch, Json, Root, Scenarios, app, command
from flywheel.errors import FlywheelError
from flywheel.state import state_dir
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
    ignored: tuple[str, ...] = ()
    if file.suffix in (".toml", ".json"):
        node = read_query(file.read_text() if file.is_file() else "", at=asked)
    elif "{" in asked or "=" in asked:
        node = read_query(asked)
    else:
        meant = understand(asked)
        node, ignored = parse(meant.query()), meant.ignored
    answered = run_query(open_store(root), node, batch_id=batch)
    if as_json:
        show.emit_json(answered)
        return
    show.out.print(f"[bold]query[/]  {escape(answered.query)}", highlight=False)
    if ignored:
        show.out.print(f"not understood: {', '.join(ignored)}", highlight=False)
    show.emit_rows(answered.events, title=f"{len(answered.events)} events in {answered.drives} drives", as_json=False, columns=COLUMNS)
    for why, drives in sorted(answered.not_evaluable.items()):
        show.out.print(f"not evaluable in {drives} of {answered.drives} drives: {escape(why)}", highlight=False)


@command(app)
def search(
    root: Root,
    text: Annotated[str, typer.Argument(help='What to look for in plain words: "pedestrian crossing at night in the rain".')],
    top: Annotated[int, typer.Option(help="How many events.")] = 10,
    by: Annotated[str, typer.Option(help="both, text (sentence vectors alone) or structure (what was understood alone).")] = "both",
    clip: Annotated[str | None, typer.Option(help="Rank pictures instead, by a CLIP-like model: a hub id or a folder.")] = None,
    files: Scenarios = None,
    as_json: Json = False,
) -> None:
    """Finds mined events by plain words, and shows the structured query that was understood."""
    from flywheel.mine.language import By
    from flywheel.mine.language import search as find
    from flywheel.mine.pictures import search_pictures
    from flywheel.mine.sentences import Clip, Packaged, Remembering

    store = open_store(root)
    if by not in get_args(By):
        raise FlywheelError(f"--by {by}: write both, text or structure")
    if clip is not None:
        show.emit_rows(search_pictures(store, text, clip=Clip(clip), top=top), title=f"pictures by {clip}", as_json=as_json)
        return
    encoder = Remembering(Packaged(), state_dir(root)) if by != "structure" else None
    result = find(store, text, encoder=encoder, top=top, by=cast(By, by))
    if as_json:
        show.emit_json(result)
        return
    show.out.print(f"[bold]understood[/]  {escape(result.understood)}", highlight=False)
    if result.ignored:
        show.out.print(f"not understood: {', '.join(result.ignored)}", highlight=False)
    columns = ("score", "text", "structure", "event_id", "level", "caption")
    show.emit_rows(result.hits, title=f"{len(result.hits)} events", as_json=False, columns=columns)
