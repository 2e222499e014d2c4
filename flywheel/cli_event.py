"""Commands that show or export one mined event."""

from pathlib import Path
from typing import Annotated

import typer

from flywheel import show
from flywheel.commands import Root, app, command
from flywheel.errors import BadTransport
from flywheel.store import open_store

events = typer.Typer(help="Look at one mined event, or take it along.", no_args_is_help=True)
app.add_typer(events, name="event")

EventId = Annotated[str, typer.Argument(metavar="ID", help="An event's id, or the beginning of one (`flywheel events`).")]
Out = Annotated[Path, typer.Option(help="The file to write.")]


@command(events, name="show")
def show_one(root: Root, event: EventId, out: Out = Path("event.html")) -> None:
    """The event from above, what was measured, and what the cameras saw; .html is a page, .png only the picture."""
    from flywheel.look.event import excerpt, find_event
    from flywheel.look.event_page import event_page
    from flywheel.look.event_picture import event_png

    store = open_store(root)
    found = excerpt(store, find_event(store, event))
    _write(out, event_png(found) if out.suffix == ".png" else event_page(found).encode())


@command(events, name="rrd")
def rrd(root: Root, event: EventId, out: Out = Path("event.rrd")) -> None:
    """Ten seconds before to five after as a Rerun recording. Open it with `rerun event.rrd`."""
    from flywheel.look.event import excerpt, find_event
    from flywheel.look.rrd import write_rrd

    store = open_store(root)
    write_rrd(excerpt(store, find_event(store, event)), out)
    _say(out)


@command(events, name="mcap")
def mcap(root: Root, event: EventId, out: Out = Path("event.mcap")) -> None:
    """Ten seconds before to five after as an MCAP log that can be ingested again."""
    from flywheel.look.event import excerpt, find_event
    from flywheel.look.excerpt import write_excerpt

    store = open_store(root)
    write_excerpt(excerpt(store, find_event(store, event)), out)
    _say(out)


@command(events, name="openlabel")
def openlabel(root: Root, event: EventId, out: Out = Path("event.openlabel.json")) -> None:
    """ASAM OpenLABEL 1.0 scenario tags, validated."""
    from flywheel.look.event import excerpt, find_event
    from flywheel.look.openlabel import openlabel_json

    store = open_store(root)
    _write(out, openlabel_json(excerpt(store, find_event(store, event))))


def _write(out: Path, data: bytes) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(data)
    except OSError as err:
        raise BadTransport(f"{out} cannot be written: {err}") from err
    _say(out)


def _say(out: Path) -> None:
    show.out.print(f"{out} ({out.stat().st_size / 1e6:.2f} MB)", soft_wrap=True)
