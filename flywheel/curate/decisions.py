"""Decisions on variations: written once, never changed; a person's latest word stands over a rule's."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flywheel.curate.judge import gather, judge, repeats
from flywheel.curate.references import embedding_width, parent_vectors
from flywheel.curate.report import CurateReport, report_of
from flywheel.curate.rules import Outcome, Thresholds
from flywheel.errors import BadData
from flywheel.gate_limits import CLIP_FLOORS, GATES
from flywheel.store import Store
from flywheel.tables import list_parts, read_part, read_table, rows_table, table_key, to_parquet
from flywheel.types import digest_of, short_id
from flywheel.verdicts import ACCEPT, PERSON, REJECT, RULE, accepted_ids, current

Row = Mapping[str, Any]
COLUMNS = [
    "variation_id", "scenario", "target_condition", "parent_sha256", "parent_ext", "status", "reason", "output_sha256", "output_ext",
    "clip_t_ns", *(f"score_{gate}" for gate in (*GATES, *CLIP_FLOORS)), "embedding",
]  # fmt: skip


def curate_batch(store: Store, batch_id: str, *, thresholds: Thresholds | None = None) -> CurateReport:
    """What now holds for every variation of a batch, after the rules judged those not yet judged by these thresholds.

    One part is written at most; a rerun with the same thresholds and variations writes nothing. Duplicates are told
    within the batch, against kept variations and all parent frames; of near-duplicates the best structured survives.
    Without `thresholds` the calibrated ones hold; BadData where there are none.
    """
    thresholds = thresholds or Thresholds()
    rows = read_table(store, "VARIATIONS", batch_id=batch_id, columns=COLUMNS).to_pylist()
    last = current(read_table(store, "DECISIONS", batch_id=batch_id), actor_kind=RULE)
    batch = gather(rows, last, width=embedding_width() if rows else 0, thresholds=thresholds)
    parents = parent_vectors(store, ((row["parent_sha256"], row["parent_ext"]) for row in rows)) if batch.open_ids else {}
    version = thresholds.rule_version
    outcomes = judge(batch, last, parents, thresholds=thresholds)
    new = {name: outcome for name, outcome in outcomes.items() if not repeats(last.get(name), outcome, rule_version=version)}
    _append(store, batch_id, [_rule_row(name, outcome, last.get(name), version) for name, outcome in new.items()])
    held = current(read_table(store, "DECISIONS", batch_id=batch_id))
    return report_of(batch_id, rows, held, rule_version=version, decided=len(new))


def accepted(store: Store, batch_id: str | None = None) -> set[str]:
    """Variation ids whose current verdict is accept, in one batch or in all."""
    return accepted_ids(store, batch_id)


def decide(store: Store, subject_id: str, verdict: str, *, actor: str, reason: str) -> str:
    """The id of a person's decision on a variation, now recorded; BadData if it cannot be one."""
    return decide_all(store, [(subject_id, verdict, reason)], actor=actor)[0]


def decide_all(store: Store, wanted: Sequence[tuple[str, str, str]], *, actor: str) -> list[str]:
    """Ids of a person's decisions (subject, verdict, reason), in order, one part a batch; BadData before anything is written."""
    homes = _homes(store, {subject for subject, _, _ in wanted})
    for subject, verdict, reason in wanted:
        _check(subject, verdict, actor=actor, reason=reason, home=homes.get(subject))
    ids: dict[str, str] = {}
    for batch_id in sorted({homes[subject][0] for subject, _, _ in wanted}):
        held = current(read_table(store, "DECISIONS", batch_id=batch_id), actor_kind=PERSON)
        mine = [item for item in wanted if homes[item[0]][0] == batch_id]
        rows = [_person_row(*item, actor=actor, last=held.get(item[0])) for item in mine]
        _append(store, batch_id, rows)
        ids |= {row["subject_id"]: row["decision_id"] for row in rows}
    return [ids[subject] for subject, _, _ in wanted]


def _rule_row(subject_id: str, outcome: Outcome, last: Row | None, version: str) -> dict[str, Any]:
    what = {"subject": subject_id, "rule": version, "outcome": outcome.model_dump(), "after": last["decision_id"] if last else ""}
    return {
        "decision_id": short_id("decision", what), "subject_id": subject_id, **outcome.model_dump(),
        "actor_kind": RULE, "actor": "flywheel.curate", "rule_version": version, "decided_t_ns": _now_ns(last),
    }  # fmt: skip


def _person_row(subject_id: str, verdict: str, reason: str, *, actor: str, last: Row | None) -> dict[str, Any]:
    what = {"subject": subject_id, "verdict": verdict, "reason": reason, "actor": actor, "after": last["decision_id"] if last else ""}
    return {
        "decision_id": short_id("decision", what), "subject_id": subject_id, "verdict": verdict, "gate": "person", "reason": reason,
        "actor_kind": PERSON, "actor": actor, "rule_version": "person", "decided_t_ns": _now_ns(last),
    }  # fmt: skip


def _now_ns(last: Row | None) -> int:
    """When a decision is made (UTC ns); later than the one it follows even if the clock stepped back."""
    return max(time.time_ns(), last["decided_t_ns"] + 1 if last else 0)


def _append(store: Store, batch_id: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    part = f"{rows[0]['actor_kind']}-{digest_of(sorted(row['decision_id'] for row in rows))[:16]}"
    data = to_parquet("DECISIONS", rows_table("DECISIONS", rows))
    store.put_if_absent(table_key("DECISIONS", batch_id=batch_id, part=part), data)


def _homes(store: Store, subjects: Iterable[str]) -> dict[str, tuple[str, bool]]:
    """(batch id, whether there is an output) of each variation that exists."""
    wanted, found = set(subjects), {}
    for key in list_parts(store, "VARIATIONS"):
        batch_id = key.split("/")[2].removeprefix("batch=")
        for row in read_part(store, key, columns=["variation_id", "status", "output_sha256"]).to_pylist():
            if row["variation_id"] in wanted:
                found[row["variation_id"]] = (batch_id, row["status"] == "done" and bool(row["output_sha256"]))
    return found


def _check(subject_id: str, verdict: str, *, actor: str, reason: str, home: tuple[str, bool] | None) -> None:
    if home is None:
        raise BadData(f"no variation {subject_id!r} in this root. `flywheel review` lists them.")
    if verdict not in (ACCEPT, REJECT):
        raise BadData(f"{subject_id}: verdict {verdict!r} is not one of {ACCEPT}, {REJECT}")
    if not actor.strip() or not reason.strip():
        raise BadData(f"{subject_id}: a person's decision needs a name and a reason")
    if verdict == ACCEPT and not home[1]:
        raise BadData(f"{subject_id}: its generation failed, so there is nothing to accept")
