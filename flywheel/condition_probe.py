"""Which lighting and weather a frame shows: a linear softmax over `encoder.embed` vectors.

The weights come from `python -m generators.train_probe`: renders of the sample fleet only, none drawn by a generator, so the
probe is independent of what it judges.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.types import CONDITIONS, LIGHTINGS, WEATHERS

WEIGHTS = Path(__file__).parent / "weights" / "condition_probe.safetensors"
FEATURES = 1280


@lru_cache(maxsize=1)
def _layer() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if not WEIGHTS.is_file():
        raise BadData(f"no probe weights at {WEIGHTS}; train them with: python -m generators.train_probe --help")
    held = require("safetensors.numpy", extra="generate").load_file(str(WEIGHTS))
    weight, bias = np.asarray(held["weight"], np.float32), np.asarray(held["bias"], np.float32)
    if weight.shape != (FEATURES, len(CONDITIONS)) or bias.shape != (len(CONDITIONS),):
        raise BadData(f"{WEIGHTS} holds a layer of shape {weight.shape}, not ({FEATURES}, {len(CONDITIONS)}); train it again")
    return weight, bias


def predict(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 13) probabilities in the order of CONDITIONS, for (N, 1280) vectors of `encoder.embed`; ValueError for another shape."""
    if embeddings.ndim != 2 or embeddings.shape[1] != FEATURES:
        raise ValueError(f"embeddings must be (N, {FEATURES}), not {embeddings.shape}")
    weight, bias = _layer()
    logits = embeddings @ weight + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float32)


def looks(embeddings: NDArray[np.float32]) -> list[dict[str, float]]:
    """For each embedding the probability of every lighting and of every weather, by name: sums of `predict`'s columns."""
    chances = predict(embeddings)
    columns = {str(name): [name in (c.lighting, c.weather) for c in CONDITIONS] for name in (*LIGHTINGS, *WEATHERS)}
    sums = {name: chances[:, chosen].sum(axis=1) for name, chosen in columns.items()}
    return [{name: float(values[row]) for name, values in sums.items()} for row in range(len(chances))]
