"""One variation and where it comes from: frame, drive, event, scores, verdicts and papers, as a record, a page or a picture."""

import base64
import difflib
from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np
import pyarrow.compute as pc

from flywheel.errors import BadData, require
from flywheel.generate.papers import check_papers
from flywheel.links import follow, link_to
from flywheel.look.page import html, pairs_html, table_html
from flywheel.store import Store, media_key
from flywheel.tables import list_parts, read_part, read_table
from flywheel.types import Record
from flywheel.variations import frames_of
from flywheel.verdicts import current

Row = dict[str, Any]
LINK = "flywheel:"
WIDTH_PX = 640
MADE = ("generator", "model_revision", "weights_sha256", "prompt", "seed", "parameters", "licence", "code_version", "status", "reason")
JUDGED = ("verdict", "gate", "score", "threshold", "reason", "actor_kind", "actor", "rule_version")
EVENT = ("event_id", "scenario", "level", "t0_ns", "t1_ns", "peak", "peak_unit", "condition", "odd", "actors")


class VariationView(Record):
    """What is known of one variation. `link` leads to its drive, frame and event; `papers` says what is wrong with them (nothing: empty).

    `scores` holds every gate's score, None where it could not be computed; `decisions` every verdict on it, the oldest first.
    """

    variation_id: str
    link: str
    batch_id: str
    drive_id: str
    source_name: str
    camera: str
    t_ns: int
    seconds: float
    event: dict[str, Any] | None
    scenario: str
    source_condition: str
    target_condition: str
    made: dict[str, Any]
    parent: str
    output: str | None
    scores: dict[str, float | None]
    verdict: str
    decisions: tuple[dict[str, Any], ...]
    papers: tuple[str, ...]


def find_variation(store: Store, wanted: str) -> tuple[str, Row]:
    """(batch id, VARIATIONS row) of an id, the beginning of one, or a link that one variation was made from; BadData names what is near."""
    rows = {row["variation_id"]: (batch, row) for batch, row in _rows(store)}
    if wanted.startswith(LINK):
        origin = follow(wanted)
        found = [name for name, (_, row) in rows.items() if follow(_link(row)) == origin]
    else:
        stems = (wanted, f"var-{wanted}")
        found = [name for name in rows if name in stems] or [name for name in sorted(rows) if wanted and name.startswith(stems)]
    if len(found) == 1:
        return rows[found[0]]
    if found:
        said = ", ".join(f"{name[:16]} ({rows[name][1]['target_condition']})" for name in found[:8])
        raise BadData(f"{wanted!r} could be {len(found)} variations: {said}; give more of the id")
    near = difflib.get_close_matches(wanted, rows, n=3, cutoff=0.5) or sorted(rows)[:3]
    raise BadData(f"no variation {wanted!r} in {store.uri}; near it are: {', '.join(near) or 'none: run `flywheel generate`'}")


def _rows(store: Store) -> Iterator[tuple[str, Row]]:
    for key in list_parts(store, "VARIATIONS"):
        table = read_part(store, key)
        yield from ((key.split("/")[2].removeprefix("batch="), row) for row in table.to_pylist())


def _link(row: Row) -> str:
    return link_to(**{name: row[name] for name in ("drive_id", "camera", "t_ns", "event_id")})


