"""A mined event by its id, and the stretch of its drive around it."""

import difflib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import BadData
from flywheel.look.find import Drive, Row, find_drive
from flywheel.store import Store
from flywheel.tables import SCHEMAS, read_table

# Scenario reference 1.1: save ten seconds before and five after.
BEFORE_S, AFTER_S = 10.0, 5.0


@dataclass(frozen=True)
class Excerpt(Drive):
    """A stretch of a drive around an event; every table with times holds only what lies in it.

    `row` is the drive's with the stretch's own times, so that seconds count from its begin.
    """

    event: Row

    @property
    def span_s(self) -> tuple[float, float]:
        """When the event begins and ends, in seconds since the stretch began."""
        t0, t1 = self.seconds([self.event["t0_ns"], self.event["t1_ns"]])
        return float(t0), float(t1)

    def table(self, name: str, *columns: str) -> pa.Table:
        """The stretch's rows of a table."""
        wanted = list(columns) or SCHEMAS[name].names
        if "t_ns" not in SCHEMAS[name].names:
            return super().table(name, *wanted)
        whole = super().table(name, *dict.fromkeys((*wanted, "t_ns")))
        inside = pc.and_(pc.greater_equal(whole["t_ns"], self.row["t0_ns"]), pc.less_equal(whole["t_ns"], self.row["t1_ns"]))
        return whole.filter(inside).select(wanted)


def find_event(store: Store, wanted: str) -> Row:
    """The EVENTS row with this id, or the one whose id begins so (with or without `event-`). BadData names the ones that are near."""
    rows = {str(row["event_id"]): row for row in read_table(store, "EVENTS").to_pylist()}
    stems = (wanted, f"event-{wanted}")
    matching = [name for name in rows if name in stems] or [name for name in sorted(rows) if wanted and name.startswith(stems)]
    if len(matching) == 1:
        return dict(rows[matching[0]])
    if matching:
        raise BadData(f"{wanted!r} could be {len(matching)} events: {', '.join(matching[:8])}; give more of the id")
    near = difflib.get_close_matches(wanted, rows, n=5, cutoff=0.5) or sorted(rows)[:5]
    raise BadData(f"no event {wanted!r} in {store.uri}; near it are: {', '.join(near) or 'none: run `flywheel mine`'} (`flywheel events`)")


def excerpt(store: Store, event: Row, *, before_s: float = BEFORE_S, after_s: float = AFTER_S) -> Excerpt:
    """The stretch of the event's drive from some time before its begin to some time after its end."""
    drive = find_drive(store, str(event["drive_id"]))
    t0 = max(drive.row["t0_ns"], event["t0_ns"] - int(before_s * 1e9))
    t1 = min(drive.row["t1_ns"], event["t1_ns"] + int(after_s * 1e9))
    return Excerpt(store, {**drive.row, "t0_ns": t0, "t1_ns": t1, "duration_s": (t1 - t0) / 1e9}, event)
