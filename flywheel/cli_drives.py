"""Commands that show one drive: in a list, as a page, as a Rerun recording."""

from pathlib import Path
from typing import Annotated

import typer

from flywheel import show
from flywheel.commands import Json, Root, app, command
from flywheel.errors import BadTransport
from flywheel.store import open_store

drives = typer.Typer(help="Look at the drives of a root.", no_args_is_help=True)
app.add_typer(drives, name="drive")

DriveId = Annotated[str, typer.Argument(metavar="ID", help="A drive's id, or the beginning of one.")]
Out = Annotated[Path, typer.Option(help="The file to write.")]


@command(drives, name="list")
def list_all(root: Root, as_json: Json = False) -> None:
    """Every drive: where it is from, how long it is, what it holds."""
    from flywheel.look.find import LISTED, list_drives

    show.emit_rows(list_drives(open_store(root)), title="drives", as_json=as_json, columns=(*LISTED, "findings"))


@command(drives, name="show")
def show_one(root: Root, drive: DriveId, out: Out = Path("drive.html")) -> None:
    """One drive as one HTML file: facts, clocks, findings, timeline, route and pictures."""
    from flywheel.look.find import find_drive
    from flywheel.look.page import drive_page

    found = find_drive(open_store(root), drive)
    _write(out, drive_page(found).encode())
    show.out.print(f"{found.drive_id}: {out} ({out.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)


@command(drives, name="rrd")
def rrd(root: Root, drive: DriveId, out: Out = Path("drive.rrd")) -> None:
    """One drive as a Rerun recording: path, boxes, pictures and signals. Open it with `rerun drive.rrd`."""
    from flywheel.look.find import find_drive
    from flywheel.look.rrd import write_rrd

    found = find_drive(open_store(root), drive)
    write_rrd(found, out)
    show.out.print(f"{found.drive_id}: {out} ({out.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)


def _write(out: Path, data: bytes) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(data)
    except OSError as err:
        raise BadTransport(f"{out} cannot be written: {err}") from err
