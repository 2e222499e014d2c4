"""The current verdict on each subject, read from the append-only DECISIONS table. Shared by curation and publishing."""

from typing import Any

import pyarrow as pa

from flywheel.store import Store
from flywheel.tables import read_table

ACCEPT, REJECT = "accept", "reject"
PERSON, RULE = "person", "rule"


def _rank(row: dict[str, Any]) -> tuple[bool, int, str]:
    return row["actor_kind"] == PERSON, row["decided_t_ns"], row["decision_id"]


def current(decisions: pa.Table, *, actor_kind: str | None = None) -> dict[str, dict[str, Any]]:
    """The DECISIONS row that holds for each subject: a person's latest, else a rule's latest.

    With `actor_kind`, only that kind of actor is heard.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in decisions.to_pylist():
        if actor_kind is not None and row["actor_kind"] != actor_kind:
            continue
        held = found.get(row["subject_id"])
        if held is None or _rank(row) > _rank(held):
            found[row["subject_id"]] = row
    return found


def accepted_ids(store: Store, batch_id: str | None = None) -> set[str]:
    """Subjects whose current verdict is accept, in one batch or in all; a subject without a decision is not accepted."""
    held = current(read_table(store, "DECISIONS", batch_id=batch_id))
    return {subject for subject, row in held.items() if row["verdict"] == ACCEPT}
