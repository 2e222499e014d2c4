"""The rule's own judgement of one variation: gates in order, thresholds, and how near a decision was."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from flywheel.curate.scores import Match
from flywheel.gate_limits import MISSING, digits, floor_of, gates_of
from flywheel.types import Record
from flywheel.verdicts import ACCEPT, REJECT


class Thresholds(Record):
    """Where each gate stands.

    The floors are the calibrated ones (`flywheel.gate_limits`), where none is given. `duplicate_cosine` lies above every
    pair of real frames 0.1 s apart (at most 0.9949 on PandaSet 002, 0.9923 on Udacity's dashcam) and below the same
    frame with another gamma (at least 0.9959); a re-encoded JPEG (0.95 to 0.99) it does not catch.
    """

    integrity: float = Field(default_factory=lambda: floor_of("integrity"), ge=0, le=1)
    structure: float = Field(default_factory=lambda: floor_of("structure"), ge=0, le=1)
    labels: float = Field(default_factory=lambda: floor_of("labels"), ge=0, le=1)
    content: float = Field(default_factory=lambda: floor_of("content"), ge=0, le=1)
    condition: float = Field(default_factory=lambda: floor_of("condition"), ge=0, le=1)
    change: float = Field(default_factory=lambda: floor_of("change"), ge=0)
    motion: float = Field(default_factory=lambda: floor_of("motion"), ge=0, le=1)
    flow: float = Field(default_factory=lambda: floor_of("flow"), ge=0, le=1)
    duplicate_cosine: float = Field(0.995, gt=0, le=1)

    @property
    def rule_version(self) -> str:
        """Name of exactly these rules."""
        return f"rule-{self.digest[:16]}"


class Outcome(Record):
    """One judgement. An acceptance carries the gate it passed most narrowly, with that gate's score."""

    verdict: Literal["accept", "reject"]
    gate: str
    reason: str
    score: float | None = None
    threshold: float | None = None


BINARY = ("run", "integrity")


def _rejected(gate: str, reason: str, *, score: float | None = None, threshold: float | None = None) -> Outcome:
    return Outcome(verdict=REJECT, gate=gate, reason=reason, score=score, threshold=threshold)


def missing(gate: str, what: str, *, threshold: float | None = None) -> Outcome:
    """The rejection for evidence that is not there."""
    return _rejected(gate, f"{MISSING}: {what}", threshold=threshold)


def _floor(row: Mapping[str, Any], gate: str, threshold: float) -> Outcome | None:
    score = row.get(f"score_{gate}")
    if score is None or not math.isfinite(score):
        return missing(gate, f"score_{gate} is empty", threshold=threshold)
    if score < threshold:
        return _rejected(gate, f"{gate} {digits(score)} is below {threshold:g}", score=score, threshold=threshold)
    return None


def failed_gate(row: Mapping[str, Any], *, thresholds: Thresholds) -> Outcome | None:
    """The first gate a VARIATIONS row fails by its own scores, or None; a missing score fails its gate."""
    if row["status"] != "done":
        return _rejected("run", f"generation {row['status']}: {row['reason'] or 'no reason recorded'}")
    if not row["output_sha256"] or not row["output_ext"]:
        return _rejected("run", "generation done, but no output was recorded")
    found = (_floor(row, gate, getattr(thresholds, gate)) for gate in gates_of(row))
    return next((outcome for outcome in found if outcome), None)


def margin(gate: str, *, score: float, threshold: float) -> float:
    """Distance of a score from its threshold as a share of the threshold; for duplicates in 1 - cosine."""
    if gate == "duplicate":
        score, threshold = 1 - score, 1 - threshold
    return abs(score - threshold) / max(abs(threshold), 1e-9)


def final_gate(row: Mapping[str, Any], match: Match | None, *, thresholds: Thresholds) -> Outcome:
    """The judgement of a row that passed its own scores, given what it is nearest to."""
    limit = thresholds.duplicate_cosine
    if match and match.cosine >= limit:
        text = f"near-duplicate of {match.other} (cosine {match.cosine:.4f})"
        return _rejected("duplicate", text, score=match.cosine, threshold=limit)
    passed = {gate: (float(row[f"score_{gate}"]), float(getattr(thresholds, gate))) for gate in gates_of(row) if gate not in BINARY}
    if match:
        passed["duplicate"] = (match.cosine, limit)
    narrow = min(passed, key=lambda gate: margin(gate, score=passed[gate][0], threshold=passed[gate][1]))
    score, threshold = passed[narrow]
    reason = f"every gate passed, {narrow} the most narrowly"
    return Outcome(verdict=ACCEPT, gate=narrow, reason=reason, score=score, threshold=threshold)


def is_narrow(decision: Mapping[str, Any], *, share: float) -> bool:
    """Whether a DECISIONS row of a rule lies within `share` of its threshold, so that a person should look."""
    gate, score, threshold = decision["gate"], decision["score"], decision["threshold"]
    if gate in BINARY or score is None or threshold is None:
        return False
    return margin(gate, score=score, threshold=threshold) <= share
