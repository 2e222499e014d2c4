"""A landed batch becomes tables and media. A drive's DRIVES part is written last: its existence is the commit of that drive."""

import errno
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import pyarrow.parquet as pq
from tqdm import tqdm

from flywheel.errors import BadData, BadTransport, MissingExtra
from flywheel.ingest.drive import Blob, Log
from flywheel.ingest.formats import Format, detect
from flywheel.ingest.gates_twins import Twins
from flywheel.ingest.landed import read_manifest
from flywheel.ingest.quarantine import Quarantined, quarantine, release
from flywheel.ingest.spool import Spool
from flywheel.ingest.tombstones import Tombstones
from flywheel.ingest.trim import TrimPolicy, read_policy, trimmed
from flywheel.scratch import scratch
from flywheel.store import Store, media_key
from flywheel.tables import list_parts, read_part, read_table, rows_table, table_key, write_table
from flywheel.types import Record

PARTS = ("SIGNALS", "TRACKS", "LIGHTS", "LANES", "FRAMES", "SENSORS", "FINDINGS")
MEDIA_THREADS = 8
MACHINE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})


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


class Ingested(Record):
    """A drive committed in this run, with its warnings."""

    drive_id: str
    warnings: tuple[Noticed, ...]


class Skipped(Record):
    """A drive that an earlier run had committed."""

    drive_id: str


Outcome = Ingested | Skipped | Duplicate | Quarantined


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


def ingest_batch(store: Store, batch_id: str, *, only: Container[str] | None = None) -> IngestReport:
    """Ingests what is not yet ingested; a bad log is quarantined and the rest goes on. BadData if the batch was not landed.

    only: the names of the logs to look at; all of them if None.
    """
    run = _Run(store, batch_id)
    chosen = [landed for landed in read_manifest(store, batch_id) if only is None or landed.name in only]
    logs = tqdm(chosen, desc=f"ingest {batch_id}", unit="log", disable=None)
    outcomes = [found for landed in logs for found in run.log(Log(store=store, batch_id=batch_id, landed=landed))]
    new = [o for o in outcomes if isinstance(o, Ingested)]
    return IngestReport(
        batch_id=batch_id, drives=len(new), skipped=sum(isinstance(o, Skipped) for o in outcomes),
        quarantined=tuple(o for o in outcomes if isinstance(o, Quarantined)),
        duplicates=tuple(o for o in outcomes if isinstance(o, Duplicate)),
        warnings=(*(warning for o in new for warning in o.warnings), *_other_policy(store, batch_id, run.policy)),
        **_totals(store, batch_id),
    )  # fmt: skip


def committed(store: Store) -> dict[str, str]:
    """Drive id -> batch id of every drive in the store."""
    keys = (key.split("/") for key in list_parts(store, "DRIVES"))
    return {name.removesuffix(".parquet"): batch.removeprefix("batch=") for _, _, batch, name in keys}


class _Run:
    """One pass over a batch: knows which drives were there before it, and which it has come across."""

    def __init__(self, store: Store, batch_id: str) -> None:
        self.store, self.batch_id = store, batch_id
        self.there = committed(store)
        self.met: set[str] = set()
        self.policy, self.tombstones = read_policy(store), Tombstones(store)

    def log(self, whole: Log) -> Iterator[Outcome]:
        """What became of each drive of a log; a drive that is there already is not opened."""
        if self.there.get(whole.drive_id) == self.batch_id and whole.drive_id not in self.met:
            self.met.add(whole.drive_id)
            yield Skipped(drive_id=whole.drive_id)
            return
        try:
            kind = detect(whole)
            parts = kind.parts(whole)
        except Exception as err:  # noqa: BLE001 a log that cannot even be recognised is quarantined, and the batch goes on
            refuse_trouble(err)
            yield quarantine(self.store, whole.landed, batch_id=self.batch_id, error=err)
            return
        for part, paths in parts.items():
            yield self.drive(whole.of_part(part, paths) if part else whole, kind)

    def drive(self, log: Log, kind: Format) -> Outcome:
        """What became of one drive."""
        home = self.there.get(log.drive_id, self.batch_id)
        if log.drive_id in self.met or home != self.batch_id:
            if home != self.batch_id:
                _drop_orphans(self.store, batch_id=self.batch_id, drive_id=log.drive_id)
            return Duplicate(name=log.name, drive_id=log.drive_id, batch_id=home)
        self.met.add(log.drive_id)
        if log.drive_id in self.there:
            return Skipped(drive_id=log.drive_id)
        return ingest_log(self.store, log, kind, policy=self.policy, tombstones=self.tombstones, twins=self.twins)

    @cached_property
    def twins(self) -> Twins:
        """The fingerprints of all drives there are."""
        return known_twins(self.store)


