"""Splits belong to root groups (vehicle x day x place); every synthetic child inherits its parent's. All pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from flywheel.datasets import Row
from flywheel.types import Split, sha256_hex

SHARES: dict[Split, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
_FIRST: tuple[Split, ...] = ("train", "test", "val")


def assign_splits(groups: Iterable[str], *, kept: Mapping[str, str] | None = None) -> dict[str, str]:
    """The split of every group: a group in `kept` keeps its split, the others are placed in the order of their hash.

    Empty splits come first (train, then test, then val), so three groups or more fill all three; after that the split
    farthest below its share of groups. One group alone is train.
    """
    wanted = set(groups)
    known = {group: split for group, split in (kept or {}).items() if group in wanted}
    sizes = Counter(known.values())
    for group in sorted(wanted - known.keys(), key=lambda name: sha256_hex(name.encode())):
        split = _next_split(sizes, total=len(wanted))
        known[group] = split
        sizes[split] += 1
    return dict(sorted(known.items()))


def _next_split(sizes: Mapping[str, int], *, total: int) -> Split:
    for split in _FIRST:
        if not sizes.get(split):
            return split
    return max(_FIRST, key=lambda split: SHARES[split] * total - sizes.get(split, 0))


def check_splits(rows: Iterable[Row]) -> list[str]:
    """What is wrong with the splits of a dataset's rows; empty if no group crosses and every child follows its parent."""
    rows = list(rows)
    by_id = {row["sample_id"]: row for row in rows}
    return _crossing(rows) + [text for row in rows for text in _orphaned(row, by_id)]


def _crossing(rows: Iterable[Row]) -> list[str]:
    splits: dict[str, set[str]] = {}
    for row in rows:
        for unit in (f"root group {row['root_group']!r}", f"drive {row['drive_id']!r}", f"image {row['media_sha256']}"):
            splits.setdefault(unit, set()).add(row["split"])
    return [f"{unit} lies in more than one split: {sorted(found)}" for unit, found in sorted(splits.items()) if len(found) > 1]


def _orphaned(row: Row, by_id: Mapping[str, Row]) -> list[str]:
    if row["parent_sample_id"] is None:
        return [f"synthetic sample {row['sample_id']} names no parent"] if row["synthetic"] else []
    parent = by_id.get(row["parent_sample_id"])
    if parent is None:
        return [f"sample {row['sample_id']}: its parent {row['parent_sample_id']} is not in the dataset"]
    return [
        f"sample {row['sample_id']}: its {column} is {row[column]!r}, its parent's is {parent[column]!r}"
        for column in ("split", "root_group", "drive_id")
        if row[column] != parent[column]
    ]
