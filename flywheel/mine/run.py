"""Mines a batch: for every drive its EVENTS, then its EXPOSURE, whose presence under the current catalogue is the commit."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import BadSchema, FlywheelError, NotEvaluable
from flywheel.mine import conditions
from flywheel.mine.catalogue import Scenario, catalogue
from flywheel.mine.detectors import detector_of, hits_of
from flywheel.mine.exposure import Exposures
from flywheel.mine.hits import Hit
from flywheel.mine.odd import Strata
from flywheel.mine.prepare import Drive, DriveTables
from flywheel.mine.signals import CONDITION_NAMES
from flywheel.mine.workers import mined_apart, sensible
from flywheel.odd import bins_sha256, possible
from flywheel.store import Store
from flywheel.tables import SCHEMAS, read_table, rows_table, table_key, write_table
from flywheel.types import CONDITIONS, Condition, Record, short_id
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
    encounters: pa.Table


def mine_batch(store: Store, batch_id: str, *, workers: int | None = 1) -> MineReport:
    """Mines every drive of an ingested batch that is not mined under the current catalogue yet; a bad drive is reported.

    With `workers` (None: one a core) processes the result is the same, byte for byte. BadData for a catalogue that makes no sense.
    """
    from tqdm import tqdm

    for entry in catalogue():
        detector_of(entry)
    drives = read_table(store, "DRIVES", batch_id=batch_id).to_pylist()
    left = {row["drive_id"]: row for row in drives if not is_mined(store, batch_id, row["drive_id"])}
    count = sensible(workers, drives=len(left))
    if count > 1:
        outcomes = mined_apart(store.uri, batch_id, list(left), workers=count)
    else:
        outcomes = ((name, mined_drive(store, batch_id, row)) for name, row in left.items())
    said = dict(tqdm(outcomes, desc="mine", unit="drive", total=len(left), disable=None))
    failed = [FailedDrive(drive_id=name, reason=said[name]) for name in left if said[name] is not None]
    return _report(store, batch_id, drives=len(drives), mined=len(left) - len(failed), failed=failed)


def mined_drive(store: Store, batch_id: str, row: Row) -> str | None:
    """Mines one drive (its DRIVES row) and writes what it found; why that could not be done, or None."""
    try:
        write_drive(store, batch_id, row["drive_id"], mine_drive(store, batch_id, row))
    except BAD_DRIVE as err:
        return f"{type(err).__name__}: {err}"
    return None


def is_mined(store: Store, batch_id: str, drive_id: str) -> bool:
    """Whether the drive's EXPOSURE part is there and was written under exactly the current catalogue and ODD."""
    if not store.exists(table_key("EXPOSURE", batch_id=batch_id, part=drive_id)):
        return False
    names = ("scenario", "params_sha256", "odd_sha256")
    try:
        rows = _counted(read_table(store, "EXPOSURE", batch_id=batch_id, part=drive_id, columns=list(names)), *names)
    except (KeyError, BadSchema):  # written by an earlier version of the table
        return False
    return {tuple(row[name] for name in names) for row in rows} == {(entry.name, entry.digest, bins_sha256()) for entry in catalogue()}


def write_drive(store: Store, batch_id: str, drive_id: str, mined: Mined) -> None:
    """EVENTS and ENCOUNTERS first, EXPOSURE last: a drive without the latter is mined again."""
    write_table(store, "EVENTS", rows_table("EVENTS", mined.events), batch_id=batch_id, part=drive_id)
    write_table(store, "ENCOUNTERS", mined.encounters, batch_id=batch_id, part=drive_id)
    write_table(store, "EXPOSURE", rows_table("EXPOSURE", mined.exposure), batch_id=batch_id, part=drive_id)


