"""Logs of the inbox that a batch has taken: `claims/<number>.json` says which, before anything is moved.

Claims are numbered, and a number belongs to whoever writes it first. A claimer that lost looks again at what is taken, so no log is
ever in two open claims. A claim whose batch has landed is emptied, and removed only long after, so that no number comes back.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from flywheel.errors import BadData
from flywheel.ingest.inbox import INBOX, Upload, landable, read_cursor, ready, uploads, write_cursor
from flywheel.store import Store
from flywheel.types import Record, canonical_json, short_id

CLAIMS = "claims/"
SETTLE_S = 60.0
BATCH_LOGS = 500
LOOK_BATCHES = 100
KEPT = 1000
THREADS = 8


class ClaimedFile(Record):
    """An object of the inbox as it was when it was claimed."""

    key: str
    bytes: int
    stamp: str


class ClaimedLog(Record):
    """A log of the inbox: (path inside the log -> object); the path is '' for a log that is one file."""

    name: str
    files: dict[str, ClaimedFile]


class Claim(Record):
    """The logs that one batch takes out of the inbox."""

    batch_id: str
    logs: tuple[ClaimedLog, ...]

    @property
    def keys(self) -> frozenset[str]:
        """Every object of the inbox that is taken."""
        return frozenset(file.key for log in self.logs for file in log.files.values())


class Claims(NamedTuple):
    """The claims there are: the open ones by their numbers, and the highest number ever given."""

    open: dict[int, Claim]
    last: int

    @property
    def taken(self) -> frozenset[str]:
        """Every object of the inbox that some batch is about to land."""
        return frozenset().union(*(claim.keys for claim in self.open.values()))


class Look(NamedTuple):
    """What a look into the inbox found: all batches claimed and not landed, the new ones among them, and what has to wait."""

    claims: Claims
    new: tuple[str, ...]
    waiting: int
    unlandable: tuple[str, ...]
    cursor: str

    @property
    def open(self) -> tuple[str, ...]:
        """The batches claimed and not landed yet, oldest first."""
        return tuple(claim.batch_id for claim in self.claims.open.values())


def look(store: Store, *, now_t_ns: int, cursor: str | None = None, settle_s: float = SETTLE_S, batch_logs: int = BATCH_LOGS) -> Look:
    """Claims what is ready in the inbox. cursor: what the look before gave ('' at first); None to ask for no look before.

    At most LOOK_BATCHES batches are claimed at once; the rest is found again by the next look.
    """
    stats = store.stats(INBOX)
    keys, unlandable = landable(stats)
    found = list(uploads({key: stats[key] for key in keys}))
    complete = ready(found, seen=None if cursor is None else read_cursor(cursor), now_t_ns=now_t_ns, settle_s=settle_s)
    claims, new = claim(store, [claimed_log(upload) for upload in complete], batch_logs=batch_logs)
    taken = claims.taken
    waiting = [upload for upload in found if taken.isdisjoint(key for key, _ in upload.files.values())]
    return Look(claims, new, waiting=len(waiting), unlandable=tuple(unlandable), cursor=write_cursor(waiting))


def claim(store: Store, logs: Iterable[ClaimedLog], *, batch_logs: int) -> tuple[Claims, tuple[str, ...]]:
    """All claims, and the batches that this call claimed: of the logs that no open claim holds, as many as one look may take."""
    claims, left = read_claims(store), list(logs)
    new: list[str] = []
    while left and len(new) < LOOK_BATCHES:
        taken = claims.taken
        left = [log for log in left if taken.isdisjoint(file.key for file in log.files.values())]
        if not left:
            break
        number = claims.last + 1
        wanted = _claim(number, left[:batch_logs])
        if store.put_if_absent(claim_key(number), canonical_json(wanted.model_dump(mode="json"))):
            claims = Claims(claims.open | {number: wanted}, number)
            new.append(wanted.batch_id)
        else:
            claims = read_claims(store)
    return claims, tuple(new)


def _claim(number: int, logs: list[ClaimedLog]) -> Claim:
    said = [[file.key, file.bytes, file.stamp] for log in logs for file in log.files.values()]
    return Claim(batch_id=short_id("b", [number, said]), logs=tuple(logs))


def claimed_log(upload: Upload) -> ClaimedLog:
    """A log of the inbox as a claim names it."""
    files = {inner: ClaimedFile(key=key, bytes=stat.bytes, stamp=stat.stamp) for inner, (key, stat) in upload.files.items()}
    return ClaimedLog(name=upload.name, files=files)


def claim_key(number: int) -> str:
    """Where a claim lies."""
    return f"{CLAIMS}{number:08}.json"


def read_claims(store: Store) -> Claims:
    """The claims there are; those that were emptied long ago are removed on the way."""
    sizes = {_number(key): stat.bytes for key, stat in store.stats(CLAIMS).items()}
    last = max(sizes, default=0)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda number: store.delete(claim_key(number)), [n for n in sizes if not sizes[n] and n <= last - KEPT]))
        found = list(pool.map(lambda number: _read(store, number), [n for n in sizes if sizes[n]]))
    return Claims({number: claim for number, claim in found if claim is not None}, last)


def _number(key: str) -> int:
    try:
        return int(key.removeprefix(CLAIMS).removesuffix(".json"))
    except ValueError as err:
        raise BadData(f"{key} is not a claim: move it away; only the inbox's sensor and `flywheel ingest` write there") from err


def _read(store: Store, number: int) -> tuple[int, Claim | None]:
    data = store.get(claim_key(number))
    try:
        return number, Claim.model_validate_json(data) if data else None
    except ValueError as err:
        raise BadData(f"{claim_key(number)} is damaged: delete it, and its logs are claimed anew ({err})") from err


def close(store: Store, number: int) -> None:
    """Empties a claim whose batch has landed."""
    store.put(claim_key(number), b"")
