"""Logs that could not be ingested: a reason beside a pointer to the raw bytes, which stay in landing and are never copied or lost."""

from pydantic import ValidationError

from flywheel.errors import BadData, FlywheelError
from flywheel.ingest.landed import LandedFile, LandedLog
from flywheel.store import Store
from flywheel.types import Record, canonical_json

MAX_REASON = 2000
SUFFIX = ".reason.json"
FAULTS = ("BadData", "BadSchema")
# What to do, by what the reason says; the first that fits.
NEXT_STEPS = (
    ("has changed since", "The landed object is not the one that was landed. Land the log again; it becomes a batch of its own."),
    ("is gone", "The landed object was deleted. Land the log again."),
    ("policy/ingest.json", "The root's policy does not allow it as it is. Change policy/ingest.json if it may come in, then {retry}."),
    ("no known log format", "No reader knows it. CSV, CAN and text logs need a mapping.toml or a .dbc beside them: land it with one."),
    ("removed from this root", "It was forgotten on request. `flywheel forget --drive {drive_id} --yes` takes its landed bytes away."),
)  # fmt: skip
BAD = (
    "The log is at fault. Repair its source and land the new log (the old one stays where it is); after an update of flywheel that reads "
    "it, {retry}. To remove it for good: `flywheel forget --drive {drive_id} --yes`."
)
UNREAD = "A reader is at fault, not the log: report the reason above. Nothing is lost; once it is mended, {retry}."


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

    @property
    def log_name(self) -> str:
        """The log's name in its batch's manifest, without the part."""
        return self.name.partition("#")[0]

    @property
    def bytes(self) -> int:
        """How large the log is."""
        return sum(file.bytes for file in self.files)

    def next_step(self, *, drive_id: str) -> str:
        """What a person can do about it."""
        retry = f"`flywheel quarantine retry '{self.name}'`"
        for sign, step in NEXT_STEPS:
            if sign in self.reason:
                return step.format(retry=retry, drive_id=drive_id)
        return (UNREAD if self.kind not in FAULTS else BAD).format(retry=retry, drive_id=drive_id)


def reason_key(batch_id: str, name: str) -> str:
    """Where the reason of a log lies."""
    return f"quarantine/{batch_id}/{name}{SUFFIX}"


def quarantine(store: Store, log: LandedLog, *, batch_id: str, error: Exception, name: str | None = None) -> Quarantined:
    """Writes the reason (once: the same reason again writes nothing) and gives it back. name: of a part of the log, else the log's."""
    text, name = _text(error), name or log.name
    reason = Reason(batch_id=batch_id, name=name, kind=_kind(error), reason=text, files=log.files)
    key, data = reason_key(batch_id, name), canonical_json(reason.model_dump(mode="json"))
    if not (store.exists(key) and store.get(key) == data):
        store.put(key, data)
    return Quarantined(name=name, reason=text, kind=reason.kind)


def _kind(error: Exception) -> str:
    """The class of error among those the flywheel raises on purpose (a reader's own subclass counts as that), else its own."""
    return next((kind.__name__ for kind in type(error).__mro__ if kind.__module__ == FlywheelError.__module__), type(error).__name__)


def _text(error: Exception) -> str:
    known = isinstance(error, FlywheelError)
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


def reasons(store: Store, *, batch_id: str | None = None) -> list[Reason]:
    """Everything in quarantine, by batch and name."""
    return [_parsed(store, key) for key in store.list(f"quarantine/{batch_id}/" if batch_id else "quarantine/") if key.endswith(SUFFIX)]


def reasons_named(store: Store, name: str) -> list[Reason]:
    """What is in quarantine under a name: a log, one part of it (`log#part`), or all parts of a log. BadData if nothing is."""
    held = reasons(store)
    found = [reason for reason in held if name in (reason.name, reason.log_name)]
    if not found:
        names = ", ".join(sorted({reason.name for reason in held})[:20]) or "nothing"
        raise BadData(f"{name!r} is not in quarantine in {store.uri}; there is: {names}")
    return found


def _parsed(store: Store, key: str) -> Reason:
    try:
        return Reason.model_validate_json(store.get(key))
    except ValidationError as err:
        raise BadData(f"{key} is not a reason that this version wrote: {err}. Delete it and ingest the batch again.") from err
