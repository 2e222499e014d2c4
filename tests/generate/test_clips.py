"""Clips: which frames, which noise, one row; the noise of every frame is white and moves with the picture."""

import json

import numpy as np
import pytest
from generate_drives import BATCH, STEP, T0, Darkening, scene

from flywheel.errors import NotEvaluable
from flywheel.generate.clips import carried, clip_frames, flows_between, noise_ids, places, shots, worst
from flywheel.generate.plan import Plan, plan_batch
from flywheel.generate.recipes import Recipe
from flywheel.generate.run import run_plan
from flywheel.store import Store, media_key
from flywheel.tables import read_table

ROWS = [{"t_ns": T0 + k * STEP, "media_sha256": str(k)} for k in range(10)]


def moved(dx: float, dy: float, shape: tuple[int, int] = (64, 96)) -> np.ndarray:
    return np.broadcast_to(np.float32([dx, dy]), (*shape, 2)).copy()


@pytest.mark.parametrize(("peak", "first"), [(5, 3), (0, 0), (1, 0), (9, 6)])
def test_a_clip_lies_around_its_key_frame_as_far_as_frames_go(peak: int, first: int) -> None:
    found = clip_frames(ROWS, T0 + peak * STEP, count=4, spacing_ns=STEP)
    assert [row["t_ns"] for row in found] == [T0 + (first + k) * STEP for k in range(4)]


def test_a_gap_or_a_slow_camera_gives_no_clip() -> None:
    with pytest.raises(NotEvaluable, match="slower, or silent"):
        clip_frames([row for k, row in enumerate(ROWS) if k % 3], T0 + 4 * STEP, count=4, spacing_ns=STEP)
    with pytest.raises(NotEvaluable):
        clip_frames(ROWS, T0 + 4 * STEP, count=4, spacing_ns=STEP // 5)


def test_flows_point_to_where_a_point_was() -> None:
    wide = scene(width=200, seed=4)
    flow = flows_between([wide[:, :160], wide[:, 6:166]])[0]
    assert np.median(flow[30:60, 20:140, 0]) == pytest.approx(6, abs=0.5)
    assert abs(np.median(flow[30:60, 20:140, 1])) < 0.5


def test_noise_moves_by_cells_and_what_comes_in_is_new() -> None:
    ids, issued = noise_ids([moved(8, 0)], (8, 12))
    assert np.array_equal(ids[:, :-1], np.arange(96).reshape(8, 12)[:, 1:])
    assert issued == 96 + 8 and set(ids[:, -1]) == set(range(96, 104))
    back, _ = noise_ids([moved(8, 0), moved(-8, 0)], (8, 12))
    assert (back[:, 0] >= 104).all(), "what left the picture comes back with new noise"


def test_no_noise_stands_twice_and_every_frame_is_white() -> None:
    rng = np.random.default_rng(0)
    flows = [rng.normal(0, 9, (64, 96, 2)).astype(np.float32) for _ in range(3)]
    ids, _ = noise_ids(flows, (16, 24))
    assert len(np.unique(ids)) == ids.size
    place = places([scene()] * 4, [0, 1, 2, 3])[3]
    assert len(place.flows) == 3
    wild = [carried(rng.standard_normal((4, 16, 24)), _with(place, flows), seed=k) for k in range(40)]
    assert np.mean(wild) == pytest.approx(0, abs=0.02) and np.std(wild) == pytest.approx(1, abs=0.02)
    assert abs(np.mean([(one[:, :, 1:] * one[:, :, :-1]).mean() for one in wild])) < 0.02, "neighbours are independent"


def _with(place: object, flows: list[np.ndarray]) -> object:
    from dataclasses import replace

    return replace(place, flows=tuple(flows))  # type: ignore[type-var]


def test_a_still_clip_keeps_its_noise() -> None:
    first = np.random.default_rng(1).standard_normal((4, 16, 24)).astype(np.float32)
    place = places([scene()] * 3, [0, 1, 2])[2]
    assert np.array_equal(carried(first, place, seed=5), first)


def test_the_worst_score_counts_and_a_missing_one_is_missing() -> None:
    assert worst([0.9, 0.2, 0.5]) == 0.2
    assert worst([0.9, None]) is None


CLIP = Recipe(name="test", clip_frames=4, clip_spacing_ms=500, per_event=1)


def plan_of(store: Store, generator: Darkening, budget: int = 2) -> Plan:
    return plan_batch(store, BATCH, generator=generator.info, budget=budget, recipe=CLIP)


def test_a_clip_is_one_request_one_row_and_one_image_a_frame(store: Store) -> None:
    generator = Darkening()
    plan = plan_of(store, generator)
    assert [len(request.clip) for request in plan.requests] == [4, 4]
    report = run_plan(store, plan, generator)
    assert (report.planned, report.done, report.failed, generator.drawn) == (2, 2, 0, 8)
    for request, row in zip(plan.requests, sorted(read_table(store, "VARIATIONS").to_pylist(), key=_order(plan)), strict=True):
        assert row["variation_id"] == request.variation_id
        assert row["clip_t_ns"] == [frame.t_ns for frame in request.clip]
        assert row["clip_outputs"][request.key] == row["output_sha256"] and len(set(row["clip_outputs"])) == 4
        assert row["clip_parents"][request.key] == row["parent_sha256"] == request.parent_sha256
        assert all(store.exists(media_key(sha256, "png")) for sha256 in row["clip_outputs"])
        assert "dis-medium" in json.loads(row["parameters"])["drawn_at"]["flow"]
    assert run_plan(store, plan, Darkening()).skipped == 2


def _order(plan: Plan) -> object:
    at = {request.variation_id: k for k, request in enumerate(plan.requests)}
    return lambda row: at[row["variation_id"]]


def test_a_clips_id_hangs_on_its_frames(store: Store) -> None:
    plan = plan_of(store, Darkening())
    single = plan_batch(store, BATCH, generator=Darkening().info, budget=2, pin=False, replan=True, per_event=1)
    assert not {r.variation_id for r in plan.requests} & {r.variation_id for r in single.requests}
    request = plan.requests[0]
    assert len({shot.parent_sha256 for shot in shots(request)}) == 4
    assert {(shot.variation_id, shot.seed) for shot in shots(request)} == {(request.variation_id, request.seed)}


def test_a_clip_that_lacks_a_frame_has_failed(store: Store) -> None:
    plan = plan_of(store, Darkening())
    lost = plan.requests[0].clip[3].parent_sha256
    store.delete(media_key(lost, "png"))
    report = run_plan(store, plan, Darkening())
    assert report.failed >= 1 and any(reason.startswith("frame 4 of 4") for reason in report.reasons)
    failed = [row for row in read_table(store, "VARIATIONS").to_pylist() if row["status"] == "failed"]
    assert all(row["output_sha256"] is None and row["clip_outputs"] is None for row in failed)
