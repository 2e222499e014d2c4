"""Planning: thin cells first, deterministic, pinned, never the source's own condition."""

import logging

import pytest
from generate_drives import BATCH, T0, Darkening
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadSchema, NotEvaluable
from flywheel.generate.choose import Choice, Chooser
from flywheel.generate.frames import REFERENCE, KeyFrame, camera_rank
from flywheel.generate.ledger import Ledger
from flywheel.generate.plan import Plan, pinned_plan, plan_batch, plan_key
from flywheel.generate.prompts import prompt_for
from flywheel.generate.recipes import RECIPES, night_rain_v1
from flywheel.store import Store, open_store
from flywheel.tables import rows_table, write_table
from flywheel.types import CONDITIONS, Condition

INFO = Darkening().info
NIGHT_RAIN = Condition(lighting="night", weather="rain")


def _snapshot(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list()}


def test_plan_spreads_over_thin_cells_and_never_repeats_the_source(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=INFO, budget=6, per_event=2)
    assert len(plan.requests) == 6
    assert all(r.target_condition != r.source_condition for r in plan.requests)
    assert len({(r.parent_sha256, r.target_condition) for r in plan.requests}) == 6
    assert {r.event_id for r in plan.requests} == {"ev-1", "ev-2", "ev-3"}
    braking = sum(r.scenario == "hard_braking" for r in plan.requests)
    assert braking == 2, "one event, two variations of it"


