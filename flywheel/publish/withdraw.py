"""Takes drives out of every published dataset, and makes what held their rows unreadable.

The newest version gets a successor without the rows, written into files of its own. Every version whose Lance files hold a row of the
drives, even a deleted one, is withdrawn: its tag, manifest and card go, its files are cleaned up, and `<version>.withdrawn.json` keeps its
number, digest and successor, so that a model trained on it can still be told apart and no later version takes its number. Versions that
never held them stay as they are. Safe to kill and run again: nothing is taken away before its successor is there.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pyarrow as pa

from flywheel.datasets import (
    IMAGE,
    ROW_HASH,
    ROWS,
    Manifest,
    Withdrawn,
    dataset_key,
    manifest_key,
    read_images,
    read_manifest,
    read_rows,
    versions,
    withdrawn_key,
)
from flywheel.errors import BadData, FlywheelError, require
from flywheel.publish import lake
from flywheel.publish.collect import Collected
from flywheel.publish.dataset import commit
from flywheel.publish.recipe import Recipe
from flywheel.publish.splits import check_splits
from flywheel.store import Store, media_key
from flywheel.types import Record, canonical_json, sha256_hex


class DatasetLoss(Record):
    """What a dataset loses: samples of its newest version, versions withdrawn. replaced_by holds the rest; None if nothing is left."""

    name: str
    samples: int
    withdrawn: tuple[str, ...]
    replaced_by: str | None


class Survey(NamedTuple):
    """Where rows of the drives lie: data files, Lance versions that use one, and manifests that must go."""

    files: set[str]
    lance_versions: set[int]
    manifests: list[Manifest]


def dataset_names(store: Store) -> list[str]:
    """Every dataset of a root, published or only begun."""
    heads = {key.split("/")[1] for key in store.list("datasets/")}
    return sorted({head.removesuffix(".manifests").removesuffix(".lance") for head in heads})


def losses(store: Store, drives: frozenset[str]) -> list[DatasetLoss]:
    """What each dataset would lose; datasets without the drives are left out."""
    found = [(name, survey(store, name, drives)) for name in dataset_names(store)]
    return [_loss(store, name, seen, drives) for name, seen in found if seen.files or seen.manifests]


def survey(store: Store, name: str, drives: frozenset[str]) -> Survey:
    """Where a dataset holds rows of the drives, deleted rows too."""
    manifests = [read_manifest(store, f"{name}@{version}") for version in versions(store, name)]
    head = lake.head(store, name)
    holds: dict[int, set[str]] = {}
    files: set[str] = set()
    for number in [] if head is None else [entry["version"] for entry in head.versions()]:
        dataset = _at(store, name, number)
        holds[number] = set()
        for fragment in dataset.get_fragments():
            paths = {file.path for file in fragment.data_files()}
            holds[number] |= paths
            if not paths <= files and _holds(dataset, fragment, drives):
                files |= paths
    dirty = {number for number, paths in holds.items() if paths & files}
    named = [m for m in manifests if m.lance_version in dirty or drives & {source.drive_id for source in m.sources}]
    return Survey(files, dirty, named)


def pictures(store: Store, drives: frozenset[str]) -> set[str]:
    """Media keys of every picture of the drives in any published version: stills of videos are named nowhere else."""
    manifests = [read_manifest(store, f"{name}@{version}") for name in dataset_names(store) for version in versions(store, name)]
    holding = [m for m in manifests if drives & {source.drive_id for source in m.sources}]
    rows = [row for manifest in holding for row in _rows(store, manifest) if row["drive_id"] in drives]
    return {media_key(row["media_sha256"], row["ext"]) for row in rows}


def _at(store: Store, name: str, version: int | None = None) -> Any:
    lance = require("lance", extra="all")
    uri, options = store.lance(dataset_key(name))
    return lance.dataset(uri, version=version, storage_options=options)


def _holds(dataset: Any, fragment: Any, drives: frozenset[str]) -> bool:
    rows = dataset.scanner(columns=["drive_id"], fragments=[fragment], with_row_id=True, include_deleted_rows=True).to_table()
    return not drives.isdisjoint(rows["drive_id"].unique().to_pylist())


def _loss(store: Store, name: str, seen: Survey, drives: frozenset[str]) -> DatasetLoss:
    known = versions(store, name)
    gone = tuple(manifest.version for manifest in seen.manifests)
    if not known or known[-1] not in gone:
        return DatasetLoss(name=name, samples=0, withdrawn=gone, replaced_by=known[-1] if known else None)
    rows = _rows(store, seen.manifests[-1])
    kept = _without(rows, drives)
    return DatasetLoss(
        name=name, samples=len(rows) - len(kept), withdrawn=gone, replaced_by=lake.next_version(store, name) if kept else None
    )  # fmt: skip


def _rows(store: Store, manifest: Manifest) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_rows(_at(store, manifest.name, manifest.lance_version)).to_pylist()
    return [row | {"position": position} for position, row in enumerate(rows)]


def _without(rows: list[dict[str, Any]], drives: frozenset[str]) -> list[dict[str, Any]]:
    kept = [row for row in rows if row["drive_id"] not in drives]
    ids = {row["sample_id"] for row in kept}
    return [row for row in kept if row["parent_sample_id"] is None or row["parent_sample_id"] in ids]


def withdraw(store: Store, name: str, drives: frozenset[str], *, subjects: frozenset[str]) -> DatasetLoss | None:
    """What the dataset lost, now gone; None if it never held the drives. subjects: ids and hashes that refusals may name no more."""
    seen = survey(store, name, drives)
    if not (seen.files or seen.manifests):
        return None
    loss = _loss(store, name, seen, drives)
    newest = versions(store, name)[-1:]
    if seen.manifests and newest == [seen.manifests[-1].version] and loss.replaced_by is not None:
        _succeed(store, seen.manifests[-1], drives, subjects)
    for manifest in seen.manifests:
        _withdraw_version(store, manifest, replaced_by=loss.replaced_by)
    if loss.replaced_by is None:
        for key in store.list(f"{dataset_key(name)}/"):
            store.delete(key)
    else:
        _clean(store, name, seen, newest=read_manifest(store, f"{name}@{loss.replaced_by}"))
    return loss


def _succeed(store: Store, old: Manifest, drives: frozenset[str], subjects: frozenset[str]) -> None:
    """Publishes the old version's other rows as the next version, in new files."""
    kept = _without(_rows(store, old), drives)
    if problems := check_splits(kept):
        raise BadData(f"{old.ref} without the drives does not hold together:\n" + "\n".join(problems[:20]))
    version = _overwrite(store, old, kept)
    rows = [{field: row[field] for field in ROWS.names} for row in kept]
    groups = {row["root_group"]: old.groups[row["root_group"]] for row in rows}
    refused = [r for r in old.refused if r.subject not in subjects and subjects.isdisjoint(r.reason.split())]
    found = Collected(rows, refused, [source for source in old.sources if source.drive_id not in drives])
    recipe, name = Recipe.model_validate(old.recipe), lake.next_version(store, old.name)
    commit(store, recipe, found, rows, groups, version=name, previous=old.version, lance_version=version)


