"""Mines a batch: for every drive its EVENTS, then its EXPOSURE, whose presence under the current catalogue is the commit."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import FlywheelError, NotEvaluable
from flywheel.mine import conditions
from flywheel.mine.catalogue import Scenario, catalogue
from flywheel.mine.detectors import detector_of
from flywheel.mine.hits import Hit
from flywheel.mine.prepare import Drive, DriveTables
from flywheel.mine.segments import Mask
from flywheel.mine.signals import CONDITION_NAMES
from flywheel.store import Store
from flywheel.tables import SCHEMAS, read_table, rows_table, table_key, write_table
from flywheel.types import Record, short_id
from flywheel.video import COLUMNS as VIDEO_COLUMNS

Row = dict[str, Any]
BAD_DRIVE = (FlywheelError, pa.ArrowException, ValueError, ArithmeticError, LookupError)
ASSUMED = "day_clear"


class FailedDrive(Record):
    """A drive whose tables could not be mined, and why; the next run tries it again."""

    drive_id: str
    reason: str


class MineReport(Record):
    """What a batch held. Events and reasons cover all its mined drives; `mined` counts those that this call mined."""

    batch_id: str
    drives: int
    mined: int
    skipped: int
    events: int
    by_scenario: dict[str, dict[str, int]]
    not_evaluable: dict[str, dict[str, int]]
    condition_sources: dict[str, int]
    failed: tuple[FailedDrive, ...] = ()


@dataclass(frozen=True)
class Mined:
    """One drive's rows, ready to be written."""

    events: list[Row]
    exposure: list[Row]


def mine_batch(store: Store, batch_id: str) -> MineReport:
    """Mines every drive of an ingested batch that is not mined under the current catalogue yet; a bad drive is reported."""
    from tqdm import tqdm

    drives = read_table(store, "DRIVES", batch_id=batch_id).to_pylist()
    failed, mined = [], 0
    for row in tqdm(drives, desc="mine", unit="drive", disable=None):
        if is_mined(store, batch_id, row["drive_id"]):
            continue
        try:
            write_drive(store, batch_id, row["drive_id"], mine_drive(store, batch_id, row))
            mined += 1
        except BAD_DRIVE as err:
            failed.append(FailedDrive(drive_id=row["drive_id"], reason=f"{type(err).__name__}: {err}"))
    return _report(store, batch_id, drives=len(drives), mined=mined, failed=failed)


def is_mined(store: Store, batch_id: str, drive_id: str) -> bool:
    """Whether the drive's EXPOSURE part is there and was written under exactly the current catalogue."""
    if not store.exists(table_key("EXPOSURE", batch_id=batch_id, part=drive_id)):
        return False
    rows = read_table(store, "EXPOSURE", batch_id=batch_id, part=drive_id, columns=["scenario", "params_sha256"])
    return {(row["scenario"], row["params_sha256"]) for row in rows.to_pylist()} == {(s.name, s.digest) for s in catalogue()}


def write_drive(store: Store, batch_id: str, drive_id: str, mined: Mined) -> None:
    """EVENTS first, EXPOSURE last: a drive without the latter is mined again."""
    write_table(store, "EVENTS", rows_table("EVENTS", mined.events), batch_id=batch_id, part=drive_id)
    write_table(store, "EXPOSURE", rows_table("EXPOSURE", mined.exposure), batch_id=batch_id, part=drive_id)


def load_drive(store: Store, batch_id: str, row: Row) -> DriveTables:
    """The tables of one drive; a table without a part is empty."""
    columns = {
        "LIGHTS": [name for name in SCHEMAS["LIGHTS"].names if name != "drive_id"],
        "FRAMES": list(VIDEO_COLUMNS),
        "SIGNALS": [name for name in SCHEMAS["SIGNALS"].names if name != "drive_id"],
        "TRACKS": [name for name in SCHEMAS["TRACKS"].names if name not in ("drive_id", "z_m", "height_m")],
        "LANES": [name for name in SCHEMAS["LANES"].names if name != "drive_id"],
    }
    found = {
        name.lower(): read_table(store, name, batch_id=batch_id, part=row["drive_id"], columns=wanted) for name, wanted in columns.items()
    }
    return DriveTables(row=row, **found)


