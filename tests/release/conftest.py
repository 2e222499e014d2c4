from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from flywheel.models import EVALUATION, MODEL, PLOT, WEIGHTS, Evaluation, SliceScore, TrainedModel, model_key
from flywheel.store import DiskStore
from flywheel.types import canonical_json, sha256_hex

Make = Callable[..., tuple[TrainedModel, Evaluation]]


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "root")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def make_model(store: DiskStore) -> Make:
    """Puts a model and its evaluation into the store, as training leaves them."""

    def make(seed: int, *, precision: float | None = 0.8, dataset: str = "a") -> tuple[TrainedModel, Evaluation]:
        weights = save({"w": np.random.default_rng(seed).normal(size=(64, 64)).astype(np.float32)})
        model = TrainedModel(
            model_id=f"model-{seed}", name="road-grid", dataset_name="rare-driving", dataset_version="v1", dataset_digest=dataset * 64,
            weights_sha256=sha256_hex(weights), parameters=4096, steps=1, train_samples=1, synthetic_samples=0, val_samples=0,
            loss_first=1.0, loss_last=0.5, threshold=0.5, config={"seed": seed}, code_version="test",
        )  # fmt: skip
        score = SliceScore(
            scenario="all", condition="all", synthetic=False, cls="vehicle", frames=9, groups=2, objects=9, found=8, recall=0.9,
            recall_low=0.5, recall_high=0.99, precision=0.9, average_precision=precision, small=True,
        )  # fmt: skip
        evaluation = Evaluation(
            model_id=model.model_id, dataset=model.dataset, dataset_digest=model.dataset_digest,
            status="not_evaluable" if precision is None else "evaluated", reason="no test drives" if precision is None else "",
            split="test", threshold=0.5, target_recall=0.7, target_average_precision=0.5, frames=9,
            overall=() if precision is None else (score,),
            slices=(), demands=0,
        )  # fmt: skip
        store.put(model_key(model.model_id, WEIGHTS), weights)
        store.put(model_key(model.model_id, PLOT), b"\x89PNG")
        store.put(model_key(model.model_id, EVALUATION), canonical_json(evaluation.model_dump(mode="json")))
        store.put(model_key(model.model_id, MODEL), canonical_json(model.model_dump(mode="json")))
        return model, evaluation

    return make
