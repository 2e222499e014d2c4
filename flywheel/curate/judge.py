"""The rules over a whole batch, without I/O: who fails alone, who is settled, and what becomes of the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.curate.rules import Outcome, Thresholds, failed_gate, final_gate, missing
from flywheel.curate.scores import Vectors, as_vector, nearest_kept
from flywheel.gate_limits import MISSING
from flywheel.verdicts import ACCEPT

Row = Mapping[str, Any]


def evidence(row: Row, *, width: int, thresholds: Thresholds) -> tuple[Outcome | None, Vectors | None]:
    """(why the row fails by itself or None, its embedding as a unit vector or None)."""
    vector, why = as_vector(row["embedding"], width=width)
    failed = failed_gate(row, thresholds=thresholds)
    if failed is None and vector is None:
        failed = missing("duplicate", why, threshold=thresholds.duplicate_cosine)
    return failed, vector


def is_settled(last: Row | None, failed: Outcome | None, *, rule_version: str) -> bool:
    """Whether the rule's last decision still answers what is recorded now.

    Other thresholds, a retried generation or a score that has come in since ask anew.
    """
    if last is None or last["rule_version"] != rule_version or last["reason"].startswith(MISSING):
        return False
    if failed:
        return bool((last["gate"], last["reason"]) == (failed.gate, failed.reason))
    return bool(last["verdict"] == ACCEPT or last["gate"] == "duplicate")


def repeats(last: Row | None, outcome: Outcome, *, rule_version: str) -> bool:
    """Whether an outcome says again what the rule's last decision said."""
    said = last is not None and last["rule_version"] == rule_version
    return said and all(last[name] == value for name, value in outcome.model_dump().items())  # type: ignore[index]


@dataclass(frozen=True)
class Batch:
    """VARIATIONS rows (by id), why each fails by itself, and which must be judged now."""

    rows: dict[str, Any]
    failed: dict[str, Outcome | None]
    vectors: dict[str, Any]
    pending: tuple[str, ...]

    @property
    def open_ids(self) -> list[str]:
        """Pending ids that hang on duplicates only: best structured first, then by id."""
        open_ids = [name for name in self.pending if self.failed[name] is None]
        return sorted(open_ids, key=lambda name: (-self.rows[name]["score_structure"], name))


def gather(rows: Sequence[Row], last: Mapping[str, Row], *, width: int, thresholds: Thresholds) -> Batch:
    """The batch as the rules see it, given the rule's last decision on each row."""
    found = {row["variation_id"]: evidence(row, width=width, thresholds=thresholds) for row in rows}
    version = thresholds.rule_version
    return Batch(
        rows={row["variation_id"]: row for row in rows},
        failed={name: failed for name, (failed, _) in found.items()},
        vectors={name: vector for name, (_, vector) in found.items()},
        pending=tuple(sorted(n for n, (failed, _) in found.items() if not is_settled(last.get(n), failed, rule_version=version))),
    )


def judge(batch: Batch, last: Mapping[str, Row], parents: Mapping[str, Vectors], *, thresholds: Thresholds) -> dict[str, Outcome]:
    """The outcome of each pending row; `parents` are unit vectors of all readable parent frames by sha256."""
    outcomes = {name: failed for name in batch.pending if (failed := batch.failed[name])}
    orphans = [name for name in batch.open_ids if batch.rows[name]["parent_sha256"] not in parents]
    for name in orphans:
        why = f"parent frame {batch.rows[name]['parent_sha256']} cannot be read"
        outcomes[name] = missing("duplicate", why, threshold=thresholds.duplicate_cosine)
    settled = batch.rows.keys() - set(batch.pending)
    kept = {name: batch.vectors[name] for name in sorted(settled) if last[name]["verdict"] == ACCEPT}
    candidates = [(name, batch.vectors[name]) for name in batch.open_ids if name not in orphans]
    matches = nearest_kept(candidates, references={**parents, **kept}, cosine=thresholds.duplicate_cosine)
    return outcomes | {name: final_gate(batch.rows[name], match, thresholds=thresholds) for name, match in matches.items()}
