"""When to stop mining a scenario: four conditions that must hold together, and a test that may be looked at all the time."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np

from flywheel.errors import require
from flywheel.mine.rarity import garwood
from flywheel.mine.unseen import frequencies, likely_mass
from flywheel.types import Record

BLOCK_KM = 1000.0
BUDGET = 0.1
HALF_WIDTH = 0.3
AGREE_P = 0.05
Verdict = Literal["accept", "reject", "go on"]


@dataclass(frozen=True)
class Seen:
    """What one drive showed of a scenario: evaluable kilometres, events, and their kinds."""

    km: float
    events: int
    kinds: frozenset[str]


class Part(Record):
    """One condition of the stopping rule: what it found against its limit, and whether it holds; the value is None if unknown."""

    name: str
    value: float | None
    limit: float
    holds: bool
    why: str


class Stopping(Record):
    """Whether mining of a scenario may stop (all four parts hold)."""

    scenario: str
    stop: bool
    parts: tuple[Part, ...]


def blocks(drives: Sequence[Seen], *, block_km: float) -> list[list[Seen]]:
    """Whole blocks of so many kilometres in the order given; a rest that is shorter belongs to none."""
    ends = np.floor(np.cumsum([drive.km for drive in drives]) / block_km + 1e-9).astype(int)
    begins = np.concatenate([[0], ends])[:-1]
    found: list[list[Seen]] = [[] for _ in range(int(ends[-1]) if len(ends) else 0)]
    for drive, at in zip(drives, begins, strict=True):
        if at < len(found):
            found[at].append(drive)
    return [block for block in found if block]


def stopping(
    scenario: str,
    drives: Sequence[Seen],
    *,
    severity: int,
    budget: float = BUDGET,
    block_km: float = BLOCK_KM,
    half_width: float = HALF_WIDTH,
) -> Stopping:
    """The rule for one scenario over its evaluable drives, oldest first. What cannot be told yet does not hold."""
    whole = blocks(drives, block_km=block_km)
    parts = (
        _mass(drives, severity=severity, budget=budget), _nothing_new(drives, whole, block_km), _narrow(drives, half_width),
        _agree(whole, block_km),
    )  # fmt: skip
    return Stopping(scenario=scenario, stop=all(part.holds for part in parts), parts=parts)


def _mass(drives: Sequence[Seen], *, severity: int, budget: float) -> Part:
    name = "unseen mass x severity"
    if not drives:
        return Part(name=name, value=None, limit=budget, holds=False, why="no evaluable drive")
    f = frequencies(drive.kinds for drive in drives)
    value = likely_mass(f[1], f[2], len(drives)) * severity
    return Part(name=name, value=value, limit=budget, holds=value < budget, why=f"95 % bound, {len(drives)} drives, severity {severity}")


def _nothing_new(drives: Sequence[Seen], whole: list[list[Seen]], block_km: float) -> Part:
    name = "new kinds in the last block"
    if len(whole) < 2:
        km = sum(drive.km for drive in drives)
        return Part(name=name, value=None, limit=0, holds=False, why=f"{km:.4g} km are less than two blocks of {block_km:g} km")
    before = {kind for block in whole[:-1] for drive in block for kind in drive.kinds}
    new = {kind for drive in whole[-1] for kind in drive.kinds} - before
    return Part(name=name, value=len(new), limit=0, holds=not new, why=f"block {len(whole)} of {block_km:g} km")


def _narrow(drives: Sequence[Seen], half_width: float) -> Part:
    name, events, km = "half-width of the rate", sum(drive.events for drive in drives), sum(drive.km for drive in drives)
    if events == 0 or km <= 0:
        return Part(name=name, value=None, limit=half_width, holds=False, why="no event: a rate of zero has no relative width")
    found = garwood(events, exposure=km)
    value = (found.high - found.low) / 2 / (events / km)
    return Part(name=name, value=value, limit=half_width, holds=value < half_width, why=f"{events} events in {km:.4g} km, Garwood 95 %")


def _agree(whole: list[list[Seen]], block_km: float) -> Part:
    """The two last blocks' counts given their sum are binomial if the rates are equal; too small a p-value is disagreement."""
    name = "p-value that the last two blocks agree"
    if len(whole) < 2:
        return Part(name=name, value=None, limit=AGREE_P, holds=False, why=f"fewer than two blocks of {block_km:g} km")
    (k1, e1), (k2, e2) = ((sum(d.events for d in block), sum(d.km for d in block)) for block in whole[-2:])
    if k1 + k2 == 0:
        return Part(name=name, value=1.0, limit=AGREE_P, holds=True, why="no event in either")
    p = float(require("scipy.stats", extra="mine").binomtest(k1, k1 + k2, e1 / (e1 + e2)).pvalue)
    return Part(name=name, value=p, limit=AGREE_P, holds=p >= AGREE_P, why=f"{k1} and {k2} events; weak evidence alone")


class Sequential(Record):
    """Wald's test of a Poisson rate: the log likelihood ratio against its two bounds."""

    ratio: float
    accept_at: float
    reject_at: float
    verdict: Verdict


def sprt(events: int, *, exposure: float, good: float, bad: float, alpha: float = 0.05, beta: float = 0.05) -> Sequential:
    """Is the rate `good` (accept) or `bad` (reject)? Valid at every look: k ln(bad/good) - (bad - good) E.

    `alpha`: the chance to reject a good rate; `beta`: to accept a bad one. ValueError unless 0 < good < bad.
    """
    if not 0 < good < bad:
        raise ValueError(f"the test needs 0 < good < bad, not {good} and {bad}")
    ratio, low, high = events * log(bad / good) - (bad - good) * exposure, log(beta / (1 - alpha)), log((1 - beta) / alpha)
    verdict: Verdict = "reject" if ratio >= high else "accept" if ratio <= low else "go on"
    return Sequential(ratio=ratio, accept_at=low, reject_at=high, verdict=verdict)
