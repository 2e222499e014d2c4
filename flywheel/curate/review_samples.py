"""What a curator sees, as plain records read from the tables: one group an event's parent frame, originals beside variations."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from flywheel.curate.rules import is_narrow, margin
from flywheel.geometry import ImageBox, image_boxes, nearest_instant
from flywheel.links import link_to
from flywheel.store import Store
from flywheel.tables import distinct, list_parts, read_part, read_table, table_key
from flywheel.types import Record, digest_of
from flywheel.verdicts import ACCEPT, PERSON, current

ORIGINAL = "original"
UNDECIDED = "undecided"
REVIEW_SHARE = 0.15
TOLERANCE_NS = 60_000_000
Row = Mapping[str, Any]
Instant = tuple[str, int, str]


class ReviewSample(Record):
    """One image for review. `boxes` is None where nothing is known; sizes are of the parent frame, in pixels.

    `margin` is the rule's distance from its threshold as a share of it; tags are accepted, rejected, needs_review.
    """

    key: str
    group: str
    slice: str
    media_sha256: str
    ext: str
    event_id: str
    scenario: str
    level: str
    drive_id: str
    t_ns: int
    camera: str
    condition: str
    parent_sha256: str
    link: str
    batch_id: str
    variation_id: str | None = None
    generator: str | None = None
    model_revision: str | None = None
    weights_sha256: str | None = None
    prompt: str | None = None
    parameters: str | None = None
    seed: int | None = None
    score_integrity: float | None = None
    score_structure: float | None = None
    score_condition: float | None = None
    score_change: float | None = None
    verdict: str | None = None
    gate: str | None = None
    reason: str | None = None
    decided_by: str | None = None
    margin: float | None = None
    embedding: tuple[float, ...] | None = None
    boxes: tuple[ImageBox, ...] | None = None
    width_px: int = 0
    height_px: int = 0
    tags: tuple[str, ...] = ()


def review_samples(store: Store, *, batch_id: str | None = None) -> list[ReviewSample]:
    """Every original and every finished variation of one batch or of all, in stable order."""
    keys = list_parts(store, "VARIATIONS", batch_id=batch_id)
    batches = sorted({key.split("/")[2].removeprefix("batch=") for key in keys})
    return [sample for batch in tqdm(batches, desc="read variations", disable=None) for sample in _batch_samples(store, batch)]


def _batch_samples(store: Store, batch_id: str) -> list[ReviewSample]:
    rows = read_table(store, "VARIATIONS", batch_id=batch_id)
    rows = rows.filter(pc.and_(pc.equal(rows["status"], "done"), pc.is_valid(rows["output_sha256"])))
    held = current(read_table(store, "DECISIONS", batch_id=batch_id))
    found: list[ReviewSample] = []
    for drive_id in distinct(rows, "drive_id"):
        mine = sorted(rows.filter(pc.equal(rows["drive_id"], drive_id)).to_pylist(), key=lambda row: (row["event_id"], row["variation_id"]))
        frames = _frames(store, batch_id, drive_id, {(row["drive_id"], row["t_ns"], row["camera"]) for row in mine})
        found += _drive_samples(mine, frames, held, batch_id)
    return found


def _drive_samples(rows: Sequence[Row], frames: Mapping[Instant, Row], held: Mapping[str, Row], batch_id: str) -> list[ReviewSample]:
    samples: dict[str, ReviewSample] = {}
    for row in rows:
        group = digest_of([row["event_id"], row["parent_sha256"]])[:24]
        shared = {name: row[name] for name in ("event_id", "scenario", "level", "drive_id", "t_ns", "camera", "parent_sha256")}
        shared |= {"group": group, "batch_id": batch_id, "link": link_to(**row)}
        shared |= frames.get((row["drive_id"], row["t_ns"], row["camera"]), {})
        original = ReviewSample(
            key=f"{ORIGINAL}-{group}", slice=ORIGINAL, media_sha256=row["parent_sha256"], ext=row["parent_ext"],
            condition=row["source_condition"], tags=(ORIGINAL,), **shared,
        )  # fmt: skip
        samples.setdefault(original.key, original)
        samples[row["variation_id"]] = _variation(row, shared, held.get(row["variation_id"]))
    return list(samples.values())


def _variation(row: Row, shared: Mapping[str, Any], decision: Row | None) -> ReviewSample:
    same = ("variation_id", "generator", "model_revision", "weights_sha256", "prompt", "parameters", "seed")
    scores = ("score_integrity", "score_structure", "score_condition", "score_change")
    return ReviewSample(
        key=row["variation_id"], slice=row["target_condition"], media_sha256=row["output_sha256"], ext=row["output_ext"] or "png",
        condition=row["target_condition"], **shared, **{column: row[column] for column in same},
        **{column: _finite(row[column]) for column in scores},
        embedding=tuple(row["embedding"]) if row["embedding"] and np.isfinite(row["embedding"]).all() else None,
        **_judgement(decision),
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def _judgement(decision: Row | None) -> dict[str, Any]:
    """Verdict, who gave it and why, how near it was, and the tags that follow."""
    if decision is None:
        return {"verdict": UNDECIDED, "tags": ("needs_review",)}
    known = decision["score"] is not None and decision["threshold"] is not None
    near = margin(decision["gate"], score=decision["score"], threshold=decision["threshold"]) if known else None
    tags = ["accepted" if decision["verdict"] == ACCEPT else "rejected"]
    if decision["actor_kind"] != PERSON and is_narrow(decision, share=REVIEW_SHARE):
        tags.append("needs_review")
    kept = {name: decision[name] for name in ("verdict", "gate", "reason")}
    return kept | {"decided_by": decision["actor"], "margin": near, "tags": tuple(tags)}


def _frames(store: Store, batch_id: str, drive_id: str, wanted: set[Instant]) -> dict[Instant, dict[str, Any]]:
    """Boxes and frame size by (drive, time, camera), where the frame's calibration is known."""
    try:
        frames = read_part(store, table_key("FRAMES", batch_id=batch_id, part=drive_id)).to_pylist()
        tracks = read_part(store, table_key("TRACKS", batch_id=batch_id, part=drive_id))
    except KeyError:
        return {}
    times = np.unique(tracks["t_ns"].to_numpy())
    found = {}
    for frame in frames:
        instant = (frame["drive_id"], frame["t_ns"], frame["camera"])
        if frame["kind"] == "rgb" and instant in wanted:
            size = {"width_px": frame["width_px"], "height_px": frame["height_px"]}
            found[instant] = size | {"boxes": _boxes(tracks, times, frame)}
    return found


def _boxes(tracks: pa.Table, times: Any, frame: Row) -> tuple[ImageBox, ...] | None:
    nearest = nearest_instant(times, frame["t_ns"], tolerance_ns=TOLERANCE_NS)
    if nearest is None or frame["fx_px"] is None or frame["cam_qw"] is None:
        return None
    return tuple(image_boxes(tracks.filter(pc.equal(tracks["t_ns"], nearest)).to_pylist(), frame))
