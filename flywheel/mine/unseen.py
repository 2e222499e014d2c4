"""How much is still unseen: Good-Turing's mass with its intervals, Chao1, and Good-Toulmin's outlook. Units are drives, not frames.

It bounds how often something new will come, not how bad it is, and only for the kinds that a granularity tells apart. Sources: Good
1953; Esty 1983; McAllester and Ortiz 2003; Chao 1984; Good and Toulmin 1956.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import log, sqrt
from statistics import NormalDist

import pyarrow as pa

from flywheel.mine.rarity import CONFIDENCE, Interval, upper_bound
from flywheel.odd import reduced
from flywheel.store import Store
from flywheel.tables import list_parts, read_table
from flywheel.types import Record

COARSE = ("illumination", "rain", "snow", "visibility", "scenery")


class Unseen(Record):
    """What n drives say about the kinds of event that none of them showed.

    `mass` is singletons / drives: how many kinds never seen before the next drive is expected to show; `interval` is Esty's, `bound`
    McAllester and Ortiz' for any distribution (above 1 it says nothing), both 95 %; the bound is proven for drives of one kind each.
    `chance_new` is the share of drives that showed something no other drive did. `kinds_unseen` is at least so many (Chao1); `new_half`
    and `new_next` are the new kinds to expect from half as many drives again, and from as many (Good-Toulmin), the latter with its
    standard error.
    """

    granularity: str
    drives: int
    kinds: int
    singletons: int
    doubletons: int
    mass: float
    interval: Interval
    bound: float
    chance_new: float
    kinds_unseen: float
    new_half: float
    new_next: float
    new_next_error: float


def frequencies(units: Iterable[Iterable[str]]) -> Counter[int]:
    """f: how many kinds were seen in exactly j units."""
    return Counter(Counter(chain.from_iterable(set(unit) for unit in units)).values())


def _error(f1: int, f2: int, n: int, *, several: bool) -> float:
    return sqrt((f1 + 2 * f2) / n**2 - (0.0 if several else (f1 / n) ** 2 / n))


def esty(f1: int, f2: int, n: int, *, several: bool = False, confidence: float = CONFIDENCE) -> Interval:
    """Asymptotic interval of the unseen mass: f1/n ± z sqrt((f1 + 2 f2)/n² - (f1/n)²/n), cut at 0.

    The last term holds for units of one kind each, whose counts compete; `several` kinds a unit do not, and it is left out.
    """
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * _error(f1, f2, n, several=several)
    return Interval(low=max(f1 / n - half, 0.0), high=f1 / n + half)


def mcallester_ortiz(f1: int, n: int, *, confidence: float = CONFIDENCE) -> float:
    """Upper bound of the unseen mass for any distribution: f1/n + (1 + sqrt 2) sqrt(ln(3/δ)/n)."""
    return f1 / n + (1 + sqrt(2)) * sqrt(log(3 / (1 - confidence)) / n)


def likely_mass(f1: int, f2: int, n: int) -> float:
    """One-sided 95 % upper bound of the unseen mass: Esty's, and never below Poisson's for the singletons (3/n with none)."""
    z = NormalDist().inv_cdf(CONFIDENCE)
    normal = f1 / n + z * _error(f1, f2, n, several=True)
    return max(normal, upper_bound(f1, exposure=n))


def chao1(f1: int, f2: int) -> float:
    """Kinds not seen, at least: f1²/(2 f2), or f1 (f1 - 1)/2 where no kind was seen exactly twice."""
    return f1 * f1 / (2 * f2) if f2 else f1 * (f1 - 1) / 2


def good_toulmin(f: Mapping[int, int], share: float) -> tuple[float, float]:
    """New kinds to expect from `share` times as many units more, -Σ (-share)^j f_j, and its standard error sqrt(Σ share^2j f_j).

    ValueError above 1: the series no longer holds there.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"Good-Toulmin looks ahead by at most as much as was seen, not {share} times")
    ahead = -sum((-share) ** j * count for j, count in f.items())
    return ahead, sqrt(sum(share ** (2 * j) * count for j, count in f.items()))


def unseen(units: Sequence[Iterable[str]], *, granularity: str) -> Unseen | None:
    """What is unseen, from the kinds that each unit showed (often none); None without units."""
    shown, n = [set(unit) for unit in units], len(units)
    if n == 0:
        return None
    f, often = frequencies(shown), Counter(chain.from_iterable(shown))
    several = any(len(unit) > 1 for unit in shown)
    ahead, error = good_toulmin(f, 1.0)
    return Unseen(
        granularity=granularity, drives=n, kinds=len(often), singletons=f[1], doubletons=f[2], mass=f[1] / n,
        interval=esty(f[1], f[2], n, several=several), bound=mcallester_ortiz(f[1], n), kinds_unseen=chao1(f[1], f[2]),
        chance_new=sum(any(often[kind] == 1 for kind in unit) for unit in shown) / n,
        new_half=max(good_toulmin(f, 0.5)[0], 0.0), new_next=max(ahead, 0.0), new_next_error=error,
    )  # fmt: skip


def kinds_by_drive(drives: Iterable[str], events: pa.Table) -> dict[str, dict[str, set[str]]]:
    """Granularity -> drive -> the kinds of event that it showed; every drive is there."""
    found: dict[str, dict[str, set[str]]] = {}
    rows = events.select(["drive_id", "scenario", "level", "odd"]).to_pylist()
    for name, kind in (
        ("scenario", lambda row: row["scenario"]),
        ("scenario x ODD", lambda row: f"{row['scenario']} {reduced(row['odd'] or '', COARSE)}"),
        ("scenario x level x full ODD", lambda row: f"{row['scenario']} {row['level']} {row['odd']}"),
    ):
        found[name] = {drive: set() for drive in drives}
        for row in rows:
            found[name].setdefault(row["drive_id"], set()).add(kind(row))
    return found


def unseen_mass(store: Store) -> list[Unseen]:
    """What is unseen at three granularities over all mined drives, and among clusters of pictures where there are some."""
    drives = read_table(store, "EXPOSURE", columns=["drive_id"])["drive_id"].unique().to_pylist()
    kinds = kinds_by_drive(drives, read_table(store, "EVENTS"))
    if list_parts(store, "NOVELTY"):
        seen: dict[str, set[str]] = {}
        for row in read_table(store, "NOVELTY", columns=["drive_id", "cluster"]).to_pylist():
            seen.setdefault(row["drive_id"], set()).add(row["cluster"])
        kinds["picture cluster"] = seen
    found = (unseen(list(by_drive.values()), granularity=name) for name, by_drive in kinds.items())
    return [one for one in found if one is not None]
