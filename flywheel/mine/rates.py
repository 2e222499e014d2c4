"""How often each scenario came about, by stratum: events over evaluable exposure, with what is needed to judge the number."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from flywheel.errors import BadData
from flywheel.mine.evidence import PER, Held, held
from flywheel.mine.rarity import (
    Audit,
    Interval,
    clustered,
    clustered_upper,
    corrected,
    dispersion,
    garwood,
    jeffreys,
    likely_spread,
    rarity,
)
from flywheel.types import Record


class Rate(Record):
    """Events per unit of exposure (`per`: h, km or encounter), all intervals 95 %; numbers are None without exposure.

    `dispersion`: how much more vehicle-days vary than Poisson's (1); `clustered` is as much wider than `garwood`,
    and wider still where few bursts tell of it. `rarity` is -log10 of
    `upper`, the one-sided 95 % bound of the rate, clustering counted. `corrected`: with the detector's own errors taken out.
    """

    scenario: str
    stratum: str
    per: str
    events: int
    exposure: float
    vehicles: int
    days: int
    rate: float | None = None
    garwood: Interval | None = None
    jeffreys: Interval | None = None
    dispersion: float | None = None
    clustered: Interval | None = None
    upper: float | None = None
    rarity: float | None = None
    corrected: float | None = None
    corrected_interval: Interval | None = None


def rates(
    exposure: pa.Table, *, by: Sequence[str] = (), per: str = "h", scenarios: Sequence[str], audits: Mapping[str, Audit] | None = None
) -> list[Rate]:
    """A rate for every scenario and every stratum in which it was looked for; BadData for an unknown unit."""
    if per not in PER:
        raise BadData(f"no rate per {per!r}: there are {', '.join(PER)}")
    found = held(exposure, by)
    order = {name: k for k, name in enumerate(scenarios)}
    keys = sorted((key for key in found if key[0] in order), key=lambda key: (order[key[0]], key[1]))
    return [rate_of(*key, found[key], per=per, audit=(audits or {}).get(key[0])) for key in keys]


def rate_of(scenario: str, stratum: str, one: Held, *, per: str, audit: Audit | None = None) -> Rate:
    """The rate of one scenario in one stratum. Per encounter only drives with tracks count, above and below the line."""
    column, unit = PER[per]
    counts = [int(group["met_events" if per == "encounter" else "events"]) for _, group in sorted(one.groups.items())]
    amounts = [group[column] / unit for _, group in sorted(one.groups.items())]
    events, amount = sum(counts), sum(amounts)
    known = Rate(
        scenario=scenario, stratum=stratum, per=per, events=events, exposure=round(amount, 9), vehicles=one.vehicles, days=len(one.days)
    )
    if amount <= 0:
        return known
    wide = likely_spread(counts, amounts)
    fixed = corrected(events, exposure=amount, audit=audit, spread=wide) if audit and audit.right else (None, None)
    return known.model_copy(update={
        "rate": events / amount, "garwood": garwood(events, exposure=amount), "jeffreys": jeffreys(events, exposure=amount),
        "dispersion": dispersion(counts, amounts), "clustered": clustered(events, exposure=amount, spread=wide),
        "upper": clustered_upper(events, exposure=amount, spread=wide), "rarity": round(rarity(events, exposure=amount, spread=wide), 4),
        "corrected": fixed[0], "corrected_interval": fixed[1],
    })  # fmt: skip


def read_audits(file: Path) -> dict[str, Audit]:
    """Audits from the JSON of `flywheel score-mining --json`, a scenario each; BadData if the file is not that."""
    import json

    try:
        rows = json.loads(file.read_text())["scenarios"]
        return {row["scenario"]: Audit(right=row["matched"], found=row["found"], true=row["planted"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise BadData(f"{file} is not what `flywheel score-mining --json` writes: {err!r}") from err