def _drop_orphans(store: Store, *, batch_id: str, drive_id: str) -> None:
    """Removes parts that a killed run left here of a drive which another batch has committed since."""
    for name in PARTS:
        store.delete(table_key(name, batch_id=batch_id, part=drive_id))


def known_twins(store: Store) -> Twins:
    """The fingerprints of the store's drives."""
    twins = Twins()
    with ThreadPoolExecutor(MEDIA_THREADS) as pool:
        for part in pool.map(lambda key: read_part(store, key, columns=["drive_id", "fingerprint"]), list_parts(store, "DRIVES")):
            for row in part.to_pylist():
                twins.add(row["drive_id"], row["fingerprint"] or ())
    return twins


def ingest_log(
    store: Store, log: Log, kind: Format, *, policy: TrimPolicy | None, tombstones: Tombstones, twins: Twins
) -> Ingested | Quarantined:
    """The drive now committed (and known to `twins`), or why its log is in quarantine."""
    with scratch("ingest") as folder:
        spool = Spool(folder, drive_id=log.drive_id)
        try:
            tombstones.refuse(log.source_sha256, log.part, drive_id=log.drive_id)
            items, trimmed_m = trimmed(lambda: kind.read(log), policy, folder=folder / "survey")
            spool.fill(items)
            findings = spool.finish(twins)
            put_media(store, log, kind, frames=spool.files.get("FRAMES"), kept=spool.media)
        except Exception as err:  # noqa: BLE001 whatever a reader trips over, the batch goes on and the reason is kept
            refuse_trouble(err)
            return quarantine(store, log.landed, batch_id=log.batch_id, error=err, name=log.name)
        finally:
            spool.close()
        commit(store, log, kind, spool, {"policy_sha256": policy.digest if policy else None, "trimmed_m": trimmed_m})
    release(store, batch_id=log.batch_id, name=log.name)
    twins.add(log.drive_id, spool.fingerprint)
    return Ingested(drive_id=log.drive_id, warnings=tuple(Noticed(name=log.name, gate=f.gate, message=f.message) for f in findings))


