"""Where coverage is thin: scenario x condition cells, and the greedy choice of what to draw next. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from flywheel.generate.frames import KeyFrame
from flywheel.types import Condition, Record, digest_of

Row = dict[str, Any]
Key = tuple[str, str]
LEVEL_WEIGHT = {"L1": 1.0, "L2": 2.0, "L3": 4.0}


class Cell(Record):
    """One scenario under one condition. `before` counts real events and variations that stand; `after` adds the planned ones.

    Real exposure is never changed by a plan: synthetic frames fill `after`, not `real_events` or `exposure_s`.
    """

    scenario: str
    condition: str
    real_events: int
    exposure_s: float
    weight: float
    before: int
    after: int


class Ledger:
    """What each cell holds and how much it matters, while a plan is being made."""

    def __init__(self, *, events: Iterable[Row], exposure: Iterable[Row], variations: Iterable[Row], demands: Iterable[Row]) -> None:
        self.real: Counter[Key] = Counter()
        self.severity: dict[str, float] = defaultdict(lambda: 1.0)
        for row in events:
            self.real[row["scenario"], row["condition"]] += 1
            self.severity[row["scenario"]] = max(self.severity[row["scenario"]], LEVEL_WEIGHT.get(row["level"], 1.0))
        self.exposure_s: Counter[Key] = Counter()
        for row in exposure:
            if row["status"] == "evaluable":
                self.exposure_s[row["scenario"], row["condition"]] += row["exposure_s"]
        self.demand: dict[Key, float] = defaultdict(float)
        for row in demands:
            key = row["scenario"], row["condition"]
            self.demand[key] = max(self.demand[key], row["weight"])
        self.held: Counter[Key] = Counter(self.real)
        self.held.update((row["scenario"], row["target_condition"]) for row in variations)
        self.planned: Counter[Key] = Counter()
        self.drawn: Counter[str] = Counter()

    def weight(self, key: Key) -> float:
        """Severity of the scenario's worst event times one plus what the model's failures ask for."""
        return self.severity[key[0]] * (1.0 + self.demand[key])

    def order(self, key: Key) -> tuple[float, float, int, int, Key]:
        """Sorts the neediest cell first: weight over what it holds, then least real exposure.

        Of equal cells the one whose condition, then whose lighting and weather, this plan has drawn least.
        """
        need = self.weight(key) / (1 + self.held[key] + self.planned[key])
        lighting, _, weather = key[1].rpartition("_")
        return -need, self.exposure_s[key], self.drawn[key[1]], self.drawn[lighting] + self.drawn[weather], key

    def plan(self, key: Key) -> None:
        """Counts one more planned variation in a cell."""
        self.planned[key] += 1
        lighting, _, weather = key[1].rpartition("_")
        self.drawn.update((key[1], lighting, weather))

    def cells(self, scenarios: Iterable[str], targets: Sequence[Condition]) -> tuple[Cell, ...]:
        """Every cell of these scenarios as a record, by name."""
        keys = sorted((scenario, target.name) for scenario in set(scenarios) for target in targets)
        return tuple(
            Cell(scenario=key[0], condition=key[1], real_events=self.real[key], exposure_s=round(float(self.exposure_s[key]), 3),
                 weight=self.weight(key), before=self.held[key], after=self.held[key] + self.planned[key])
            for key in keys
        )  # fmt: skip


def _queue(frames: Sequence[KeyFrame], target: Condition) -> list[KeyFrame]:
    """Frames not yet under the target, severest first; ties in an order of their own for each target, so work spreads.

    A frame whose event would not be what it is under the target stays out: a crossing at night is none by day.
    """
    able = [frame for frame in frames if frame.source_condition != target.name and (not frame.only or target.name in frame.only)]
    return sorted(able, key=lambda f: (-LEVEL_WEIGHT.get(f.level, 1.0), digest_of([f.parent_sha256, f.event_id, target.name])))


def _fill(
    ledger: Ledger, queues: dict[Key, list[KeyFrame]], *, used: Counter[Key], taken: set[Key], cap: int, budget: int
) -> list[tuple[KeyFrame, str]]:
    """Picks (frame, target) pairs until the budget or the frames below `cap` variations each are used up."""
    left = {key: iter(queue) for key, queue in queues.items()}
    picked: list[tuple[KeyFrame, str]] = []
    while left and len(picked) < budget:
        key = min(left, key=ledger.order)
        frame = next((f for f in left[key] if used[f.event_id, f.parent_sha256] < cap and (f.parent_sha256, key[1]) not in taken), None)
        if frame is None:
            del left[key]
            continue
        used[frame.event_id, frame.parent_sha256] += 1
        taken.add((frame.parent_sha256, key[1]))
        ledger.plan(key)
        picked.append((frame, key[1]))
    return picked


def choose(
    ledger: Ledger,
    frames: Sequence[KeyFrame],
    *,
    targets: Sequence[Condition],
    budget: int,
    per_event: int,
    drawn: Iterable[tuple[str, str]] = (),
) -> list[tuple[KeyFrame, str]]:
    """Which frame gets which target, at most `budget` pairs, in the order chosen.

    Each round takes the best frame of every event before the next best, and one variation of each before a second.
    A frame never gets its own condition, nor the same target twice; `drawn` holds (parent hash, target) pairs made before.
    """
    used: Counter[Key] = Counter()
    taken: set[Key] = set(drawn)
    picked: list[tuple[KeyFrame, str]] = []
    for rank in sorted({frame.rank for frame in frames}):
        now = [frame for frame in frames if frame.rank == rank]
        by_scenario: dict[str, list[KeyFrame]] = defaultdict(list)
        for frame in now:
            by_scenario[frame.scenario].append(frame)
        queues = {(name, t.name): _queue(group, t) for name, group in by_scenario.items() for t in targets}
        for cap in range(1, per_event + 1):
            picked += _fill(ledger, queues, used=used, taken=taken, cap=cap, budget=budget - len(picked))
    return picked
