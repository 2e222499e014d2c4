"""The scenario x condition table: real exposure and counts with honest intervals, synthetic counts beside them, gaps."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import pyarrow as pa

from flywheel.mine.catalogue import catalogue
from flywheel.mine.rarity import Interval, dispersion, garwood, rarity
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import CONDITIONS, Record
from flywheel.verdicts import accepted_ids

Key = tuple[str, str]
ENOUGH = 20


class CoverageCell(Record):
    """One scenario under one condition. Rates are events per evaluable hour (95 %); None without exposure.

    `synthetic` counts accepted variations and never enters `real_events`, the exposure or the rate. `gap`: fewer real events
    than enough; `wanted`: examples that real and synthetic ones together still lack. `dispersion` is Var/mean of counts over
    root drive groups: well above 1 means that events cluster and the interval is too narrow.
    """

    scenario: str
    condition: str
    exposure_h: float
    exposure_km: float
    real_events: int
    synthetic: int
    rate_per_h: float | None
    interval_per_h: Interval | None
    rarity: float | None
    dispersion: float | None
    vehicles: int
    days: int
    drives_not_evaluable: int
    gap: bool
    wanted: int


@dataclass
class _Tally:
    seconds: float = 0.0
    metres: float = 0.0
    events: int = 0
    groups: Counter[str] = field(default_factory=Counter)
    blind: set[str] = field(default_factory=set)


def _tallies(exposure: pa.Table) -> dict[Key, _Tally]:
    found: dict[Key, _Tally] = defaultdict(_Tally)
    for row in exposure.to_pylist():
        tally = found[row["scenario"], row["condition"]]
        if row["status"] != "evaluable":
            tally.blind.add(row["drive_id"])
            continue
        tally.seconds += row["exposure_s"]
        tally.metres += row["exposure_m"]
        tally.events += row["events"]
        tally.groups[row["root_group"]] += row["events"]
    return found


def _synthetic(store: Store) -> Counter[Key]:
    accepted = accepted_ids(store)
    rows = read_table(store, "VARIATIONS", columns=["variation_id", "scenario", "target_condition", "status"]).to_pylist()
    kept = {row["variation_id"]: (row["scenario"], row["target_condition"]) for row in rows if row["status"] == "done"}
    return Counter(key for variation, key in kept.items() if variation in accepted)


def _cell(key: Key, tally: _Tally, synthetic: int, enough: int) -> CoverageCell:
    hours, events = tally.seconds / 3600, tally.events
    parts = [group.split("|") for group in tally.groups]
    return CoverageCell(
        scenario=key[0], condition=key[1], exposure_h=round(hours, 9), exposure_km=round(tally.metres / 1000, 6), real_events=events,
        synthetic=synthetic, rate_per_h=events / hours if hours else None,
        interval_per_h=garwood(events, exposure=hours) if hours else None,
        rarity=round(rarity(events, exposure=hours), 4) if hours else None,
        dispersion=dispersion([tally.groups[group] for group in sorted(tally.groups)]),
        vehicles=len({part[0] for part in parts}), days=len({part[1] for part in parts if len(part) > 1}),
        drives_not_evaluable=len(tally.blind), gap=events < enough, wanted=max(0, enough - events - synthetic),
    )  # fmt: skip


def coverage(store: Store, *, enough: int = ENOUGH) -> list[CoverageCell]:
    """A cell for every scenario and condition, over all batches; `enough` is the count below which a cell is a gap."""
    tallies, synthetic = _tallies(read_table(store, "EXPOSURE")), _synthetic(store)
    keys = [(entry.name, condition.name) for entry in catalogue() for condition in CONDITIONS]
    return [_cell(key, tallies.get(key, _Tally()), synthetic[key], enough) for key in keys]