def test_key_frame_is_the_front_camera_at_the_peak(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=INFO, budget=3, per_event=1)
    times = {r.event_id: (r.t_ns - T0) // 500_000_000 for r in plan.requests}
    assert times == {"ev-1": 4, "ev-2": 8, "ev-3": 6}
    assert {r.camera for r in plan.requests} == {"front"}


def test_few_events_give_several_frames_each(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=INFO, budget=24, per_event=2)
    assert len(plan.requests) == 24
    assert len({r.t_ns for r in plan.requests if r.event_id == "ev-2"}) == 4


def test_equal_cells_are_taken_in_turn_over_lighting_and_weather(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=INFO, budget=6, per_event=2)
    assert {r.target.lighting for r in plan.requests} == {"day", "dusk", "night", "low_sun"}
    assert len({r.target.weather for r in plan.requests}) == 4
    assert len({r.target_condition for r in plan.requests}) == 6


def test_cells_count_before_and_after(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=INFO, budget=6)
    assert sum(c.after - c.before for c in plan.cells) == len(plan.requests) == 6
    assert all((c.real_events, c.exposure_h, c.before) == (0, 0, 0) for c in plan.cells), "all was driven by clear day"
    assert ("cut_in", "day_clear") not in {(c.scenario, c.condition) for c in plan.cells}, "its frames show it already"
    assert plan.outlook is not None and plan.outlook.exposure_h == pytest.approx(12 / 3600)


def test_a_demand_draws_the_budget_to_its_cell(store: Store) -> None:
    demand = {"demand_id": "d", "model_id": "m", "scenario": "cut_in", "condition": "dusk_fog", "metric": "recall",
              "value": 0.1, "target": 0.9, "samples": 10, "weight": 20.0}  # fmt: skip
    without = plan_batch(store, BATCH, generator=INFO, budget=1, pin=False)
    write_table(store, "DEMANDS", rows_table("DEMANDS", [demand]), batch_id="m", part="m")
    asked = plan_batch(store, BATCH, generator=INFO, budget=1, pin=False)
    assert without.requests[0].target_condition != "dusk_fog"
    assert (asked.requests[0].scenario, asked.requests[0].target_condition) == ("cut_in", "dusk_fog")


def test_dry_run_writes_nothing_and_a_rerun_returns_the_pin(store: Store) -> None:
    before = _snapshot(store)
    dry = plan_batch(store, BATCH, generator=INFO, pin=False)
    assert _snapshot(store) == before
    pinned = plan_batch(store, BATCH, generator=INFO)
    assert pinned == dry
    after = _snapshot(store)
    assert plan_batch(store, BATCH, generator=INFO, budget=2) == pinned
    assert _snapshot(store) == after


def test_another_generator_keeps_the_pin_and_says_so(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    first = plan_batch(store, BATCH, generator=INFO, budget=4)
    other = Darkening(revision="2").info
    with caplog.at_level(logging.WARNING):
        assert plan_batch(store, BATCH, generator=other, budget=4) == first
    assert "already planned" in caplog.text and "replan=True" in caplog.text
    second = plan_batch(store, BATCH, generator=other, budget=4, replan=True)
    assert second.number == 2 and store.exists(plan_key(BATCH, 2))
    assert pinned_plan(store, BATCH) == second
    assert {r.variation_id for r in first.requests}.isdisjoint(r.variation_id for r in second.requests)


def test_replanning_with_nothing_new_pins_nothing(store: Store) -> None:
    first = plan_batch(store, BATCH, generator=INFO)
    assert plan_batch(store, BATCH, generator=INFO, replan=True) == first
    assert store.list("plans/") == [plan_key(BATCH, 1)]


def test_a_quiet_batch_falls_back_to_reference_frames(quiet: Store) -> None:
    plan = plan_batch(quiet, BATCH, generator=INFO, budget=5)
    assert {(r.scenario, r.event_id, r.source_condition) for r in plan.requests} == {(REFERENCE, "", "day_clear")}
    assert len(plan.requests) == 5 and any(REFERENCE in note for note in plan.notes)
    assert sorted({(r.t_ns - T0) // 500_000_000 for r in plan.requests}) == [2, 6, 10], "spread over the whole drive"


def test_before_mining_there_is_no_plan(tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = open_store(tmp_path_factory.mktemp("empty"))
    with pytest.raises(NotEvaluable, match="flywheel mine"):
        plan_batch(empty, BATCH, generator=INFO)


def test_a_broken_pin_is_a_clear_error(store: Store) -> None:
    store.put(plan_key(BATCH, 1), b'{"batch_id": 1}')
    with pytest.raises(BadSchema, match=r"plans/b-test\.json"):
        plan_batch(store, BATCH, generator=INFO)


def test_recipes_narrow_the_targets(store: Store) -> None:
    recipe = night_rain_v1()
    plan = plan_batch(store, BATCH, generator=INFO, targets=recipe.targets, budget=3, per_event=1)
    assert {r.target for r in plan.requests} == {NIGHT_RAIN}
    assert all(make().name == name for name, make in RECIPES.items())


def test_prompts_tell_conditions_apart() -> None:
    prompts = {prompt_for("cut_in", condition) for condition in CONDITIONS}
    assert len(prompts) == len(CONDITIONS)
    assert "night" in prompt_for("cut_in", NIGHT_RAIN) and "rain" in prompt_for("cut_in", NIGHT_RAIN)
    assert "some new thing" in prompt_for("some_new_thing", NIGHT_RAIN)


def test_plans_survive_their_json(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=INFO)
    assert Plan.model_validate_json(store.get(plan_key(BATCH, 1))) == plan
    assert all(r.variation_id.startswith("var-") and len(r.variation_id) == 68 for r in plan.requests)


def test_camera_order() -> None:
    names = ["rear", "front_left", "camera_front_tele_30fov", "dashcam", "front", "camera_front_wide_120fov"]
    assert sorted(names, key=camera_rank)[:4] == ["camera_front_wide_120fov", "front", "camera_front_tele_30fov", "dashcam"]


def _frame(n: int, scenario: str, source: str, rank: int) -> KeyFrame:
    return KeyFrame(event_id=f"e{n}", scenario=scenario, level="L1", drive_id="d", root_group="g", t_ns=n, camera="front",
                    parent_sha256=f"{n}-{rank}", parent_ext="png", source_condition=source, rank=rank)  # fmt: skip


def _pick(frames: list[KeyFrame], budget: int, per_event: int) -> list[Choice]:
    chooser = Chooser(Ledger(), frames, targets=CONDITIONS, per_event=per_event)
    chooser.choose(budget)
    return chooser.chosen


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([c.name for c in CONDITIONS]), st.integers(0, 2)), max_size=12),
    st.integers(0, 40), st.integers(1, 3),
)  # fmt: skip
def test_choice_holds_its_promises(specs: list[tuple[str, str, int]], budget: int, per_event: int) -> None:
    frames = [_frame(n, *spec) for n, spec in enumerate(specs)]

    picked = _pick(frames, budget, per_event)
    assert picked == _pick(frames, budget, per_event)
    assert len(picked) == min(budget, len(frames) * per_event)
    assert all(choice.frame.source_condition != choice.target for choice in picked)
    assert len({(choice.frame.parent_sha256, choice.target) for choice in picked}) == len(picked)


def test_an_event_that_needs_its_condition_gets_no_other() -> None:
    bound = _frame(0, "a", "night_clear", 0).model_copy(update={"only": ("night_clear", "night_rain")})
    assert [choice.target for choice in _pick([bound], 9, 9)] == ["night_rain"]
    assert "only" not in bound.content() and "odd" not in bound.content()


def test_a_dagster_run_may_name_a_recipe(store: Store) -> None:
    from assets.generate import GenerateConfig, planned
    from flywheel.errors import BadData

    with pytest.raises(BadData, match="thin_cells_v1"):
        planned(store, BATCH, GenerateConfig(recipe="night_of_the_rain"), info=INFO)
    plan = planned(store, BATCH, GenerateConfig(recipe="night_rain_v1", budget=3), info=INFO)
    assert plan.recipe == "night_rain_v1" and {request.target_condition for request in plan.requests} == {NIGHT_RAIN.name}
    assert planned(store, BATCH, GenerateConfig(), info=INFO) == plan, "the pinned plan holds"