def _overwrite(store: Store, old: Manifest, kept: list[dict[str, Any]]) -> int:
    """The Lance version that holds exactly these rows, written into files of its own."""
    lance = require("lance", extra="all")
    uri, options = store.lance(dataset_key(old.name))
    failed: list[FlywheelError] = []
    source = _at(store, old.name, old.lance_version)
    reader = pa.RecordBatchReader.from_batches(lake.schema(), _batches(source, kept, failed))
    try:
        written = lance.write_dataset(
            reader, uri, mode="overwrite", storage_options=options, data_storage_version="2.2", enable_stable_row_ids=True
        )  # fmt: skip
    except OSError as err:
        raise (failed[0] if failed else err) from err
    version: int = written.version
    return version


def _batches(source: Any, kept: list[dict[str, Any]], failed: list[FlywheelError]) -> Iterator[pa.RecordBatch]:
    lance = require("lance", extra="all")
    for start in range(0, len(kept), lake.BATCH):
        rows = kept[start : start + lake.BATCH]
        images = read_images(source, [row["position"] for row in rows])
        broken = [row["sample_id"] for row, image in zip(rows, images, strict=True) if sha256_hex(image) != row["media_sha256"]]
        if broken:
            failed.append(BadData(f"samples {broken[:5]}: the {IMAGE} does not have the hash its row says; verify the dataset first"))
            raise failed[0]
        columns = [pa.array([row[field.name] for row in rows], field.type) for field in ROWS]
        yield pa.record_batch([*columns, pa.array([row[ROW_HASH] for row in rows]), lance.blob_array(images)], schema=lake.schema())


def _withdraw_version(store: Store, manifest: Manifest, *, replaced_by: str | None) -> None:
    note = Withdrawn(name=manifest.name, version=manifest.version, digest=manifest.digest, rows=manifest.rows, replaced_by=replaced_by)
    store.put(withdrawn_key(manifest.name, manifest.version), canonical_json(note.model_dump(mode="json")))
    dataset = lake.head(store, manifest.name)
    if dataset is not None and manifest.version in dataset.tags.list():
        dataset.tags.delete(manifest.version)
    for ext in ("md", "json"):
        store.delete(manifest_key(manifest.name, manifest.version, ext=ext))


def _clean(store: Store, name: str, seen: Survey, *, newest: Manifest) -> None:
    """Removes the Lance versions that use a file with rows of the drives, and the files; BadData if one is still there."""
    head = lake.head(store, name)
    if head is None:
        return
    if head.version in seen.lance_versions:  # left by a publisher that was killed: the newest committed version takes its place
        _at(store, name, newest.lance_version).restore()
        head = _at(store, name)
    head.cleanup_old_versions(older_than=timedelta(0), delete_unverified=True, error_if_tagged_old_versions=False)
    stems = {path.removesuffix(".lance") for path in seen.files}
    left = [key for key in store.list(f"{dataset_key(name)}/data/") if any(f"/{stem}" in key for stem in stems)]
    if left:
        raise BadData(f"{name}: {left[:3]} still hold rows that were to go; is another writer at work? Run the same command again.")
