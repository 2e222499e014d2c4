"""Brings a Lance dataset to a wanted set of rows, from whatever state a run that was killed left it in.

Only new and changed rows are written, so a version costs what it adds. Nothing here commits: a manifest does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from flywheel.datasets import IMAGE, ROW_HASH, ROWS, dataset_key, read_rows, row_hash, rows_digest, versions, withdrawn
from flywheel.errors import BadData, BadTransport, FlywheelError, require
from flywheel.store import Store, media_key
from flywheel.types import sha256_hex

BATCH = 64
PACKED_FROM_BYTES = 4096
IDS_PER_DELETE = 1000
Wanted = Mapping[str, Mapping[str, Any]]


def head(store: Store, name: str) -> Any | None:
    """The newest Lance version, committed or not; None if there is no dataset."""
    lance = require("lance", extra="all")
    uri, options = store.lance(dataset_key(name))
    if not store.list(f"{dataset_key(name)}/_versions/"):
        return None
    return lance.dataset(uri, storage_options=options)


def next_version(store: Store, name: str) -> str:
    """The name of the version after all that were ever published, withdrawn ones too."""
    numbers = [int(version[1:]) for version in (*versions(store, name), *(note.version for note in withdrawn(store, name)))]
    return f"v{max(numbers, default=0) + 1}"


def known_sizes(dataset: Any | None) -> dict[str, tuple[int, int]]:
    """(width, height) of every image that already lies in the dataset."""
    if dataset is None:
        return {}
    rows = read_rows(dataset, columns=["media_sha256", "width_px", "height_px"]).to_pylist()
    return {row["media_sha256"]: (row["width_px"], row["height_px"]) for row in rows}


def sync(store: Store, name: str, rows: list[dict[str, Any]]) -> int:
    """The Lance version that holds exactly these rows; BadTransport if another writer got between."""
    wanted = {row_hash(row): row for row in rows}
    dataset: Any = head(store, name)
    held = [] if dataset is None else read_rows(dataset, columns=["sample_id", ROW_HASH]).to_pylist()
    stale = sorted(row["sample_id"] for row in held if row[ROW_HASH] not in wanted)
    for start in range(0, len(stale), IDS_PER_DELETE):
        dataset.delete(f"sample_id IN ({', '.join(repr(i) for i in stale[start : start + IDS_PER_DELETE])})")
    new = sorted(wanted.keys() - {row[ROW_HASH] for row in held}, key=lambda found: str(wanted[found]["sample_id"]))
    if new or dataset is None:
        dataset = _write(store, name, wanted, new, mode="create" if dataset is None else "append")
    found = rows_digest(read_rows(dataset, columns=[ROW_HASH])[ROW_HASH].to_pylist())
    if found != rows_digest(wanted):
        raise BadTransport(f"{name}: another publisher changed {dataset_key(name)} at the same time. Run publish again.")
    version: int = dataset.version
    return version


def _write(store: Store, name: str, wanted: Wanted, new: list[str], *, mode: str) -> Any:
    """Writes rows through Lance. An error while a batch is made comes back through Lance as an OSError: it is raised as itself."""
    lance = require("lance", extra="all")
    uri, options = store.lance(dataset_key(name))
    failed: list[FlywheelError] = []
    reader = pa.RecordBatchReader.from_batches(schema(), _batches(store, wanted, new, failed))
    try:
        return lance.write_dataset(
            reader, uri, mode=mode, storage_options=options, data_storage_version="2.2", enable_stable_row_ids=True
        )  # fmt: skip
    except OSError as err:
        raise (failed[0] if failed else BadTransport(f"{uri} cannot be written: {err}")) from err


def tag(store: Store, name: str, *, version: str, lance_version: int) -> None:
    """Makes the Lance tag `version` point at a Lance version, so that clean-up keeps it."""
    dataset = head(store, name)
    if dataset is None:
        raise BadTransport(f"{name}: the Lance files are gone")
    held = dataset.tags.list().get(version)
    if held is None:
        dataset.tags.create(version, lance_version)
    elif held["version"] != lance_version:
        dataset.tags.update(version, lance_version)


def _image(store: Store, row: Mapping[str, Any]) -> bytes:
    """The image's bytes, hashed again as they go in: another run may have measured them long ago."""
    key = media_key(row["media_sha256"], row["ext"])
    try:
        data = store.get(key)
    except KeyError as err:
        raise BadData(f"{key} is missing in {store.uri}: restore it, or take its sample out") from err
    if sha256_hex(data) != row["media_sha256"]:
        raise BadData(f"{key} in {store.uri} does not have the hash it is stored under: restore it")
    return data


def schema() -> pa.Schema:
    """The columns of a dataset as Lance holds them, the image as a packed blob."""
    lance = require("lance", extra="all")
    image = lance.blob_field(IMAGE, nullable=False, inline_size_threshold=PACKED_FROM_BYTES)
    return pa.schema([*ROWS, pa.field(ROW_HASH, pa.string(), nullable=False), image])


def _batches(store: Store, wanted: Wanted, order: list[str], failed: list[FlywheelError]) -> Iterator[pa.RecordBatch]:
    lance = require("lance", extra="all")
    with tqdm(total=len(order), desc="write samples", unit="row", disable=None) as bar:
        for start in range(0, len(order), BATCH):
            hashes = order[start : start + BATCH]
            rows = [wanted[found] for found in hashes]
            try:
                images = [_image(store, row) for row in rows]
            except FlywheelError as err:
                failed.append(err)
                raise
            columns = [pa.array([row[field.name] for row in rows], field.type) for field in ROWS]
            yield pa.record_batch([*columns, pa.array(hashes), lance.blob_array(images)], schema=schema())
            bar.update(len(rows))
