"""Publishing a dataset version: collect, split, check, write to Lance, tag, and last the manifest, which is the commit."""

from collections import Counter
from typing import Any

from flywheel import __version__
from flywheel.datasets import ROW_HASH, Manifest, Slice, manifest_key, read_manifest, row_hash, rows_digest, versions
from flywheel.errors import GateFailed, NotEvaluable
from flywheel.publish import lake
from flywheel.publish.card import card
from flywheel.publish.collect import Collected, collect
from flywheel.publish.diff import DatasetDiff, diff
from flywheel.publish.pull import PullReport, pull
from flywheel.publish.recipe import RECIPES, Recipe
from flywheel.publish.splits import assign_splits, check_splits
from flywheel.publish.verify import verify, verify_folder
from flywheel.store import Store
from flywheel.types import Frozen, canonical_json

__all__ = [
    "RECIPES", "ROW_HASH", "DatasetDiff", "DatasetVersion", "PullReport", "Recipe",
    "diff", "list_datasets", "publish", "pull", "verify", "verify_folder",
]  # fmt: skip


class DatasetVersion(Frozen):
    """One published version, in plain counts."""

    name: str
    version: str
    digest: str
    rows: int
    real: int
    synthetic: int
    labelled: int
    train: int
    val: int
    test: int
    groups: int
    refused: int
    evaluable: bool

    @property
    def ref(self) -> str:
        """`name@version`."""
        return f"{self.name}@{self.version}"


def publish(store: Store, recipe: Recipe | None = None) -> DatasetVersion:
    """The version that holds what the recipe asks for now: a new one, or an earlier one with equal content.

    NotEvaluable if there is nothing to publish; GateFailed if a group would cross splits or a child leave its parent.
    """
    recipe = recipe or Recipe()
    earlier = [read_manifest(store, f"{recipe.name}@{version}") for version in versions(store, recipe.name)]
    version = lake.next_version(store, recipe.name)
    found = collect(store, recipe, known=lake.known_sizes(lake.head(store, recipe.name)))
    if not found.rows:
        raise NotEvaluable(f"{recipe.name}: no sample at all in {store.uri}. Ingest and mine drives that have a camera first.")
    groups = assign_splits({row["root_group"] for row in found.rows}, kept=_kept(earlier + _others(store, recipe.name)))
    rows = [{**row, "split": groups[row["root_group"]]} for row in found.rows]
    if problems := check_splits(rows):
        raise GateFailed(f"{recipe.name}: not published, the splits leak:\n" + "\n".join(problems[:20]))
    digest = rows_digest(row_hash(row) for row in rows)
    same = next((manifest for manifest in earlier if manifest.digest == digest), None)
    if same is not None:
        return summary(same)
    lance_version, previous = lake.sync(store, recipe.name, rows), earlier[-1].version if earlier else None
    return summary(commit(store, recipe, found, rows, groups, version=version, previous=previous, lance_version=lance_version))


def _kept(earlier: list[Manifest]) -> dict[str, str]:
    """The split of every group that any version named: the first one counts."""
    kept: dict[str, str] = {}
    for manifest in earlier:
        kept = {**manifest.groups, **kept}
    return kept


def _others(store: Store, name: str) -> list[Manifest]:
    """Manifests of the root's other datasets: a group lies in one split everywhere, so that models can be compared."""
    return [read_manifest(store, ref) for ref in _refs(store) if ref.partition("@")[0] != name]


def commit(
    store: Store, recipe: Recipe, found: Collected, rows: list[dict[str, Any]], groups: dict[str, str],
    *, version: str, previous: str | None, lance_version: int,
) -> Manifest:  # fmt: skip
    """Publishes what a Lance version holds (these rows) under a version's name."""
    manifest = Manifest(
        name=recipe.name, version=version, digest=rows_digest(row_hash(row) for row in rows), rows=len(rows),
        lance_version=lance_version, previous=previous,
        splits={split: sum(row["split"] == split for row in rows) for split in ("train", "val", "test")},
        groups=groups, slices=_slices(rows), generators=dict(sorted(Counter(r["generator"] for r in rows if r["synthetic"]).items())),
        sources=tuple(found.sources), refused=tuple(found.refused), recipe=recipe.model_dump(mode="json"), code_version=__version__,
    )  # fmt: skip
    lake.tag(store, recipe.name, version=manifest.version, lance_version=lance_version)
    store.put(manifest_key(manifest.name, manifest.version, ext="md"), card(manifest).encode())
    created = store.put_if_absent(manifest_key(manifest.name, manifest.version), canonical_json(manifest.model_dump(mode="json")))
    return manifest if created else _lost_race(store, manifest)


def _lost_race(store: Store, mine: Manifest) -> Manifest:
    """Another publisher committed this version first: repair what we wrote beside it, and take it if it is equal."""
    held = read_manifest(store, mine.ref)
    lake.tag(store, held.name, version=held.version, lance_version=held.lance_version)
    store.put(manifest_key(held.name, held.version, ext="md"), card(held).encode())
    if held.digest != mine.digest:
        raise GateFailed(f"{mine.ref} was published by another run with other content. Run publish again for the next version.")
    return held


def _slices(rows: list[dict[str, Any]]) -> tuple[Slice, ...]:
    key = ("split", "scenario", "condition", "synthetic")
    samples = Counter(tuple(row[k] for k in key) for row in rows)
    labelled = Counter(tuple(row[k] for k in key) for row in rows if row["labels"] is not None)
    return tuple(Slice(**dict(zip(key, found, strict=True)), samples=samples[found], labelled=labelled[found]) for found in sorted(samples))


def summary(manifest: Manifest) -> DatasetVersion:
    """A manifest in plain counts."""
    synthetic = sum(manifest.generators.values())
    return DatasetVersion(
        name=manifest.name, version=manifest.version, digest=manifest.digest, rows=manifest.rows,
        real=manifest.rows - synthetic, synthetic=synthetic, labelled=sum(s.labelled for s in manifest.slices),
        train=manifest.splits["train"], val=manifest.splits["val"], test=manifest.splits["test"],
        groups=len(manifest.groups), refused=len(manifest.refused),
        evaluable=any(s.split == "test" and not s.synthetic and s.labelled for s in manifest.slices),
    )  # fmt: skip


def list_datasets(store: Store) -> list[DatasetVersion]:
    """Every published version, by name and then age."""
    return [summary(read_manifest(store, ref)) for ref in _refs(store)]


def _refs(store: Store) -> list[str]:
    names = {key.split("/")[1].removesuffix(".manifests") for key in store.list("datasets/") if ".manifests/" in key}
    return [f"{name}@{version}" for name in sorted(names) for version in versions(store, name)]
