"""Checks a published version, or a folder it was pulled to, by computing every hash again."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tqdm import tqdm

from flywheel.datasets import (
    ROW_HASH,
    ROWS,
    Manifest,
    open_dataset,
    parse_manifest,
    read_images,
    read_manifest,
    read_rows,
    row_hash,
    rows_digest,
)
from flywheel.errors import BadData, FlywheelError
from flywheel.publish.splits import check_splits
from flywheel.store import Store
from flywheel.types import sha256_hex

BATCH = 64
MANIFEST, SAMPLES, IMAGES = "manifest.json", "samples.parquet", "images"
Rows = list[dict[str, Any]]


def verify(store: Store, ref: str) -> list[str]:
    """What is wrong with a published version; empty if its rows, images, digest, splits and counts all hold."""
    manifest = read_manifest(store, ref)
    try:
        dataset = open_dataset(store, manifest)
        rows: Rows = read_rows(dataset).to_pylist()
        problems = check_rows(manifest, rows) + _check_images(rows, _lance_images(dataset, len(rows)))
        held = dataset.tags.list().get(manifest.version)
    except (FlywheelError, OSError, ValueError) as err:
        return [f"{manifest.ref} cannot be read: {err}"]
    if held is None or held["version"] != manifest.lance_version:
        problems.append(f"Lance tag {manifest.version} does not point at Lance version {manifest.lance_version}")
    return problems


def verify_folder(folder: Path) -> list[str]:
    """What is wrong with a pulled folder; BadData if it has no manifest (the pull did not finish)."""
    if not (folder / MANIFEST).is_file():
        raise BadData(f"{folder} has no {MANIFEST}: pull the dataset again")
    manifest = parse_manifest((folder / MANIFEST).read_bytes(), where=str(folder / MANIFEST))
    rows: Rows = pq.read_table(folder / SAMPLES).to_pylist()
    return check_rows(manifest, rows) + _check_images(rows, (_file_bytes(folder / IMAGES / image_name(row)) for row in rows))


def image_name(row: Mapping[str, Any]) -> str:
    """The file name of a sample's image in a pulled folder."""
    return f"{row['media_sha256']}.{row['ext']}"


def _file_bytes(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def check_rows(manifest: Manifest, rows: Rows) -> list[str]:
    """What is wrong with rows against their manifest, images aside."""
    hashes = [row_hash({name: row[name] for name in ROWS.names}) for row in rows]
    problems = [
        f"sample {row['sample_id']}: its content has hash {found}, recorded is {row[ROW_HASH]}"
        for row, found in zip(rows, hashes, strict=True)
        if found != row[ROW_HASH]
    ]
    if rows_digest(hashes) != manifest.digest:
        problems.append(f"digest of the rows is {rows_digest(hashes)}, the manifest of {manifest.ref} says {manifest.digest}")
    if len(rows) != manifest.rows or len({row["sample_id"] for row in rows}) != len(rows):
        problems.append(f"{len(rows)} rows with {len({row['sample_id'] for row in rows})} ids, the manifest says {manifest.rows}")
    moved = sorted({row["root_group"] for row in rows if manifest.groups.get(row["root_group"]) != row["split"]})
    problems += [f"root group {group!r} does not lie in the split the manifest gives it" for group in moved]
    return problems + check_splits(rows)


def _lance_images(dataset: Any, count: int) -> Iterator[bytes]:
    for start in range(0, count, BATCH):
        yield from read_images(dataset, range(start, min(start + BATCH, count)))


def _check_images(rows: Rows, images: Iterable[bytes]) -> list[str]:
    pairs = tqdm(zip(rows, images, strict=True), total=len(rows), desc="verify images", unit="image", disable=None)
    return [
        f"sample {row['sample_id']}: its image is missing or has hash {sha256_hex(data)}, recorded is {row['media_sha256']}"
        for row, data in pairs
        if sha256_hex(data) != row["media_sha256"]
    ]
