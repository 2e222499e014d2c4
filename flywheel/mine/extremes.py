"""A crash rate guessed from how short the shortest times to collision were: a trend to rank and to watch, never a safety claim.

Of each encounter only its least TTC counts. How far those below a threshold fall short of it follows a generalized Pareto law
(peaks over threshold, Coles 2001), whose tail at TTC = 0 is the crash.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from flywheel.errors import NotEvaluable, require
from flywheel.mine.evidence import held, read_exposure, vehicle_day
from flywheel.mine.rarity import Interval
from flywheel.mine.segments import Ints, Reals
from flywheel.store import Store
from flywheel.tables import list_parts, read_table
from flywheel.types import Record

THRESHOLDS_S = (3.0, 2.5, 2.0, 1.75, 1.5, 1.25, 1.0)
ENOUGH = 50
FEWEST = 10
DRAWS = 1000
CAVEATS = (
    "a trend and a ranking, not a safety claim: the crash itself was never seen, the tail is extrapolated",
    "time to collision at constant speeds is no crash: drivers react, and the noise of tracking is in its minima",
    "the answer moves with the threshold: see how shape and modified scale do or do not settle in the table",
    "a negative shape can put a crash beyond the end of the law; the rate is then exactly zero, which is no evidence of safety",
    "the interval resamples vehicle-days and refits; it holds the sampling error only, not the error of the law itself",
)


class Choice(Record):
    """The fit over one threshold: mean excess, shape ξ and scale σ of the excesses, and the modified scale σ + ξ threshold.

    Above a threshold that is high enough the mean excess is a line, and shape and modified scale stay the same.
    """

    threshold_s: float
    exceedances: int
    mean_excess_s: float
    shape: float
    scale_s: float
    modified_scale_s: float
    crashes_per_h: float


class Extremes(Record):
    """The crash rate by the chosen threshold, with its bootstrap interval, the table of all thresholds, and what to beware of."""

    source: str
    encounters: int
    exposure_h: float
    threshold_s: float
    exceedances: int
    enough: bool
    shape: float
    scale_s: float
    crashes_per_h: float
    interval_per_h: Interval
    zero_share: float
    table: tuple[Choice, ...]
    caveats: tuple[str, ...] = CAVEATS


@dataclass(frozen=True)
class Minima:
    """The least TTC of each encounter, s, its vehicle-day as a number below `groups`, and the exposure of each vehicle-day, h."""

    ttc_s: Reals
    group: Ints
    exposure_h: Reals
    source: str


def pareto(excess_s: Reals) -> tuple[float, float]:
    """Shape ξ and scale σ of excesses by maximum likelihood, as `scipy.stats.genpareto.fit(excess, floc=0)` gives, a hundred times faster.

    With θ = ξ/σ the likelihood has its maximum at ξ = mean ln(1 + θx): one number is searched for (Grimshaw 1993). Kept to ξ >= -1,
    below which it has no maximum.
    """
    optimize = require("scipy.optimize", extra="mine")
    x = np.asarray(excess_s, np.float64) / excess_s.mean()

    def loss(theta: Reals) -> Reals:
        shape = np.log1p(np.multiply.outer(theta, x)).mean(axis=-1)
        return np.where(shape >= -1, np.log(shape / theta) + shape, 1e9)

    reach = np.geomspace(1e-6, 1, 60)
    grid = np.concatenate([-(1 - 1e-9) / x.max() * reach[::-1], 20 * reach])
    at = int(np.argmin(loss(grid)))
    found = optimize.minimize_scalar(loss, bounds=(grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]), method="bounded")
    theta = float(found.x) if found.fun < loss(grid[at : at + 1])[0] else float(grid[at])
    shape = float(np.log1p(theta * x).mean())
    return shape, shape / theta * float(excess_s.mean())


def tail(excess_s: Reals, threshold_s: float) -> tuple[float, float, float]:
    """Shape and scale of the excesses' law, and the share of them that reach TTC = 0: (1 + ξ y/σ)₊^(-1/ξ)."""
    shape, scale = pareto(excess_s)
    return shape, scale, float(require("scipy.stats", extra="mine").genpareto.sf(threshold_s, shape, scale=scale))


def _choice(minima: Minima, threshold_s: float) -> Choice | None:
    excess = threshold_s - minima.ttc_s[minima.ttc_s < threshold_s]
    if len(excess) < FEWEST:
        return None
    shape, scale, reach = tail(excess, threshold_s)
    return Choice(
        threshold_s=threshold_s, exceedances=len(excess), mean_excess_s=float(excess.mean()), shape=shape, scale_s=scale,
        modified_scale_s=scale + shape * threshold_s, crashes_per_h=len(excess) * reach / minima.exposure_h.sum(),
    )  # fmt: skip


