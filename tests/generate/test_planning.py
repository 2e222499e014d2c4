"""How a budget is divided: bounds instead of estimates, demands, acceptance, pairs, what cannot be, what lies outside the ODD."""

from collections import Counter

import pytest
from generate_drives import BATCH, EVENTS, Darkening, put_drive
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import BadData, NotEvaluable
from flywheel.generate.cells import may_pass, thinness, wilson
from flywheel.generate.choose import PAIRS_SHARE, Chooser
from flywheel.generate.effect import effect
from flywheel.generate.frames import KeyFrame
from flywheel.generate.ledger import ANY, Acceptance, Known, Ledger, read_ledger
from flywheel.generate.outlook import outlook
from flywheel.generate.pairs import Picture, Tuples, shown
from flywheel.generate.plan import Plan, plan_batch
from flywheel.generate.run import run_plan
from flywheel.odd import DOMAIN_KEY, Domain, read_domain, unseeable, written
from flywheel.store import Store
from flywheel.tables import read_table, rows_table, write_table
from flywheel.types import CONDITIONS, Condition

INFO = Darkening().info
SNOW = Condition(lighting="day", weather="snow")


def _odd(**values: str) -> str:
    plain = {"illumination": "day", "rain": "none", "snow": "none", "visibility": "good", "temperature": "cold", "scenery": "straight",
             "speed": "30-50", "traffic": "free"}  # fmt: skip
    return written(plain | values)


def _frame(n: int, scenario: str = "cut_in", **values: str) -> KeyFrame:
    return KeyFrame(event_id=f"e{n}", scenario=scenario, level="L1", drive_id="d", root_group="g", t_ns=n, camera="front",
                    parent_sha256=f"p{n}", parent_ext="png", source_condition="day_clear", odd=_odd(**values))  # fmt: skip


def _chosen(ledger: Ledger, frames: list[KeyFrame], budget: int, targets: tuple[Condition, ...] = CONDITIONS) -> Counter[tuple[str, str]]:
    chooser = Chooser(ledger, frames, targets=targets, per_event=20)
    chooser.choose(budget)
    return Counter((choice.frame.scenario, choice.target) for choice in chooser.chosen)


def _known(**cells: Known) -> dict[tuple[str, str], Known]:
    return {("cut_in", name): known for name, known in cells.items()}


def test_thinness_is_of_the_bound_not_of_the_estimate() -> None:
    """No event in ten seconds and none in ten hours have the same rate; only the first is thin."""
    seconds, hours = 2.996 / (10 / 3600), 2.996 / 10
    assert thinness(seconds, 5.0) > 0.99 and thinness(hours, 5.0) < 0.06
    assert thinness(None, 5.0) == 1.0, "nobody has driven there"
    known = {
        ("cut_in", "night_fog"): Known(upper_per_h=seconds, exposure_s=10),
        ("cut_in", "night_rain"): Known(upper_per_h=hours, exposure_s=36000),
        ("cut_in", ANY): Known(upper_per_h=5.0),
    }
    targets = tuple(Condition.parse(name) for name in ("night_fog", "night_rain"))
    got = _chosen(Ledger(known=known), [_frame(n) for n in range(20)], 10, targets)
    assert got["cut_in", "night_fog"] >= 8


def test_severity_and_demand_divide_a_budget_in_proportion() -> None:
    known = {(name, ANY): Known(severity=severity) for name, severity in (("cut_in", 1), ("low_ttc", 3))}
    frames = [_frame(n, ("cut_in", "low_ttc")[n % 2]) for n in range(40)]
    got = _chosen(Ledger(known=known), frames, 40, (SNOW,))
    assert got["low_ttc", "day_snow"] == 20 and got["cut_in", "day_snow"] == 20, "frames are used up"
    got = _chosen(Ledger(known=known), frames, 16, (SNOW,))
    assert got["low_ttc", "day_snow"] == 12 and got["cut_in", "day_snow"] == 4
    got = _chosen(Ledger(known=known, demand={("cut_in", "day_snow"): 8.0}), frames, 16, (SNOW,))
    assert got["cut_in", "day_snow"] == 12