def load_drive(store: Store, batch_id: str, row: Row) -> DriveTables:
    """The tables of one drive; a table without a part is empty."""
    columns = {
        "LIGHTS": [name for name in SCHEMAS["LIGHTS"].names if name != "drive_id"],
        "FRAMES": list(VIDEO_COLUMNS),
        "SIGNALS": [name for name in SCHEMAS["SIGNALS"].names if name != "drive_id"],
        "TRACKS": [name for name in SCHEMAS["TRACKS"].names if name not in ("drive_id", "z_m")],
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
        lighting = Condition.parse(seen).lighting if seen else None
        drive, source = Drive(tables, default_condition=seen or ASSUMED, lighting=lighting), "luma" if seen else "assumed"
    exposures = Exposures(drive, source)
    events: list[Row] = []
    exposure: list[Row] = []
    for entry in catalogue():
        found = _events(drive, entry, exposures.strata)
        events += found if not isinstance(found, str) else []
        exposure += exposures.rows(entry, found)
    return Mined(events, exposure, drive.encounters)


def _events(drive: Drive, entry: Scenario, strata: Strata) -> list[Row] | str:
    """EVENTS rows of one scenario, or why it cannot be evaluated."""
    try:
        hits = hits_of(drive, entry)
    except NotEvaluable as err:
        return str(err)
    if not hits:
        return []
    peaks = np.array([hit.t_peak_ns for hit in hits], np.int64)
    places = zip(hits, drive.conditions(peaks), strata.at(peaks), strict=True)
    return [_event_row(drive, entry, hit, CONDITION_NAMES[code], odd) for hit, code, odd in places]


def _event_row(drive: Drive, entry: Scenario, hit: Hit, condition: str, odd: str) -> Row:
    identity = {"drive_id": drive.drive_id, "scenario": entry.name, "t0_ns": hit.t0_ns, "actors": list(hit.actors), "params": entry.digest}
    return {
        "event_id": short_id("event", identity), "scenario": entry.name, "level": f"L{hit.level}", "drive_id": drive.drive_id,
        "t0_ns": hit.t0_ns, "t1_ns": hit.t1_ns, "t_peak_ns": hit.t_peak_ns, "peak": hit.peak, "peak_unit": entry.peak_unit,
        "actors": list(hit.actors), "condition": condition, "params_sha256": entry.digest, "detector_version": entry.detector_version,
        "root_group": drive.tables.row["root_group"], "odd": odd, "only_conditions": _only(entry.name),
    }  # fmt: skip


def _only(scenario: str) -> list[str] | None:
    """The conditions that a scenario can be under; None if all."""
    can_be = [c.name for c in CONDITIONS if possible({"scenario": scenario, "illumination": c.lighting, "weather": c.weather})]
    return can_be if len(can_be) < len(CONDITIONS) else None


def _report(store: Store, batch_id: str, *, drives: int, mined: int, failed: Iterable[FailedDrive]) -> MineReport:
    events = read_table(store, "EVENTS", batch_id=batch_id, columns=["scenario", "level"])
    exposure = read_table(store, "EXPOSURE", batch_id=batch_id, columns=["drive_id", "scenario", "status", "reason", "condition_source"])
    levels: dict[str, dict[str, int]] = {entry.name: {"L1": 0, "L2": 0, "L3": 0} for entry in catalogue()}
    for row in _counted(events, "scenario", "level"):
        levels.setdefault(row["scenario"], {"L1": 0, "L2": 0, "L3": 0})[row["level"]] += row["rows"]
    reasons: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in _counted(exposure, "drive_id", "scenario", "status", "reason"):
        if row["status"] == "not_evaluable":
            reasons[row["scenario"]][row["reason"]] += 1
    sources = Counter(row["condition_source"] for row in _counted(exposure, "drive_id", "condition_source"))
    left = tuple(failed)
    return MineReport(
        batch_id=batch_id, drives=drives, mined=mined, skipped=drives - mined - len(left), events=len(events), by_scenario=levels,
        not_evaluable={name: dict(sorted(found.items())) for name, found in sorted(reasons.items())},
        condition_sources=dict(sorted(sources.items())), failed=left,
    )  # fmt: skip


def _counted(table: pa.Table, *columns: str) -> list[Row]:
    """The distinct values of some columns, with the number of their rows."""
    found: list[Row] = table.group_by(list(columns)).aggregate([([], "count_all")]).rename_columns([*columns, "rows"]).to_pylist()
    return found
