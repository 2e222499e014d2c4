"""Scores of a variation against its parent: whole, the same scene, its labels kept and nothing added, the target reached, changed at all.

Pure functions on (H, W, 3) RGB uint8 images of equal size. Where the gates stand is `flywheel.gate_limits`; a score that cannot
be computed is None, which rejects.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.gate_limits import GATES
from flywheel.generate.insert_gate import cut_out, untouched, without
from flywheel.generate.structure import Outline, displaced_bands, structure
from flywheel.generate.witness import Witnessed, witnessed
from flywheel.geometry import ImageBox
from flywheel.types import Condition, Record

log = logging.getLogger(__name__)
Rgb = NDArray[np.uint8]
Look = Mapping[str, float]
CHANGE_FULL_LAB = 50.0


class Sample(NamedTuple):
    """One variation to score: parent and output images of equal size, what they show and shall show, the parent's objects.

    `inserted` is the label of an object that was drawn in: then all else must be the parent's, and that be new.
    """

    parent: Rgb
    output: Rgb
    source: Condition
    target: Condition
    boxes: Sequence[ImageBox]
    inserted: ImageBox | None = None


class Scores(Record):
    """Gate scores, each in 0..1 and higher for better, or None where nothing could be computed; and the output's embedding."""

    integrity: float | None
    structure: float | None
    labels: float | None = None
    content: float | None = None
    condition: float | None
    change: float | None
    embedding: tuple[float, ...] = ()

    @property
    def by_gate(self) -> dict[str, float | None]:
        """The scores by gate, in the order they are asked."""
        return {name: getattr(self, name) for name in GATES}

    def columns(self) -> dict[str, Any]:
        """The score columns of a VARIATIONS row."""
        return {f"score_{name}": score for name, score in self.by_gate.items()} | {"embedding": list(self.embedding)}


def score_batch(samples: Sequence[Sample], *, crew: Executor | None = None) -> list[Scores]:
    """Scores of samples, in order; a picture shared by several samples is embedded once.

    Embeddings are made batched, on the GPU where there is one; the rest runs in parallel where `crew` is given.
    """
    from flywheel.encoder import embed

    shown = {id(image): image for sample in samples for image in (sample.parent, sample.output)}
    place, vectors = {key: at for at, key in enumerate(shown)}, embed(list(shown.values()), device=None)
    looks = _looks(vectors)
    was, now = ([place[id(getattr(sample, name))] for sample in samples] for name in ("parent", "output"))
    each = map if crew is None else crew.map
    found = each(_score, samples, [looks[k] for k in was], [looks[k] for k in now], vectors[now], _witnessed(samples))
    return with_cutouts(list(found), samples)


def with_cutouts(scores: list[Scores], samples: Sequence[Sample]) -> list[Scores]:
    """The scores, those of frames with an inserted object with the embedding of the object alone: the frame is nearly its parent's."""
    from flywheel.encoder import embed

    boxes = [sample.inserted for sample in samples]
    cuts = iter(embed([cut_out(sample.output, box) for sample, box in zip(samples, boxes, strict=True) if box], device=None))
    return [
        score.model_copy(update={"embedding": tuple(next(cuts).tolist())}) if box else score
        for score, box in zip(scores, boxes, strict=True)
    ]  # fmt: skip


def _score(sample: Sample, before: Look | None, after: Look | None, embedding: NDArray[np.float32], seen: Witnessed | None) -> Scores:
    reached = None if before is None or after is None else condition_reached(before, after, source=sample.source, target=sample.target)
    alike = sample.parent.shape == sample.output.shape
    outlines = (Outline(sample.parent), Outline(sample.output)) if alike else None
    scores = Scores(
        integrity=integrity(sample.parent, sample.output, outlines=outlines),
        structure=structure(sample.parent, sample.output, outlines=outlines),
        labels=seen and seen.labels,
        content=seen and seen.content,
        condition=reached,
        change=change(sample.parent, sample.output),
        embedding=tuple(embedding.tolist()),
    )
    return scores if sample.inserted is None or not alike else _inserted(scores, sample, sample.inserted, seen)