def view(store: Store, batch_id: str, row: Row) -> VariationView:
    """Everything the tables and the papers say of one VARIATIONS row."""
    drive = _one(store, "DRIVES", "drive_id", row["drive_id"]) or {"source_name": "", "t0_ns": row["t_ns"]}
    event = _one(store, "EVENTS", "event_id", row["event_id"]) if row["event_id"] else None
    said = read_table(store, "DECISIONS", batch_id=batch_id)
    said = said.filter(pc.equal(said["subject_id"], row["variation_id"]))
    output = row["output_sha256"]
    return VariationView(
        variation_id=row["variation_id"], link=_link(row), batch_id=batch_id, drive_id=row["drive_id"], camera=row["camera"],
        t_ns=row["t_ns"], source_name=drive["source_name"], seconds=(row["t_ns"] - drive["t0_ns"]) / 1e9,
        event={name: event[name] for name in EVENT} if event else None, scenario=row["scenario"],
        source_condition=row["source_condition"], target_condition=row["target_condition"], made={name: row[name] for name in MADE},
        parent=media_key(row["parent_sha256"], row["parent_ext"]), output=media_key(output, row["output_ext"]) if output else None,
        scores={name.removeprefix("score_"): row[name] for name in row if name.startswith("score_")},
        verdict=next((one["verdict"] for one in current(said).values()), "none yet" if output else "failed"),
        decisions=tuple({name: one[name] for name in JUDGED} for one in sorted(said.to_pylist(), key=lambda one: one["decided_t_ns"])),
        papers=tuple(check_papers(store, output)) if output and row["output_ext"] == "png" else (),
    )  # fmt: skip


def _one(store: Store, name: str, column: str, value: str) -> Row | None:
    table = read_table(store, name)
    found: list[Row] = table.filter(pc.equal(table[column], value)).to_pylist()
    return found[0] if found else None


def side_by_side(store: Store, row: Row, *, width_px: int = WIDTH_PX) -> bytes:
    """A PNG with parent and output beside each other, each `width_px` wide; of a clip one pair of frames below another. BadData without."""
    cv2 = require("cv2", extra="ingest")
    pairs = [
        np.hstack([pixels(store, frame[f"{part}_sha256"], frame[f"{part}_ext"], width_px) for part in ("parent", "output")])
        for frame in frames_of(row)
    ]
    return bytes(cv2.imencode(".png", np.vstack(pairs))[1])


def pixels(store: Store, sha256: str | None, ext: str | None, width_px: int) -> Any:
    """A picture of the store (BGR), scaled to a width; BadData if it is not there or cannot be decoded."""
    cv2 = require("cv2", extra="ingest")
    key = media_key(sha256, ext) if sha256 and ext else ""
    image = cv2.imdecode(np.frombuffer(store.get(key), np.uint8), cv2.IMREAD_COLOR) if key and store.exists(key) else None
    if image is None:
        raise BadData(f"there is no picture at {key or 'all: the variation failed'}, or it cannot be decoded")
    return cv2.resize(image, (width_px, round(image.shape[0] * width_px / image.shape[1])), interpolation=cv2.INTER_AREA)


def variation_page(found: VariationView, picture: bytes | None) -> str:
    """The variation as one HTML page."""
    title = f"{found.scenario}: {found.source_condition} as {found.target_condition}"
    return html(title, "\n".join(_pieces(found, picture, title)))


def _pieces(found: VariationView, picture: bytes | None, title: str) -> Iterator[str]:
    yield f'<h1>{escape(title)}</h1><p class="lead">{escape(found.variation_id)}: {escape(found.verdict)}</p>'
    if picture is not None:
        yield f'<p><img alt="parent and variation" src="data:image/png;base64,{base64.b64encode(picture).decode()}"></p>'
    back: list[tuple[str, Any]] = [("link", found.link), ("drive", f"{found.drive_id} ({found.source_name})"), ("camera", found.camera)]
    back += [("time", f"{found.t_ns} ns, {found.seconds:.2f} s into the drive"), ("parent", found.parent), ("output", found.output)]
    yield "<h2>Where it comes from</h2>" + pairs_html(back)
    yield "<h2>The event</h2>" + (pairs_html(list(found.event.items())) if found.event else "<p>none: a reference frame</p>")
    yield "<h2>Scores</h2>" + table_html(("gate", "score"), [(name, value) for name, value in found.scores.items()])
    yield "<h2>Verdicts</h2>" + table_html(JUDGED, [[one[name] for name in JUDGED] for one in found.decisions])
    yield "<h2>How it was made</h2>" + pairs_html(list(found.made.items()))
    yield "<h2>Papers</h2><p>" + escape("; ".join(found.papers) or "record, marking and signed manifest agree with the picture") + "</p>"
