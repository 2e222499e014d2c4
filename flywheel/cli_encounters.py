"""The command that lists whom the fleet met, and how close it was."""

import math
from typing import Annotated, Any, Literal, get_args

import typer

from flywheel import show
from flywheel.commands import Json, Root, app, command
from flywheel.store import open_store
from flywheel.tables import SCHEMAS, read_table

Measure = Literal["ttc_s", "ttc_boxes_s", "mttc_s", "thw_s", "pet_s", "drac_mps2", "mdrac_mps2", "tet_s", "tit_s2", "gap_m"]
SHOWN = ("drive_id", "track_id", "cls", "relation", *get_args(Measure))


@command(app)
def encounters(
    root: Root,
    by: Annotated[Measure, typer.Option(help="The measure by which the worst come first.")] = "ttc_boxes_s",
    relation: Annotated[str | None, typer.Option(help="ahead, behind, crossing, oncoming or beside.")] = None,
    top: Annotated[int, typer.Option(help="How many to show; 0 for all.")] = 20,
    as_json: Json = False,
) -> None:
    """Road users met, the closest first: TTC, PET, DRAC and the rest at their worst (a measure that never came about is empty)."""
    rows = [row for row in read_table(open_store(root), "ENCOUNTERS").to_pylist() if relation in (None, row["relation"])]
    worst = -1 if by in ("drac_mps2", "mdrac_mps2", "tet_s", "tit_s2") else 1
    known = sorted((row for row in rows if row[by] is not None), key=lambda row: (worst * row[by], row["drive_id"], row["t0_ns"]))
    shown = [_plain(row) for row in known[: top or None]]
    show.emit_rows(shown, title="encounters", as_json=as_json, columns=SCHEMAS["ENCOUNTERS"].names if as_json else SHOWN)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no infinity: it becomes the text `inf`."""
    return {name: str(value) if isinstance(value, float) and math.isinf(value) else value for name, value in row.items()}
