"""Where two stacks disagree, and where the human did what neither foresaw: distances over the next three seconds, as scores.

Each second two stacks say where the ego will be in HORIZON_S: a classical one (it keeps its speed's rate and its yaw rate) and a learned
one (a ridge regression on the last two seconds and the lead vehicle, in the ego frame of that second). The learned stack never saw the
root group it predicts: its normal equations are sums over drives, and a group's own sums are taken away before they are solved.
`stacks_m` is how far the two lie apart, `human_m` and `classical_m` how far from the way that was driven.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import NotEvaluable
from flywheel.mine.prepare import Drive
from flywheel.mine.run import load_drive
from flywheel.mine.segments import NS, Ints, Reals
from flywheel.store import Store
from flywheel.tables import read_table, rewrite_table, rows_table
from flywheel.types import Record

HORIZON_S, PAST_S, STEP_S = 3.0, 2.0, 0.5
RIDGE, FAR_M, LEAST_MPS = 1.0, 80.0, 1.0


class SurpriseReport(Record):
    """How many drives could be predicted, and root mean squares of the distances over all seconds."""

    drives: int
    not_evaluable: int
    seconds: int
    classical_rms_m: float | None
    learned_rms_m: float | None


@dataclass(frozen=True)
class Moments:
    """N moments of a drive: times, what was known (N, F), and classical and driven places after the horizon (N, 2)."""

    drive_id: str
    group: str
    t_ns: Ints
    known: Reals
    classical: Reals
    driven: Reals


def moments(drive: Drive) -> Moments:
    """Every second of a drive with two seconds before it and three after; NotEvaluable without speed, yaw rate and pose."""
    ego = drive.ego
    if ego.pose is None or ego.yaw is None:
        raise NotEvaluable("no pose or no yaw rate")
    first, last = ego.clock.t_ns[0] + int(PAST_S * NS), ego.clock.t_ns[-1] - int(HORIZON_S * NS)
    t_ns = np.arange(first, last, NS, dtype=np.int64)
    t_ns = t_ns[ego.covers(t_ns) & (ego.at(t_ns, ego.speed) >= LEAST_MPS)] if len(t_ns) else t_ns
    past = [t_ns - int(back * NS) for back in np.arange(0.0, PAST_S + STEP_S / 2, STEP_S)]
    speed = np.stack([ego.at(t, ego.speed) for t in past], axis=1)
    yaw = np.stack([ego.at(t, ego.yaw) for t in past], axis=1)
    classical, driven = _classical(speed, yaw), _driven(drive, t_ns)
    known = np.column_stack([np.ones(len(t_ns)), classical, speed, yaw, speed * yaw, _lead(drive, t_ns)])
    return Moments(drive.drive_id, str(drive.tables.row["root_group"]), t_ns, known, classical, driven)


def _classical(speed: Reals, yaw: Reals) -> Reals:
    """Constant acceleration (that of the last second) and constant yaw rate: (N, 2) metres ahead and to the left."""
    steps = np.linspace(0.0, HORIZON_S, 31)
    rate = (speed[:, 0] - speed[:, 2]) / (2 * STEP_S)
    fast = np.maximum(speed[:, :1] + rate[:, None] * steps, 0.0)
    course = yaw[:, :1] * steps
    return np.stack([np.trapezoid(fast * np.cos(course), steps, axis=1), np.trapezoid(fast * np.sin(course), steps, axis=1)], axis=1)


def _driven(drive: Drive, t_ns: Ints) -> Reals:
    """Where the ego truly was after the horizon, in its frame of the moment."""
    ego = drive.ego
    assert ego.pose is not None
    (x0, y0, heading), (x1, y1, _) = ([ego.at(t, part) for part in ego.pose] for t in (t_ns, t_ns + int(HORIZON_S * NS)))
    c, s = np.cos(heading), np.sin(heading)
    return np.stack([(x1 - x0) * c + (y1 - y0) * s, (y1 - y0) * c - (x1 - x0) * s], axis=1)


def _lead(drive: Drive, t_ns: Ints) -> Reals:
    """(N, 3): whether there is a lead, how near it is (0 far to 1 at the bumper), and its speed less the ego's where it is."""
    found = np.zeros((len(t_ns), 3))
    if drive.missing("tracks") or len(drive.lead) == 0:
        return found
    objects, lead = drive.objects, drive.lead
    at = np.clip(np.searchsorted(objects.clock.t_ns, t_ns, side="right") - 1, 0, None)
    row = lead[at]
    held = (row >= 0) & (t_ns - objects.clock.t_ns[at] >= 0) & (t_ns - objects.clock.t_ns[at] <= objects.clock.max_gap_ns)
    near = np.where(held, np.clip(1 - objects.gap_m[row] / FAR_M, 0.0, 1.0), 0.0)
    return np.stack([near > 0, near, np.where(near > 0, objects.along_mps[row] - objects.speed[at], 0.0)], axis=1)


