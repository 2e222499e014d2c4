"""What the witness learns from: cells of instants with and without a planted change under several conditions; and the fit."""

import random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.render import render_many
from flywheel.fleet.scene import Camera, Instant
from flywheel.generate.witness import COLUMNS, ROWS, box_planes, features, head, told
from flywheel.types import CONDITIONS, short_id
from generators.training.edits import EDITS, STRONG_LEVELS, boxes_of, edited
from generators.training.probe import worn
from generators.training.scenes import RenderJob, SceneDump, moved, read_dump

Rgb = NDArray[np.uint8]
VIEWS_EACH, PAIRS_EACH, CELLS_EACH = 3, 12, 24
SPOILED, OTHER_MOMENT, APART_M = 0.3, 0.15, 6.0
LEAST, MOST = 0.02, 0.25  # share of a cell's pixels that changed: below it is the same, above it differs, between is not asked


class Cells(NamedTuple):
    """Cells of pairs: features of parent and output (N, F) float16, boxes (N, 3), what is asked for (N, 16), and whether they differ (N,)."""

    was: NDArray[np.float16]
    now: NDArray[np.float16]
    boxes: NDArray[np.float32]
    told: NDArray[np.float32]
    differs: NDArray[np.float32]


def lesson(job: RenderJob) -> Cells | None:
    """Cells of one view, as it is and changed, under a few conditions; None where no change can be made or none can be seen."""
    dump = read_dump(job.file)
    draw = random.Random(short_id("lesson", job.model_dump()))
    instant, camera = moved(dump.instants[job.instant], jitter=job.jitter)
    other = _other(dump, job, instant, camera, draw)
    if other is None:
        return None
    kinds = tuple(draw.sample(range(len(CONDITIONS)), VIEWS_EACH))
    seed, shown = draw.randrange(1 << 28), [CONDITIONS[k] for k in kinds]
    images = [[view.rgb for view in render_many(dump.world, there, shown, camera=camera, seed=seed)] for there in (instant, other)]
    share = np.stack([_share(one, two) for one, two in zip(*images, strict=True)])
    if not (share >= MOST).any():
        return None
    rng = np.random.default_rng(draw.randrange(1 << 28))
    drawn = [worn(image, rng) if rng.random() < SPOILED else image for both in images for image in both]
    seen = features(drawn).half().numpy().reshape(2, VIEWS_EACH, ROWS, COLUMNS, -1)
    planes = [np.moveaxis(box_planes(boxes_of(there, camera), size=drawn[0].shape), 0, -1) for there in (instant, other)]
    return _picked(seen, planes, share, kinds, rng)


def _other(dump: SceneDump, job: RenderJob, instant: Instant, camera: Camera, draw: random.Random) -> Instant | None:
    if draw.random() >= OTHER_MOMENT:
        return edited(instant, camera, edit=draw.choice(EDITS), draw=draw)
    far = [moved(there, jitter=job.jitter)[0] for there in dump.instants]
    far = [t for t in far if np.hypot(t.ego_x_m - instant.ego_x_m, t.ego_y_m - instant.ego_y_m) > APART_M]
    return draw.choice(far) if far else None


def _share(one: Rgb, two: Rgb) -> NDArray[np.float32]:
    """(24, 40) share of each cell's pixels that differ."""
    import cv2

    differs = (np.abs(one.astype(np.int16) - two.astype(np.int16)).max(axis=2) > STRONG_LEVELS).astype(np.float32)
    return np.asarray(cv2.resize(differs, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32)


def _picked(seen: Any, planes: Any, share: Any, kinds: tuple[int, ...], rng: np.random.Generator) -> Cells:
    """Some cells of random ordered pairs: half of the pairs show the same scene; of changed ones half the cells are changed."""
    parts: list[tuple[Any, ...]] = []
    for _ in range(PAIRS_EACH):
        source, target = rng.choice(VIEWS_EACH, 2, replace=False)
        was = int(rng.integers(2))
        now = was if rng.random() < 0.5 else 1 - was
        truth = np.zeros((ROWS, COLUMNS)) if now == was else share[target]
        rows, columns = _cells(truth, rng)
        said = told(CONDITIONS[kinds[source]], CONDITIONS[kinds[target]])[None].repeat(len(rows), 0)
        parts.append((
            seen[was, source][rows, columns], seen[now, target][rows, columns], planes[was][rows, columns], said,
            (truth[rows, columns] >= MOST).astype(np.float32),
        ))  # fmt: skip
    return Cells(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _cells(truth: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    same, other = np.argwhere(truth <= LEAST), np.argwhere(truth >= MOST)
    picked = [rng.permutation(cells)[:CELLS_EACH] for cells in (same, other)]
    found = np.concatenate(picked)
    return found[:, 0], found[:, 1]


def fit(cells: Cells, *, epochs: int, batch: int, seed: int) -> Any:
    """The trained head: AdamW on the cross-entropy of every cell."""
    import torch
    from torch.nn import functional
    from tqdm import tqdm

    torch.manual_seed(seed)
    rng, model, count = np.random.default_rng(seed), head(), len(cells.differs)
    steps = epochs * (count // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="fit", disable=None):
        rows = rng.integers(count, size=batch)
        *inputs, wanted = (torch.from_numpy(part[rows].astype(np.float32)) for part in cells)
        loss = functional.binary_cross_entropy_with_logits(model(*inputs), wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return model.eval()
