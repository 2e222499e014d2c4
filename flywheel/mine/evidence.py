"""What a root's EXPOSURE holds, added up by scenario and stratum; a stratum is a condition, some ODD attributes, or everything."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import BadData
from flywheel.odd import attributes, reduced
from flywheel.store import Store
from flywheel.tables import read_table

Row = dict[str, Any]
COLUMNS = ["drive_id", "scenario", "condition", "odd", "status", "exposure_s", "exposure_m", "encounters", "events", "root_group"]
CONDITION, ODD = "condition", "odd"
PER = {"h": ("exposure_s", 3600.0), "km": ("exposure_m", 1000.0), "encounter": ("encounters", 1.0)}


def read_exposure(store: Store) -> pa.Table:
    """EXPOSURE of all batches."""
    return read_table(store, "EXPOSURE", columns=COLUMNS)


def parsed_by(text: str) -> tuple[str, ...]:
    """What to stratify by, from words parted by commas: `condition`, `odd`, or attributes; BadData for any other."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [a.name for a in attributes()]
    wrong = [name for name in names if name not in (*known, CONDITION, ODD)]
    if wrong or (len(names) > 1 and {CONDITION, ODD} & set(names)):
        raise BadData(f"cannot stratify by {text!r}: say {CONDITION}, {ODD}, or some of {', '.join(known)}")
    return tuple(known) if names == [ODD] else tuple(names)


def with_stratum(table: pa.Table, by: Sequence[str]) -> pa.Table:
    """The table with a column `stratum`: empty where `by` is."""
    if tuple(by) == (CONDITION,):
        return table.append_column("stratum", table["condition"])
    coded = pc.dictionary_encode(pc.fill_null(table["odd"], "")).combine_chunks()
    if isinstance(coded, pa.ChunkedArray):
        coded = pa.concat_arrays(coded.chunks)
    texts = pa.array([reduced(odd, by) for odd in coded.dictionary.to_pylist()], pa.string())
    return table.append_column("stratum", texts.take(coded.indices))


@dataclass
class Held:
    """What one scenario has in one stratum. Groups are vehicle-days: (vehicle, day) -> [events, exposure in the unit]."""

    events: int = 0
    seconds: float = 0.0
    metres: float = 0.0
    encounters: int = 0
    groups: dict[tuple[str, str], dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))

    @property
    def vehicles(self) -> int:
        """How many vehicles were out."""
        return len({vehicle for vehicle, _ in self.groups})

    @property
    def days(self) -> tuple[str, ...]:
        """The days on which one was out."""
        return tuple(sorted({day for _, day in self.groups if day}))


def vehicle_day(root_group: str) -> tuple[str, str]:
    """Vehicle and day of a root group `vehicle|day|place`."""
    vehicle, day, *_ = (*root_group.split("|"), "", "")
    return vehicle, day


def held(table: pa.Table, by: Sequence[str]) -> dict[tuple[str, str], Held]:
    """(scenario, stratum) -> its evaluable exposure and events, added up."""
    good = with_stratum(table.filter(pc.equal(table["status"], "evaluable")), by)
    known = pc.is_valid(good["encounters"])
    good = good.append_column("met_events", pc.if_else(known, good["events"], 0))
    sums = [(name, "sum") for name in ("events", "exposure_s", "exposure_m", "encounters", "met_events")]
    found: dict[tuple[str, str], Held] = defaultdict(Held)
    for row in good.group_by(["scenario", "stratum", "root_group"], use_threads=False).aggregate(sums).to_pylist():
        one = found[row["scenario"], row["stratum"]]
        one.events += row["events_sum"]
        one.seconds += row["exposure_s_sum"]
        one.metres += row["exposure_m_sum"]
        one.encounters += row["encounters_sum"] or 0
        if row["exposure_s_sum"] or row["events_sum"]:
            group = one.groups[vehicle_day(row["root_group"])]
            for name, _ in sums:
                group[name] += row[f"{name}_sum"] or 0
    return dict(found)


def blind(table: pa.Table, by: Sequence[str]) -> dict[tuple[str, str], int]:
    """(scenario, stratum) -> in how many drives it could not be judged."""
    bad = with_stratum(table.filter(pc.equal(table["status"], "not_evaluable")), by)
    counted = bad.group_by(["scenario", "stratum"], use_threads=False).aggregate([("drive_id", "count_distinct")])
    return {(row["scenario"], row["stratum"]): row["drive_id_count_distinct"] for row in counted.to_pylist()}
