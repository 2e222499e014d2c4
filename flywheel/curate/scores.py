"""Duplicates among embeddings: pure functions over unit vectors."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from flywheel.types import Record

Vectors = NDArray[np.float32]


class Match(Record):
    """The nearest thing something was compared with; cosine in [-1, 1]."""

    other: str
    cosine: float


def unit(vectors: Vectors) -> Vectors:
    """(N, D) rows scaled to length one; a zero row stays zero, so it is near nothing."""
    vectors = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0), np.float32)


def as_vector(values: Sequence[float] | None, *, width: int) -> tuple[Vectors | None, str]:
    """(unit vector, "") of a stored embedding, or (None, why it cannot be compared)."""
    if values is None:
        return None, "embedding is empty"
    vector = np.asarray(values, np.float32)
    if vector.shape != (width,):
        return None, f"embedding has {vector.size} numbers, the encoder gives {width}"
    if not np.isfinite(vector).all() or not vector.any():
        return None, "embedding is not a finite, non-zero vector"
    return unit(vector[None])[0], ""


def nearest(vector: Vectors, *, names: Sequence[str], vectors: Vectors) -> Match | None:
    """The most similar of N named unit vectors (N, D) to one (D,), the first of equals; None if N is 0."""
    if len(names) == 0:
        return None
    cosines = vectors @ vector
    best = int(np.argmax(cosines))
    return Match(other=names[best], cosine=float(np.clip(cosines[best], -1.0, 1.0)))


def nearest_kept(candidates: Sequence[tuple[str, Vectors]], *, references: Mapping[str, Vectors], cosine: float) -> dict[str, Match | None]:
    """What each candidate is nearest to, taken in order: references, and earlier candidates that were themselves kept.

    A candidate is kept while its nearest cosine is below `cosine`, so of a set of near-duplicates the first survives.
    """
    found: dict[str, Match | None] = {}
    if not candidates:
        return found
    names = list(references)
    pool = np.zeros((len(references) + len(candidates), len(candidates[0][1])), np.float32)
    for index, name in enumerate(names):
        pool[index] = references[name]
    for name, vector in candidates:
        match = found[name] = nearest(vector, names=names, vectors=pool[: len(names)])
        if match is None or match.cosine < cosine:
            pool[len(names)] = vector
            names.append(name)
    return found
