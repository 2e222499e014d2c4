"""Drawing: resumable after a kill, idempotent, one bad item never stops the batch, everything marked."""

import json

import cv2
import numpy as np
import pytest
from generate_drives import BATCH, Darkening

from flywheel.errors import BadData, MissingExtra
from flywheel.generate.plan import Plan, plan_batch
from flywheel.generate.protocol import ENHANCED_MEDIA, GenerateInput, Output, Refused
from flywheel.generate.provenance import read_marking, read_provenance
from flywheel.generate.run import run_plan
from flywheel.store import Store, media_key
from flywheel.tables import read_table
from flywheel.types import Condition, sha256_hex

Rows = list[dict[str, object]]


def _plan(store: Store, generator: Darkening, budget: int = 4) -> Plan:
    return plan_batch(store, BATCH, generator=generator.info, budget=budget)


def _rows(store: Store) -> Rows:
    table = read_table(store, "VARIATIONS").drop_columns(["run_seconds"]).sort_by("variation_id")
    rows: Rows = table.to_pylist()
    return rows


class Killed(BaseException):
    """Stands for kill -9: not an Exception, so nothing in the library may catch it."""


class DiesAfter(Darkening):
    """Draws `lives` items, then the process is killed in the middle of a chunk."""

    lives = 2

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        if self.drawn >= self.lives:
            raise Killed
        return super().generate(batch)


def test_run_draws_marks_and_records(store: Store) -> None:
    generator = Darkening()
    plan = _plan(store, generator)
    report = run_plan(store, plan, generator)
    assert (report.planned, report.done, report.failed, report.skipped) == (4, 4, 0, 0)
    rows = read_table(store, "VARIATIONS", batch_id=BATCH).to_pylist()
    assert {row["variation_id"] for row in rows} == {r.variation_id for r in plan.requests}
    for row in rows:
        data = store.get(media_key(row["output_sha256"], row["output_ext"]))
        assert sha256_hex(data) == row["output_sha256"]
        marking, record = read_marking(data), read_provenance(store, row["output_sha256"])
        assert marking["variation_id"] == record.variation_id == row["variation_id"]
        assert marking["digitalSourceType"] == record.digitalSourceType == ENHANCED_MEDIA
        assert record.parents == (row["parent_sha256"],) and record.seed == row["seed"] == marking["seed"]
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (90, 160, 3)
        assert row["score_integrity"] == 1.0 and row["score_structure"] > 0.3 and len(row["embedding"]) == 1280


def test_a_killed_run_goes_on_and_ends_equal(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    plan = _plan(store, Darkening())
    with pytest.raises(Killed):
        run_plan(store, plan, DiesAfter(), chunk=2)
    assert len(_rows(store)) == 2
    rest = Darkening()
    report = run_plan(store, plan, rest, chunk=2)
    assert (report.done, report.skipped, rest.drawn) == (2, 2, 2)
    resumed = _rows(store), sorted(store.list("media/"))
    for key in store.list("tables/VARIATIONS/"):
        store.delete(key)
    run_plan(store, plan, Darkening(), chunk=2)
    assert (_rows(store), sorted(store.list("media/"))) == resumed


def test_a_rerun_writes_no_object(store: Store) -> None:
    generator = Darkening()
    plan = _plan(store, generator)
    run_plan(store, plan, generator)
    before = {key: store.get(key) for key in store.list()}
    again = Darkening()
    report = run_plan(store, plan_batch(store, BATCH, generator=generator.info), again, chunk=3)
    assert (report.done, report.skipped, again.drawn) == (0, 4, 0)
    assert {key: store.get(key) for key in store.list()} == before


def test_chunk_size_does_not_change_what_is_drawn(store: Store) -> None:
    plan = _plan(store, Darkening())
    run_plan(store, plan, Darkening(), chunk=4)
    first = _rows(store)
    for key in store.list("tables/VARIATIONS/"):
        store.delete(key)
    run_plan(store, plan, Darkening(), chunk=3)
    drawn = [(row["variation_id"], row["output_sha256"]) for row in _rows(store)]
    assert drawn == [(row["variation_id"], row["output_sha256"]) for row in first]


def test_one_failing_item_never_stops_the_batch(store: Store) -> None:
    plan = _plan(store, Darkening())
    bad = plan.requests[1].target_condition
    count = sum(r.target_condition == bad for r in plan.requests)
    report = run_plan(store, plan, Darkening(fail_on=bad))
    assert (report.done, report.failed, report.reasons) == (4 - count, count, {"RuntimeError: out of paint": count})
    failed = [row for row in _rows(store) if row["status"] == "failed"]
    assert {row["target_condition"] for row in failed} == {bad}
    assert all(row["output_sha256"] is None and row["score_integrity"] is None for row in failed)


class Odd(Darkening):
    """Refuses nights and gives the wrong size for snow."""

    def _one(self, item: GenerateInput) -> Output:
        if item.target.lighting == "night":
            return Refused(reason="blocked by its checker")
        return item.rgb[:10] if item.target.weather == "snow" else super()._one(item)


def test_refusals_and_wrong_sizes_are_reasons(store: Store) -> None:
    targets = [Condition.parse(name) for name in ("night_clear", "day_snow", "dusk_fog")]
    plan = plan_batch(store, BATCH, generator=Darkening().info, budget=6, targets=targets)
    report = run_plan(store, plan, Odd(), chunk=6)
    nights = sum(r.target.lighting == "night" for r in plan.requests)
    assert report.reasons["refused: blocked by its checker"] == nights > 0
    assert sum(n for reason, n in report.reasons.items() if "expected (90, 160, 3)" in reason) > 0


def test_a_lost_parent_frame_is_a_reason(store: Store) -> None:
    plan = _plan(store, Darkening())
    lost = plan.requests[0].parent_sha256
    store.delete(media_key(lost, "png"))
    report = run_plan(store, plan, Darkening())
    assert report.failed == sum(r.parent_sha256 == lost for r in plan.requests)
    assert all("not in the store" in reason for reason in report.reasons)


def test_a_damaged_parent_frame_is_a_reason(store: Store) -> None:
    plan = _plan(store, Darkening())
    store.put(media_key(plan.requests[0].parent_sha256, "png"), b"not an image")
    assert any("no image" in reason for reason in run_plan(store, plan, Darkening()).reasons)


def test_another_generator_may_not_draw_the_plan(store: Store) -> None:
    plan = _plan(store, Darkening())
    with pytest.raises(BadData, match="planned for darkening 1"):
        run_plan(store, plan, Darkening(revision="2"))
    assert _rows(store) == []
    run_plan(store, plan, Darkening())
    assert run_plan(store, plan, Darkening(revision="2")).skipped == 4, "nothing left to draw: any generator will do"


class Uninstalled(Darkening):
    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        raise MissingExtra("diffusers is not installed")


def test_a_missing_package_stops_the_run_and_records_nothing(store: Store) -> None:
    plan = _plan(store, Darkening())
    with pytest.raises(MissingExtra):
        run_plan(store, plan, Uninstalled())
    assert _rows(store) == []


def test_wide_frames_are_drawn_at_the_generators_width(store: Store) -> None:
    generator = Darkening(width_px=80)
    plan = _plan(store, generator, budget=2)
    run_plan(store, plan, generator)
    row = _rows(store)[0]
    assert json.loads(str(row["parameters"]))["drawn_at"] == {"width_px": 80, "height_px": 45, "scale": 0.5}
    data = store.get(media_key(str(row["output_sha256"]), "png"))
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (45, 80, 3)