def rank(store: Store) -> SurpriseReport:
    """SURPRISE of every drive of the root, written as the table's one part."""
    found, blind = [], 0
    for batch in sorted({key.split("=")[1].split("/")[0] for key in store.list("tables/DRIVES/")}):
        for row in read_table(store, "DRIVES", batch_id=batch).to_pylist():
            try:
                found.append(moments(Drive(load_drive(store, batch, row))))
            except NotEvaluable:
                blind += 1
    table = rows_table("SURPRISE", [row for drive, learned in zip(found, _learned(found), strict=True) for row in _rows(drive, learned)])
    rewrite_table(store, "SURPRISE", table, part="all")
    return _report(table, drives=len(found), blind=blind)


def _learned(drives: list[Moments]) -> list[Reals]:
    """(N, 2) of each drive, by a regression that knows nothing of its root group; the classical place where there is no other group."""
    if not drives:
        return []
    scale = np.maximum(np.sqrt(np.mean(np.concatenate([d.known for d in drives]) ** 2, axis=0)), 1e-9)
    sums: dict[str, tuple[Reals, Reals]] = defaultdict(lambda: (np.zeros((len(scale), len(scale))), np.zeros((len(scale), 2))))
    for drive in drives:
        x, (left, right) = drive.known / scale, sums[drive.group]
        sums[drive.group] = (left + x.T @ x, right + x.T @ (drive.driven - drive.classical))
    left, right = (np.sum([part[k] for part in sums.values()], axis=0) for k in (0, 1))
    weights = {group: np.linalg.solve(left - own[0] + RIDGE * np.eye(len(scale)), right - own[1]) for group, own in sums.items()}
    return [drive.classical + (drive.known / scale) @ weights[drive.group] for drive in drives]


def _rows(drive: Moments, learned: Reals) -> list[dict[str, object]]:
    stacks, human, classical = (np.hypot(*(a - b).T) for a, b in (
        (learned, drive.classical), (learned, drive.driven), (drive.classical, drive.driven),
    ))  # fmt: skip
    return [
        {"drive_id": drive.drive_id, "t_ns": t, "stacks_m": a, "human_m": b, "classical_m": c, "root_group": drive.group}
        for t, a, b, c in zip(drive.t_ns.tolist(), stacks.tolist(), human.tolist(), classical.tolist(), strict=True)
    ]


def _report(table: pa.Table, *, drives: int, blind: int) -> SurpriseReport:
    def rms(name: str) -> float | None:
        values: NDArray[np.float64] = table[name].to_numpy()
        return round(float(np.sqrt(np.mean(values**2))), 3) if len(values) else None

    return SurpriseReport(
        drives=drives, not_evaluable=blind, seconds=len(table), classical_rms_m=rms("classical_m"), learned_rms_m=rms("human_m")
    )  # fmt: skip


def most_surprising(store: Store, count: int) -> list[dict[str, object]]:
    """SURPRISE rows with the largest distance of either kind."""
    rows = read_table(store, "SURPRISE").to_pylist()
    return sorted(rows, key=lambda row: (-max(row["stacks_m"], row["human_m"]), row["drive_id"], row["t_ns"]))[:count]
