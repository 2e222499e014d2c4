"""The overlapping run against a plain one written here: the same objects byte for byte; order and what survives an error."""

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from generate_drives import BATCH, EVENTS, Darkening, put_drive

from flywheel.errors import FlywheelError
from flywheel.generate import run
from flywheel.generate.ahead import ahead, on
from flywheel.generate.gates import Sample, score_batch
from flywheel.generate.images import Boxes, downsized, encode_png, read_rgb
from flywheel.generate.papers import put_papers
from flywheel.generate.plan import Plan, plan_batch
from flywheel.generate.processes import run_processes
from flywheel.generate.protocol import GenerateInput, Output, Resident
from flywheel.generate.provenance import CODE_VERSION, mark_png
from flywheel.generate.run import run_plan
from flywheel.store import Store, open_store
from flywheel.tables import read_part, read_table, rows_table, table_key, to_parquet
from flywheel.types import canonical_json, short_id


class Background(Darkening):
    """Draws in a thread of its own, as a GPU does beside the program."""

    batch = 3

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._device = ThreadPoolExecutor(1)
        self.waiting = self.most = 0

    def begin(self, batch: list[GenerateInput]) -> Callable[[], list[Output]]:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        drawn = self._device.submit(self.generate, batch)

        def finish() -> list[Output]:
            self.waiting -= 1
            return drawn.result()

        return finish


def sequential(store: Store, plan: Plan, generator: Darkening, *, chunk: int) -> None:
    """The run without any overlap: one chunk after the other, one item after the other."""
    boxes = Boxes(store, plan.batch_id)
    for start in range(0, len(plan.requests), chunk):
        part = plan.requests[start : start + chunk]
        stored = {r.parent_sha256: read_rgb(store, r.parent_sha256, r.parent_ext) for r in part}
        frames = {name: downsized(rgb, max_width=int(plan.generator.parameters["width_px"])) for name, rgb in stored.items()}
        inputs = [GenerateInput(frames[r.parent_sha256], r.source, r.target, r.prompt, r.negative_prompt, r.seed) for r in part]
        outputs = generator.generate(inputs)
        scales = {name: frames[name].shape[1] / rgb.shape[1] for name, rgb in stored.items()}
        samples = [
            Sample(i.rgb, o, r.source, r.target, boxes.of(r, scale=scales[r.parent_sha256]))
            for i, o, r in zip(inputs, outputs, part, strict=True)
        ]
        rows = []
        for sample, scores, request in zip(samples, score_batch(samples), part, strict=True):
            height, width = sample.output.shape[:2]
            drawn_at = {"width_px": width, "height_px": height, "scale": round(scales[request.parent_sha256], 6)}
            sha256 = put_papers(store, mark_png(encode_png(sample.output), request), request, drawn_at=drawn_at)
            parameters = canonical_json({**json.loads(request.parameters), "drawn_at": drawn_at}).decode()
            rows.append({
                **request.model_dump(exclude={"negative_prompt", "digital_source_type", "insert", "clip", "key"}), "run_seconds": 0.0,
                "code_version": CODE_VERSION, "status": "done", "output_sha256": sha256, "output_ext": "png", "parameters": parameters,
                **scores.columns(),
            })  # fmt: skip
        key = table_key("VARIATIONS", batch_id=plan.batch_id, part=short_id("chunk", [r.variation_id for r in part]))
        store.put_if_absent(key, to_parquet("VARIATIONS", rows_table("VARIATIONS", rows)))


def objects(store: Store) -> dict[str, Any]:
    """Every object's bytes, but of signed manifests only that they are there (a signature is salted); VARIATIONS parts as rows
    without the seconds."""
    found: dict[str, Any] = {key: b"" if key.endswith(".c2pa") else store.get(key) for key in store.list()}
    for key in store.list("tables/VARIATIONS/"):
        found[key] = read_part(store, key).drop_columns(["run_seconds"]).to_pylist()
    return found


@pytest.fixture(autouse=True)
def one_thread_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh processes sum in the order of this one."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def twin(tmp_path: Path) -> Store:
    """The same drives as `store`, in another root."""
    root = open_store(tmp_path / "twin")
    put_drive(root, "drive-a", EVENTS[:2], seed=1, cameras=("front_left", "front"))
    put_drive(root, "drive-b", EVENTS[2:], seed=7)
    return root