def extremes(minima: Minima, *, draws: int = DRAWS, seed: int = 0) -> Extremes:
    """The crash rate; by the least threshold that still has 50 exceedances, else by the widest. NotEvaluable with fewer than 10."""
    table = tuple(row for row in (_choice(minima, y) for y in THRESHOLDS_S) if row is not None)
    if not table or minima.exposure_h.sum() <= 0:
        below = int((minima.ttc_s < THRESHOLDS_S[0]).sum())
        raise NotEvaluable(f"{below} encounters with a TTC below {THRESHOLDS_S[0]} s: at least {FEWEST} are needed, {ENOUGH} are enough")
    chosen = min((row for row in table if row.exceedances >= ENOUGH), key=lambda row: row.threshold_s, default=table[0])
    drawn = _bootstrap(minima, chosen.threshold_s, draws=draws, seed=seed)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Extremes(
        source=minima.source, encounters=len(minima.ttc_s), exposure_h=float(minima.exposure_h.sum()), threshold_s=chosen.threshold_s,
        exceedances=chosen.exceedances, enough=chosen.exceedances >= ENOUGH, shape=chosen.shape, scale_s=chosen.scale_s,
        crashes_per_h=chosen.crashes_per_h, interval_per_h=Interval(low=float(low), high=float(high)),
        zero_share=float((drawn == 0).mean()), table=table,
    )  # fmt: skip


def _bootstrap(minima: Minima, threshold_s: float, *, draws: int, seed: int) -> Reals:
    """Crash rates of resampled vehicle-days; one with too few exceedances counts as none."""
    rng, groups = np.random.default_rng(seed), len(minima.exposure_h)
    below = minima.ttc_s < threshold_s
    excess, group = threshold_s - minima.ttc_s[below], minima.group[below]
    found = np.zeros(draws)
    for k in range(draws):
        times = np.bincount(rng.integers(groups, size=groups), minlength=groups)
        sample = np.repeat(excess, times[group])
        hours = float(times @ minima.exposure_h)
        if len(sample) >= FEWEST and hours > 0:
            found[k] = len(sample) * tail(sample, threshold_s)[2] / hours
    return found


def read_minima(store: Store) -> Minima:
    """The least TTC of each road user met ahead, from ENCOUNTERS; without that table, of each low_ttc event's actor."""
    hours = _hours(store)
    if list_parts(store, "ENCOUNTERS"):
        table = read_table(store, "ENCOUNTERS", columns=["root_group", "drive_id", "track_id", "relation", "ttc_s"])
        table = table.filter(pc.and_(pc.equal(table["relation"], "ahead"), pc.is_valid(table["ttc_s"])))
        rows = [(r["root_group"], r["drive_id"], r["track_id"], r["ttc_s"]) for r in table.to_pylist()]
        source = "ENCOUNTERS: road users ahead on the ego's path"
    else:
        table = read_table(store, "EVENTS", columns=["root_group", "drive_id", "actors", "scenario", "peak"])
        found = [row for row in table.to_pylist() if row["scenario"] == "low_ttc"]
        rows = [(r["root_group"], r["drive_id"], "+".join(r["actors"]), r["peak"]) for r in found]
        source = "EVENTS: peaks of low_ttc, one an actor"
    least: dict[tuple[str, str], tuple[float, tuple[str, str]]] = {}
    for group, drive, actor, ttc_s in rows:
        least[drive, actor] = min(least.get((drive, actor), (np.inf, vehicle_day(group))), (ttc_s, vehicle_day(group)))
    groups = sorted({*hours, *(group for _, group in least.values())})
    place = {group: k for k, group in enumerate(groups)}
    kept = [least[key] for key in sorted(least)]
    return Minima(
        ttc_s=np.array([ttc_s for ttc_s, _ in kept], np.float64), group=np.array([place[group] for _, group in kept], np.int64),
        exposure_h=np.array([hours.get(group, 0.0) for group in groups]), source=source,
    )  # fmt: skip


def _hours(store: Store) -> dict[tuple[str, str], float]:
    """Evaluable hours of low_ttc by vehicle-day."""
    everything = held(read_exposure(store), ())
    one = everything.get(("low_ttc", ""))
    return {} if one is None else {group: amounts["exposure_s"] / 3600 for group, amounts in one.groups.items()}
