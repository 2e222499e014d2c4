"""What a published dataset is: one row a sample, a manifest whose existence is the commit, and how to read both.

The samples of every version lie in one Lance dataset at `datasets/<name>.lance`; `datasets/<name>.manifests/<version>.json`
names the Lance version and the digest of the rows. The digest depends on the rows alone, never on how Lance lays them out.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from flywheel.errors import BadData, require
from flywheel.store import Store
from flywheel.types import Frozen, Record, digest_of

REFERENCE = "reference"
_TEXT = pa.string()
LABEL = pa.struct(
    [pa.field("track_id", _TEXT, nullable=False), pa.field("cls", _TEXT, nullable=False)]
    + [pa.field(name, pa.float64(), nullable=False) for name in ("x0_px", "y0_px", "x1_px", "y1_px", "distance_m")]
)

# Columns that identify a sample; `labels` is null where nothing is known, and empty where nothing was seen.
ROWS = pa.schema(
    [
        pa.field(name, kind, nullable=name in ("parent_sample_id", "labels"))
        for name, kind in (
            ("sample_id", _TEXT), ("split", _TEXT), ("root_group", _TEXT), ("parent_sample_id", _TEXT),
            ("drive_id", _TEXT), ("event_id", _TEXT), ("scenario", _TEXT), ("level", _TEXT), ("condition", _TEXT),
            ("synthetic", pa.bool_()), ("generator", _TEXT), ("t_ns", pa.int64()), ("camera", _TEXT),
            ("width_px", pa.int32()), ("height_px", pa.int32()), ("ext", _TEXT), ("media_sha256", _TEXT),
            ("labels", pa.list_(LABEL)),
        )
    ]
)  # fmt: skip
ROW_HASH = "row_sha256"
IMAGE = "image"
Row = Mapping[str, Any]


class Slice(Record):
    """How many samples one split holds of one scenario under one condition."""

    split: str
    scenario: str
    condition: str
    synthetic: bool
    samples: int
    labelled: int


class Refused(Record):
    """Something that was asked for and left out, and why."""

    subject: str
    reason: str


class Source(Record):
    """A drive that samples come from."""

    drive_id: str
    batch_id: str
    source_name: str
    source_sha256: str
    root_group: str
    licence: str | None


class Manifest(Frozen):
    """One version of a dataset. It holds no clock: equal inputs give an equal manifest."""

    name: str
    version: str
    digest: str
    rows: int
    lance_version: int
    previous: str | None
    splits: dict[str, int]
    groups: dict[str, str]
    slices: tuple[Slice, ...]
    generators: dict[str, int]
    sources: tuple[Source, ...]
    refused: tuple[Refused, ...]
    recipe: dict[str, Any]
    code_version: str

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


class Withdrawn(Frozen):
    """What is left of a version that was withdrawn because a source was removed: enough to tell it apart, nothing of what it held."""

    name: str
    version: str
    digest: str
    rows: int
    replaced_by: str | None


def withdrawn_key(name: str, version: str) -> str:
    """Where the note of a withdrawn version lies."""
    return manifest_key(name, version, ext="withdrawn.json")


def dataset_key(name: str) -> str:
    """Where a dataset's Lance files lie."""
    return f"datasets/{checked_name(name)}.lance"


def manifest_key(name: str, version: str, *, ext: str = "json") -> str:
    """Where a version's manifest (or, with ext `md`, its card) lies."""
    return f"datasets/{checked_name(name)}.manifests/{version}.{ext}"


def checked_name(name: str) -> str:
    """The name itself, or BadData if it cannot be a folder's name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise BadData(f"dataset name {name!r}: use 1 to 64 of a-z, 0-9, '-' and '_', starting with a letter or digit")
    return name


def row_hash(row: Row) -> str:
    """SHA-256 of a sample's row; the image counts through `media_sha256`."""
    return digest_of({field.name: row[field.name] for field in ROWS})


def rows_digest(hashes: Iterable[str]) -> str:
    """SHA-256 over the sorted row hashes: the dataset's digest."""
    whole = hashlib.sha256()
    for found in sorted(hashes):
        whole.update(found.encode())
    return whole.hexdigest()


def versions(store: Store, name: str) -> list[str]:
    """Published versions of one dataset, oldest first."""
    head = manifest_key(name, "")[: -len(".json")]
    found = [match[1] for key in store.list(head) if (match := re.fullmatch(r"(v[1-9][0-9]*)\.json", key.removeprefix(head)))]
    return sorted(found, key=lambda version: int(version[1:]))


def withdrawn(store: Store, name: str) -> list[Withdrawn]:
    """Versions of one dataset that were withdrawn."""
    head = manifest_key(name, "")[: -len(".json")]
    keys = [key for key in store.list(head) if key.endswith(".withdrawn.json")]
    return [Withdrawn.model_validate_json(store.get(key)) for key in keys]


def parse_ref(ref: str) -> tuple[str, str | None]:
    """(name, version) of `name@v1`; the version is None for a bare name."""
    name, _, version = ref.partition("@")
    if version and not re.fullmatch(r"v[1-9][0-9]*", version):
        raise BadData(f"dataset reference {ref!r}: write it as name@v1, or the name alone for the newest version")
    return checked_name(name), version or None


def read_manifest(store: Store, ref: str) -> Manifest:
    """The manifest of `name@v1`, or of the newest version of a bare name; BadData if there is none."""
    name, version = parse_ref(ref)
    known = [] if version else versions(store, name)
    if not version and not known:
        raise BadData(f"no dataset {name!r} in {store.uri}. Run `flywheel publish`, or `flywheel datasets` for what is there.")
    try:
        data = store.get(manifest_key(name, version or known[-1]))
    except KeyError as err:
        gone = {note.version: note.replaced_by for note in withdrawn(store, name)}
        if version in gone:
            raise BadData(f"{ref} was withdrawn: a source was removed. What is left of it: {gone[version] or 'nothing'}") from err
        raise BadData(f"no version {ref!r} in {store.uri}; versions of {name}: {versions(store, name) or 'none'}") from err
    return parse_manifest(data, where=f"{store.uri}/{manifest_key(name, version or known[-1])}")


def parse_manifest(data: bytes, *, where: str) -> Manifest:
    """The manifest in JSON bytes; BadData if they are none."""
    try:
        return Manifest.model_validate_json(data)
    except ValueError as err:
        raise BadData(f"{where} is no dataset manifest: {err}") from err


def open_dataset(store: Store, manifest: Manifest) -> Any:
    """The Lance dataset at the version a manifest names; BadData if its files are gone."""
    lance = require("lance", extra="all")
    uri, options = store.lance(dataset_key(manifest.name))
    try:
        return lance.dataset(uri, version=manifest.lance_version, storage_options=options)
    except ValueError as err:
        raise BadData(f"{manifest.ref}: Lance version {manifest.lance_version} at {uri} cannot be opened: {err}") from err


def read_rows(dataset: Any, *, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows without their images, in storage order."""
    table: pa.Table = dataset.to_table(columns=list(columns or [*ROWS.names, ROW_HASH]))
    return table


def read_images(dataset: Any, indices: Sequence[int]) -> list[bytes]:
    """Encoded image bytes at row positions, in the order asked."""
    if not indices:
        return []
    return [bytes(data) for _, data in dataset.read_blobs(IMAGE, indices=list(indices), preserve_order=True)]