@pytest.mark.parametrize("made", [Darkening, Background])
def test_an_overlapping_run_leaves_the_bytes_of_a_sequential_one(store: Store, twin: Store, made: type[Darkening]) -> None:
    plan = plan_batch(store, BATCH, generator=Darkening().info, budget=8)
    assert plan == plan_batch(twin, BATCH, generator=Darkening().info, budget=8)
    run_plan(store, plan, made(), chunk=3, workers=4)
    sequential(twin, plan, Darkening(), chunk=3)
    assert objects(store) == objects(twin)
    assert len(store.list("tables/VARIATIONS/")) == 3


def test_a_resident_generator_has_two_batches_under_way(store: Store) -> None:
    generator = Background()
    assert isinstance(generator, Resident) and not isinstance(Darkening(), Resident)
    plan = plan_batch(store, BATCH, generator=generator.info, budget=8)
    report = run_plan(store, plan, generator)
    assert (report.done, generator.most, generator.waiting) == (8, 2, 0)
    assert set(report.stage_seconds) == {"read", "draw: begin", "draw: wait", "record", "commit"}


def test_an_error_that_shows_late_costs_one_item(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=Darkening().info, budget=8)
    bad = plan.requests[1].target_condition
    count = sum(r.target_condition == bad for r in plan.requests)
    report = run_plan(store, plan, Background(fail_on=bad))
    assert (report.done, report.failed, report.reasons) == (8 - count, count, {"RuntimeError: out of paint": count})


def test_gates_in_processes_of_their_own_score_the_same(store: Store, twin: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_batch(store, BATCH, generator=Darkening().info, budget=4)
    monkeypatch.setattr(run, "JUDGED_APART", 1)
    run_plan(store, plan, Background(), chunk=4, workers=1)
    sequential(twin, plan_batch(twin, BATCH, generator=Darkening().info, budget=4), Darkening(), chunk=4)
    assert objects(store) == objects(twin)


def test_shares_of_a_plan_join_without_drawing_twice(store: Store, twin: Store) -> None:
    plan = plan_batch(store, BATCH, generator=Darkening().info, budget=8)
    reports = [run_plan(store, plan, Darkening(), chunk=3, share=(k, 2)) for k in range(2)]
    assert [report.done for report in reports] == [5, 3]
    sequential(twin, plan_batch(twin, BATCH, generator=Darkening().info, budget=8), Darkening(), chunk=3)
    assert objects(store) == objects(twin)


def test_two_processes_draw_a_plan_as_one_does(store: Store, twin: Store) -> None:
    plan = plan_batch(store, BATCH, generator=Darkening().info, budget=8)
    [report] = run_processes(store.uri, [plan], Darkening, devices=["0", "1"], chunk=3)
    assert (report.planned, report.done, report.failed) == (8, 8, 0)
    sequential(twin, plan_batch(twin, BATCH, generator=Darkening().info, budget=8), Darkening(), chunk=3)
    assert objects(store) == objects(twin)


def unmakeable() -> Darkening:
    if os.environ["CUDA_VISIBLE_DEVICES"] == "1":
        raise ValueError("no such device")
    return Darkening()


def test_a_process_that_fails_is_named_and_the_other_does_its_share(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=Darkening().info, budget=8)
    with pytest.raises(FlywheelError, match="on device '1': ValueError: no such device"):
        run_processes(store.uri, [plan], unmakeable, devices=["0", "1"], chunk=3)
    assert read_table(store, "VARIATIONS").num_rows == 5


def test_results_come_in_order_and_no_more_than_the_depth_is_begun() -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.02 if number % 2 else 0.001)
        with lock:
            busy -= 1
        return number

    with ThreadPoolExecutor(8) as pool:
        assert list(ahead(range(20), on(pool, work), depth=3)) == list(range(20))
    assert most <= 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_begun_comes_out_before_the_error(error: type[BaseException]) -> None:
    def source() -> Any:
        yield from (1, 2, 3)
        raise error

    found = []
    with pytest.raises(error):
        for number in ahead(source(), lambda number: partial(int, number), depth=8):
            found.append(number)
    assert found == [1, 2, 3]
