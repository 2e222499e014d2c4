"""How well mining finds what was planted: precision, recall, levels and boundaries against a fleet's truth."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from flywheel.errors import BadData
from flywheel.mine.catalogue import catalogue
from flywheel.mine.rarity import Interval, wilson
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record

TOLERANCE_NS = 500_000_000
Key = tuple[str, str]
Row = dict[str, Any]


class _Planted(BaseModel):
    model_config = ConfigDict(extra="ignore")
    drive: str
    scenario: str
    t0_ns: int
    t1_ns: int
    level: str = ""


class _Named(BaseModel):
    model_config = ConfigDict(extra="ignore")
    drive: str


class _Truth(BaseModel):
    model_config = ConfigDict(extra="ignore")
    drives: tuple[_Named, ...]
    events: tuple[_Planted, ...]
    near_misses: tuple[_Planted, ...] = ()


class ScenarioScore(Record):
    """One scenario: events planted, events mined (`found`), how many of each match one to one, and the two ratios.

    A ratio without a denominator is None. Boundary errors are medians over matched events, in seconds, mined minus planted.
    """

    scenario: str
    planted: int
    found: int
    matched: int
    recall: float | None
    precision: float | None
    recall_interval: Interval | None
    precision_interval: Interval | None
    levels_right: int
    near_misses: int
    near_miss_hits: int
    onset_error_s: float | None
    end_error_s: float | None


class MiningScore(Record):
    """Scores by scenario; `drives_missing` are drives of the truth that the store has not mined: their events count as missed."""

    drives: int
    drives_missing: tuple[str, ...]
    scenarios: tuple[ScenarioScore, ...]


def read_truth(file: Path) -> _Truth:
    """A checked truth.json; BadData if it is not one."""
    try:
        return _Truth.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as err:
        raise BadData(f"{file} is no truth file of the sample fleet: {err}") from err


def overlap_ns(first: tuple[int, int], second: tuple[int, int]) -> int:
    """By how much two intervals overlap; negative if they are apart."""
    return min(first[1], second[1]) - max(first[0], second[0])


def match(planted: list[tuple[int, int]], mined: list[tuple[int, int]], *, tolerance_ns: int = TOLERANCE_NS) -> list[tuple[int, int]]:
    """One-to-one pairs (planted, mined) of intervals that overlap within the tolerance: as many as possible."""
    near = [_partners(interval, mined, tolerance_ns) for interval in planted]
    taken: dict[int, int] = {}
    for p in sorted(range(len(planted)), key=lambda p: -max((overlap_ns(planted[p], mined[m]) for m in near[p]), default=0)):
        _assign(p, near, taken, set())
    return sorted((p, m) for m, p in taken.items())


def _partners(interval: tuple[int, int], mined: list[tuple[int, int]], tolerance_ns: int) -> list[int]:
    """Mined intervals that overlap within the tolerance, the one that overlaps most first."""
    overlaps = {m: overlap_ns(interval, other) for m, other in enumerate(mined)}
    return sorted((m for m, overlap in overlaps.items() if overlap >= -tolerance_ns), key=lambda m: -overlaps[m])


def _assign(p: int, near: list[list[int]], taken: dict[int, int], tried: set[int]) -> bool:
    """Gives `p` one of its partners, moving others to partners that are still free if need be (an augmenting path)."""
    for m in near[p]:
        if m not in tried:
            tried.add(m)
            if m not in taken or _assign(taken[m], near, taken, tried):
                taken[m] = p
                return True
    return False


def _mined(store: Store) -> tuple[dict[Key, list[Row]], set[str]]:
    """Mined events by (drive file stem, scenario), and the stems of all mined drives."""
    exposed = set(read_table(store, "EXPOSURE", columns=["drive_id"])["drive_id"].to_pylist())
    rows = read_table(store, "DRIVES", columns=["drive_id", "source_name"]).to_pylist()
    stems = {row["drive_id"]: Path(row["source_name"]).stem for row in rows if row["drive_id"] in exposed}
    found: dict[Key, list[Row]] = defaultdict(list)
    for event in read_table(store, "EVENTS").to_pylist():
        if event["drive_id"] in stems:
            found[stems[event["drive_id"]], event["scenario"]].append(event)
    return found, set(stems.values())


def _grouped(events: Iterable[_Planted]) -> dict[Key, list[_Planted]]:
    found: dict[Key, list[_Planted]] = defaultdict(list)
    for event in events:
        found[event.drive, event.scenario].append(event)
    return found


def score_mining(store: Store, truth: Path) -> MiningScore:
    """Compares mined events with planted ones in the truth's drives, matching one to one within half a second."""
    known = read_truth(truth)
    found, mined = _mined(store)
    drives = sorted(drive.drive for drive in known.drives)
    planted, near = _grouped(known.events), _grouped(known.near_misses)
    scores = [_score(entry.name, drives, planted, near, found) for entry in catalogue()]
    return MiningScore(drives=len(drives), drives_missing=tuple(d for d in drives if d not in mined), scenarios=tuple(scores))


def _score(
    name: str, drives: list[str], planted: dict[Key, list[_Planted]], near: dict[Key, list[_Planted]], found: dict[Key, list[Row]]
) -> ScenarioScore:
    pairs: list[tuple[_Planted, Row]] = []
    hits = misses = 0
    for drive in drives:
        truth, mined = planted.get((drive, name), []), found.get((drive, name), [])
        matched = match([(p.t0_ns, p.t1_ns) for p in truth], [(m["t0_ns"], m["t1_ns"]) for m in mined])
        pairs += [(truth[p], mined[m]) for p, m in matched]
        stray = [row for i, row in enumerate(mined) if i not in {m for _, m in matched}]
        misses += len(near.get((drive, name), []))
        hits += sum(any(overlap_ns((n.t0_ns, n.t1_ns), (s["t0_ns"], s["t1_ns"])) >= 0 for s in stray) for n in near.get((drive, name), []))
    total = sum(len(planted.get((drive, name), [])) for drive in drives)
    events = sum(len(found.get((drive, name), [])) for drive in drives)
    return ScenarioScore(
        scenario=name, planted=total, found=events, matched=len(pairs), recall=len(pairs) / total if total else None,
        precision=len(pairs) / events if events else None, recall_interval=wilson(len(pairs), trials=total) if total else None,
        precision_interval=wilson(len(pairs), trials=events) if events else None,
        levels_right=sum(p.level == m["level"] for p, m in pairs), near_misses=misses, near_miss_hits=hits,
        onset_error_s=_typical((m["t0_ns"] - p.t0_ns) / 1e9 for p, m in pairs),
        end_error_s=_typical((m["t1_ns"] - p.t1_ns) / 1e9 for p, m in pairs),
    )  # fmt: skip


def _typical(errors: Iterable[float]) -> float | None:
    values = list(errors)
    return round(median(values), 3) if values else None
