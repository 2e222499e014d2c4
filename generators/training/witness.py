"""What the witness learns from: instants as they are and changed, under several conditions, as feature maps; and the fit."""

import random
from collections.abc import Sequence
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
VIEWS, VIEWS_CHANGED = 5, 3
SPOILED, APART_M = 0.25, 5.0
LEAST, MOST = 0.02, 0.25  # share of a cell's pixels that changed: below it is the same, above it differs, between is not asked
PICTURE_WEIGHT = 0.3


class Lesson(NamedTuple):
    """Pictures of one view: row 0 of `kinds` (R, 5) and `maps` (R, 5, 24, 40, F) is the view as it is, each other row one change of it
    under some of the same conditions (kind -1: not drawn). `boxes` (R, 3, 24, 40); `share` (R, 5, 24, 40) of each cell that differs."""

    kinds: NDArray[np.int64]
    maps: NDArray[np.float16]
    boxes: NDArray[np.float32]
    share: NDArray[np.float32]


def lesson(job: RenderJob) -> Lesson | None:
    """The lesson of one view; None where no change can be made or seen."""
    dump = read_dump(job.file)
    draw = random.Random(short_id("lesson", job.model_dump()))
    instant, camera = moved(dump.instants[job.instant], jitter=job.jitter)
    kinds, seed = draw.sample(range(len(CONDITIONS)), VIEWS), draw.randrange(1 << 28)
    changes = [there for there in _changes(dump, job, instant, camera, draw) if there is not None]

    def drawn(there: Instant, places: Sequence[int]) -> dict[int, Rgb]:
        views = render_many(dump.world, there, [CONDITIONS[kinds[at]] for at in places], camera=camera, seed=seed)
        return {at: view.rgb for at, view in zip(places, views, strict=True)}

    first = drawn(instant, range(VIEWS))
    others = [drawn(there, sorted(draw.sample(range(VIEWS), VIEWS_CHANGED))) for there in changes]
    share = np.zeros((1 + len(others), VIEWS, ROWS, COLUMNS), np.float32)
    for row, pictures in enumerate(others, start=1):
        for at, picture in pictures.items():
            share[row, at] = _share(first[at], picture)
    if not (share >= MOST).any():
        return None
    return _looked([first, *others], kinds, share, [boxes_of(there, camera) for there in (instant, *changes)], draw)


def _changes(dump: SceneDump, job: RenderJob, instant: Instant, camera: Camera, draw: random.Random) -> list[Instant | None]:
    """The instant with each planted change that can be made, and now and then another moment in its place."""
    found = [edited(instant, camera, edit=edit, draw=draw) for edit in EDITS]
    if draw.random() < 0.3:
        far = [moved(there, jitter=job.jitter)[0] for there in dump.instants]
        far = [t for t in far if np.hypot(t.ego_x_m - instant.ego_x_m, t.ego_y_m - instant.ego_y_m) > APART_M]
        found.append(draw.choice(far) if far else None)
    return found


def _share(one: Rgb, two: Rgb) -> NDArray[np.float32]:
    """(24, 40) share of each cell's pixels that differ."""
    import cv2

    differs = (np.abs(one.astype(np.int16) - two.astype(np.int16)).max(axis=2) > STRONG_LEVELS).astype(np.float32)
    return np.asarray(cv2.resize(differs, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32)


def _looked(rows: list[dict[int, Rgb]], kinds: list[int], share: Any, boxes: list[Any], draw: random.Random) -> Lesson:
    rng = np.random.default_rng(draw.randrange(1 << 28))
    flat = [(row, at, picture) for row, pictures in enumerate(rows) for at, picture in pictures.items()]
    seen = features([worn(picture, rng) if rng.random() < SPOILED else picture for _, _, picture in flat]).half().numpy()
    maps, known = np.zeros((len(rows), VIEWS, *seen.shape[1:]), np.float16), np.full((len(rows), VIEWS), -1)
    for (row, at, _), found in zip(flat, seen, strict=True):
        maps[row, at], known[row, at] = found, kinds[at]
    size = flat[0][2].shape
    return Lesson(kinds=known, maps=maps, boxes=np.stack([box_planes(held, size=size) for held in boxes]), share=share)


def fit(lessons: Sequence[Lesson], *, steps: int, pairs: int, seed: int) -> Any:
    """The trained head: AdamW on the cross-entropy of every cell, and of each picture's worst cells, which is what the gate asks."""
    import torch
    from torch.nn import functional
    from tqdm import tqdm

    torch.manual_seed(seed)
    rng, model = np.random.default_rng(seed), head()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="fit", disable=None):
        inputs, share = _drawn(lessons, pairs, rng)
        logits = model(*inputs)
        asked, wanted = ((share <= LEAST) | (share >= MOST)).float(), (share >= MOST).float()
        cells = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none", pos_weight=torch.tensor(4.0))
        worst = functional.avg_pool2d(logits.reshape(pairs, 1, ROWS, COLUMNS), 2, stride=1).flatten(1).logsumexp(dim=1)
        changed = (wanted.reshape(pairs, -1).sum(dim=1) > 0).float()
        whole = functional.binary_cross_entropy_with_logits(worst, changed)
        optimizer.zero_grad()
        ((cells * asked).sum() / asked.sum() + PICTURE_WEIGHT * whole).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _drawn(lessons: Sequence[Lesson], pairs: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Any]:
    """Inputs of the head and the share that differs, for whole maps of random ordered pairs; half of them show the same scene."""
    import torch

    parts: list[list[Any]] = [[] for _ in range(5)]
    while len(parts[0]) < pairs:
        held = lessons[int(rng.integers(len(lessons)))]
        row = int(rng.integers(1, len(held.kinds)))
        was, now = ((0, 0), (row, row), (0, row), (row, 0))[rng.choice(4, p=(0.4, 0.1, 0.35, 0.15))]
        able = [(a, b) for a in range(VIEWS) for b in range(VIEWS) if a != b and held.kinds[was, a] >= 0 and held.kinds[now, b] >= 0]
        source, target = able[int(rng.integers(len(able)))]
        said = told(CONDITIONS[held.kinds[was, source]], CONDITIONS[held.kinds[now, target]])
        share = held.share[max(was, now), target] if was != now else np.zeros((ROWS, COLUMNS), np.float32)
        covered, asked = np.moveaxis(held.boxes[was], 0, -1), np.tile(said, (ROWS, COLUMNS, 1))
        values = held.maps[was, source], held.maps[now, target], covered, asked, share
        for part, value in zip(parts, values, strict=True):
            part.append(np.asarray(value, np.float32))
    *inputs, shares = (torch.from_numpy(np.stack(part)) for part in parts)
    return tuple(part.reshape(-1, part.shape[-1]) for part in inputs), shares.reshape(-1)
