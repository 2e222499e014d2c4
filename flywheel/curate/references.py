"""Embeddings of the real parent frames, so that a variation which merely repeats a frame can be told."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flywheel.curate.scores import Vectors, unit
from flywheel.errors import require
from flywheel.store import Store, media_key

CHUNK = 64


def embedding_width() -> int:
    """How many numbers the encoder gives an image."""
    from flywheel.encoder import embed

    return int(embed([]).shape[1])


def read_rgb(store: Store, sha256: str, ext: str) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB pixels of stored media, or None if it is missing or no image."""
    cv2: Any = require("cv2", extra="curate")
    try:
        data = store.get(media_key(sha256, ext))
    except KeyError:
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    return None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def parent_vectors(store: Store, frames: Iterable[tuple[str, str]]) -> dict[str, Vectors]:
    """Unit vectors of (sha256, ext) frames by sha256, in sorted order; unreadable frames are left out."""
    from flywheel.encoder import embed

    found: dict[str, Vectors] = {}
    wanted = sorted(set(frames))
    for start in tqdm(range(0, len(wanted), CHUNK), desc="embed parent frames", disable=None):
        chunk = wanted[start : start + CHUNK]
        images = {sha256: image for sha256, ext in chunk if (image := read_rgb(store, sha256, ext)) is not None}
        found.update(zip(images, unit(embed(list(images.values()))), strict=True))
    return found
