"""The landed bytes of drives: which objects are theirs alone, and manifests that no longer name them."""

from collections.abc import Iterator

from flywheel.errors import BadData
from flywheel.ingest.drive import Log
from flywheel.ingest.formats import detect
from flywheel.ingest.landed import MANIFEST, LandedLog, manifest_key, read_manifest
from flywheel.ingest.quarantine import Reason, reason_key, reasons
from flywheel.store import Store
from flywheel.types import Record, canonical_json


class Recording(Record):
    """The content of a drive: what its tombstone is made of."""

    drive_id: str
    source_sha256: str
    part: str


class LandedLoss(Record):
    """What one landed log loses: drives, the objects that are theirs alone, and those (shared) that other drives were read from too."""

    batch_id: str
    name: str
    recordings: tuple[Recording, ...]
    keys: tuple[str, ...]
    shared: tuple[str, ...]


def batches(store: Store) -> list[str]:
    """Landing batches, finished or not."""
    return sorted({key.split("/")[1] for key in store.list("landing/") if key.count("/") >= 2})


def landed_losses(store: Store, drives: frozenset[str], *, deep: bool) -> list[LandedLoss]:
    """What landing loses, in every batch and under every name. deep: look inside folders that hold several drives too."""
    found = []
    for batch_id in batches(store):
        if store.exists(manifest_key(batch_id)):
            logs = (Log(store=store, batch_id=batch_id, landed=landed) for landed in read_manifest(store, batch_id))
            found += [loss for log in logs if (loss := _loss(log, drives, deep=deep)) is not None]
    return found


def _loss(log: Log, drives: frozenset[str], *, deep: bool) -> LandedLoss | None:
    if log.drive_id in drives:
        whole = Recording(drive_id=log.drive_id, source_sha256=log.source_sha256, part="")
        keys = tuple(file.key for file in log.landed.files)
        return LandedLoss(batch_id=log.batch_id, name=log.landed.name, recordings=(whole,), keys=keys, shared=())
    parts = list(_parts(log)) if deep and not log.is_file else []
    gone = [part for part in parts if part.drive_id in drives]
    if not gone:
        return None
    theirs = {file.key for part in gone for file in part.paths.values()}
    others = {file.key for part in parts if part not in gone for file in part.paths.values()}
    if not others:
        theirs = {file.key for file in log.landed.files}
    recordings = tuple(Recording(drive_id=part.drive_id, source_sha256=part.source_sha256, part=part.part) for part in gone)
    return LandedLoss(
        batch_id=log.batch_id, name=log.landed.name, recordings=recordings,
        keys=tuple(sorted(theirs - others)), shared=tuple(sorted(theirs & others)),
    )  # fmt: skip


def _parts(log: Log) -> Iterator[Log]:
    """The drives of a log that can be told apart; none where nothing can read it."""
    try:
        parts = detect(log).parts(log)
    except BadData:
        return
    yield from (log.of_part(part, paths) for part, paths in parts.items() if part)


def take_out(store: Store, loss: LandedLoss, *, drop_shared: bool) -> None:
    """Rewrites the manifest without the objects, then deletes them, and the reasons of the log and of its parts that go."""
    gone = set(loss.keys) | (set(loss.shared) if drop_shared else set())
    if store.exists(manifest_key(loss.batch_id)):
        logs = [_without(log, gone) if log.name == loss.name else log for log in read_manifest(store, loss.batch_id)]
        kept = [log.model_dump(mode="json") for log in logs if log.files]
        store.put(manifest_key(loss.batch_id), canonical_json(kept))
    names = {f"{loss.name}#{recording.part}" if recording.part else loss.name for recording in loss.recordings}
    for reason in reasons(store, batch_id=loss.batch_id):
        if reason.name in names or {file.key for file in reason.files} <= gone:
            store.delete(reason_key(loss.batch_id, reason.name))
    for key in sorted(gone):
        store.delete(key)


def _without(log: LandedLog, gone: set[str]) -> LandedLog:
    return LandedLog(name=log.name, files=tuple(file for file in log.files if file.key not in gone))


def drive_id_of(store: Store, reason: Reason) -> str:
    """The id that a log in quarantine has, or would have had, as a drive: what `flywheel forget --drive` takes."""
    log = Log(store=store, batch_id=reason.batch_id, landed=LandedLog(name=reason.log_name, files=reason.files))
    part = reason.name.partition("#")[2]
    return next((found.drive_id for found in _parts(log) if found.part == part), log.drive_id) if part else log.drive_id


def unfinished(store: Store) -> list[str]:
    """Batches whose landing never ended: what lies in them is not known."""
    return [batch_id for batch_id in batches(store) if not store.exists(f"landing/{batch_id}/{MANIFEST}")]
