"""A drive by its id, and what its tables hold, read part by part."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.store import Store
from flywheel.tables import SCHEMAS, list_parts, read_part, read_table, table_key

Array = NDArray[np.float64]
Row = dict[str, Any]
LISTED = ("drive_id", "source_name", "source_format", "vehicle_id", "place", "day", "duration_s", "distance_m", "frames", "tracks")


def list_drives(store: Store) -> list[Row]:
    """Every drive of the store with the number of its findings, by day and name."""
    found = read_table(store, "FINDINGS", columns=["drive_id"])["drive_id"].to_pylist()
    rows = read_table(store, "DRIVES").to_pylist()
    listed = [{name: row[name] for name in (*LISTED, "batch_id")} | {"findings": found.count(row["drive_id"])} for row in rows]
    return sorted(listed, key=lambda row: (row["day"], row["source_name"], row["drive_id"]))


def find_drive(store: Store, wanted: str) -> "Drive":
    """The drive with this id, or the one whose id begins so (with or without `drive-`). BadData names the ones that are near."""
    parts = {key.rsplit("/", 1)[1].removesuffix(".parquet"): key for key in list_parts(store, "DRIVES")}
    stems = (wanted, f"drive-{wanted}")
    exact = [drive for drive in parts if drive in stems]
    matching = exact or [drive for drive in sorted(parts) if wanted and drive.startswith(stems)]
    if len(matching) != 1:
        raise BadData(_unknown(store, wanted, sorted(parts), matching))
    return Drive(store, read_part(store, parts[matching[0]]).to_pylist()[0])


def _unknown(store: Store, wanted: str, there: Sequence[str], matching: Sequence[str]) -> str:
    if matching:
        return f"{wanted!r} could be {len(matching)} drives: {', '.join(matching[:8])}; give more of the id"
    near = difflib.get_close_matches(wanted, there, n=5, cutoff=0.5) or list(there[:5])
    shown = ", ".join(near) or "none: run `flywheel ingest --logs DIR`"
    return f"no drive {wanted!r} in {store.uri}; near it are: {shown} (`flywheel drive list` shows all {len(there)})"


@dataclass(frozen=True)
class Drive:
    """One drive: its DRIVES row, and its parts of other tables when asked for."""

    store: Store
    row: Row

    @property
    def drive_id(self) -> str:
        """Its id."""
        return str(self.row["drive_id"])

    def table(self, name: str, *columns: str) -> pa.Table:
        """Its rows of a table (some columns, or all); empty if it has none."""
        key = table_key(name, batch_id=self.row["batch_id"], part=self.drive_id)
        wanted = list(columns) or SCHEMAS[name].names
        if not self.store.exists(key):
            return pa.schema([SCHEMAS[name].field(column) for column in wanted]).empty_table()
        return read_part(self.store, key, columns=wanted)

    def rows(self, name: str, *columns: str) -> list[Row]:
        """The same as dicts: for tables of few rows."""
        return list(self.table(name, *columns).to_pylist())

    def seconds(self, t_ns: Any) -> Any:
        """Times as seconds since the drive began."""
        return (np.asarray(t_ns, np.int64) - self.row["t0_ns"]) / 1e9


def thinned(t_s: Array, values: Array, *, most: int = 3000) -> tuple[Array, Array]:
    """At most about `most` samples that keep every peak: the lowest and the highest of each of most / 2 equal stretches."""
    if len(t_s) <= most:
        return t_s, values
    pieces = np.array_split(np.arange(len(t_s)), most // 2)
    at = np.array([sorted((k[np.argmin(values[k])], k[np.argmax(values[k])])) for k in pieces]).ravel()
    return t_s[at], values[at]
