"""How well mining finds what was planted: precision, recall, levels and boundaries against a fleet's truth."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
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
    borderline: tuple[_Planted, ...] = ()
    near_misses: tuple[_Planted, ...] = ()


class ScenarioScore(Record):
    """One scenario: events planted (`_l1`: those of level 1), events mined (`found`), how many match one to one, and the two ratios.

    Borderline truth, of which sensor noise decides whether it reaches a threshold, is neither planted nor found: `borderline` counts it,
    `borderline_found` how much of it was mined. A ratio without a denominator is None. Boundary errors: medians over matched events of
    how far off mined times are, in seconds.
    """

    scenario: str
    planted: int
    found: int
    matched: int
    planted_l1: int
    matched_l1: int
    recall: float | None
    precision: float | None
    recall_interval: Interval | None
    precision_interval: Interval | None
    levels_right: int
    borderline: int
    borderline_found: int
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
    kinds = _Kinds(_grouped(known.events), _grouped(known.borderline), _grouped(known.near_misses), found)
    scores = [_score(entry.name, [kinds.of((drive, entry.name)) for drive in drives]) for entry in catalogue()]
    return MiningScore(drives=len(drives), drives_missing=tuple(d for d in drives if d not in mined), scenarios=tuple(scores))


@dataclass(frozen=True)
class _Kinds:
    """Everything known and mined, by drive and scenario."""

    planted: dict[Key, list[_Planted]]
    borderline: dict[Key, list[_Planted]]
    near: dict[Key, list[_Planted]]
    mined: dict[Key, list[Row]]

    def of(self, key: Key) -> "_Matched":
        """One drive's events of one scenario, matched: clear truth first, then what is borderline."""
        truth, doubtful, mined = self.planted.get(key, []), self.borderline.get(key, []), self.mined.get(key, [])
        sure = match([_span(p) for p in truth], [(m["t0_ns"], m["t1_ns"]) for m in mined])
        rest = [row for i, row in enumerate(mined) if i not in {m for _, m in sure}]
        faint = {m for _, m in match([_span(p) for p in doubtful], [(m["t0_ns"], m["t1_ns"]) for m in rest])}
        stray = [row for i, row in enumerate(rest) if i not in faint]
        near = self.near.get(key, [])
        hits = sum(any(overlap_ns(_span(n), (s["t0_ns"], s["t1_ns"])) >= 0 for s in stray) for n in near)
        return _Matched(
            [(truth[p], mined[m]) for p, m in sure], planted=len(truth), planted_l1=sum(t.level == "L1" for t in truth), stray=len(stray),
            borderline=len(doubtful), faint=len(faint), near=len(near), hits=hits,
        )  # fmt: skip


@dataclass(frozen=True)
class _Matched:
    pairs: list[tuple[_Planted, Row]]
    planted: int
    planted_l1: int
    stray: int
    borderline: int
    faint: int
    near: int
    hits: int


def _span(event: _Planted) -> tuple[int, int]:
    return event.t0_ns, event.t1_ns


def _score(name: str, drives: list[_Matched]) -> ScenarioScore:
    pairs = [pair for drive in drives for pair in drive.pairs]
    total, matched = sum(drive.planted for drive in drives), len(pairs)
    events = matched + sum(drive.stray for drive in drives)
    return ScenarioScore(
        scenario=name, planted=total, found=events, matched=matched,
        planted_l1=sum(drive.planted_l1 for drive in drives), matched_l1=sum(p.level == "L1" for p, _ in pairs),
        recall=matched / total if total else None, precision=matched / events if events else None,
        recall_interval=wilson(matched, trials=total) if total else None,
        precision_interval=wilson(matched, trials=events) if events else None,
        levels_right=sum(p.level == m["level"] for p, m in pairs),
        borderline=sum(drive.borderline for drive in drives), borderline_found=sum(drive.faint for drive in drives),
        near_misses=sum(drive.near for drive in drives), near_miss_hits=sum(drive.hits for drive in drives),
        onset_error_s=_typical(abs(m["t0_ns"] - p.t0_ns) / 1e9 for p, m in pairs),
        end_error_s=_typical(abs(m["t1_ns"] - p.t1_ns) / 1e9 for p, m in pairs),
    )  # fmt: skip


def _typical(errors: Iterable[float]) -> float | None:
    values = list(errors)
    return round(median(values), 3) if values else None
