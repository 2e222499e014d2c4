"""A dataset version as plain files: images, Parquet, JSON lines, card, and last the manifest."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from flywheel.datasets import Manifest, open_dataset, parse_manifest, read_images, read_manifest, read_rows
from flywheel.errors import BadData, GateFailed
from flywheel.publish.card import card
from flywheel.publish.verify import BATCH, IMAGES, MANIFEST, SAMPLES, image_name, verify_folder
from flywheel.store import Store
from flywheel.types import Frozen, canonical_json, sha256_hex

LABELS, CARD = "labels.jsonl", "README.md"


class PullReport(Frozen):
    """What a pull left in a folder."""

    ref: str
    digest: str
    folder: str
    rows: int
    images: int
    written: int


def pull(store: Store, ref: str, out: Path) -> PullReport:
    """Writes a version into `out` and checks it there; images already there with the right hash are kept.

    BadData if `out` holds another version; GateFailed if what was pulled does not verify.
    """
    manifest = read_manifest(store, ref)
    _claim(out, manifest)
    dataset = open_dataset(store, manifest)
    table = read_rows(dataset).combine_chunks()
    order = pc.sort_indices(table, sort_keys=[("sample_id", "ascending")])
    rows: list[dict[str, Any]] = table.to_pylist()
    written = _write_images(dataset, rows, out / IMAGES)
    sink = io.BytesIO()
    pq.write_table(table.take(order), sink, compression="zstd")
    _write(out / SAMPLES, sink.getvalue())
    lines = [canonical_json(_label_line(row)) for row in sorted(rows, key=lambda row: str(row["sample_id"]))]
    _write(out / LABELS, b"\n".join(lines) + b"\n")
    _write(out / CARD, card(manifest).encode())
    _write(out / MANIFEST, canonical_json(manifest.model_dump(mode="json")))
    if problems := verify_folder(out):
        raise GateFailed(f"{manifest.ref} pulled to {out} does not verify:\n" + "\n".join(problems[:20]))
    images = len({row["media_sha256"] for row in rows})
    return PullReport(ref=manifest.ref, digest=manifest.digest, folder=str(out), rows=len(rows), images=images, written=written)


def _claim(out: Path, manifest: Manifest) -> None:
    held = out / MANIFEST
    if held.is_file() and parse_manifest(held.read_bytes(), where=str(held)).digest != manifest.digest:
        raise BadData(f"{out} already holds another dataset version; pull {manifest.ref} into an empty folder")
    (out / IMAGES).mkdir(parents=True, exist_ok=True)


def _write_images(dataset: Any, rows: list[dict[str, Any]], folder: Path) -> int:
    first = {image_name(row): index for index, row in reversed(list(enumerate(rows)))}
    missing = [(name, index) for name, index in sorted(first.items(), key=lambda item: item[1]) if not _sound(folder / name)]
    with tqdm(total=len(missing), desc="pull images", unit="image", disable=None) as bar:
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            for (name, _), data in zip(part, read_images(dataset, [index for _, index in part]), strict=True):
                _write(folder / name, data)
                bar.update()
    return len(missing)


def _write(file: Path, data: bytes) -> None:
    """Writes beside, then renames: a killed pull leaves no half file."""
    beside = file.with_name(f".{file.name}.tmp")
    beside.write_bytes(data)
    beside.replace(file)


def _sound(file: Path) -> bool:
    return file.is_file() and sha256_hex(file.read_bytes()) == file.stem


def _label_line(row: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("sample_id", "split", "scenario", "condition", "synthetic", "width_px", "height_px", "labels")
    return {"image": f"{IMAGES}/{image_name(row)}", **{key: row[key] for key in keys}}
