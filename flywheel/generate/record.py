"""From drawn pixels to what is kept: gate scores, a marked and hashed image, its provenance and its VARIATIONS row."""

import json
import logging
import multiprocessing
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor
from typing import Any

from flywheel.errors import require
from flywheel.generate.drawing import Chunk, Drawn, Parent
from flywheel.generate.gates import Sample, Scores, score_batch
from flywheel.generate.images import Boxes, encode_png
from flywheel.generate.provenance import CODE_VERSION, mark_png, provenance_of, put_provenance
from flywheel.generate.request import VariationRequest
from flywheel.store import Store, put_media
from flywheel.tables import rows_table, table_key, to_parquet
from flywheel.types import canonical_json, short_id

Row = dict[str, Any]
log = logging.getLogger(__name__)


def judge_processes(count: int) -> ProcessPoolExecutor:
    """Fresh processes that score images: they share no interpreter lock and no memory map with the thread that feeds a GPU."""
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_alone)


def _alone() -> None:
    require("cv2", extra="generate").setNumThreads(1)


def record_chunk(store: Store, chunk: Chunk, boxes: Boxes, *, crew: Executor, judges: Executor) -> list[Row]:
    """The chunk's rows, its media and provenance stored; `judges` score the items, `crew` write, mark and store them."""
    scores = _score(chunk, boxes, judges)
    times = [round(chunk.seconds_each, 3)] * len(scores)
    return list(crew.map(lambda *item: _row(store, *item), chunk.requests, chunk.parents, chunk.outputs, scores, times))


def put_rows(store: Store, batch_id: str, rows: list[Row]) -> None:
    """Writes a chunk's part of VARIATIONS, named after what is in it: its existence says that the chunk is done."""
    key = table_key("VARIATIONS", batch_id=batch_id, part=short_id("chunk", [row["variation_id"] for row in rows]))
    store.put_if_absent(key, to_parquet("VARIATIONS", rows_table("VARIATIONS", rows)))


def _score(chunk: Chunk, boxes: Boxes, judges: Executor) -> list[Scores | None]:
    """Gate scores for the items that gave an image, None for the others."""
    drawn = [
        Sample(parent.rgb, output, request.source, request.target, boxes.of(request, scale=parent.scale))
        for request, parent, output in zip(chunk.requests, chunk.parents, chunk.outputs, strict=True)
        if isinstance(parent, Parent) and not isinstance(output, str)
    ]
    try:
        found = iter(score_batch(drawn, crew=judges))
    except BrokenExecutor as err:  # a script without `if __name__ == "__main__"` cannot start fresh processes
        log.warning("gates run in this process, which is slower: %s", err)
        found = iter(score_batch(drawn))
    return [None if isinstance(output, str) else next(found) for output in chunk.outputs]


def _row(store: Store, request: VariationRequest, parent: Parent | str, output: Drawn, scores: Scores | None, seconds: float) -> Row:
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
