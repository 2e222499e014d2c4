"""From drawn pixels to what is kept: gate scores, a marked and hashed image, its provenance and its VARIATIONS row."""

import json
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, NamedTuple

from flywheel.errors import require
from flywheel.generate.clips import drawn_clips, joined
from flywheel.generate.drawing import Chunk, Drawn, Parent
from flywheel.generate.gates import Sample, Scores, score_batch
from flywheel.generate.images import Boxes, Rgb, encode_png
from flywheel.generate.motion import Motion, motion_kept
from flywheel.generate.papers import put_papers, sealer
from flywheel.generate.provenance import CODE_VERSION, mark_png
from flywheel.generate.request import VariationRequest
from flywheel.store import Store, open_store
from flywheel.tables import rows_table, table_key, to_parquet
from flywheel.types import canonical_json, short_id

Row = dict[str, Any]
log = logging.getLogger(__name__)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Kept(NamedTuple):
    """What of an output is in the store."""

    sha256: str
    ext: str
    parameters: str


def judge_processes(count: int) -> ProcessPoolExecutor:
    """Fresh processes that score, sign and store images, one thread each, apart from the interpreter lock of what feeds a GPU.

    They are started by `start`, so that they are there when the first images are.
    """
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"), initializer=_alone)


def start(judges: ProcessPoolExecutor, count: int) -> None:
    """Starts the processes, which takes a while."""
    with _one_thread_each(), suppress(BrokenExecutor):  # a broken pool shows when it is used
        for _ in range(count):
            judges.submit(_alone)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started meanwhile do their linear algebra in one thread: as many processes as cores would fight over them."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _alone() -> None:
    require("cv2", extra="generate").setNumThreads(1)


def record_chunk(store: Store, chunk: Chunk, boxes: Boxes, *, crew: Executor, judges: Executor) -> list[Row]:
    """The chunk's rows, its media and papers stored.

    `judges` score the items; where they are processes they also encode, mark, sign and store them, else `crew` does.
    """
    kept = _begin_to_keep(store, chunk, crew=crew, judges=judges)
    scores = _score(chunk, boxes, judges)
    seconds = round(chunk.seconds_each, 3)
    items = zip(chunk.requests, chunk.parents, chunk.outputs, strict=True)
    rows = [_row(*item, found, score, seconds) for item, found, score in zip(items, kept(), scores, strict=True)]
    moved = {
        clip.variation_id: motion_kept(clip.parents, clip.outputs) for clip in drawn_clips(chunk.requests, chunk.parents, chunk.outputs)
    }
    return [row | _motion(moved.get(row["variation_id"])) for row in joined(rows, chunk.requests)]


def _motion(found: Motion | None) -> Row:
    """The motion columns of a clip's row; none for a still picture."""
    return {f"score_{name}": score for name, score in found._asdict().items()} if found else {}


def put_rows(store: Store, batch_id: str, rows: list[Row]) -> None:
    """Writes a chunk's part of VARIATIONS, named after what is in it: its existence says that the chunk is done."""
    key = table_key("VARIATIONS", batch_id=batch_id, part=short_id("chunk", [row["variation_id"] for row in rows]))
    store.put_if_absent(key, to_parquet("VARIATIONS", rows_table("VARIATIONS", rows)))


def _score(chunk: Chunk, boxes: Boxes, judges: Executor) -> list[Scores | None]:
    """Gate scores for the items that gave an image, None for the others."""
    drawn = [
        Sample(
            parent.rgb,
            output,
            request.source,
            request.target,
            boxes.of(request, scale=parent.scale),
            boxes.inserted(request, scale=parent.scale),
        )
        for request, parent, output in zip(chunk.requests, chunk.parents, chunk.outputs, strict=True)
        if isinstance(parent, Parent) and not isinstance(output, str)
    ]
    try:
        found = iter(score_batch(drawn, crew=judges))
    except BrokenExecutor as err:  # a script without `if __name__ == "__main__"` cannot start fresh processes
        log.warning("gates run in this process, which is slower: %s", err)
        found = iter(score_batch(drawn))
    return [None if isinstance(output, str) else next(found) for output in chunk.outputs]


def _begin_to_keep(store: Store, chunk: Chunk, *, crew: Executor, judges: Executor) -> Callable[[], list[Kept | None]]:
    """Starts to store the chunk's outputs and gives back how to wait for what is stored of each; None for one that gave no image."""
    sealer(store.uri)  # whoever signs is there before others look for it
    jobs = [
        None if isinstance(parent, str) or isinstance(output, str) else (request, output, parent.drawn_at)
        for request, parent, output in zip(chunk.requests, chunk.parents, chunk.outputs, strict=True)
    ]

    def begun(pool: Executor, where: Store | str) -> list[Future[Kept] | None]:
        return [None if job is None else pool.submit(_keep, where, *job) for job in jobs]

    try:
        under_way = begun(judges, store.uri) if isinstance(judges, ProcessPoolExecutor) else begun(crew, store)
    except BrokenExecutor:
        under_way = begun(crew, store)

    def finish() -> list[Kept | None]:
        try:
            return [None if found is None else found.result() for found in under_way]
        except BrokenExecutor:  # what was stored already is stored again, which changes nothing
            return [None if found is None else found.result() for found in begun(crew, store)]

    return finish


def _keep(where: Store | str, request: VariationRequest, output: Rgb, drawn_at: dict[str, Any]) -> Kept:
    """The output encoded, marked, hashed and stored with its papers; `where` is a store, or its address for another process."""
    store = _opened(where) if isinstance(where, str) else where
    sha256 = put_papers(store, mark_png(encode_png(output), request), request, drawn_at=drawn_at)
    settings = canonical_json({**json.loads(request.parameters), "drawn_at": drawn_at}).decode()
    return Kept(sha256, "png", settings)


@lru_cache(maxsize=4)
def _opened(uri: str) -> Store:
    return open_store(uri)


def _row(
    request: VariationRequest, parent: Parent | str, output: Drawn, kept: Kept | None, scores: Scores | None, seconds: float
) -> Row:  # fmt: skip
    row: Row = request.model_dump(exclude={"negative_prompt", "digital_source_type", "insert", "clip", "key"}) | {
        "inserted": canonical_json(request.insert.model_dump(mode="json")).decode() if request.insert else None,
        "code_version": CODE_VERSION,
        "run_seconds": seconds,
    }
    if kept is None or scores is None:
        return row | {"status": "failed", "reason": output if isinstance(output, str) else str(parent)}
    done = {"status": "done", "output_sha256": kept.sha256, "output_ext": kept.ext, "parameters": kept.parameters}
    return row | done | scores.columns()
