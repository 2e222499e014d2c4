"""What curation came to, in plain counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.types import Record
from flywheel.verdicts import ACCEPT, PERSON, REJECT


class Tally(Record):
    """Accepted and rejected variations of one kind."""

    accepted: int
    rejected: int


class CurateReport(Record):
    """The state of a batch. `decided` counts what this run judged; all else is what now holds."""

    batch_id: str
    rule_version: str
    variations: int
    decided: int
    accepted: int
    rejected: int
    by_person: int
    rejected_by_gate: dict[str, int]
    by_scenario: dict[str, Tally]
    by_condition: dict[str, Tally]


def _tally(rows: Sequence[Mapping[str, Any]], column: str, accepted: set[str]) -> dict[str, Tally]:
    all_of = Counter(row[column] for row in rows)
    good = Counter(row[column] for row in rows if row["variation_id"] in accepted)
    return {name: Tally(accepted=good[name], rejected=all_of[name] - good[name]) for name in sorted(all_of)}


def report_of(
    batch_id: str, rows: Sequence[Mapping[str, Any]], held: Mapping[str, Mapping[str, Any]], *, rule_version: str, decided: int
) -> CurateReport:
    """The report on VARIATIONS rows and the decision that holds for each."""
    mine = {row["variation_id"]: held[row["variation_id"]] for row in rows}
    accepted = {name for name, row in mine.items() if row["verdict"] == ACCEPT}
    gates = Counter(row["gate"] for row in mine.values() if row["verdict"] == REJECT)
    return CurateReport(
        batch_id=batch_id, rule_version=rule_version, variations=len(rows), decided=decided,
        accepted=len(accepted), rejected=len(rows) - len(accepted),
        by_person=sum(row["actor_kind"] == PERSON for row in mine.values()),
        rejected_by_gate=dict(sorted(gates.items())),
        by_scenario=_tally(rows, "scenario", accepted), by_condition=_tally(rows, "target_condition", accepted),
    )  # fmt: skip
