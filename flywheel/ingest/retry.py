"""Another try for logs in quarantine, and for nothing else."""

from collections.abc import Iterable

from flywheel.ingest.quarantine import Reason, release
from flywheel.ingest.run import ingest_batch
from flywheel.store import Store
from flywheel.types import Record


class Retried(Record):
    """What came of a log's next try: ingested (or found to be a drive already), or quarantined with the reason that holds now."""

    batch_id: str
    name: str
    outcome: str
    reason: str


def retry(store: Store, wanted: Iterable[Reason]) -> list[Retried]:
    """What came of each; their logs are read again, the rest of their batches is not looked at."""
    by_batch: dict[str, list[Reason]] = {}
    for reason in wanted:
        by_batch.setdefault(reason.batch_id, []).append(reason)
    return [found for batch_id, mine in sorted(by_batch.items()) for found in _retry_batch(store, batch_id, mine)]


def _retry_batch(store: Store, batch_id: str, wanted: list[Reason]) -> list[Retried]:
    report = ingest_batch(store, batch_id, only={reason.log_name for reason in wanted})
    still = {q.name: q.reason for q in report.quarantined}
    for reason in wanted:
        if reason.name not in still:  # also where the whole log's reason is out of date because its parts can be told apart now
            release(store, batch_id=batch_id, name=reason.name)
    names = sorted({reason.name for reason in wanted} | still.keys())
    return [
        Retried(batch_id=batch_id, name=name, outcome="quarantined" if name in still else "ingested", reason=still.get(name, ""))
        for name in names
    ]
