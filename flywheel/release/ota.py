"""Signs releases: a model's weights and its release record become TUF targets of a vehicle group.

A vehicle group (`fleet-a`) is a delegated role with its own key; it may sign nothing outside its own paths.
"""

from datetime import datetime
from pathlib import Path

from flywheel.errors import BadData, GateFailed
from flywheel.models import RELEASE, Evaluation, TrainedModel, model_key, read_evaluation, read_weights
from flywheel.release.keys import KeyFolder
from flywheel.release.manifest import MODEL_FILE, RELEASE_FILE, ROLLOUT_FILE, ReleaseManifest
from flywheel.release.repository import Repository
from flywheel.release.stages import Rollout, start
from flywheel.store import Store
from flywheel.types import Record, canonical_json

DEFAULT_GROUP = "fleet-a"
DEFAULT_HARDWARE = ("generic",)


class Release(Record):
    """One signed release and how far it is rolled out."""

    release_version: int
    model_id: str
    dataset: str
    group: str
    hardware_ids: tuple[str, ...]
    weights_sha256: str
    stage: str
    percent: float
    state: str
    trust: str


def sign_release(
    store: Store, model: TrainedModel, *, keys: Path, group: str = DEFAULT_GROUP, hardware_ids: tuple[str, ...] = DEFAULT_HARDWARE,
    staged: bool = True, waiver: str = "", now: datetime | None = None,
) -> Release:  # fmt: skip
    """The model as the group's current release: signed now, unless it is that already.

    GateFailed if it was not evaluable on real data (unless a person's `waiver` says why it may go out all the same), or
    if it was released before and replaced since (that is a rollback: see rollout). BadData if the keys are not this root's.
    """
    evaluation = read_evaluation(store, model.model_id)
    if evaluation.status != "evaluated" and not waiver:
        raise GateFailed(f"{model.model_id} is not released: {evaluation.reason}. A person may release it by giving a waiver.")
    repository = Repository(store, KeyFolder(keys), now=now)
    repository.open()
    held = current_release(repository, group)
    if held is not None and held.model_id == model.model_id:
        return _recorded(store, repository, held)
    if store.exists(_released_key(group, model.model_id)):
        raise GateFailed(f"{model.model_id} was released before and replaced since: use `flywheel rollout ROLLBACK`, or train a new model")
    version = held.release_version + 1 if held else 1
    manifest = release_manifest(model, evaluation, release_version=version, group=group, hardware_ids=hardware_ids, waiver=waiver)
    before = current_rollout(repository, group)
    rollout = start(release_version=version, model_id=model.model_id, replaces=before, staged=staged)
    return commit_release(store, repository, model, manifest, rollout)


def commit_release(store: Store, repository: Repository, model: TrainedModel, manifest: ReleaseManifest, rollout: Rollout) -> Release:
    """Signs and commits one release with its rollout."""
    files = {RELEASE_FILE: json_bytes(manifest), ROLLOUT_FILE: json_bytes(rollout), MODEL_FILE: read_weights(store, model)}
    repository.commit(manifest.group, files)
    return _recorded(store, repository, manifest)


def _recorded(store: Store, repository: Repository, manifest: ReleaseManifest) -> Release:
    """The committed release, with the plain copies beside it written where a killed run did not."""
    rollout = current_rollout(repository, manifest.group)
    if rollout is None:
        raise BadData(f"release metadata of {manifest.group} has no {ROLLOUT_FILE}")
    store.put_if_absent(_released_key(manifest.group, manifest.model_id), json_bytes(manifest))
    store.put_if_absent(model_key(manifest.model_id, RELEASE), json_bytes(manifest))
    record_rollout(store, rollout, group=manifest.group)
    return Release(
        release_version=manifest.release_version, model_id=manifest.model_id, dataset=manifest.dataset, group=manifest.group,
        hardware_ids=manifest.hardware_ids, weights_sha256=manifest.weights_sha256, stage=rollout.stage_name, percent=rollout.percent,
        state=rollout.state, trust=str(repository.keys.trust),
    )  # fmt: skip


def record_rollout(store: Store, rollout: Rollout, *, group: str) -> None:
    """A plain copy of the signed rollout, for people: `ota/rollout.json`, with the group in the name for any other group."""
    key = "ota/rollout.json" if group == DEFAULT_GROUP else f"ota/rollout.{group}.json"
    state = json_bytes(rollout)
    if not store.exists(key) or store.get(key) != state:
        store.put(key, state)


def _released_key(group: str, model_id: str) -> str:
    return f"ota/releases/{group}/{model_id}.json"


def json_bytes(record: Record) -> bytes:
    """A record as canonical JSON."""
    return canonical_json(record.model_dump(mode="json"))


def refresh_timestamp(store: Store, keys: Path, *, now: datetime | None = None) -> int:
    """Renews what vehicles use to know that nothing newer is kept from them; gives the timestamp's version. For a daily schedule."""
    repository = Repository(store, KeyFolder(keys), now=now)
    if not repository.exists():
        raise BadData(f"{store.uri} has no release to refresh. Run `flywheel release` first.")
    repository.open()
    return repository.refresh()


def current_release(repository: Repository, group: str) -> ReleaseManifest | None:
    """The group's committed release; None if there is none."""
    data = repository.target(f"{group}/{RELEASE_FILE}")
    return ReleaseManifest.model_validate_json(data) if data else None


def current_rollout(repository: Repository, group: str) -> Rollout | None:
    """The group's committed rollout; None if there is none."""
    data = repository.target(f"{group}/{ROLLOUT_FILE}")
    return Rollout.model_validate_json(data) if data else None


def release_manifest(
    model: TrainedModel, evaluation: Evaluation, *, release_version: int, group: str, hardware_ids: tuple[str, ...], waiver: str
) -> ReleaseManifest:
    """The record of a model's release."""
    return ReleaseManifest(
        release_version=release_version, group=group, hardware_ids=hardware_ids, name=model.name, model_id=model.model_id,
        weights_sha256=model.weights_sha256, dataset=model.dataset, dataset_digest=model.dataset_digest, threshold=model.threshold,
        config=model.config, code_version=model.code_version, evaluation_status=evaluation.status,
        evaluation=evaluation.summary, waiver=waiver,
    )  # fmt: skip