def mine_drive(store: Store, batch_id: str, row: Row) -> Mined:
    """The EVENTS and EXPOSURE rows of one drive (its DRIVES row); the store is only read."""
    tables = load_drive(store, batch_id, row)
    drive, source = Drive(tables), "environment"
    if not drive.sky.known:
        seen = conditions.condition_by_luma(store, drive)
        drive, source = Drive(tables, default_condition=seen or ASSUMED), "luma" if seen else "assumed"
    events: list[Row] = []
    exposure: list[Row] = []
    for entry in catalogue():
        found = _events(drive, entry)
        events += found if not isinstance(found, str) else []
        exposure += _exposure(drive, entry, found, source)
    return Mined(events, exposure)


def _events(drive: Drive, entry: Scenario) -> list[Row] | str:
    """EVENTS rows of one scenario, or why it cannot be evaluated."""
    reasons = [reason for reason in (drive.missing(signal) for signal in entry.signals) if reason]
    if reasons:
        return ", ".join(reasons)
    try:
        hits = detector_of(entry)(drive, entry)
    except NotEvaluable as err:
        return str(err)
    codes = drive.conditions(np.array([hit.t_peak_ns for hit in hits], np.int64))
    return [_event_row(drive, entry, hit, CONDITION_NAMES[code]) for hit, code in zip(hits, codes, strict=True)]


def _event_row(drive: Drive, entry: Scenario, hit: Hit, condition: str) -> Row:
    identity = {"drive_id": drive.drive_id, "scenario": entry.name, "t0_ns": hit.t0_ns, "actors": list(hit.actors), "params": entry.digest}
    return {
        "event_id": short_id("event", identity), "scenario": entry.name, "level": f"L{hit.level}", "drive_id": drive.drive_id,
        "t0_ns": hit.t0_ns, "t1_ns": hit.t1_ns, "t_peak_ns": hit.t_peak_ns, "peak": hit.peak, "peak_unit": entry.peak_unit,
        "actors": list(hit.actors), "condition": condition, "params_sha256": entry.digest, "detector_version": entry.detector_version,
        "root_group": drive.tables.row["root_group"],
    }  # fmt: skip


def _exposure(drive: Drive, entry: Scenario, found: list[Row] | str, source: str) -> list[Row]:
    """A row for each condition that the drive had: what could have been seen of this scenario under it."""
    base = {"drive_id": drive.drive_id, "scenario": entry.name, "root_group": drive.tables.row["root_group"],
            "params_sha256": entry.digest, "condition_source": source}  # fmt: skip
    seen = np.zeros(len(drive.grid_ns), bool) if isinstance(found, str) else drive.covered(entry.signals)
    counts = Counter(row["condition"] for row in ([] if isinstance(found, str) else found))
    names = sorted({CONDITION_NAMES[code] for code in np.flatnonzero(np.bincount(drive.grid_conditions))} | set(counts))
    status = {"status": "not_evaluable", "reason": found} if isinstance(found, str) else {"status": "evaluable"}
    return [{**base, **status, "condition": name, "events": counts[name], **_amount(drive, seen, name)} for name in names]


def _amount(drive: Drive, seen: Mask, condition: str) -> Row:
    chosen = seen & (drive.grid_conditions == CONDITION_NAMES.index(condition))
    return {"exposure_s": round(chosen.sum() * 0.1, 3), "exposure_m": round(float(drive.grid_speed[chosen].sum()) * 0.1, 3)}


def _report(store: Store, batch_id: str, *, drives: int, mined: int, failed: Iterable[FailedDrive]) -> MineReport:
    events = read_table(store, "EVENTS", batch_id=batch_id, columns=["scenario", "level"]).to_pylist()
    exposure = read_table(store, "EXPOSURE", batch_id=batch_id).to_pylist()
    levels: dict[str, dict[str, int]] = {entry.name: {"L1": 0, "L2": 0, "L3": 0} for entry in catalogue()}
    for row in events:
        levels.setdefault(row["scenario"], {"L1": 0, "L2": 0, "L3": 0})[row["level"]] += 1
    reasons: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in exposure:
        if row["status"] == "not_evaluable":
            reasons[row["scenario"]][row["reason"]].add(row["drive_id"])
    sources = Counter(source for _, source in {(row["drive_id"], row["condition_source"]) for row in exposure})
    left = tuple(failed)
    return MineReport(
        batch_id=batch_id, drives=drives, mined=mined, skipped=drives - mined - len(left), events=len(events), by_scenario=levels,
        not_evaluable={name: {why: len(ids) for why, ids in sorted(found.items())} for name, found in sorted(reasons.items())},
        condition_sources=dict(sorted(sources.items())), failed=left,
    )  # fmt: skip
