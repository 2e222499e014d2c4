"""A landed batch becomes tables and media. A drive's DRIVES part is written last: its existence is the commit of that drive."""

import contextlib
from collections.abc import Iterator, Mapping

import pyarrow as pa
from tqdm import tqdm

from flywheel.errors import BadTransport, MissingExtra
from flywheel.ingest.drive import Drive, Finding, Log
from flywheel.ingest.formats import detect, local_file
from flywheel.ingest.land import LandedLog, read_manifest
from flywheel.ingest.quality import column, distance_m, gate, refuse_errors
from flywheel.ingest.quarantine import Quarantined, quarantine, release
from flywheel.ingest.signals import measured
from flywheel.store import Store, media_key, put_media
from flywheel.tables import conform, list_parts, read_part, rows_table, table_key, write_table
from flywheel.types import Record, sha256_hex, short_id

PARTS = ("SIGNALS", "TRACKS", "LIGHTS", "LANES", "FRAMES")


class Duplicate(Record):
    """A log whose content is a drive already: in this batch under another name, or in an earlier batch."""

    name: str
    drive_id: str
    batch_id: str


class Noticed(Record):
    """A warning about a log that was ingested in this run."""

    name: str
    gate: str
    message: str


class IngestReport(Record):
    """What a batch holds after a run. drives are new, skipped were there; rows and recorded_s count both."""

    batch_id: str
    drives: int
    skipped: int
    quarantined: tuple[Quarantined, ...]
    duplicates: tuple[Duplicate, ...]
    warnings: tuple[Noticed, ...]
    rows: dict[str, int]
    recorded_s: float


def drive_id_of(batch_id: str, log: LandedLog) -> str:
    """The id of a log's drive: of what was recorded, not of its name or batch."""
    return short_id("drive", log.source_sha256(batch_id))


def ingest_batch(store: Store, batch_id: str) -> IngestReport:
    """Ingests what is not yet ingested; a bad log is quarantined and the rest goes on. BadData if the batch was not landed."""
    there = committed(store)
    logs, duplicates = _distinct(batch_id, read_manifest(store, batch_id), there)
    _drop_orphans(store, batch_id, duplicates)
    wanted = {drive_id: log for drive_id, log in logs.items() if there.get(drive_id) != batch_id}
    quarantined: list[Quarantined] = []
    warnings: list[Noticed] = []
    for drive_id, log in tqdm(wanted.items(), desc=f"ingest {batch_id}", unit="drive", disable=None):
        outcome = ingest_log(store, log, batch_id=batch_id, drive_id=drive_id)
        if isinstance(outcome, Quarantined):
            quarantined.append(outcome)
        else:
            warnings.extend(Noticed(name=log.name, gate=f.gate, message=f.message) for f in outcome)
    return IngestReport(
        batch_id=batch_id, drives=len(wanted) - len(quarantined), skipped=len(logs) - len(wanted), quarantined=tuple(quarantined),
        duplicates=tuple(duplicates), warnings=tuple(warnings), **_totals(store, batch_id),
    )  # fmt: skip


def committed(store: Store) -> dict[str, str]:
    """Drive id -> batch id of every drive in the store."""
    keys = (key.split("/") for key in list_parts(store, "DRIVES"))
    return {name.removesuffix(".parquet"): batch.removeprefix("batch=") for _, _, batch, name in keys}


def _distinct(batch_id: str, logs: tuple[LandedLog, ...], there: dict[str, str]) -> tuple[dict[str, LandedLog], list[Duplicate]]:
    """Drive id -> first log that holds it, and the logs that repeat one of those or a drive of another batch."""
    kept: dict[str, LandedLog] = {}
    duplicates = []
    for log in logs:
        drive_id = drive_id_of(batch_id, log)
        home = batch_id if drive_id in kept else there.get(drive_id, batch_id)
        if drive_id in kept or home != batch_id:
            duplicates.append(Duplicate(name=log.name, drive_id=drive_id, batch_id=home))
        else:
            kept[drive_id] = log
    return kept, duplicates


def _drop_orphans(store: Store, batch_id: str, duplicates: list[Duplicate]) -> None:
    """Removes parts that a killed run left here of a drive which another batch has committed since."""
    for duplicate in duplicates:
        if duplicate.batch_id != batch_id:
            for name in PARTS:
                store.delete(table_key(name, batch_id=batch_id, part=duplicate.drive_id))


