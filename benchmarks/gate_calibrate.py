"""Finds where the gates stand: python -m benchmarks.gate_calibrate --scenes DIR --seeds 51-60 [--out FILE]

Scores true renders of the target condition (the real-against-real split: nothing a generator drew, nothing spoiled) and puts each
gate's floor at one common quantile of its scores (six times as high for the two gates of the witness, which alone can see a lost or
added road user), chosen so that the wanted share of these pictures passes all gates together. The numbers,
their quantiles and what they hang on are kept as JSON. Whether bad pictures stay out is another question, on other seeds:
benchmarks/gate_validity.py.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.gate_plants import GOOD
from benchmarks.gate_rows import Row, keep, rows_of
from flywheel import condition_probe, gate_limits
from flywheel.gate_limits import GATES, QUANTILES, Limit, Limits
from flywheel.generate import witness
from flywheel.types import sha256_hex
from generators.dump_scenes import numbers

ALL = (*GATES, "duplicate")
WHOLE = 0.99  # every check of a binary gate must pass
BINARY = ("integrity",)
WEIGHTS = {"labels": 6.0, "content": 6.0}  # how much of what may be given up goes to a gate; 1 for any other


def floors_at(scores: dict[str, np.ndarray], quantile: float) -> dict[str, float]:
    """Each gate's floor at this quantile of its scores, times the gate's weight, rounded down to three digits."""
    return {
        gate: WHOLE if gate in BINARY else float(np.floor(np.quantile(held, quantile * WEIGHTS.get(gate, 1.0)) * 1000) / 1000)
        for gate, held in scores.items()
    }


def accepted(scores: dict[str, np.ndarray], floors: dict[str, float]) -> float:
    """Share of pictures that pass every gate."""
    return float(np.all([held >= floors[gate] for gate, held in scores.items()], axis=0).mean())


def calibrated(rows: Sequence[Row], *, wanted: float, command: str, data: str) -> Limits:
    """The highest common quantile at which the wanted share passes all gates; a missing score counts as the lowest."""
    scores = {gate: np.array([-1.0 if row[gate] is None else row[gate] for row in rows]) for gate in ALL}
    able = [q for q in np.arange(0, 0.05, 0.0002) if accepted(scores, floors_at(scores, q)) >= wanted]
    if not able:
        raise SystemExit(
            f"even without any floor only {accepted(scores, floors_at(scores, 0.0)):.1%} of true renders pass: look at the scores"
        )
    chosen = float(able[-1])
    floors = floors_at(scores, chosen)
    rules = {gate: f"quantile {chosen * WEIGHTS.get(gate, 1.0):.4f} of true renders" for gate in scores}
    return Limits(
        command=command, data=data, accepted=round(accepted(scores, floors), 4),
        sources={file.name: sha256_hex(file.read_bytes()) for file in (condition_probe.WEIGHTS, witness.WEIGHTS)},
        gates={
            gate: Limit(
                floor=max(floors[gate], 0.0), rule="every check" if gate in BINARY else rules[gate], pictures=len(rows),
                quantiles={f"{q:g}": round(float(np.quantile(held, q)), 4) for q in QUANTILES},
            )
            for gate, held in scores.items()
        },
    )  # fmt: skip


def main() -> None:
    """Reads the arguments, writes the file, prints the floors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--seeds", type=numbers, default=numbers("51-60"))
    parser.add_argument("--each", type=int, default=10, help="instants of each drive")
    parser.add_argument("--goods", type=int, default=6, help="true renders of each instant")
    parser.add_argument("--accept", type=float, default=0.95, help="share of true renders that shall pass")
    parser.add_argument("--out", type=Path, default=gate_limits.FILE)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--rows", type=Path, help="keep every score here (JSON lines), or take them from here if they are there")
    given = parser.parse_args()
    if given.rows and given.rows.is_file():
        rows = [row for row in map(json.loads, given.rows.read_text().splitlines()) if row["kind"] == GOOD]
    else:
        rows = list(rows_of(given.scenes, given.seeds, each=given.each, goods=given.goods, bads=False, workers=given.workers))
        keep(rows, given.rows)
    command = f"python -m benchmarks.gate_calibrate {shlex.join(word for word in sys.argv[1:] if '/' not in word)}"
    data = f"{len(rows)} true renders of the sample fleet, drives of seeds {given.seeds[0]}-{given.seeds[-1]}, {given.each} instants each"
    found = calibrated(rows, wanted=given.accept, command=command, data=data)
    given.out.write_text(json.dumps(found.model_dump(mode="json"), indent=1) + "\n")
    print(f"{given.out}: {found.accepted:.1%} of {len(rows)} true renders pass; floors: { {g: v.floor for g, v in found.gates.items()} }")


if __name__ == "__main__":
    main()
