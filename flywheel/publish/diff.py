"""What changed between two versions of a dataset."""

from typing import Any

from flywheel.datasets import ROWS, open_dataset, read_manifest, read_rows
from flywheel.store import Store
from flywheel.types import Record

Rows = dict[str, dict[str, Any]]


class Change(Record):
    """One sample whose row changed, and in which columns."""

    sample_id: str
    columns: tuple[str, ...]


class DatasetDiff(Record):
    """Samples by what happened to them from version `a` to version `b`."""

    name: str
    a: str
    b: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[Change, ...]
    unchanged: int
    added_by_slice: dict[str, int]


def diff(store: Store, name: str, a: str, b: str) -> DatasetDiff:
    """The difference from version `a` to version `b` (`v1`, `v2`, ...); BadData if one does not exist."""
    before, after = _rows(store, f"{name}@{a}"), _rows(store, f"{name}@{b}")
    both = sorted(before.keys() & after.keys())
    changes = [Change(sample_id=i, columns=_columns(before[i], after[i])) for i in both if before[i] != after[i]]
    added = sorted(after.keys() - before.keys())
    return DatasetDiff(
        name=name, a=a, b=b, added=tuple(added), removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(changes), unchanged=len(both) - len(changes), added_by_slice=_by_slice([after[i] for i in added]),
    )  # fmt: skip


def _rows(store: Store, ref: str) -> Rows:
    rows = read_rows(open_dataset(store, read_manifest(store, ref)), columns=ROWS.names).to_pylist()
    return {row["sample_id"]: row for row in rows}


def _columns(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in ROWS.names if before[name] != after[name])


def _by_slice(rows: list[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in rows:
        key = f"{row['scenario']} / {row['condition']} / {'synthetic' if row['synthetic'] else 'real'}"
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items()))
