"""Second tries: bounded, recorded, the same at every rerun; what ran and what is good are two things."""

from typing import Any

import pytest
from generate_drives import BATCH, Darkening

from flywheel.gate_limits import GATES, read_limits
from flywheel.generate.plan import plan_batch
from flywheel.generate.protocol import Adjustable
from flywheel.generate.request import VariationRequest
from flywheel.generate.retry import RetryPolicy, next_tries, retry_rejected
from flywheel.generate.run import run_plan
from flywheel.store import Store
from flywheel.tables import read_table

FLOORS = dict.fromkeys(GATES, 0.5)
GOOD = {f"score_{gate}": 0.9 for gate in GATES}


@pytest.fixture
def requests(store: Store) -> tuple[VariationRequest, ...]:
    return plan_batch(store, BATCH, generator=Darkening().info, budget=4).requests


def _row(request: VariationRequest, **scores: float | None) -> dict[str, Any]:
    return {"variation_id": request.variation_id, "status": "done", **GOOD, **{f"score_{gate}": value for gate, value in scores.items()}}


def test_only_what_ran_and_was_turned_away_is_tried_again(requests: tuple[VariationRequest, ...]) -> None:
    rows = [_row(requests[0]), _row(requests[1], labels=0.1), _row(requests[2], condition=None) | {"status": "failed"}]
    (one,) = next_tries(requests, rows, floors=FLOORS, policy=RetryPolicy())
    assert one.request.retry_of == requests[1].variation_id and one.request.attempt == 1
    assert one.request.seed != requests[1].seed and one.request.variation_id not in {r.variation_id for r in requests}
    assert one.failed.gate == "labels" and one.strength == 0.8


@pytest.mark.parametrize(
    ("gate", "strength"), [("structure", 0.8), ("content", 0.8), ("condition", 1.15), ("change", 1.15), ("integrity", 1.0)]
)
def test_the_failed_gate_says_how_strongly_to_draw_next(requests: tuple[VariationRequest, ...], gate: str, strength: float) -> None:
    (one,) = next_tries(requests, [_row(requests[0], **{gate: 0.1})], floors=FLOORS, policy=RetryPolicy())
    assert one.strength == strength


def test_tries_are_bounded_by_request_and_in_all(requests: tuple[VariationRequest, ...]) -> None:
    rows, policy, rounds = [_row(request, labels=0.1) for request in requests], RetryPolicy(attempts=2, share=0.75), []
    while tries := next_tries(requests, rows, floors=FLOORS, policy=policy):
        assert tries == next_tries(requests, rows[::-1], floors=FLOORS, policy=policy), "the order of rows changes nothing"
        rounds.append(len(tries))
        rows += [_row(attempt.request, labels=0.1) for attempt in tries]
    assert sum(rounds) == 3, "three quarters of four requests"
    assert next_tries(requests, rows, floors=FLOORS, policy=RetryPolicy(attempts=0, share=9)) == []
    unbounded = RetryPolicy(attempts=2, share=9)
    rows = [_row(request, labels=0.1) for request in requests]
    while tries := next_tries(requests, rows, floors=FLOORS, policy=unbounded):
        rows += [_row(attempt.request, labels=0.1) for attempt in tries]
    assert len(rows) == 4 * 3, "two more tries each, then it stands"


class Gentle(Darkening):
    """Has a strength; remembers at which it drew."""

    def __init__(self, *, strength: float = 1.0, seen: list[float] | None = None) -> None:
        super().__init__()
        self.strength, self.seen = strength, [] if seen is None else seen
        self.info = self.info.model_copy(update={"parameters": {**self.info.parameters, "strength": strength}})

    def at_strength(self, share: float) -> "Gentle":
        return Gentle(strength=round(self.strength * share, 4), seen=self.seen)

    def generate(self, batch: list[Any]) -> list[Any]:
        self.seen += [self.strength] * len(batch)
        return super().generate(batch)


def test_a_run_tries_again_records_it_and_draws_nothing_twice(store: Store) -> None:
    generator = Gentle()
    assert isinstance(generator, Adjustable)
    plan = plan_batch(store, BATCH, generator=generator.info, budget=4)
    run_plan(store, plan, generator)
    reports = retry_rejected(store, plan, generator, policy=RetryPolicy(attempts=1, share=0.5))
    rows = read_table(store, "VARIATIONS", batch_id=BATCH).to_pylist()
    again = [row for row in rows if row["attempt"]]
    assert sum(report.done for report in reports) == len(again) <= 2, "hand-drawn streets do not pass the gates; two tries in all"
    assert {row["retry_of"] for row in again} <= {request.variation_id for request in plan.requests}
    assert all(row["status"] == "done" for row in again), "run status says that it ran, the gates whether it is good"
    drawn = len(generator.seen)
    assert retry_rejected(store, plan, generator, policy=RetryPolicy(attempts=1, share=0.5)) == [] and len(generator.seen) == drawn
    assert all(row["score_labels"] is not None for row in rows) and read_limits().floors
