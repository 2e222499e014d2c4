"""Training: deterministic, of a fixed number of steps, and skipped where the same model already lies."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flywheel import __version__
from flywheel.datasets import Manifest, read_manifest
from flywheel.errors import NotEvaluable, require
from flywheel.models import MODEL, WEIGHTS, TrainedModel, model_key, read_model
from flywheel.store import Store
from flywheel.train.data import FlywheelDataset
from flywheel.train.metrics import best_threshold
from flywheel.train.model import TrainConfig, build_model, count_parameters, predict, save_weights
from flywheel.types import canonical_json, sha256_hex, short_id

EVAL_BATCH = 32
_SOURCES = ("data.py", "model.py", "run.py")


class Fit(NamedTuple):
    """A trained network and its loss over the first and the last tenth of the steps."""

    network: Any
    loss_first: float
    loss_last: float


def code_version() -> str:
    """The package's version and the first digits of the training code's hash."""
    text = b"".join(Path(__file__).with_name(name).read_bytes() for name in _SOURCES)
    return f"{__version__}+{hashlib.sha256(text).hexdigest()[:8]}"


def model_id_of(manifest: Manifest, config: TrainConfig) -> str:
    """The id a model would have: a digest of data, configuration and code."""
    return short_id("model", {"dataset": manifest.digest, "config": config.model_dump(mode="json"), "code": code_version()})


def train_model(store: Store, dataset: str, *, config: TrainConfig | None = None) -> TrainedModel:
    """The model of a dataset (`name` for its newest version, or `name@v1`), trained now unless it is already there.

    NotEvaluable if the dataset has no labelled training sample.
    """
    config = config or TrainConfig()
    manifest = read_manifest(store, dataset)
    model_id = model_id_of(manifest, config)
    if store.exists(model_key(model_id, MODEL)):
        return read_model(store, model_id)
    train = FlywheelDataset(store, manifest.ref, split="train", real_only=not config.use_synthetic)
    val = FlywheelDataset(store, manifest.ref, split="val")
    if not len(train):
        raise NotEvaluable(f"{manifest.ref} has no labelled training sample: tracks and a camera calibration are needed to learn from")
    with deterministic(config):
        fit = _fit(train, config)
        threshold = best_threshold(*predictions(fit.network, val)) if len(val) else 0.5
    data = save_weights(fit.network, {"model_id": model_id, "dataset_digest": manifest.digest})
    trained = _record(manifest, config, model_id, train, len(val), fit, threshold, sha256_hex(data))
    store.put_if_absent(model_key(model_id, WEIGHTS), data)
    store.put_if_absent(model_key(model_id, MODEL), canonical_json(trained.model_dump(mode="json")))
    return read_model(store, model_id)


def _record(
    manifest: Manifest, config: TrainConfig, model_id: str, train: FlywheelDataset, val: int, fit: Fit, threshold: float, weights: str
) -> TrainedModel:
    return TrainedModel(
        model_id=model_id, name=config.name, dataset_name=manifest.name, dataset_version=manifest.version, dataset_digest=manifest.digest,
        weights_sha256=weights, parameters=count_parameters(fit.network), steps=config.steps, train_samples=len(train),
        synthetic_samples=sum(row["synthetic"] for row in train.rows), val_samples=val, loss_first=round(fit.loss_first, 6),
        loss_last=round(fit.loss_last, 6), threshold=threshold, config=config.model_dump(mode="json"), code_version=code_version(),
    )  # fmt: skip


@contextlib.contextmanager
def deterministic(config: TrainConfig) -> Iterator[None]:
    """Seeds, fixed threads and deterministic kernels; what was set before comes back."""
    torch = require("torch", extra="train")
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        torch.set_num_threads(config.threads)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(strict)


def _fit(train: FlywheelDataset, config: TrainConfig) -> Fit:
    torch = require("torch", extra="train")
    network = build_model(config).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=config.learning_rate, total_steps=config.steps + 1)
    weight = torch.from_numpy(_pos_weight(train, config)).reshape(-1, 1, 1)
    losses = []
    steps = tqdm(_batches(train, config), total=config.steps, desc=f"train {config.name}", unit="step", disable=None)
    for images, targets in steps:
        logits = network(torch.from_numpy(images))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets), pos_weight=weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        steps.set_postfix(loss=f"{losses[-1]:.3f}")
    tenth = max(1, len(losses) // 10)
    return Fit(network.eval(), float(np.mean(losses[:tenth])), float(np.mean(losses[-tenth:])))


def _pos_weight(train: FlywheelDataset, config: TrainConfig) -> NDArray[np.float32]:
    """Square root of negatives per positive for each class, between 1 and the configured cap."""
    share = np.mean([train[i]["target"].mean((1, 2)) for i in range(len(train))], axis=0)
    return np.asarray(np.clip(np.sqrt((1 - share) / np.maximum(share, 1e-6)), 1, config.max_pos_weight), np.float32)


def _batches(train: FlywheelDataset, config: TrainConfig) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """`steps` batches (images 0..1, targets): shuffled passes over the data, mirrored and brightened at random but by the seed."""
    rng = np.random.default_rng(config.seed)
    order: list[int] = []
    for _ in range(config.steps):
        while len(order) < config.batch:
            order += rng.permutation(len(train)).tolist()
        chosen, order = order[: config.batch], order[config.batch :]
        items = [train[i] for i in chosen]
        images = np.stack([item["image"] for item in items]).astype(np.float32) / 255
        targets = np.stack([item["target"] for item in items])
        mirrored = rng.random(len(items)) < 0.5
        images[mirrored], targets[mirrored] = images[mirrored][..., ::-1], targets[mirrored][..., ::-1]
        yield np.clip(images * rng.uniform(0.7, 1.3, (len(items), 1, 1, 1)).astype(np.float32), 0, 1), targets


def predictions(network: Any, data: FlywheelDataset) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 2, 12, 20) probabilities and targets of every item."""
    scores, targets = [], []
    for start in range(0, len(data), EVAL_BATCH):
        items = [data[i] for i in range(start, min(start + EVAL_BATCH, len(data)))]
        scores.append(predict(network, np.stack([item["image"] for item in items])))
        targets.append(np.stack([item["target"] for item in items]))
    return np.concatenate(scores), np.concatenate(targets)
