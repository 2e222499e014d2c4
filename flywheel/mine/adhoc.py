"""A query over everything a root holds, without a catalogue entry."""

from collections import Counter

import numpy as np

from flywheel.errors import BadData
from flywheel.mine import query as q
from flywheel.mine.composite import ask, event
from flywheel.mine.describe import described
from flywheel.mine.detectors import hits_of
from flywheel.mine.prepare import Drive
from flywheel.mine.run import load_drive
from flywheel.mine.signals import CONDITION_NAMES
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Record


class Found(Record):
    """One stretch of one drive that answers a query; the condition is assumed (day_clear) where the drive does not say."""

    drive_id: str
    source_name: str
    t0_ns: int
    t1_ns: int
    duration_s: float
    level: str
    actors: tuple[str, ...]
    condition: str


class Answered(Record):
    """What a query found. `open_s`: seconds for which nobody can say; `not_evaluable`: missing parts and in how many drives."""

    query: str
    drives: int
    events: tuple[Found, ...]
    open_s: float
    not_evaluable: dict[str, int]


def run_query(store: Store, node: q.Node, *, batch_id: str | None = None) -> Answered:
    """Every stretch of every drive (of a batch, if one is named) for which the query surely holds; BadData for a root without drives."""
    drives = read_table(store, "DRIVES", batch_id=batch_id).to_pylist()
    if not drives:
        raise BadData(f"{store.uri} has no drives: run `flywheel ingest --logs DIR`")
    found: list[Found] = []
    reasons: Counter[str] = Counter()
    open_s = 0.0
    for row in drives:
        drive = Drive(load_drive(store, row["batch_id"], row))
        answer, missing = ask(drive, node, hits_of=hits_of)
        if len(answer.open):
            open_s += answer.open.total_s
            reasons.update(missing)
        hits = [event(drive, int(a), int(b), answer.facts) for a, b in zip(answer.sure.t0_ns, answer.sure.t1_ns, strict=True)]
        codes = drive.conditions(np.array([hit.t_peak_ns for hit in hits], np.int64))
        found += [
            Found(
                drive_id=drive.drive_id, source_name=row["source_name"], t0_ns=hit.t0_ns, t1_ns=hit.t1_ns, duration_s=round(hit.peak, 3),
                level=f"L{hit.level}", actors=hit.actors, condition=CONDITION_NAMES[code],
            )
            for hit, code in zip(hits, codes, strict=True)
        ]  # fmt: skip
    return Answered(query=described(node), drives=len(drives), events=tuple(found), open_s=round(open_s, 3), not_evaluable=dict(reasons))