def ingest_log(store: Store, log: LandedLog, *, batch_id: str, drive_id: str) -> tuple[Finding, ...] | Quarantined:
    """The findings about a drive now committed, or why its log is in quarantine."""
    source = Log(store=store, batch_id=batch_id, landed=log)
    with contextlib.ExitStack() as held:
        try:
            file = held.enter_context(local_file(source))
            if file is not None:
                source.check(file)
            kind = detect(source, file)
            drive = kind.read(source, file)
            findings = gate(drive)
            refuse_errors(findings)
            parts = {name: conform(name, with_drive_id(drive.tables[name], drive_id)) for name in PARTS}
        except (BadTransport, MissingExtra, OSError):
            raise
        except Exception as err:  # noqa: BLE001 whatever a reader trips over, the batch goes on and the reason is kept
            return quarantine(store, log, batch_id=batch_id, error=err)
        row = drive_row(drive, log, batch_id=batch_id, drive_id=drive_id, source_format=kind.name)
        write_drive(store, drive, parts | {"DRIVES": rows_table("DRIVES", [row])}, batch_id=batch_id, drive_id=drive_id)
    release(store, batch_id=batch_id, name=log.name)
    return findings


def with_drive_id(table: pa.Table, drive_id: str) -> pa.Table:
    """The table with its drive's id in every row."""
    return table.add_column(0, "drive_id", pa.array([drive_id] * len(table), pa.string()))


def write_drive(store: Store, drive: Drive, parts: Mapping[str, pa.Table], *, batch_id: str, drive_id: str) -> None:
    """Media, then tables with rows, then the DRIVES part, which commits the drive."""
    for data, ext in _missing(store, drive):
        put_media(store, data, ext)
    for name in (*PARTS, "DRIVES"):
        if len(parts[name]):
            write_table(store, name, parts[name], batch_id=batch_id, part=drive_id)


def _missing(store: Store, drive: Drive) -> Iterator[tuple[bytes, str]]:
    frames = drive.tables["FRAMES"].select(["media_sha256", "ext"]).to_pylist()
    lacking = {f["media_sha256"] for f in frames if not store.exists(media_key(f["media_sha256"], f["ext"]))}
    return ((data, ext) for data, ext in drive.media() if sha256_hex(data) in lacking) if lacking else iter(())


def drive_row(drive: Drive, log: LandedLog, *, batch_id: str, drive_id: str, source_format: str) -> dict[str, object]:
    """The DRIVES row of a parsed log."""
    tables, facts = drive.tables, drive.facts
    times = column(tables["SIGNALS"], "t_ns")
    return {
        **facts.model_dump(exclude={"derived"}), "derived": list(facts.derived), "root_group": facts.root_group,
        "drive_id": drive_id, "batch_id": batch_id, "source_format": source_format, "source_name": log.name,
        "source_sha256": log.source_sha256(batch_id), "t0_ns": int(times[0]), "t1_ns": int(times[-1]),
        "duration_s": float(times[-1] - times[0]) / 1e9, "distance_m": distance_m(tables["SIGNALS"]),
        "signals": measured(tables["SIGNALS"]), "signal_rows": len(tables["SIGNALS"]), "track_rows": len(tables["TRACKS"]),
        "tracks": len(tables["TRACKS"]["track_id"].unique()), "frames": len(tables["FRAMES"]), "lane_rows": len(tables["LANES"]),
        "light_rows": len(tables["LIGHTS"]),
    }  # fmt: skip


def _totals(store: Store, batch_id: str) -> dict[str, object]:
    drives = [row for key in list_parts(store, "DRIVES", batch_id=batch_id) for row in read_part(store, key).to_pylist()]
    counts = {"SIGNALS": "signal_rows", "TRACKS": "track_rows", "LIGHTS": "light_rows", "LANES": "lane_rows", "FRAMES": "frames"}
    rows = {"DRIVES": len(drives)} | {name: sum(row[counter] for row in drives) for name, counter in counts.items()}
    return {"rows": rows, "recorded_s": round(sum(row["duration_s"] for row in drives), 3)}
