"""What a cell of the plan is, what it weighs, and when a frame may not fill it. Pure functions.

A cell (scenario x condition) weighs severity x thinness x (1 + demand) x the acceptance that cannot be excluded.
"""

from statistics import NormalDist

from flywheel.generate.frames import KeyFrame
from flywheel.generate.ledger import ANY, Key, Ledger
from flywheel.generate.pairs import kept
from flywheel.odd import unseeable
from flywheel.types import Condition, Record

Z = NormalDist().inv_cdf(0.975)


class Cell(Record):
    """One scenario under one condition: what it holds, what it weighs and why, and what the plan gives it.

    `before` counts real events and variations that stand (accepted, or drawn and not judged yet); `after` adds the planned ones, of
    which `for_pairs` were chosen for pairs; `new_pairs` is how many pairs of ODD values they show first. A plan never changes the exposure.
    """

    scenario: str
    condition: str
    severity: int
    exposure_h: float
    real_events: int
    upper_per_h: float | None
    thinness: float
    demand: float
    may_pass: float
    weight: float
    accepted: int
    waiting: int
    before: int
    planned: int = 0
    for_pairs: int = 0
    new_pairs: int = 0
    after: int = 0
    why: str = ""


class Closed(Record):
    """A cell that the plan may not fill, and why."""

    scenario: str
    condition: str
    why: str


def thinness(upper_per_h: float | None, overall_per_h: float | None) -> float:
    """How thin a cell is, in 0..1: the rate that its exposure cannot exclude, against the scenario's own over all conditions.

    Bounds, not estimates: no event in ten seconds is thin, no event in ten hours is not. 1 where nobody has driven.
    """
    if upper_per_h is None or overall_per_h is None:
        return 1.0
    return upper_per_h / (upper_per_h + overall_per_h)


def may_pass(judged: int, accepted: int) -> float:
    """The acceptance that cannot be excluded: the upper end of Wilson's 95 % interval, 1 before anything was judged."""
    return wilson(judged, accepted)[1]


def wilson(judged: int, accepted: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion; (0, 1) of nothing."""
    if not judged:
        return 0.0, 1.0
    p, scale = accepted / judged, 1 + Z * Z / judged
    centre = (p + Z * Z / (2 * judged)) / scale
    half = Z * (p * (1 - p) / judged + Z * Z / (4 * judged * judged)) ** 0.5 / scale
    return max(centre - half, 0.0), min(centre + half, 1.0)


def cell_of(ledger: Ledger, key: Key) -> Cell:
    """The cell as it is before a plan."""
    known, overall = ledger.cell(key), ledger.cell((key[0], ANY))
    severity, thin = max(known.severity, overall.severity), thinness(known.upper_per_h, overall.upper_per_h)
    demand, passing = ledger.demand.get(key, 0.0), may_pass(*ledger.acceptance.by_condition.get(key[1], (0, 0)))
    accepted, waiting = ledger.synthetic(key)
    return Cell(
        scenario=key[0], condition=key[1], severity=severity, exposure_h=round(known.exposure_s / 3600, 9), real_events=known.real_events,
        upper_per_h=known.upper_per_h, thinness=thin, demand=demand, may_pass=passing, accepted=accepted, waiting=waiting,
        weight=severity * thin * (1 + demand) * passing, before=known.real_events + accepted + waiting,
    )  # fmt: skip


def closed(frame: KeyFrame, target: Condition, ledger: Ledger) -> str | None:
    """Why this frame may not be redrawn under this target; None if it may."""
    scene = kept(frame.odd) | {"scenario": frame.scenario}
    if why := unseeable(scene, target):
        return why
    if frame.only and target.name not in frame.only:
        return f"its events need {', '.join(frame.only)}"
    return ledger.domain.outside(scene | {"illumination": target.lighting, "weather": target.weather})
