"""Draws a plan's requests in fixed chunks: media first, provenance beside them, the chunk's VARIATIONS part last.

The stages overlap: while one chunk is drawn, the next one's parents are read and the last one's outputs are scored, marked and
stored. Parts are written in order. A chunk whose part is there is skipped, so a run killed at any moment goes on where it stopped.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from pydantic import Field
from tqdm import tqdm

from flywheel.errors import BadData
from flywheel.generate.ahead import ahead, on
from flywheel.generate.clock import Clock
from flywheel.generate.drawing import Chunk, begin_chunk, load_chunk
from flywheel.generate.images import Boxes
from flywheel.generate.inputs import Inputs
from flywheel.generate.plan import Plan
from flywheel.generate.protocol import Generator, Resident
from flywheel.generate.record import Row, judge_processes, put_rows, record_chunk, start
from flywheel.generate.request import VariationRequest, same_generator
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record

Requests = tuple[VariationRequest, ...]
CHUNK = 4
# How many chunks may be read ahead, drawn (by a resident generator) and recorded at the same time.
READ_AHEAD, DRAW_AHEAD, RECORD_AHEAD = 2, 2, 3
# From how many requests on a resident generator's outputs are scored by processes: threads would hold up the one that feeds the device.
JUDGED_APART = 128


class GenerateReport(Record):
    """What one run did: `done` and `failed` in this run, `skipped` because they were there already.

    `stage_seconds` sums each stage's own time over the chunks; stages overlap, so the sum may exceed `seconds`.
    """

    batch_id: str
    planned: int
    done: int
    failed: int
    skipped: int
    reasons: dict[str, int]
    notes: tuple[str, ...]
    seconds: float
    stage_seconds: dict[str, float] = Field(default_factory=dict)


def run_plan(
    store: Store, plan: Plan, generator: Generator, *, chunk: int | None = None, workers: int | None = None, share: tuple[int, int] = (0, 1)
) -> GenerateReport:
    """Draws what the plan asks for and is not there yet; gives back counts.

    An item that fails becomes a row with a reason and never stops the batch. `chunk` requests are drawn and recorded together
    (default: as many as a resident generator draws best at once, else 4); `workers` threads read, score and record. `share`
    (k, n) is for n processes: each takes every n-th chunk, from the k-th on. BadData if something is left to draw and
    `generator` is not the one the plan was made for.
    """
    started = time.monotonic()
    frames = max((len(request.clip) for request in plan.requests), default=1) or 1  # a clip counts as its frames: they lie in memory
    size = chunk or max((generator.batch if isinstance(generator, Resident) else CHUNK) // frames, 1)
    asked = _chunks(plan.requests, size)[share[0] :: share[1]]
    held = read_table(store, "VARIATIONS", batch_id=plan.batch_id, columns=["variation_id"])["variation_id"].to_pylist()
    parts = _missing(asked, held=set(held))
    _check_generator(plan, [request for part in parts for request in part], generator)
    clock = Clock()
    rows = []
    for part in tqdm(
        _recorded(store, plan, parts, generator, clock, workers), total=len(parts), desc="generate", unit="chunk", disable=None
    ):
        with clock.timed("commit"):
            put_rows(store, plan.batch_id, part)
        rows += part
    reasons = Counter(str(row["reason"]) for row in rows if row["status"] == "failed")
    planned = sum(len(part) for part in asked)
    return GenerateReport(
        batch_id=plan.batch_id, planned=planned, done=len(rows) - reasons.total(), failed=reasons.total(), skipped=planned - len(rows),
        reasons=dict(sorted(reasons.items())), notes=plan.notes, seconds=round(time.monotonic() - started, 3),
        stage_seconds=clock.seconds(),
    )  # fmt: skip


def _recorded(
    store: Store, plan: Plan, parts: Sequence[Requests], generator: Generator, clock: Clock, workers: int | None
) -> Iterator[list[Row]]:
    """The rows of each part, in order: read in the background, drawn in this thread, recorded in the background."""
    width = plan.generator.parameters.get("width_px")
    boxes, inputs = Boxes(store, plan.batch_id), Inputs.for_generator(store, plan.batch_id, generator)

    def load(part: Requests) -> Chunk:
        with clock.timed("read"):
            return load_chunk(store, part, max_width=int(width) if width else None, crew=crew, inputs=inputs)

    def record(chunk: Chunk) -> list[Row]:
        with clock.timed("record"):
            return record_chunk(store, chunk, boxes, crew=crew, judges=judges or crew)

    count = workers or min(os.cpu_count() or 1, 16)
    drawing = isinstance(generator, Resident)
    judging = drawing and sum(len(part) for part in parts) >= JUDGED_APART
    with ExitStack() as open_pools:
        judges = open_pools.enter_context(judge_processes(count)) if judging else None
        crew, leads = (open_pools.enter_context(ThreadPoolExecutor(size)) for size in (count, 1 + READ_AHEAD + RECORD_AHEAD))
        if judges is not None:
            leads.submit(start, judges, count)
        loaded = ahead(parts, on(leads, load), depth=READ_AHEAD)
        drawn = ahead(loaded, begin_chunk(generator, clock), depth=DRAW_AHEAD if drawing else 1)
        yield from ahead(drawn, on(leads, record), depth=RECORD_AHEAD)


def _chunks(requests: Requests, size: int) -> list[Requests]:
    return [requests[start : start + size] for start in range(0, len(requests), size)]


def _missing(parts: Sequence[Requests], *, held: set[str]) -> list[Requests]:
    """The parts without the requests that are held; empty ones are left out."""
    left = (tuple(request for request in part if request.variation_id not in held) for part in parts)
    return [part for part in left if part]


def _check_generator(plan: Plan, requests: Sequence[VariationRequest], generator: Generator) -> None:
    if all(same_generator(request, generator.info) for request in requests):
        return
    raise BadData(
        f"batch {plan.batch_id} is planned for {plan.generator.name} {plan.generator.model_revision} "
        f"(weights {plan.generator.weights_sha256[:12]}), not for {generator.info.name} {generator.info.model_revision} "
        f"(weights {generator.info.weights_sha256[:12]}). Use the planned generator, or plan the batch again (replan)."
    )
