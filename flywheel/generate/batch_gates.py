"""What can be said of many outputs only: is their distribution that of real frames, do they differ, do they repeat what was learned.

Works on unit vectors of `encoder.embed`, per target condition (stratum). Reference: real frames of the same condition; what real frames
are to one another is the yardstick (scenarios: accept up to twice the real-against-real distance, at least 0.8 of its diversity).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record

Vectors = NDArray[np.float32]
LEAST, SUBSETS = 12, 60
KID_TIMES, DIVERSITY_SHARE, NEAREST_TIMES, MEMORY_RATIO = 2.0, 0.8, 2.0, 0.9


class BatchGate(Record):
    """One gate's verdict on one stratum: `score` against `threshold`, which follows from the real frames; None rejects."""

    gate: str
    stratum: str
    passed: bool
    score: float | None
    threshold: float | None
    outputs: int
    real: int
    reason: str


def kid(one: Vectors, two: Vectors) -> float:
    """Unbiased squared MMD of two sets under the kernel (x.y / d + 1)^3 of the Kernel Inception Distance (Binkowski et al. 2018).

    Unit vectors stand for features of length sqrt(d), so x.y / d is their cosine. May be below 0.
    """
    n, m = len(one), len(two)
    inner = [(a @ b.T + 1.0) ** 3 for a, b in ((one, one), (two, two), (one, two))]
    same = (inner[0].sum() - np.trace(inner[0])) / (n * (n - 1)) + (inner[1].sum() - np.trace(inner[1])) / (m * (m - 1))
    return float(same - 2 * inner[2].mean())


def vendi(vectors: Vectors) -> float:
    """How many different pictures a set holds: exp of the entropy of the eigenvalues of K / n (Friedman and Dieng 2023)."""
    values = np.linalg.eigvalsh(vectors @ vectors.T / len(vectors))
    values = values[values > 1e-9]
    return float(np.exp(-(values * np.log(values)).sum()))


def nearest(vectors: Vectors, others: Vectors) -> NDArray[np.float32]:
    """(N,) cosine distance of each vector to the nearest of others."""
    return np.asarray(1 - (vectors @ others.T).max(axis=1), np.float32)


def judge_strata(store: Store, batch_id: str | None = None) -> list[BatchGate]:
    """Verdicts on the outputs of one batch, or of all, by target condition, against the embedded frames of drives under that condition."""
    columns = ["status", "target_condition", "embedding"]
    rows = [row for row in read_table(store, "VARIATIONS", batch_id=batch_id, columns=columns).to_pylist() if row["embedding"]]
    seen = read_table(store, "EMBEDDINGS", columns=["drive_id", "vector"]).to_pylist()
    conditions = _conditions(store)
    found = []
    for name in sorted({row["target_condition"] for row in rows}):
        real = [row for row in seen if conditions.get(row["drive_id"]) == name]
        outputs = _stacked([row["embedding"] for row in rows if row["target_condition"] == name])
        found += judge_stratum(name, outputs, _stacked([row["vector"] for row in real]), [row["drive_id"] for row in real])
    return found


def _conditions(store: Store) -> dict[str, str]:
    """The condition each drive was longest under."""
    seconds: Counter[tuple[str, str]] = Counter()
    for row in read_table(store, "EXPOSURE", columns=["drive_id", "condition", "exposure_s"]).to_pylist():
        seconds[row["drive_id"], row["condition"]] += row["exposure_s"]
    return {drive: condition for (drive, condition), _ in sorted(seconds.items(), key=lambda item: (item[1], item[0]))}


def _stacked(vectors: Sequence[Sequence[float]]) -> Vectors:
    return np.array(vectors, np.float32).reshape(len(vectors), len(vectors[0]) if vectors else 0)


def judge_stratum(name: str, outputs: Vectors, real: Vectors, groups: Sequence[str], *, seed: int = 0) -> list[BatchGate]:
    """Verdicts on a stratum's outputs; `groups` names each real frame's drive: frames of one drive never vouch for each other."""
    drives = sorted(set(groups))
    if len(outputs) < LEAST or len(real) < LEAST or len(drives) < 2:
        why = (
            f"not evaluable: {len(outputs)} outputs and {len(real)} real frames of {len(drives)} drives; {LEAST} and two drives are needed"
        )
        return [
            BatchGate(gate=gate, stratum=name, passed=False, score=None, threshold=None, outputs=len(outputs), real=len(real), reason=why)
            for gate in ("kid", "diversity", "nearest")
        ]
    rng, of = np.random.default_rng(seed), np.array(groups)
    size = min(len(outputs), len(real) // 2)
    halves = [_halves(of, drives, rng) for _ in range(SUBSETS)]
    apart = [kid(_some(real[a], size, rng), _some(real[b], size, rng)) for a, b in halves]
    found = [kid(_some(outputs, size, rng), _some(real, size, rng)) for _ in range(SUBSETS)]
    between = np.concatenate([nearest(real[of == drive], real[of != drive]) for drive in drives])
    same = [vendi(_some(real, size, rng)) for _ in range(SUBSETS)]
    ours = [vendi(_some(outputs, size, rng)) for _ in range(SUBSETS)]
    limits = {
        "kid": (float(np.mean(found)), KID_TIMES * float(np.quantile(apart, 0.95)), False),
        "diversity": (float(np.mean(ours)), DIVERSITY_SHARE * float(np.mean(same)), True),
        "nearest": (float(np.median(nearest(outputs, real))), NEAREST_TIMES * float(np.median(between)), False),
    }
    return [_verdict(gate, name, *found, outputs=len(outputs), real=len(real)) for gate, found in limits.items()]


def memory_ratio(outputs: Vectors, learned: Vectors, held_out: Vectors) -> float:
    """Median distance of outputs to what their generator learned from, over that to held-out frames; well below 1 it repeats."""
    return float(np.median(nearest(outputs, learned)) / max(float(np.median(nearest(outputs, held_out))), 1e-9))


def judge_memory(outputs: Vectors, learned: Vectors, held_out: Vectors) -> BatchGate:
    """Whether a generator's outputs lie no nearer to its training frames than to others; None without either set."""
    counts = {"outputs": len(outputs), "real": len(learned) + len(held_out)}
    if min(len(outputs), len(learned), len(held_out)) < LEAST:
        why = f"not evaluable: {len(outputs)} outputs, {len(learned)} learned and {len(held_out)} held-out frames; {LEAST} each are needed"
        return BatchGate(gate="memory", stratum="all", passed=False, score=None, threshold=MEMORY_RATIO, reason=why, **counts)
    return _verdict("memory", "all", memory_ratio(outputs, learned, held_out), MEMORY_RATIO, True, **counts)


def _verdict(gate: str, stratum: str, score: float, threshold: float, floor: bool, *, outputs: int, real: int) -> BatchGate:
    passed = score >= threshold if floor else score <= threshold
    reason = f"{gate} {score:.4f} {'reaches' if passed else 'misses'} {'at least' if floor else 'at most'} {threshold:.4f}"
    return BatchGate(
        gate=gate, stratum=stratum, passed=passed, score=round(score, 6), threshold=round(threshold, 6), outputs=outputs, real=real,
        reason=reason,
    )  # fmt: skip


def _halves(of: NDArray[np.str_], drives: Sequence[str], rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two masks that part the frames by drive."""
    order = rng.permutation(len(drives))
    first = np.isin(of, [drives[k] for k in order[: len(drives) // 2]])
    return first, ~first


def _some(vectors: Vectors, size: int, rng: np.random.Generator) -> Vectors:
    return vectors[rng.permutation(len(vectors))[: max(size, 2)]]
