"""What planning knows, read from tables: the ledger's real side, what was generated and judged, what models fail, what was shown."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from flywheel.errors import NotEvaluable
from flywheel.generate.frames import CONDITION_NAMES
from flywheel.generate.pairs import Picture, Tuples, Values, shown
from flywheel.generate.protocol import GeneratorInfo
from flywheel.odd import Domain, read_domain
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record
from flywheel.verdicts import ACCEPT, current

Row = dict[str, Any]
Key = tuple[str, str]
ANY = "any"
ENOUGH = 20
WAITING, FAILED = "waiting", "failed"
# As many judged variations of one condition weigh as much as those of all other conditions when its acceptance is estimated.
PRIOR = 5.0
COLUMNS = ("variation_id", "event_id", "scenario", "target_condition", "status", "parent_sha256", "generator", "weights_sha256")


class Known(Record):
    """The ledger's row of one scenario under one condition: real events and exposure only."""

    severity: int = 1
    possible: bool = True
    exposure_s: float = 0.0
    real_events: int = 0
    upper_per_h: float | None = None
    enough: int = ENOUGH


class Acceptance(Record):
    """How many of one generator's variations were judged and accepted, by target condition (judged, accepted)."""

    by_condition: dict[str, tuple[int, int]] = Field(default_factory=dict)

    @property
    def judged(self) -> int:
        """All that were judged."""
        return sum(judged for judged, _ in self.by_condition.values())

    @property
    def accepted(self) -> int:
        """All that were accepted."""
        return sum(accepted for _, accepted in self.by_condition.values())

    def likely(self, condition: str) -> float | None:
        """The rate to expect under a condition: its own, drawn to the overall one while few were judged; None before any was."""
        if not self.judged:
            return None
        judged, accepted = self.by_condition.get(condition, (0, 0))
        return (accepted + PRIOR * self.accepted / self.judged) / (judged + PRIOR)


@dataclass
class Ledger:
    """What each cell (scenario, condition) holds: real events, and apart from them variations accepted or waiting for a verdict.

    `driven` is what real drives showed; `made` holds the (parent hash, target) pairs that this generator drew before.
    """

    known: Mapping[Key, Known] = field(default_factory=dict)
    demand: Mapping[Key, float] = field(default_factory=dict)
    accepted: Counter[Picture] = field(default_factory=Counter)
    waiting: Counter[Picture] = field(default_factory=Counter)
    acceptance: Acceptance = field(default_factory=Acceptance)
    domain: Domain = field(default_factory=Domain)
    driven: frozenset[Values] = frozenset()
    made: frozenset[tuple[str, str]] = frozenset()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.tuples = Tuples(domain=self.domain)
        self._counts = tuple(_by_cell(pictures) for pictures in (self.accepted, self.waiting))

    def cell(self, key: Key) -> Known:
        """The ledger's row of a cell; one of a scenario that the catalogue lost, or of the stand-in for none, is a blank one."""
        return self.known.get(key) or Known()

    def synthetic(self, key: Key) -> tuple[int, int]:
        """How many variations of a cell are accepted, and how many wait for a verdict."""
        return self._counts[0][key], self._counts[1][key]


def read_ledger(store: Store, *, generator: GeneratorInfo | None = None) -> Ledger:
    """All that planning knows; acceptance and earlier work of `generator`, or of every generator. NotEvaluable before mining."""
    rows = read_table(store, "COVERAGE").to_pylist()
    if not rows:
        raise NotEvaluable(f"{store.uri} has no coverage ledger (COVERAGE). Run: flywheel mine")
    variations = judged(store)
    own = [row for row in variations if generator is None or (row["generator"], row["weights_sha256"]) == _weights(generator)]
    driven, events = _driven(store, scenarios={row["scenario"] for row in rows})
    return Ledger(
        known={(row["scenario"], row["condition"]): Known(**{name: row[name] for name in Known.model_fields}) for row in rows},
        demand=_demand(store), domain=read_domain(store), acceptance=_acceptance(own), driven=driven,
        accepted=Counter(picture(row) for row in variations if row["verdict"] == ACCEPT),
        waiting=Counter(picture(row) for row in variations if row["verdict"] == WAITING), notes=_age(rows, events),
        made=frozenset((row["parent_sha256"], row["target_condition"]) for row in own),
    )  # fmt: skip


def _weights(generator: GeneratorInfo) -> tuple[str, str]:
    return generator.name, generator.weights_sha256


def _by_cell(pictures: Mapping[Picture, int]) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for picture, count in pictures.items():
        found[picture.cell] += count
    return found


def picture(row: Row) -> Picture:
    """What a row of `judged` adds."""
    return Picture(row["scenario"], row["target_condition"], row["odd"])


def judged(store: Store) -> list[Row]:
    """VARIATIONS rows with their verdict (accept, reject, waiting; failed where there is no picture) and their parent's stratum."""
    rows: list[Row] = read_table(store, "VARIATIONS", columns=list(COLUMNS)).to_pylist()
    held = current(read_table(store, "DECISIONS")) if rows else {}
    events = read_table(store, "EVENTS", columns=["event_id", "odd"]) if rows else None
    odds = {} if events is None else dict(zip(events["event_id"].to_pylist(), events["odd"].to_pylist(), strict=True))
    for row in rows:
        verdict = held[row["variation_id"]]["verdict"] if row["variation_id"] in held else WAITING
        row |= {"odd": odds.get(row["event_id"]) or "", "verdict": verdict if row["status"] == "done" else FAILED}
    return rows


def _acceptance(rows: Iterable[Row]) -> Acceptance:
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["verdict"] not in (WAITING, FAILED):
            found[row["target_condition"]].append(row["verdict"])
    return Acceptance(by_condition={name: (len(said), said.count(ACCEPT)) for name, said in sorted(found.items())})


def _demand(store: Store) -> dict[Key, float]:
    """What models still fail: the heaviest demand on each cell."""
    found: dict[Key, float] = {}
    for row in read_table(store, "DEMANDS", columns=["scenario", "condition", "weight"]).to_pylist():
        key = row["scenario"], row["condition"]
        found[key] = max(found.get(key, 0.0), row["weight"])
    return found


def _driven(store: Store, *, scenarios: set[str]) -> tuple[frozenset[Values], int]:
    """What real drives showed, and how many events of these scenarios EXPOSURE counts."""
    table = read_table(store, "EXPOSURE", columns=["scenario", "condition", "odd", "status", "exposure_s", "events"])
    good = table.filter(pc.equal(table["status"], "evaluable"))
    there = good.filter(pc.greater(good["exposure_s"], 0)).group_by(["condition", "odd"], use_threads=False).aggregate([]).to_pylist()
    pictures = frozenset(shown(row["odd"] or "", row["condition"]) for row in there if row["condition"] in CONDITION_NAMES)
    counted = good.filter(pc.is_in(good["scenario"], pa.array(sorted(scenarios))))["events"]
    return pictures, int(pc.sum(counted).as_py() or 0)


def _age(rows: Sequence[Row], events: int) -> tuple[str, ...]:
    """A note where the ledger counts other events than EXPOSURE holds now."""
    counted = sum(row["real_events"] for row in rows if row["condition"] == ANY)
    return () if counted == events else (f"the ledger counts {counted} events, EXPOSURE {events}: run `flywheel mine` to renew it",)