def _inserted(scores: Scores, sample: Sample, box: ImageBox, seen: Witnessed | None) -> Scores:
    """The gates of a frame with an object drawn in: the rest against the parent; `labels` is how sure the witness is of something new."""
    parent, output = sample.parent, sample.output
    return scores.model_copy(update={
        "structure": structure(parent, without(parent, output, box)), "content": untouched(parent, output, box),
        "labels": seen and 1 - seen.content, "change": change(cut_out(parent, box), cut_out(output, box)),
    })  # fmt: skip


def _looks(vectors: NDArray[np.float32]) -> Sequence[Look | None]:
    """P of each lighting and weather by name for each embedding; None without the probe's weights, so that the gate rejects."""
    from flywheel.condition_probe import looks

    try:
        return looks(vectors)
    except BadData as err:
        log.warning("no condition score, so every variation will be rejected: %s", err)
        return [None] * len(vectors)


def _witnessed(samples: Sequence[Sample]) -> Sequence[Witnessed | None]:
    """What the witness says of each sample; None without its weights and for pictures of another size, so that the gate rejects."""
    alike = [sample for sample in samples if sample.parent.shape == sample.output.shape]
    try:
        found = iter(witnessed(alike))
    except BadData as err:
        log.warning("no label and content scores, so every variation will be rejected: %s", err)
        return [None] * len(samples)
    return [next(found) if sample.parent.shape == sample.output.shape else None for sample in samples]


def condition_reached(before: Look, after: Look, *, source: Condition, target: Condition) -> float:
    """How far lighting and weather are those of the target, measured against the parent: the lesser of the two, in 0..1.

    On pictures like those the probe was trained on this is the lesser of P(target lighting) and P(target weather).
    Elsewhere the probe's bias shows on the parent too, so what it already said of the parent does not count as reached.
    """
    axes = ((source.lighting, target.lighting), (source.weather, target.weather))
    return min(_reached(before[new], after[new], changes=old != new) for old, new in axes)


def _reached(before: float, after: float, *, changes: bool) -> float:
    """Share of the way from `before` to certainty for a value that must change; how well it was kept for one that must not."""
    if changes:
        return max((after - before) / max(1 - before, 1e-6), 0.0)
    return min(after / max(before, 1e-6), 1.0)


def integrity(source: Rgb, output: Rgb, *, outlines: tuple[Outline, Outline] | None = None) -> float:
    """Share of the checks passed: shape, finite, not black, not burnt out, not flat, no dead band, not torn. 1.0 is whole."""
    if output.shape != source.shape or output.ndim != 3 or output.shape[2] != 3 or not np.isfinite(output).all():
        return 0.0
    luma, before = _luma(output), _luma(source)
    checks = (
        float(np.quantile(luma, 0.99)) > 16.0,
        float((luma > 250).mean()) < 0.9,
        float(luma.std()) > 3.0,
        not _dead_band(luma, before),
        displaced_bands(source, output, outlines=outlines) == 0,
    )
    return sum(checks) / len(checks)


def _luma(rgb: Rgb) -> NDArray[np.float32]:
    """(H, W) luma, ITU-R BT.601 weights."""
    return np.asarray(rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32))


def _dead_band(luma: NDArray[np.float32], before: NDArray[np.float32]) -> bool:
    """Whether over 5% of the rows (or columns) hold one single value where the source's do not."""

    def dead(axis: int) -> float:
        return float(((np.ptp(luma, axis=axis) < 1) & (np.ptp(before, axis=axis) >= 1)).mean())

    return max(dead(0), dead(1)) > 0.05


def change(source: Rgb, output: Rgb) -> float:
    """Mean CIELAB distance (CIE76) of the two images at a quarter of their size, over 50, at most 1; a copy gives 0."""
    if output.shape != source.shape:
        return 0.0
    cv2 = require("cv2", extra="generate")
    size = (max(source.shape[1] // 4, 1), max(source.shape[0] // 4, 1))
    small = (cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for image in (source, output))
    one, two = (cv2.cvtColor(image, cv2.COLOR_RGB2LAB) for image in small)
    return float(min(np.linalg.norm(one - two, axis=2).mean() / CHANGE_FULL_LAB, 1.0))
