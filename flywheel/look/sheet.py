"""A contact sheet: originals, each beside its variations, with what the gates said of every one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.gate_limits import digits
from flywheel.look.variation import pixels
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.verdicts import ACCEPT, current

Row = dict[str, Any]
Tile = NDArray[np.uint8]
WIDTH_PX, CAPTION_PX, EDGE_PX, ACROSS = 384, 40, 3, 5
WHITE, GREEN, RED, GREY = (235, 235, 235), (90, 190, 90), (80, 80, 230), (150, 150, 150)  # BGR


def contact_sheet(store: Store, *, batch_id: str | None = None, parents: int = 8) -> bytes:
    """A PNG of up to `parents` originals, evenly chosen over the drives, each with its drawn variations; BadData where there are none.

    A variation's frame is green if it was accepted, red if not, grey while nothing was decided; below it its target and the gate that
    decided, with score and floor.
    """
    cv2 = require("cv2", extra="ingest")
    rows = [row for row in read_table(store, "VARIATIONS", batch_id=batch_id).to_pylist() if row["output_sha256"]]
    groups: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["drive_id"], row["t_ns"], row["camera"], row["target_condition"], row["variation_id"])):
        groups.setdefault(row["parent_sha256"], []).append(row)
    if not groups:
        raise BadData(f"there are no variations to show in {store.uri}: run `flywheel generate` first")
    said = current(read_table(store, "DECISIONS", batch_id=batch_id))
    chosen = list(groups.values())
    chosen = [chosen[k * len(chosen) // min(parents, len(chosen))] for k in range(min(parents, len(chosen)))]
    return bytes(cv2.imencode(".png", np.vstack([line for group in chosen for line in _lines(_tiles(store, group, said))]))[1])


def _tiles(store: Store, group: Sequence[Row], said: dict[str, Row]) -> list[Tile]:
    first = group[0]
    parent = pixels(store, first["parent_sha256"], first["parent_ext"], WIDTH_PX)
    tiles = [_tile(parent, WHITE, first["source_condition"], f"{first['drive_id'][:14]} {first['camera']}")]
    for row in group:
        drawn, decision = pixels(store, row["output_sha256"], row["output_ext"], WIDTH_PX), said.get(row["variation_id"])
        tiles.append(_tile(drawn, _colour(decision), row["target_condition"], _words(decision)))
    return [_cut(tile, len(tiles[0])) for tile in tiles]


def _colour(decision: Row | None) -> tuple[int, int, int]:
    return GREY if decision is None else GREEN if decision["verdict"] == ACCEPT else RED


def _words(decision: Row | None) -> str:
    if decision is None:
        return "no verdict yet"
    score, floor = decision["score"], decision["threshold"]
    numbers = "" if score is None or floor is None else f" {digits(score)} / {floor:g}"
    return f"{decision['verdict']}: {decision['gate']}{numbers}"


def _tile(picture: Tile, colour: tuple[int, int, int], title: str, words: str) -> Tile:
    """The picture in a frame of a colour, with two lines below."""
    cv2 = require("cv2", extra="ingest")
    framed = cv2.copyMakeBorder(picture, EDGE_PX, CAPTION_PX, EDGE_PX, EDGE_PX, cv2.BORDER_CONSTANT, value=(30, 30, 30))
    cv2.rectangle(framed, (0, 0), (framed.shape[1] - 1, EDGE_PX + len(picture)), colour, EDGE_PX)
    for number, text in enumerate((title, words)):
        at = (EDGE_PX + 2, len(picture) + EDGE_PX + 16 + 16 * number)
        cv2.putText(framed, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour if number else WHITE, 1, cv2.LINE_AA)
    return np.asarray(framed, np.uint8)


def _cut(tile: Tile, high: int) -> Tile:
    """The tile at a height: cut, or with black below."""
    return np.pad(tile[:high], ((0, max(0, high - len(tile))), (0, 0), (0, 0)))


def _lines(tiles: Sequence[Tile]) -> list[Tile]:
    """Rows of equal width."""
    blank = np.zeros_like(tiles[0])
    filled = [*tiles, *[blank] * (-len(tiles) % ACROSS)]
    return [np.hstack(filled[start : start + ACROSS]) for start in range(0, len(filled), ACROSS)]
