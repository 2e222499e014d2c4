"""Moves the current release through its stages; the state machine itself is in `stages`, the state is signed like a target."""

from pathlib import Path

from flywheel.errors import BadData
from flywheel.models import read_evaluation, read_model
from flywheel.release.keys import KeyFolder
from flywheel.release.manifest import ROLLOUT_FILE
from flywheel.release.ota import (
    DEFAULT_GROUP,
    commit_release,
    current_release,
    current_rollout,
    json_bytes,
    record_rollout,
    release_manifest,
)
from flywheel.release.repository import Repository
from flywheel.release.stages import Command, Rollout, start, step
from flywheel.store import Store


def roll(store: Store, command: Command | str, *, keys: Path, group: str = DEFAULT_GROUP) -> Rollout:
    """The rollout after a command (STATUS changes nothing and needs no keys).

    ROLLBACK signs the replaced model again under a new, higher release counter, for every vehicle at once: a vehicle never
    takes a lower counter. GateFailed if the command does not fit the state; BadData if nothing was released.
    """
    command = Command(command)
    repository = Repository(store, KeyFolder(keys))
    held = current_rollout(repository, group)
    if held is None:
        raise BadData(f"{store.uri} has no release for {group}. Run `flywheel release` first.")
    after = step(held, command)
    if after == held:
        return held
    repository.open()
    if command is Command.ROLLBACK:
        return _roll_back(store, repository, after, group)
    repository.commit(group, {ROLLOUT_FILE: json_bytes(after)})
    record_rollout(store, after, group=group)
    return after


def _roll_back(store: Store, repository: Repository, after: Rollout, group: str) -> Rollout:
    current = current_release(repository, group)
    if current is None or after.previous_model_id is None:
        raise BadData(f"release metadata of {group} is incomplete: no release record, or nothing was replaced")
    model = read_model(store, after.previous_model_id)
    version = after.release_version + 1
    manifest = release_manifest(
        model, read_evaluation(store, model.model_id), release_version=version, group=group, hardware_ids=current.hardware_ids,
        waiver=f"rollback of release {after.release_version}",
    )  # fmt: skip
    fresh = start(release_version=version, model_id=model.model_id, replaces=None, staged=False)
    rollout = fresh.model_copy(update={"history": (*after.history, *fresh.history)})
    commit_release(store, repository, model, manifest, rollout)
    return rollout
