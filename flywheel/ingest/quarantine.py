"""Logs that could not be ingested: a reason beside a pointer to the raw bytes, which stay in landing and are never copied or lost."""

from flywheel.ingest.landed import LandedFile, LandedLog
from flywheel.store import Store
from flywheel.types import Record, canonical_json

MAX_REASON = 2000


class Quarantined(Record):
    """Why a log was not ingested. kind: the error's class; a BadData is the log's fault, anything else a reader's."""

    name: str
    reason: str
    kind: str


class Reason(Record):
    """What `quarantine/<batch>/<name>.reason.json` holds."""

    batch_id: str
    name: str
    kind: str
    reason: str
    files: tuple[LandedFile, ...]


def reason_key(batch_id: str, name: str) -> str:
    """Where the reason of a log lies."""
    return f"quarantine/{batch_id}/{name}.reason.json"


def quarantine(store: Store, log: LandedLog, *, batch_id: str, error: Exception, name: str | None = None) -> Quarantined:
    """Writes the reason (once: the same reason again writes nothing) and gives it back. name: of a part of the log, else the log's."""
    text, name = _text(error), name or log.name
    reason = Reason(batch_id=batch_id, name=name, kind=type(error).__name__, reason=text, files=log.files)
    key, data = reason_key(batch_id, name), canonical_json(reason.model_dump(mode="json"))
    if not (store.exists(key) and store.get(key) == data):
        store.put(key, data)
    return Quarantined(name=name, reason=text, kind=reason.kind)


def _text(error: Exception) -> str:
    known = type(error).__module__.startswith("flywheel.")
    text = str(error) if known else f"{type(error).__name__}: {error} (unexpected: the reader should have said what is wrong)"
    return text.encode("utf-8", "backslashreplace").decode()[:MAX_REASON]


def release(store: Store, *, batch_id: str, name: str) -> None:
    """Takes the reason away once the log was ingested after all (a reader learned to read it)."""
    key = reason_key(batch_id, name)
    if store.exists(key):
        store.delete(key)


def read_reason(store: Store, *, batch_id: str, name: str) -> Reason:
    """The reason of a quarantined log; KeyError if it is not in quarantine."""
    return Reason.model_validate_json(store.get(reason_key(batch_id, name)))
