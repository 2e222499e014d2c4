"""The ledger: scenario x ODD cells with real exposure, real, synthetic and replayed counts, honest intervals, and what is missing."""

from collections import Counter
from collections.abc import Sequence
from itertools import product
from math import prod

import pyarrow as pa

from flywheel.mine.catalogue import Scenario, catalogue
from flywheel.mine.evidence import CONDITION, Held, blind, held, read_exposure
from flywheel.mine.rarity import Interval, wilson
from flywheel.mine.rates import rate_of
from flywheel.odd import UNKNOWN, attributes, parse, possible, written
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import CONDITIONS, Condition, Record
from flywheel.verdicts import ACCEPT, current

Key = tuple[str, str]
ENOUGH = 20
MOST_CELLS = 1000


class CoverageCell(Record):
    """One scenario in one part of the ODD. Rates are events per evaluable hour (95 %); None without exposure.

    `condition` is lighting and weather, or "any" where `odd` (values of some attributes) names the part. `synthetic` counts accepted
    variations and never enters `real_events`, the exposure or the rate; `pass_rate` is their share of the `judged` ones (Wilson).
    `dispersion` is how much more vehicle-days vary than Poisson's (1), counted in `upper_per_h` and `rarity`. `possible`: not ruled out
    by the constraints. `gap`: fewer real events than enough; `wanted`: examples that real and synthetic ones together still lack.
    `need` ranks gaps: severity x `upper_per_h`, the rate that cannot be excluded; None, more than any number, where none was driven.
    """

    scenario: str
    condition: str
    odd: str
    severity: int
    possible: bool
    exposure_h: float
    exposure_km: float
    encounters: int
    real_events: int
    synthetic: int
    judged: int
    replays: int
    pass_rate: float | None
    pass_interval: Interval | None
    rate_per_h: float | None
    interval_per_h: Interval | None
    upper_per_h: float | None
    rarity: float | None
    dispersion: float | None
    vehicles: int
    days: int
    last_day: str | None
    drives_not_evaluable: int
    gap: bool
    wanted: int
    need: float | None


def coverage(
    store: Store, *, by: Sequence[str] = (CONDITION,), enough: int = ENOUGH, exposure: pa.Table | None = None
) -> list[CoverageCell]:
    """A cell for every scenario in every part of the ODD, over all batches; `enough` is the count below which a cell is a gap.

    Parts are the conditions, or all possible values of some attributes (only those driven where these are more than a thousand).
    """
    table = read_exposure(store) if exposure is None else exposure
    real, unjudged, drawn = held(table, by), blind(table, by), _synthetic(store, by)
    parts = _parts(by, {part for _, part in (*real, *drawn)})
    return [
        _cell(entry, part, by=by, real=real.get((entry.name, part), Held()), drawn=drawn.get((entry.name, part), Counter()),
              unjudged=unjudged.get((entry.name, part), 0), enough=enough)
        for entry in catalogue() for part in parts
    ]  # fmt: skip


def _parts(by: Sequence[str], seen: set[str]) -> list[str]:
    """The parts of the ODD in order: known ones first, then what was seen beyond them."""
    if tuple(by) == (CONDITION,):
        known = [condition.name for condition in CONDITIONS]
    else:
        picked = [a for a in attributes() if a.name in by]
        rows = product(*(a.values for a in picked)) if prod(len(a.values) for a in picked) <= MOST_CELLS else ()
        sets = ({a.name: value for a, value in zip(picked, row, strict=True)} for row in rows)
        known = [written(values) for values in sets if possible(values)]
    return known + sorted(seen - set(known))


def values_of(part: str, by: Sequence[str]) -> dict[str, str]:
    """The attribute values of a part, for the constraints: a condition says its illumination and its weather."""
    if tuple(by) == (CONDITION,):
        said = Condition.parse(part)
        return {"illumination": said.lighting, "weather": said.weather}
    names = [a for a in attributes() if a.name in by]
    return {a.name: text.removeprefix(a.prefix) for a, text in zip(names, part.split("|") if names else (), strict=True)}


def _cell(entry: Scenario, part: str, *, by: Sequence[str], real: Held, drawn: Counter[str], unjudged: int, enough: int) -> CoverageCell:
    rate = rate_of(entry.name, part, real, per="h")
    by_condition, judged = tuple(by) == (CONDITION,), drawn.total()
    can_be = possible({"scenario": entry.name, **values_of(part, by)})
    gap = can_be and real.events < enough
    return CoverageCell(
        scenario=entry.name, condition=part if by_condition else "any", odd="" if by_condition else part, severity=entry.severity,
        possible=can_be, exposure_h=round(real.seconds / 3600, 9), exposure_km=round(real.metres / 1000, 6), encounters=real.encounters,
        real_events=real.events, synthetic=drawn[ACCEPT], judged=judged, replays=0,
        pass_rate=drawn[ACCEPT] / judged if judged else None,
        pass_interval=wilson(drawn[ACCEPT], trials=judged) if judged else None,
        rate_per_h=rate.rate, interval_per_h=rate.garwood, upper_per_h=rate.upper, rarity=rate.rarity, dispersion=rate.dispersion,
        vehicles=rate.vehicles, days=rate.days, last_day=max(real.days, default=None), drives_not_evaluable=unjudged,
        gap=gap, wanted=max(0, enough - real.events - drawn[ACCEPT]) if can_be else 0,
        need=None if rate.upper is None else entry.severity * rate.upper,
    )  # fmt: skip


def _synthetic(store: Store, by: Sequence[str]) -> dict[Key, Counter[str]]:
    """(scenario, part) -> how many variations that were drawn got which verdict; one without a verdict is not counted."""
    rows = read_table(store, "VARIATIONS", columns=["variation_id", "event_id", "scenario", "target_condition", "status"]).to_pylist()
    if not rows:
        return {}
    verdicts, found = current(read_table(store, "DECISIONS")), dict[Key, Counter[str]]()
    parents = read_table(store, "EVENTS", columns=["event_id", "odd"])
    odds = dict(zip(parents["event_id"].to_pylist(), parents["odd"].to_pylist(), strict=True))
    for row in rows:
        if row["status"] == "done" and row["variation_id"] in verdicts:
            target = row["target_condition"]
            part = target if tuple(by) == (CONDITION,) else _shown(odds.get(row["event_id"]) or "", target, by)
            found.setdefault((row["scenario"], part), Counter())[verdicts[row["variation_id"]]["verdict"]] += 1
    return found


def _shown(odd: str, target: str, by: Sequence[str]) -> str:
    """The part in which a variation shows its parent's scene: other light and weather (its amount unknown), all else as it was."""
    wanted = Condition.parse(target)
    values = parse(odd) | {"illumination": wanted.lighting, "rain": "none", "snow": "none"}
    changed = {"rain": "rain", "snow": "snow", "fog": "visibility"}.get(wanted.weather)
    values |= {changed: UNKNOWN} if changed else {"visibility": "good"}
    return written({name: values[name] for name in by})


def gaps(cells: Sequence[CoverageCell]) -> list[CoverageCell]:
    """The cells that lack real events, neediest first: what was never driven by severity, then severity x the rate not excluded."""
    open_ = [cell for cell in cells if cell.gap]
    return sorted(open_, key=lambda c: (c.need is not None, -(c.need or 0.0), -c.severity, c.scenario, c.condition, c.odd))
