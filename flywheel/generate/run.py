"""Draws a plan's requests in fixed chunks: media first, provenance beside them, the chunk's VARIATIONS part last.

A chunk whose part is there is skipped, so a run killed at any moment goes on where it stopped.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from flywheel.errors import BadData, BadTransport, MissingExtra
from flywheel.generate.gates import Sample, Scores, score_batch
from flywheel.generate.images import Boxes, Rgb, downsized, encode_png, read_rgb
from flywheel.generate.plan import Plan
from flywheel.generate.protocol import GenerateInput, Generator, Output, Refused
from flywheel.generate.provenance import CODE_VERSION, mark_png, provenance_of, put_provenance
from flywheel.generate.request import VariationRequest, same_generator
from flywheel.store import Store, put_media
from flywheel.tables import read_table, rows_table, table_key, to_parquet
from flywheel.types import Record, canonical_json, short_id

Row = dict[str, Any]


class GenerateReport(Record):
    """What one run did: `done` and `failed` in this run, `skipped` because they were there already."""

    batch_id: str
    planned: int
    done: int
    failed: int
    skipped: int
    reasons: dict[str, int]
    notes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Parent:
    """A loaded parent frame at the drawing size, and its scale from the stored frame."""

    rgb: Rgb
    scale: float

    @property
    def drawn_at(self) -> dict[str, int | float]:
        """The drawing size for the record."""
        return {"width_px": self.rgb.shape[1], "height_px": self.rgb.shape[0], "scale": round(self.scale, 6)}


Item = tuple[VariationRequest, Parent | str]


def run_plan(store: Store, plan: Plan, generator: Generator, *, chunk: int = 4) -> GenerateReport:
    """Draws what the plan asks for and is not there yet; gives back counts.

    An item that fails becomes a row with a reason and never stops the batch. BadData if something is left to draw and
    `generator` is not the one the plan was made for.
    """
    started = time.monotonic()
    held = read_table(store, "VARIATIONS", batch_id=plan.batch_id, columns=["variation_id"])["variation_id"].to_pylist()
    chunks = _missing(plan.requests, held=set(held), chunk=chunk)
    _check_generator(plan, [request for part in chunks for request in part], generator)
    boxes = Boxes(store, plan.batch_id)
    rows = [
        row for part in tqdm(chunks, desc="generate", unit="chunk", disable=None) for row in _run_chunk(store, plan, part, generator, boxes)
    ]
    reasons = Counter(str(row["reason"]) for row in rows if row["status"] == "failed")
    return GenerateReport(
        batch_id=plan.batch_id, planned=len(plan.requests), done=len(rows) - reasons.total(), failed=reasons.total(),
        skipped=len(plan.requests) - len(rows), reasons=dict(sorted(reasons.items())), notes=plan.notes,
        seconds=round(time.monotonic() - started, 3),
    )  # fmt: skip


def _missing(requests: Sequence[VariationRequest], *, held: set[str], chunk: int) -> list[list[VariationRequest]]:
    """The requests in fixed chunks of the sorted plan, without those that are held; empty chunks are left out."""
    parts = [requests[start : start + chunk] for start in range(0, len(requests), chunk)]
    left = ([request for request in part if request.variation_id not in held] for part in parts)
    return [part for part in left if part]


def _check_generator(plan: Plan, requests: Sequence[VariationRequest], generator: Generator) -> None:
    if all(same_generator(request, generator.info) for request in requests):
        return
    raise BadData(
        f"batch {plan.batch_id} is planned for {plan.generator.name} {plan.generator.model_revision} "
        f"(weights {plan.generator.weights_sha256[:12]}), not for {generator.info.name} {generator.info.model_revision} "
        f"(weights {generator.info.weights_sha256[:12]}). Use the planned generator, or plan the batch again (replan)."
    )


def _run_chunk(store: Store, plan: Plan, part: Sequence[VariationRequest], generator: Generator, boxes: Boxes) -> list[Row]:
    began = time.monotonic()
    width = plan.generator.parameters.get("width_px")
    first = {request.parent_sha256: request for request in part}
    parents = {sha256: _parent(store, request, int(width) if width else None) for sha256, request in first.items()}
    items: list[Item] = [(request, parents[request.parent_sha256]) for request in part]
    outputs = _draw(items, generator)
    scores = _score(items, outputs, boxes)
    seconds = round((time.monotonic() - began) / len(part), 3)
    rows = [
        _row(store, request, parent, output, score, seconds)
        for (request, parent), output, score in zip(items, outputs, scores, strict=True)
    ]
    key = table_key("VARIATIONS", batch_id=plan.batch_id, part=short_id("chunk", [request.variation_id for request in part]))
    store.put_if_absent(key, to_parquet("VARIATIONS", rows_table("VARIATIONS", rows)))
    return rows


def _parent(store: Store, request: VariationRequest, max_width: int | None) -> Parent | str:
    try:
        rgb = read_rgb(store, request.parent_sha256, request.parent_ext)
    except BadData as err:
        return str(err)
    small = downsized(rgb, max_width=max_width)
    return Parent(rgb=small, scale=small.shape[1] / rgb.shape[1])


def _draw(items: Sequence[Item], generator: Generator) -> list[Rgb | str]:
    """An image or a reason for every item, in order; when a batch raises, its items are drawn one by one."""
    wanted = [_input(request, parent.rgb) for request, parent in items if isinstance(parent, Parent)]
    drawn = iter(_attempt(generator, wanted))
    return [_checked(next(drawn), parent.rgb) if isinstance(parent, Parent) else parent for _, parent in items]


def _input(request: VariationRequest, rgb: Rgb) -> GenerateInput:
    return GenerateInput(
        rgb=rgb, source=request.source, target=request.target, prompt=request.prompt,
        negative_prompt=request.negative_prompt, seed=request.seed,
    )  # fmt: skip


def _attempt(generator: Generator, batch: list[GenerateInput]) -> list[Output | str]:
    if not batch:
        return []
    try:
        found = generator.generate(batch)
        if len(found) != len(batch):
            raise BadData(f"{generator.info.name} gave {len(found)} outputs for {len(batch)} inputs")
        return list(found)
    except (MissingExtra, BadTransport):
        raise
    except Exception as err:  # noqa: BLE001 (a plug-in may raise anything: it becomes the item's recorded reason)
        if len(batch) == 1:
            return [f"{type(err).__name__}: {err}"]
    return [output for item in batch for output in _attempt(generator, [item])]


def _checked(output: Output | str, parent: Rgb) -> Rgb | str:
    if isinstance(output, str):
        return output
    if isinstance(output, Refused):
        return f"refused: {output.reason}"
    if not isinstance(output, np.ndarray) or output.dtype != np.uint8 or output.shape != parent.shape:
        shape, kind = getattr(output, "shape", None), getattr(output, "dtype", type(output).__name__)
        return f"output has shape {shape} of {kind}, expected {parent.shape} of uint8"
    return np.ascontiguousarray(output)


def _score(items: Sequence[Item], outputs: Sequence[Rgb | str], boxes: Boxes) -> list[Scores | None]:
    """Gate scores for the items that gave an image, None for the others."""
    drawn = [
        Sample(parent.rgb, output, request.source, request.target, boxes.of(request, scale=parent.scale))
        for (request, parent), output in zip(items, outputs, strict=True)
        if isinstance(parent, Parent) and not isinstance(output, str)
    ]
    found = iter(score_batch(drawn))
    return [None if isinstance(output, str) else next(found) for output in outputs]


def _row(store: Store, request: VariationRequest, parent: Parent | str, output: Rgb | str, scores: Scores | None, seconds: float) -> Row:
    row: Row = request.model_dump(exclude={"negative_prompt", "digital_source_type"}) | {
        "code_version": CODE_VERSION,
        "run_seconds": seconds,
    }
    if isinstance(parent, str) or isinstance(output, str) or scores is None:
        return row | {"status": "failed", "reason": output if isinstance(output, str) else str(parent)}
    data = mark_png(encode_png(output), request)
    sha256 = put_media(store, data, "png")
    put_provenance(store, provenance_of(request, output_sha256=sha256, drawn_at=parent.drawn_at))
    settings = _parameters(request, parent)
    return row | {"status": "done", "output_sha256": sha256, "output_ext": "png", "parameters": settings} | scores.columns()


def _parameters(request: VariationRequest, parent: Parent) -> str:
    """Canonical JSON of the generator's parameters with the size and scale the frame was drawn at."""
    return canonical_json({**json.loads(request.parameters), "drawn_at": parent.drawn_at}).decode()
