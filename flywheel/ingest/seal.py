"""A claimed batch is sealed: its logs move from the inbox to `landing/<batch>/`, are hashed there, and the manifest is written last.

Every step can be done again after a kill: an object is in the inbox, in landing or (copied, not yet removed) in both, never in neither.
"""

import hashlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from flywheel.errors import BadData
from flywheel.ingest.claims import SETTLE_S, THREADS, Claim, ClaimedFile, ClaimedLog, Look, close, look, read_claims
from flywheel.ingest.inbox import INBOX
from flywheel.ingest.land import file_key, landed_log
from flywheel.ingest.landed import LandedLog, content_sha256, manifest_key, read_manifest
from flywheel.ingest.tombstones import Tombstones
from flywheel.store import Stat, Store
from flywheel.types import canonical_json

PIECE_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def seal(store: Store, batch_id: str) -> tuple[LandedLog, ...]:
    """The logs of a batch, all of them landed; BadData if it is neither landed nor claimed.

    A log whose files have changed since the claim stays in the inbox: it is claimed anew once it has settled.
    """
    for number, claim in read_claims(store).open.items():
        if claim.batch_id == batch_id:
            if not store.exists(manifest_key(batch_id)):
                _land(store, claim)
            close(store, number)
    return read_manifest(store, batch_id)


def take_inbox(store: Store, *, now_t_ns: int, settle_s: float = SETTLE_S) -> Look:
    """Claims and seals, in this process, what is ready in the inbox or was claimed before."""
    found = look(store, now_t_ns=now_t_ns, settle_s=settle_s)
    for batch_id in found.open:
        seal(store, batch_id)
    return found


def _land(store: Store, claim: Claim) -> None:
    inbox, there = store.stats(INBOX), store.stats(f"landing/{claim.batch_id}/")
    wanted = {log.name: to_land(log, batch_id=claim.batch_id, inbox=inbox, there=there) for log in claim.logs}
    files = [(log.files[inner], file_key(claim.batch_id, log.name, inner)) for log in claim.logs for inner in wanted[log.name]]
    here = {file.key for file, _ in files if _as_claimed(file, inbox.get(file.key))}
    with ThreadPoolExecutor(THREADS) as pool:
        done = tqdm(
            pool.map(lambda pair: _bring(store, *pair, move=pair[0].key in here), files),
            total=len(files),
            desc="land",
            unit="file",
            disable=None,
        )
        found = dict(zip((key for _, key in files), done, strict=True))
    landed = [
        landed_log(claim.batch_id, name, {inner: found[file_key(claim.batch_id, name, inner)] for inner in inside})
        for name, inside in sorted(wanted.items())
        if inside
    ]
    kept = _without_forgotten(store, claim.batch_id, landed)
    store.put_if_absent(manifest_key(claim.batch_id), canonical_json([log.model_dump(mode="json") for log in kept]))


def _without_forgotten(store: Store, batch_id: str, landed: list[LandedLog]) -> list[LandedLog]:
    """The logs that may stay; the bytes of those that were removed from the root on request are deleted again."""
    tombstones = Tombstones(store)
    forgotten = [log for log in landed if tombstones.holds(content_sha256(log.paths(batch_id)))]
    for log in forgotten:
        _log.warning("a log of batch %s was removed from %s on request: it is not landed again", batch_id, store.uri)
        for file in log.files:
            store.delete(file.key)
    return [log for log in landed if log not in forgotten]


def to_land(log: ClaimedLog, *, batch_id: str, inbox: Mapping[str, Stat], there: Mapping[str, Stat]) -> list[str]:
    """The paths inside a log that land: all of them, or none if a file has changed or is gone since the claim.

    Once some file has been moved the log belongs to the batch, with those of its files that still are what was claimed.
    """
    moved = [inner for inner in log.files if file_key(batch_id, log.name, inner) in there]
    same = [inner for inner, file in log.files.items() if _as_claimed(file, inbox.get(file.key))]
    if not moved and len(same) < len(log.files):
        return []
    return sorted({*moved, *same})


def _as_claimed(file: ClaimedFile, stat: Stat | None) -> bool:
    return stat is not None and (stat.bytes, stat.stamp) == (file.bytes, file.stamp)


def _bring(store: Store, file: ClaimedFile, to: str, *, move: bool) -> tuple[int, str]:
    """Size and hash of an object that is in landing now."""
    if move:
        try:
            store.move(file.key, to)
        except KeyError as err:  # another process seals the same batch, and was faster
            if not store.exists(to):
                raise BadData(f"{file.key} went away while it was being landed: run the batch again") from err
    digest, size = hashlib.sha256(), 0
    with store.open(to) as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()