def refuse_trouble(error: Exception) -> None:
    """Raises what in an error's chain is no log's fault: the store cannot be reached, this machine is full, an extra is missing."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, BadTransport | MissingExtra) or (isinstance(link, OSError) and link.errno in MACHINE_ERRORS):
            raise link
        link = link.__cause__ or link.__context__


def commit(store: Store, log: Log, kind: Format, spool: Spool, more: dict[str, object]) -> None:
    """The parts (their media are there), then the DRIVES row (with `more` columns), which makes the drive exist."""
    with ThreadPoolExecutor(MEDIA_THREADS) as pool:
        parts = {table_key(name, batch_id=log.batch_id, part=log.drive_id): file for name, file in sorted(spool.files.items())}
        list(pool.map(store.put_file, parts, parts.values()))
    row = drive_row(spool, log, source_format=kind.name) | more
    write_table(store, "DRIVES", rows_table("DRIVES", [row]), batch_id=log.batch_id, part=log.drive_id)


def put_media(store: Store, log: Log, kind: Format, *, frames: Path | None, kept: Mapping[tuple[str, str], Path]) -> None:
    """Stores the media that the frames name and the store does not hold: those `kept`, and the others from the log.

    BadData if the log, read anew, does not give them all.
    """
    lacking = _lacking(store, frames)
    put_blobs(store, (Blob(*key, path.read_bytes()) for key, path in kept.items() if key in lacking))
    lacking -= kept.keys()
    if not lacking:
        return
    left = set(lacking)

    def wanted() -> Iterator[Blob]:
        for blob in kind.media(log):
            if (blob.sha256, blob.ext) in lacking:
                left.discard((blob.sha256, blob.ext))
                yield blob

    put_blobs(store, wanted())
    if left:
        raise BadData(f"{len(left)} of {len(lacking)} media objects that the frames name were not found when the log was read again")


def put_blobs(store: Store, blobs: Iterator[Blob]) -> None:
    """Stores media under their hashes, some at a time; a blob that is a file is stored before the next one is asked for."""
    with ThreadPoolExecutor(MEDIA_THREADS) as pool:
        waiting = []
        for blob in blobs:
            key = media_key(blob.sha256, blob.ext)
            if isinstance(blob.data, Path):
                store.put_file(key, blob.data)
                continue
            waiting.append(pool.submit(store.put_if_absent, key, blob.data))
            if len(waiting) >= 4 * MEDIA_THREADS:
                waiting.pop(0).result()
        for put in waiting:
            put.result()


def _lacking(store: Store, frames: Path | None) -> set[tuple[str, str]]:
    """(hash, ext) of every media object that the frames name and the store does not hold."""
    if frames is None:
        return set()
    table = pq.read_table(frames, columns=["media_sha256", "ext"]).group_by(["media_sha256", "ext"]).aggregate([])
    named = [(row["media_sha256"], row["ext"]) for row in table.to_pylist()]
    with ThreadPoolExecutor(MEDIA_THREADS) as pool:
        there = pool.map(lambda item: store.exists(media_key(*item)), named)
        return {item for item, found in zip(named, there, strict=True) if not found}


def drive_row(spool: Spool, log: Log, *, source_format: str) -> dict[str, object]:
    """The DRIVES row of a drive that was read to its end."""
    tally, facts = spool.tally, spool.facts
    return {
        **facts.model_dump(exclude={"derived"}), "derived": list(facts.derived), "root_group": facts.root_group,
        "drive_id": log.drive_id, "batch_id": log.batch_id, "source_format": source_format, "source_name": log.name,
        "source_sha256": log.source_sha256, "t0_ns": tally.t0_ns, "t1_ns": tally.t1_ns,
        "clock_offset_ns": spool.clock.offset_ns, "fingerprint": spool.fingerprint,
        "clock_error_ns": spool.clock.error_ns if facts.clock_error_ns is None else facts.clock_error_ns,
        "duration_s": tally.seconds, "distance_m": tally.driven.total_m, "signals": sorted(tally.measured),
        "signal_rows": tally.rows["SIGNALS"], "track_rows": tally.rows["TRACKS"], "tracks": len(tally.track_ids),
        "frames": tally.rows["FRAMES"], "lane_rows": tally.rows["LANES"], "light_rows": tally.rows["LIGHTS"],
    }  # fmt: skip


def _other_policy(store: Store, batch_id: str, policy: TrimPolicy | None) -> list[Noticed]:
    """A warning for each drive that was ingested under another policy than the root's present one."""
    rows = read_table(store, "DRIVES", batch_id=batch_id, columns=["drive_id", "source_name", "policy_sha256"]).to_pylist()
    now = policy.digest if policy else None
    text = "ingested under another policy than policy/ingest.json: `flywheel forget --drive {} --again --yes`, then ingest, applies it"
    return [
        Noticed(name=row["source_name"], gate="policy", message=text.format(row["drive_id"])) for row in rows if row["policy_sha256"] != now
    ]


def _totals(store: Store, batch_id: str) -> dict[str, object]:
    drives = [row for key in list_parts(store, "DRIVES", batch_id=batch_id) for row in read_part(store, key).to_pylist()]
    counts = {"SIGNALS": "signal_rows", "TRACKS": "track_rows", "LIGHTS": "light_rows", "LANES": "lane_rows", "FRAMES": "frames"}
    rows = {"DRIVES": len(drives)} | {name: sum(row[counter] for row in drives) for name, counter in counts.items()}
    return {"rows": rows, "recorded_s": round(sum(row["duration_s"] for row in drives), 3)}
