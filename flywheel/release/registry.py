"""The model registry: MLflow directly on sqlite under the state folder. The record of truth stays in the root.

MLflow here is a view for people (aliases, tags, metrics); losing its database loses nothing: registering again rebuilds it.
"""

import logging
import os
from pathlib import Path
from typing import Any

from flywheel.errors import require
from flywheel.models import MODEL, PLOT, WEIGHTS, Evaluation, TrainedModel, model_key
from flywheel.store import Store
from flywheel.types import Record, canonical_json

REGISTRATION = "registration.json"
CANDIDATE, CHAMPION = "candidate", "champion"


class Registration(Record):
    """One registered model version."""

    name: str
    version: int
    model_id: str
    aliases: tuple[str, ...]
    reason: str
    tags: dict[str, str]


def register(store: Store, model: TrainedModel, evaluation: Evaluation, *, state: Path) -> Registration:
    """The registry's version of a model: made now, or the one made earlier for the same model id.

    The newest version is `candidate`; it becomes `champion` if it was evaluated on real data and is not worse than the champion.
    """
    client = _client(state)
    held = _find(client, model)
    version = held or _create(client, store, model, evaluation, state)
    number = int(version.version)
    reason = dict(version.tags).get("champion_reason", "")
    if held is None or not reason:
        promoted, reason = _promotion(client, model, evaluation)
        client.set_registered_model_alias(model.name, CANDIDATE, str(number))
        if promoted:
            client.set_registered_model_alias(model.name, CHAMPION, str(number))
        client.set_model_version_tag(model.name, str(number), "champion_reason", reason)
    found = _registration(client, model, number)
    store.put_if_absent(model_key(model.model_id, REGISTRATION), canonical_json(_truth(model, evaluation, reason)))
    return found


def list_registered(state: Path) -> list[Registration]:
    """Every registered version, by name and version; empty before the first registration."""
    if not (state / "mlflow.db").exists():
        return []
    client = _client(state)
    found = sorted(client.search_model_versions(), key=lambda v: (v.name, int(v.version)))
    return [_as_registration(client, version) for version in found]


def score(evaluation: Evaluation) -> float | None:
    """Mean average precision over the classes on real samples; None if nothing was evaluated."""
    values = [s.average_precision for s in evaluation.overall if s.average_precision is not None]
    return sum(values) / len(values) if values else None


def tracking_uri(state: Path) -> str:
    """The MLflow address of a state folder: `mlflow ui --backend-store-uri <this>` shows it."""
    return f"sqlite:///{state.resolve() / 'mlflow.db'}"


def _client(state: Path) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    mlflow = require("mlflow", extra="release")
    for noisy in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    state.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(tracking_uri=tracking_uri(state), registry_uri=tracking_uri(state))


def _find(client: Any, model: TrainedModel) -> Any | None:
    found = client.search_model_versions(f"name = '{model.name}'")
    return next((version for version in found if dict(version.tags).get("model_id") == model.model_id), None)


def _create(client: Any, store: Store, model: TrainedModel, evaluation: Evaluation, state: Path) -> Any:
    if not client.search_registered_models(f"name = '{model.name}'"):
        client.create_registered_model(model.name)
    run_id = _run(client, store, model, evaluation, state)
    folder = state.resolve() / "mlflow-artifacts" / model.model_id
    return client.create_model_version(model.name, source=folder.as_uri(), run_id=run_id, tags=_tags(model, evaluation))


def _run(client: Any, store: Store, model: TrainedModel, evaluation: Evaluation, state: Path) -> str:
    """A finished MLflow run with the model's parameters, metrics and files."""
    folder = state.resolve() / "mlflow-artifacts"
    experiment = client.get_experiment_by_name(model.name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(model.name, artifact_location=folder.as_uri())
    run = client.create_run(experiment_id, tags={"model_id": model.model_id, "dataset": model.dataset}, run_name=model.model_id)
    for key, value in sorted(model.config.items()):
        client.log_param(run.info.run_id, key, value)
    metrics = {"loss_first": model.loss_first, "loss_last": model.loss_last, **evaluation.summary}
    for key, number in metrics.items():
        if number is not None:
            client.log_metric(run.info.run_id, key, number)
    target = folder / model.model_id
    target.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, MODEL, PLOT):
        (target / name).write_bytes(store.get(model_key(model.model_id, name)))
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _tags(model: TrainedModel, evaluation: Evaluation) -> dict[str, str]:
    value = score(evaluation)
    return {
        "model_id": model.model_id, "weights_sha256": model.weights_sha256, "dataset_name": model.dataset_name,
        "dataset_version": model.dataset_version, "dataset_digest": model.dataset_digest, "code_version": model.code_version,
        "evaluation_status": evaluation.status, "evaluation_score": "" if value is None else f"{value:.4f}",
        **{key: f"{number:.4f}" for key, number in evaluation.summary.items() if number is not None},
    }  # fmt: skip


def _promotion(client: Any, model: TrainedModel, evaluation: Evaluation) -> tuple[bool, str]:
    """(whether a model becomes champion, why)."""
    value = score(evaluation)
    if evaluation.status != "evaluated" or value is None:
        return False, f"not champion: {evaluation.reason or 'no score'}"
    holder = client.get_registered_model(model.name).aliases.get(CHAMPION)
    if holder is None:
        return True, "champion: the first evaluated model"
    tags = dict(client.get_model_version(model.name, str(holder)).tags)
    before = float(tags["evaluation_score"])
    where = "on the same test set" if tags["dataset_digest"] == model.dataset_digest else "each on its own dataset's test set"
    word = "champion" if value >= before else "not champion"
    return value >= before, f"{word}: {value:.4f} against {before:.4f} of version {holder}, {where}"


def _registration(client: Any, model: TrainedModel, number: int) -> Registration:
    return _as_registration(client, client.get_model_version(model.name, str(number)))


def _as_registration(client: Any, version: Any) -> Registration:
    aliases = client.get_registered_model(version.name).aliases
    tags = {str(key): str(value) for key, value in sorted(dict(version.tags).items())}
    return Registration(
        name=version.name, version=int(version.version), model_id=tags.get("model_id", ""),
        aliases=tuple(sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))),
        reason=tags.get("champion_reason", ""), tags=tags,
    )  # fmt: skip


def _truth(model: TrainedModel, evaluation: Evaluation, reason: str) -> dict[str, object]:
    return {"name": model.name, "tags": _tags(model, evaluation), "reason": reason}
