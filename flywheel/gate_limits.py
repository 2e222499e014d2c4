"""Where each gate stands, how it was found and on what data; and the one place that turns scores into verdicts.

The numbers lie in `weights/gate_limits.json`, written by `python -m benchmarks.gate_calibrate`; no default decides anything.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from flywheel.errors import BadData
from flywheel.types import Frozen, Record

FILE = Path(__file__).parent / "weights" / "gate_limits.json"
# In the order in which they are asked; the first that fails gives the reason.
GATES = ("integrity", "structure", "labels", "content", "condition", "change")
# Asked of clips as well. motion: the default of NVIDIA's cosmos-evaluator; flow: half of what moves must move as in the parent.
CLIP_FLOORS = {"motion": 0.682, "flow": 0.5}
QUANTILES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.25, 0.5, 0.95)
MISSING = "score missing"


class Limit(Frozen):
    """One gate's floor and the scores it was found on: quantiles of pictures that are right, and how many there were."""

    floor: float = Field(ge=0, le=1)
    rule: str
    pictures: int
    quantiles: dict[str, float]


class Limits(Record):
    """All gates' floors. `sources` are hashes of what the scores hang on; `command` makes the file again."""

    command: str
    data: str
    sources: dict[str, str]
    accepted: float
    gates: dict[str, Limit]

    @property
    def floors(self) -> dict[str, float]:
        """The floor of each gate, in the order they are asked."""
        return {name: self.gates[name].floor for name in GATES}


class GateResult(Record):
    """What one gate says of one picture; `reason` says why also where it passed."""

    gate: str
    passed: bool
    reason: str
    threshold: float
    score: float | None = None


@lru_cache(maxsize=4)
def read_limits(file: Path = FILE) -> Limits:
    """The calibrated limits; BadData if the file is not there, damaged, or lacks a gate."""
    try:
        found = Limits.model_validate(json.loads(file.read_text()))
    except (OSError, ValueError, ValidationError) as err:
        raise BadData(f"no usable gate limits in {file}; make them with: python -m benchmarks.gate_calibrate --help ({err})") from err
    absent = [name for name in GATES if name not in found.gates]
    if absent:
        raise BadData(f"{file} has no limit for {', '.join(absent)}; calibrate again: python -m benchmarks.gate_calibrate --help")
    return found


def floor_of(gate: str) -> float:
    """Where one gate stands."""
    return CLIP_FLOORS[gate] if gate in CLIP_FLOORS else read_limits().floors[gate]


def gates_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The gates that a VARIATIONS row must pass: those of clips too where it is one."""
    return (*GATES, *CLIP_FLOORS) if row.get("clip_t_ns") else GATES


def digits(score: float) -> str:
    """Three digits, rounded down as the floors are: what is below a floor never reads as the floor."""
    return f"{math.floor(score * 1000 + 1e-9) / 1000:.3f}"


def result(gate: str, score: float | None, *, floor: float) -> GateResult:
    """One gate's verdict; a score that is missing or no number fails."""
    if score is None or not math.isfinite(score):
        return GateResult(gate=gate, passed=False, threshold=floor, reason=f"{MISSING}: {gate} could not be computed")
    passed = score >= floor
    word = "reaches" if passed else "is below"
    return GateResult(gate=gate, passed=passed, threshold=floor, score=score, reason=f"{gate} {digits(score)} {word} {floor:g}")


def judged(scores: Mapping[str, float | None], *, floors: Mapping[str, float]) -> list[GateResult]:
    """Every gate's verdict, in order; a gate without a score fails."""
    return [result(gate, scores.get(gate), floor=floor) for gate, floor in floors.items()]


def first_failed(results: Sequence[GateResult]) -> GateResult | None:
    """The first gate that said no, or None if all passed."""
    return next((found for found in results if not found.passed), None)
