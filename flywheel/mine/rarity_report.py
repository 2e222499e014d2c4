"""Everything section by section that says how rare: rates, unseen mass, the stopping rule, and the crash trend."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario, catalogue
from flywheel.mine.catalogue import scenario as scenario_named
from flywheel.mine.evidence import parsed_by, read_exposure
from flywheel.mine.extremes import Extremes, extremes, read_minima
from flywheel.mine.rates import Rate, rates, read_audits
from flywheel.mine.stopping import BLOCK_KM, Seen, Stopping, stopping
from flywheel.mine.unseen import COARSE, Unseen, unseen_mass
from flywheel.odd import reduced
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record


class RarityReport(Record):
    """What `flywheel rarity` shows; `extremes` is None where there is too little, with the reason."""

    rates: tuple[Rate, ...]
    unseen: tuple[Unseen, ...]
    stopping: tuple[Stopping, ...]
    extremes: Extremes | None
    why_no_extremes: str | None


def rarity_report(
    store: Store, *, scenario: str | None = None, by: str = "", per: str = "h", audit: Path | None = None, block_km: float = BLOCK_KM
) -> RarityReport:
    """Rates of one scenario or of all, by strata; unseen mass over everything; BadData for a name that is not known."""
    chosen = catalogue() if scenario is None else [scenario_named(scenario)]
    exposure, events = read_exposure(store), read_table(store, "EVENTS", columns=["drive_id", "scenario", "level", "odd"])
    found, why, began = *_extremes(store), _began(store)
    return RarityReport(
        rates=tuple(
            rates(exposure, by=parsed_by(by), per=per, scenarios=[e.name for e in chosen], audits=read_audits(audit) if audit else None)
        ),
        unseen=tuple(unseen_mass(store)), extremes=found, why_no_extremes=why,
        stopping=tuple(stopping_rule(entry, exposure=exposure, events=events, began=began, block_km=block_km) for entry in chosen),
    )  # fmt: skip


def _extremes(store: Store) -> tuple[Extremes | None, str | None]:
    try:
        return extremes(read_minima(store)), None
    except NotEvaluable as err:
        return None, str(err)


def _began(store: Store) -> dict[str, int]:
    drives = read_table(store, "DRIVES", columns=["drive_id", "t0_ns"])
    return dict(zip(drives["drive_id"].to_pylist(), drives["t0_ns"].to_pylist(), strict=True))


def stopping_rule(
    entry: Scenario, *, exposure: pa.Table, events: pa.Table, began: Mapping[str, int], block_km: float = BLOCK_KM
) -> Stopping:
    """The stopping rule of one scenario over its evaluable drives, by the time they began; a kind is a level in a coarse stratum."""
    own = exposure.filter(pc.and_(pc.equal(exposure["scenario"], entry.name), pc.equal(exposure["status"], "evaluable")))
    sums = own.group_by("drive_id", use_threads=False).aggregate([("exposure_m", "sum"), ("events", "sum")]).to_pylist()
    kinds: dict[str, set[str]] = defaultdict(set)
    for row in events.filter(pc.equal(events["scenario"], entry.name)).to_pylist():
        kinds[row["drive_id"]].add(f"{row['level']} {reduced(row['odd'] or '', COARSE)}")
    sums.sort(key=lambda row: (began.get(row["drive_id"], 0), row["drive_id"]))
    seen = [Seen(row["exposure_m_sum"] / 1000, row["events_sum"], frozenset(kinds[row["drive_id"]])) for row in sums]
    return stopping(entry.name, seen, severity=entry.severity, block_km=block_km)
