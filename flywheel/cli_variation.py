"""Commands that show one variation."""

from pathlib import Path
from typing import Annotated

import typer

from flywheel import show
from flywheel.commands import Json, Root, app, command
from flywheel.errors import BadData, BadTransport
from flywheel.store import open_store

VariationId = Annotated[str, typer.Argument(metavar="ID", help="A variation's id, the beginning of one, or its link (flywheel:...).")]
variation = typer.Typer(help="Look at one variation, and back to where it comes from.", no_args_is_help=True)
app.add_typer(variation, name="variation")


@command(variation, name="show")
def show_one(
    root: Root,
    variation_id: VariationId,
    out: Annotated[Path | None, typer.Option(help="Write a page (.html) or parent and variation side by side (.png).")] = None,
    as_json: Json = False,
) -> None:
    """A variation beside its parent, with scores, verdicts, papers, and the link back to its drive, frame and event."""
    from flywheel.look.variation import find_variation, side_by_side, variation_page, view

    store = open_store(root)
    batch_id, row = find_variation(store, variation_id)
    found = view(store, batch_id, row)
    if as_json:
        show.emit_json(found)
    else:
        show.emit_report(found, title="variation", as_json=False)
    if out is None:
        return
    picture = side_by_side(store, row) if row["output_sha256"] else None
    _write(out, (picture or b"") if out.suffix == ".png" else variation_page(found, picture).encode())


@command(variation, name="sheet")
def sheet(
    root: Root,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("sheet.png"),
    parents: Annotated[int, typer.Option(min=1, help="How many originals, evenly chosen.")] = 8,
    batch: Annotated[str | None, typer.Option(help="One batch only.")] = None,
) -> None:
    """A contact sheet: originals beside their variations, each with the gate that decided, its score and its floor."""
    from flywheel.look.sheet import contact_sheet

    _write(out, contact_sheet(open_store(root), batch_id=batch, parents=parents))


@command(variation, name="take")
def take(
    root: Root, variation_id: VariationId, out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("variation.png")
) -> None:
    """The picture with its signed C2PA manifest inside, for any tool that reads Content Credentials."""
    from flywheel.generate.papers import check_papers, take_along
    from flywheel.look.variation import find_variation

    store = open_store(root)
    _, row = find_variation(store, variation_id)
    faults = check_papers(store, row["output_sha256"]) if row["output_sha256"] else ["it has no output"]
    if faults:
        raise BadData(f"variation {row['variation_id']} cannot be taken along: {'; '.join(faults)}")
    _write(out, take_along(store, row["output_sha256"]))


@command(variation, name="check")
def check(root: Root, file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A PNG from anywhere.")]) -> None:
    """Whether a picture's manifest holds: unchanged since it was signed, its own, by a signer this root trusts. Exits 1 if not."""
    from flywheel.generate.papers import check_image

    found = check_image(file.read_bytes(), root=root)
    show.out.print(f"{found.state}: {found.reason or f'signed by {found.issuer}'}", highlight=False, soft_wrap=True)
    if found.state != "valid":
        raise typer.Exit(1)


def _write(out: Path, data: bytes) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(data)
    except OSError as err:
        raise BadTransport(f"{out} cannot be written: {err}") from err
    show.err.print(f"{out} ({len(data) / 1e6:.2f} MB)", soft_wrap=True)