def test_real_events_and_standing_variations_are_seats_taken() -> None:
    known = _known(day_fog=Known(real_events=6, exposure_s=60, upper_per_h=5.0), any=Known(upper_per_h=5.0))
    ledger = Ledger(
        known=known, accepted=Counter({Picture("cut_in", "day_rain", ""): 3}), waiting=Counter({Picture("cut_in", "day_rain", ""): 3})
    )
    targets = tuple(Condition.parse(name) for name in ("day_fog", "day_rain", "dusk_fog"))
    got = _chosen(ledger, [_frame(n) for n in range(12)], 6, targets)
    assert got["cut_in", "dusk_fog"] >= 5, "all but the share that is kept for pairs"


def test_what_never_passes_does_not_eat_the_budget() -> None:
    assert may_pass(0, 0) == 1.0 and may_pass(20, 0) < 0.17 and may_pass(20, 20) == 1.0
    ledger = Ledger(acceptance=Acceptance(by_condition={"night_fog": (40, 0)}))
    targets = tuple(Condition.parse(name) for name in ("night_fog", "night_rain"))
    got = _chosen(ledger, [_frame(n) for n in range(30)], 20, targets)
    assert got["cut_in", "night_fog"] <= 3 < got["cut_in", "night_rain"]


@given(st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_wilson_holds_the_estimate(pair: tuple[int, int]) -> None:
    low, high = wilson(*pair)
    p = pair[1] / pair[0] if pair[0] else 0.5
    assert 0 <= low <= p + 1e-12 and p - 1e-12 <= high <= 1


@pytest.mark.parametrize(("temperature", "may"), [("cold", True), ("mild", False), ("hot", False), ("unknown", True)])
def test_no_snow_at_30_degrees(temperature: str, may: bool) -> None:
    chooser = Chooser(Ledger(), [_frame(1, temperature=temperature)], targets=CONDITIONS, per_event=20)
    chooser.choose(20)
    assert (SNOW.name in {choice.target for choice in chooser.chosen}) is may
    assert ("snow does not fall" in " ".join(cell.why for cell in chooser.closed())) is not may


def test_a_scenario_says_what_it_cannot_be_under() -> None:
    assert unseeable({"scenario": "fog"}, Condition.parse("day_clear")) == "fog is the scenario"
    assert unseeable({"scenario": "cut_in", "temperature": "hot"}, Condition.parse("day_fog")) is None, "light fog is possible"


def test_outside_the_domain_nothing_is_asked_for(store: Store) -> None:
    store.put(DOMAIN_KEY, b'[domain]\nweather = ["clear", "rain"]\nillumination = ["day", "night"]\n')
    plan = plan_batch(store, BATCH, generator=INFO, budget=12, pin=False)
    assert {request.target_condition for request in plan.requests} <= {"day_rain", "night_clear", "night_rain"}
    assert {cell.why for cell in plan.closed} >= {"outside the ODD: weather fog", "outside the ODD: illumination dusk"}
    assert read_domain(store).outside({"weather": "unknown"}) is None
    store.put(DOMAIN_KEY, b'[domain]\nweather = ["hail"]\n')
    with pytest.raises(BadData, match="hail"):
        plan_batch(store, BATCH, generator=INFO, pin=False)


def test_pairs_leave_out_what_cannot_be_and_what_a_variation_cannot_change() -> None:
    tuples = Tuples(domain=Domain())
    names = tuples.names((1 << len(tuples)) - 1)
    assert "night + snow" in names and "low_sun + fog" not in names and "snow + temperature cold" in names
    assert "snow + temperature hot" not in names and not any("speed" in name and "traffic" in name for name in names)
    assert len(Tuples(domain=Domain(allowed={"weather": ("clear",)}))) < len(tuples)


def test_frames_are_chosen_for_pairs_that_nothing_shows() -> None:
    """Of two parents the one in a new setting is taken, and a share of the budget goes to such pairs alone."""
    driven = frozenset(shown(_odd(scenery="straight"), c.name) for c in CONDITIONS)
    frames = [_frame(1), _frame(2, scenery="curve", traffic="dense")]
    chooser = Chooser(Ledger(driven=driven), frames, targets=(Condition.parse("night_rain"),), per_event=1)
    chooser.choose(1)
    assert chooser.chosen[0].frame.event_id == "e2" and chooser.chosen[0].new.bit_count() == 4
    many = Chooser(Ledger(driven=driven), [_frame(n) for n in range(50)] + frames[1:], targets=CONDITIONS, per_event=20)
    many.choose(50)
    for_pairs = sum(choice.pairs for choice in many.chosen)
    assert 0 < for_pairs <= round(50 * PAIRS_SHARE)
    assert sum(cell.for_pairs for cell in many.cells()) == for_pairs and any("first to show" in cell.why for cell in many.cells())


def test_the_outlook_counts_with_the_acceptance_so_far() -> None:
    known = {("cut_in", name): Known() for name in ("day_rain", "day_fog", ANY)}
    hoped = [Picture("cut_in", "day_rain", _odd())] * 2
    blank = outlook(Ledger(known=known), hoped, reach={("cut_in", "day_rain")})
    assert (blank.rate, blank.measures[0].expected) == (None, None) and blank.measures[0].if_all == 1
    half = outlook(Ledger(known=known, acceptance=Acceptance(by_condition={"day_rain": (10, 5)})), hoped, reach={("cut_in", "day_rain")})
    assert half.rate == 0.5 and half.measures[0].expected == pytest.approx(0.75, abs=0.06)
    near = half.measures[1]
    assert (near.possible, near.real, near.before, near.if_all) == (1, 0, 0, 1)
    lacking = half.measures[2]
    assert (lacking.before, lacking.if_all, lacking.expected) == (40, 38, 39.0)
    assert half.measures[3].before == 0 < half.measures[3].if_all


def _judge(store: Store, plan: Plan, verdicts: list[str]) -> None:
    rows = [{"decision_id": f"d{k}", "subject_id": request.variation_id, "verdict": verdict, "gate": "structure", "reason": "said",
             "actor_kind": "rule", "actor": "t", "rule_version": "1", "decided_t_ns": k}
            for k, (request, verdict) in enumerate(zip(plan.requests, verdicts, strict=False))]  # fmt: skip
    write_table(store, "DECISIONS", rows_table("DECISIONS", rows), batch_id=BATCH, part="rule")


def test_coverage_before_and_after_a_run(store: Store) -> None:
    """Drawn is not covered; accepted is; and the real column never moves."""
    generator = Darkening()
    ledger = read_table(store, "COVERAGE")
    plan = plan_batch(store, BATCH, generator=INFO, budget=4)
    run_plan(store, plan, generator)
    drawn = effect(store, plan)
    assert drawn is not None and sum(cell.waiting for cell in drawn.cells) == 4
    assert [one.before for one in drawn.now.measures] == [one.before for one in drawn.before], "nothing is judged yet"
    assert drawn.now.measures[0].if_all > drawn.now.measures[0].before
    _judge(store, plan, ["accept", "accept", "accept", "reject"])
    after = effect(store, plan)
    assert after is not None and after.now.rate == 0.75
    assert (sum(cell.accepted for cell in after.cells), sum(cell.rejected for cell in after.cells)) == (3, 1)
    assert all(cell.now == cell.before + cell.accepted for cell in after.cells)
    assert after.now.measures[0].before > after.before[0].before and after.now.measures[0].real == after.before[0].real
    assert after.now.exposure_h == drawn.now.exposure_h and read_table(store, "COVERAGE").equals(ledger)
    again = plan_batch(store, BATCH, generator=INFO, budget=4, replan=True)
    assert {r.variation_id for r in again.requests}.isdisjoint(r.variation_id for r in plan.requests), "a second plan asks for what is left"


def test_an_old_ledger_is_noted_and_none_is_an_error(store: Store) -> None:
    extra = [row | {"event_id": f"x-{row['event_id']}"} for row in EVENTS[:2]]
    assert not read_ledger(store).notes
    exposure = read_table(store, "EXPOSURE").to_pylist()
    write_table(store, "EXPOSURE", rows_table("EXPOSURE", [row | {"events": len(extra)} for row in exposure]), batch_id="late", part="late")
    assert "run `flywheel mine`" in read_ledger(store).notes[0]
    for key in store.list("tables/COVERAGE/"):
        store.delete(key)
    with pytest.raises(NotEvaluable, match="flywheel mine"):
        plan_batch(store, BATCH, generator=INFO)


def test_the_same_inputs_give_the_same_plan_however_they_were_written(store: Store, tmp_path_factory: pytest.TempPathFactory) -> None:
    from flywheel.store import open_store

    other = open_store(tmp_path_factory.mktemp("other"))
    put_drive(other, "drive-b", EVENTS[2:], seed=7)
    put_drive(other, "drive-a", EVENTS[:2], seed=1, cameras=("front_left", "front"))
    assert plan_batch(other, BATCH, generator=INFO, budget=9) == plan_batch(store, BATCH, generator=INFO, budget=9)
