"""What a trained model is in a root: its record, its evaluation, and where both lie. Shared by training and release.

`models/<model_id>/model.safetensors`, then `model.json` (the commit); `evaluation.png`, then `evaluation.json`; `release.json`.
"""

from typing import Any, Literal

from flywheel.errors import BadData
from flywheel.store import Store
from flywheel.types import Frozen, sha256_hex

WEIGHTS, MODEL, EVALUATION, PLOT, RELEASE = "model.safetensors", "model.json", "evaluation.json", "evaluation.png", "release.json"


class TrainedModel(Frozen):
    """One trained model; `model_id` is the digest of data, configuration and code."""

    model_id: str
    name: str
    dataset_name: str
    dataset_version: str
    dataset_digest: str
    weights_sha256: str
    parameters: int
    steps: int
    train_samples: int
    synthetic_samples: int
    val_samples: int
    loss_first: float
    loss_last: float
    threshold: float
    config: dict[str, Any]
    code_version: str

    @property
    def dataset(self) -> str:
        """`name@version` of the dataset it learned from."""
        return f"{self.dataset_name}@{self.dataset_version}"


class SliceScore(Frozen):
    """How a model does on one class in one slice; None where there was nothing to measure.

    Recall is over objects with a 95% Wilson interval, precision and average precision over grid cells.
    """

    scenario: str
    condition: str
    synthetic: bool
    cls: str
    frames: int
    groups: int
    objects: int
    found: int
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    precision: float | None
    average_precision: float | None
    small: bool


class Evaluation(Frozen):
    """A model's scores. `overall` and demands come from real samples alone."""

    model_id: str
    dataset: str
    dataset_digest: str
    status: Literal["evaluated", "not_evaluable"]
    reason: str
    split: str
    threshold: float
    target_recall: float
    target_average_precision: float
    frames: int
    overall: tuple[SliceScore, ...]
    slices: tuple[SliceScore, ...]
    demands: int

    @property
    def summary(self) -> dict[str, float | None]:
        """Real-only recall and average precision by class."""
        return {
            f"{metric}_{score.cls}": value
            for score in self.overall
            for metric, value in (("recall", score.recall), ("average_precision", score.average_precision))
        }


def model_key(model_id: str, name: str) -> str:
    """Where one of a model's files lies."""
    return f"models/{model_id}/{name}"


def list_models(store: Store) -> list[str]:
    """Ids of the models that were finished."""
    return [key.split("/")[1] for key in store.list("models/") if key.endswith(f"/{MODEL}")]


def read_model(store: Store, model_id: str) -> TrainedModel:
    """A model's record; BadData if there is none."""
    try:
        return TrainedModel.model_validate_json(store.get(model_key(model_id, MODEL)))
    except KeyError as err:
        raise BadData(f"no model {model_id!r} in {store.uri}; there are: {', '.join(list_models(store)) or 'none'}") from err


def read_evaluation(store: Store, model_id: str) -> Evaluation:
    """A model's evaluation; BadData if it was not evaluated yet."""
    try:
        return Evaluation.model_validate_json(store.get(model_key(model_id, EVALUATION)))
    except KeyError as err:
        raise BadData(f"model {model_id!r} has no evaluation in {store.uri}. Run `flywheel train` first.") from err


def read_weights(store: Store, model: TrainedModel) -> bytes:
    """The model's safetensors bytes; BadData if they are not the recorded ones."""
    data = store.get(model_key(model.model_id, WEIGHTS))
    if sha256_hex(data) != model.weights_sha256:
        raise BadData(f"models/{model.model_id}/{WEIGHTS} has hash {sha256_hex(data)}, recorded is {model.weights_sha256}")
    return data
