"""Commands that rank what is unlike the rest: pictures by novelty, seconds by surprise."""

from typing import Annotated

import typer

from flywheel import show
from flywheel.commands import Batch, Json, Root, app, batches, command
from flywheel.store import open_store

Top = Annotated[int, typer.Option(help="How many rows to show.")]


@command(app)
def novelty(root: Root, batch: Batch = None, top: Top = 20, as_json: Json = False) -> None:
    """Drives by how unlike their pictures are to all others of their place and of the fleet."""
    from flywheel.mine.embeddings import embed_batch
    from flywheel.mine.novelty import drives_by_novelty, rank

    store = open_store(root)
    for name in batches(store, batch):
        embed_batch(store, name)
    rank(store)
    show.emit_rows(drives_by_novelty(store)[:top], title="novelty", as_json=as_json)


@command(app)
def surprise(root: Root, top: Top = 20, as_json: Json = False) -> None:
    """Seconds in which two stacks disagree most, or the human did what they did not foresee."""
    from flywheel.mine.surprise import most_surprising, rank

    store = open_store(root)
    report = rank(store)
    rows = most_surprising(store, top)
    if as_json:
        show.emit_json({"report": report, "seconds": rows})
        return
    show.emit_report(report, title="surprise", as_json=False)
    show.emit_rows(rows, title="most surprising seconds", as_json=False)
