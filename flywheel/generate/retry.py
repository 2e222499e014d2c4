"""A second try for what a gate turned away: another seed, and a lower or higher strength where the engine has one; never without bound.

What was tried stays: a retry is a variation of its own, with its number and the id it stands in for. Whether a drawing ran
(`status`) and whether it is any good (the gates) are two things: only what ran and was turned away is tried again here.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flywheel.gate_limits import CLIP_FLOORS, GateResult, first_failed, gates_of, judged, read_limits
from flywheel.generate.plan import Plan
from flywheel.generate.protocol import Adjustable, Generator
from flywheel.generate.request import VariationRequest, retried
from flywheel.generate.run import GenerateReport, run_plan
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record

Row = Mapping[str, Any]
# Too much was changed, or too little; any other gate only asks for another seed.
TOO_STRONG, TOO_WEAK = ("structure", "labels", "content", "motion", "flow"), ("condition", "change")


class RetryPolicy(Record):
    """At most `attempts` more tries of one request and `share` of a plan's size altogether; strengths are multiplied at each try."""

    attempts: int = 2
    share: float = 0.5
    weaker: float = 0.8
    stronger: float = 1.15


class Try(Record):
    """One more try: whose turn it is, why, and at which share of the engine's own strength."""

    request: VariationRequest
    failed: GateResult
    strength: float


def verdict(row: Row, *, floors: Mapping[str, float]) -> GateResult | None:
    """The gate that turns a VARIATIONS row away, None if all its gates pass; only rows that ran are judged."""
    asked = {gate: floors[gate] for gate in gates_of(row)}
    return first_failed(judged({name: row.get(f"score_{name}") for name in asked}, floors=asked))


def next_tries(
    requests: Sequence[VariationRequest], rows: Iterable[Row], *, floors: Mapping[str, float], policy: RetryPolicy
) -> list[Try]:  # fmt: skip
    """Who is tried again now, in the plan's order; the same rows give the same tries, and none once the budget is spent."""
    held = {row["variation_id"]: row for row in rows}
    budget, found = int(policy.share * len(requests)), list[Try]()
    chains = [list(_chain(request, held, floors, policy)) for request in requests]
    spent = sum(attempt.request.variation_id in held for chain in chains for attempt in chain)
    for chain in chains:
        found += [attempt for attempt in chain[-1:] if attempt.request.variation_id not in held]
    return found[: max(budget - spent, 0)]


def _chain(request: VariationRequest, held: Mapping[str, Row], floors: Mapping[str, float], policy: RetryPolicy) -> Iterator[Try]:
    """The tries of one request so far, and the next one where the last was turned away."""
    now, strength = request, 1.0
    for number in range(1, policy.attempts + 1):
        row = held.get(now.variation_id)
        failed = verdict(row, floors=floors) if row is not None and row["status"] == "done" else None
        if failed is None:
            return
        strength *= policy.weaker if failed.gate in TOO_STRONG else policy.stronger if failed.gate in TOO_WEAK else 1.0
        now = retried(request, attempt=number, retry_of=now.variation_id)
        yield Try(request=now, failed=failed, strength=round(strength, 4))


def retry_rejected(store: Store, plan: Plan, generator: Generator, *, policy: RetryPolicy | None = None) -> list[GenerateReport]:
    """Draws what the gates turned away again, round by round; gives back one report a run. Killed and rerun, it goes on where it was."""
    policy, floors, reports = policy or RetryPolicy(), read_limits().floors | CLIP_FLOORS, list[GenerateReport]()
    for _ in range(policy.attempts):
        rows = read_table(store, "VARIATIONS", batch_id=plan.batch_id).to_pylist()
        tries = next_tries(plan.requests, rows, floors=floors, policy=policy)
        for strength in sorted({attempt.strength for attempt in tries}):
            engine = generator.at_strength(strength) if isinstance(generator, Adjustable) else generator
            asked = tuple(_for(attempt.request, engine) for attempt in tries if attempt.strength == strength)
            reports.append(run_plan(store, plan.model_copy(update={"requests": asked, "generator": engine.info}), engine))
    return reports


def _for(request: VariationRequest, engine: Generator) -> VariationRequest:
    """The request as this engine draws it. Its id stays: it names the try, and the row records the strength."""
    return request.model_copy(update={"parameters": json.dumps(engine.info.parameters, sort_keys=True, separators=(",", ":"))})
