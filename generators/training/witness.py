"""What the witness learns from: instants as they are and changed, under several conditions; and the fit."""

import random
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.render import render_many
from flywheel.fleet.scene import Camera, Instant
from flywheel.generate.witness import CELL_PX, COLUMNS, FINER, HIGH_PX, MASKS, ROWS, WIDTH_PX, box_planes, look_of, shrunk
from flywheel.types import CONDITIONS, short_id
from generators.training.bank import Filling
from generators.training.edits import EDITS, MIN_CHANGED_PX, STRONG_LEVELS, boxes_of, edited
from generators.training.probe import worn
from generators.training.scenes import RenderJob, SceneDump, moved, read_dump

Rgb = NDArray[np.uint8]
VIEWS, CHANGES = 4, 6
SPOILED, APART_M = 0.25, 5.0
LEAST, MOST = 0.02, 0.12  # share of a cell's pixels that changed: below it is the same, above it differs, between is not asked
PICTURE_WEIGHT = 0.3
WINDOW = (12, 16)  # rows and columns of cells that are shown of a pair: most of a picture teaches little
AIMED = 0.7  # share of windows laid where the view's change is, or could have been
SAME, GARBLED = 0.45, 0.08  # share of pairs that show the same instant, and of those with one spoiled beyond use


class Lesson(NamedTuple):
    """One view under four conditions, as it is (row 0) and changed (the other R - 1 rows).

    `kinds` (4,) conditions; `pixels` (R, 4, 192, 320, 3); `boxes` (R, 3, 48, 80) in 0..255; `share` (R, 4, 24, 40) in 0..255 of each cell
    that differs from row 0 under the same condition.
    """

    kinds: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    boxes: NDArray[np.uint8]
    share: NDArray[np.uint8]


def lesson(job: RenderJob) -> Lesson | None:
    """The lesson of one view; None where no change can be made or seen."""
    dump = read_dump(job.file)
    draw = random.Random(short_id("lesson", job.model_dump()))
    instant, camera = moved(dump.instants[job.instant], jitter=job.jitter)
    kinds, seed = draw.sample(range(len(CONDITIONS)), VIEWS), draw.randrange(1 << 28)
    rows = [instant, *_changes(dump, job, instant, camera, draw)]
    conditions = [CONDITIONS[kind] for kind in kinds]
    drawn = [[view.rgb for view in render_many(dump.world, there, conditions, camera=camera, seed=seed)] for there in rows]
    share = np.stack([[_share(was, now) for was, now in zip(drawn[0], row, strict=True)] for row in drawn])
    if not (share >= MOST).any():
        return None
    rng, size = np.random.default_rng(draw.randrange(1 << 28)), drawn[0][0].shape
    pixels = [[shrunk(worn(image, rng) if rng.random() < SPOILED else image) for image in row] for row in drawn]
    boxes = [box_planes(boxes_of(there, camera), size=size) for there in rows]
    return Lesson(
        kinds=np.array(kinds), pixels=np.array(pixels), boxes=np.rint(255 * np.array(boxes)).astype(np.uint8),
        share=np.ceil(255 * share).astype(np.uint8),
    )  # fmt: skip


def _changes(dump: SceneDump, job: RenderJob, instant: Instant, camera: Camera, draw: random.Random) -> list[Instant]:
    """Up to six changes that can be made: two of each kind, now and then another moment in the place of one."""
    found: list[Instant | None] = [edited(instant, camera, edit=edit, draw=draw) for edit in (*EDITS, *EDITS)]
    if draw.random() < 0.3:
        far = [moved(there, jitter=job.jitter)[0] for there in dump.instants]
        far = [t for t in far if np.hypot(t.ego_x_m - instant.ego_x_m, t.ego_y_m - instant.ego_y_m) > APART_M]
        found[draw.randrange(len(found))] = draw.choice(far) if far else None
    return [there for there in found if there is not None]


def _share(one: Rgb, two: Rgb) -> NDArray[np.float32]:
    """(24, 40) share of each cell's pixels that differ."""
    import cv2

    differs = (np.abs(one.astype(np.int16) - two.astype(np.int16)).max(axis=2) > STRONG_LEVELS).astype(np.float32)
    return np.asarray(cv2.resize(differs, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), np.float32)


class Lessons(Filling[Lesson]):
    """Lessons in device memory; whole pairs are drawn from what is there so far."""

    def __init__(self, capacity: int, *, device: str) -> None:
        import torch

        super().__init__(capacity)
        self.device, rows = device, 1 + CHANGES

        def room(*size: int) -> Any:
            return torch.empty((capacity, rows, *size), dtype=torch.uint8, device=device)

        self.pixels, self.boxes = room(VIEWS, 3, HIGH_PX, WIDTH_PX), room(MASKS, FINER * ROWS, FINER * COLUMNS)
        self.share, self.kinds = room(VIEWS, ROWS, COLUMNS), torch.zeros((capacity, VIEWS), dtype=torch.long, device=device)
        self.rows = torch.zeros(capacity, dtype=torch.long, device=device)
        self.looks = torch.tensor(np.stack([look_of(condition) for condition in CONDITIONS]), device=device)

    def put(self, place: int, made: Lesson) -> None:
        """Copies one lesson in."""
        import torch

        count = len(made.pixels)
        self.pixels[place, :count].copy_(torch.from_numpy(made.pixels).permute(0, 1, 4, 2, 3))
        self.boxes[place, :count].copy_(torch.from_numpy(made.boxes))
        self.share[place, :count].copy_(torch.from_numpy(made.share))
        self.kinds[place].copy_(torch.from_numpy(made.kinds))
        self.rows[place] = count

    def pairs(self, count: int) -> tuple[tuple[Any, ...], Any]:
        """Inputs of the network for a window of `count` random pairs under two conditions each, and the share (count, 12, 16) that differs.

        Most windows lie where the view's change is or could have been. Some pairs show the same instant (as it is, or changed in both), the
        others differ by one change, or are spoiled beyond use.
        """
        import torch

        def dice(high: Any) -> Any:
            return (torch.rand(count, device=self.device) * high).long()

        at = dice(self.filled)
        source = dice(VIEWS)
        target = (source + 1 + dice(VIEWS - 1)) % VIEWS
        changed = 1 + dice(self.rows[at] - 1)
        same, turned = (torch.rand((2, count), device=self.device) < torch.tensor([[SAME], [0.3]], device=self.device)).unbind()
        was = torch.where(turned, changed, 0)
        now = torch.where(same, was, changed - was)
        differs = self.share[at, changed, target]
        share = torch.where(same[:, None, None], 0, differs)
        places = [_window(one) for one in differs.cpu()]

        def shown(held: Any, *which: Any, finer: int = 1) -> Any:
            rows = zip(places, *(part.tolist() for part in which), strict=True)
            return torch.stack([_cut(held[tuple(row)], place, finer=finer) for place, *row in rows]).float() / 255

        parent, output = (2 * shown(self.pixels, at, row, view, finer=CELL_PX) - 1 for row, view in ((was, source), (now, target)))
        output, lost = garbled(output, torch.rand(count, device=self.device) < GARBLED)
        looks = self.looks[torch.stack([self.kinds[at, source], self.kinds[at, target]], dim=1)]
        inputs = (parent, output, shown(self.boxes, at, was, finer=FINER), looks)
        share = shown(share, torch.arange(count))
        return _mirrored(inputs, torch.maximum(share, lost))


def _window(share: Any) -> tuple[int, int]:
    """Row and column of the first cell of a window: around a cell that differs, or anywhere."""
    import torch

    free = (ROWS - WINDOW[0] + 1, COLUMNS - WINDOW[1] + 1)
    differs = (share >= 255 * MOST).nonzero()
    if len(differs) == 0 or torch.rand(()) > AIMED:
        return (int(torch.randint(free[0], ())), int(torch.randint(free[1], ())))
    cell = differs[int(torch.randint(len(differs), ()))].tolist()
    row, column = (int(at) - int(torch.randint(size, ())) for at, size in zip(cell, WINDOW, strict=True))
    return (min(max(row, 0), free[0] - 1), min(max(column, 0), free[1] - 1))


def _cut(plane: Any, place: tuple[int, int], *, finer: int) -> Any:
    """A plane (..., H, W), of `finer` times as many places as there are cells, inside a window."""
    (row, column), (rows, columns) = place, WINDOW
    return plane[..., finer * row : finer * (row + rows), finer * column : finer * (column + columns)]


def garbled(images: Any, which: Any) -> tuple[Any, Any]:
    """Some of the pictures in [-1, 1] melted or out of focus, and the share (N, rows, columns) of each cell that this changed."""
    import torch
    from torch.nn import functional

    spoiled = images.clone()
    for place in which.nonzero()[:, 0].tolist():
        one = images[place : place + 1]
        spoiled[place] = (_melted(one) if torch.rand(()) < 0.5 else _out_of_focus(one))[0]
    differs = ((spoiled - images).abs().amax(dim=1, keepdim=True) > STRONG_LEVELS / 127.5).float()
    return spoiled, functional.avg_pool2d(differs, CELL_PX)[:, 0]


def _out_of_focus(one: Any) -> Any:
    """A picture (1, 3, H, W) under two boxes of 7 to 19 px."""
    import torch
    from torch.nn import functional

    size = int(torch.randint(7, 20, ())) | 1
    for _ in range(2):
        one = functional.avg_pool2d(one, size, 1, size // 2, count_include_pad=False)
    return one


def _melted(one: Any) -> Any:
    """A picture (1, 3, H, W) with every place moved smoothly, by some 2 to 8 px."""
    import torch
    from torch.nn import functional

    high, wide = one.shape[2:]
    grid = functional.affine_grid(torch.eye(2, 3, device=one.device)[None], [1, 3, high, wide], align_corners=False)
    coarse = torch.randn((1, 2, high // 24, wide // 24), device=one.device) * float(torch.empty(()).uniform_(0.01, 0.05))
    moves = functional.interpolate(coarse, size=(high, wide), mode="bicubic", align_corners=False)
    return functional.grid_sample(one, grid + moves.permute(0, 2, 3, 1), padding_mode="reflection", align_corners=False)


def _mirrored(inputs: tuple[Any, ...], share: Any) -> tuple[tuple[Any, ...], Any]:
    """Half of the batches as in a mirror."""
    import torch

    if torch.rand(()) < 0.5:
        return inputs, share
    *pictures, looks = inputs
    return (*(part.flip(-1) for part in pictures), looks), share.flip(-1)


def loss_of(logits: Any, share: Any) -> Any:
    """Cross-entropy of every cell, and of each picture's worst cells, which is what the gate asks."""
    import torch
    from torch.nn import functional

    asked, wanted = ((share <= LEAST) | (share >= MOST)).float(), (share >= MOST).float()
    cells = functional.binary_cross_entropy_with_logits(
        logits, wanted, reduction="none", pos_weight=torch.tensor(4.0, device=logits.device)
    )
    worst = functional.avg_pool2d(logits[:, None], 2, stride=1).flatten(1).logsumexp(dim=1)
    changed_px = share.sum(dim=(1, 2)) * CELL_PX**2
    sure, plain = ((changed_px < MIN_CHANGED_PX / 10) | (changed_px >= MIN_CHANGED_PX)).float(), (changed_px >= MIN_CHANGED_PX).float()
    whole = functional.binary_cross_entropy_with_logits(worst, plain, reduction="none")
    return (cells * asked).sum() / asked.sum() + PICTURE_WEIGHT * (whole * sure).mean()


def fit(lessons: Lessons, *, net: Any, pairs: int, end: float, steps: int, rate: float = 2e-3) -> Any:
    """The network after so many steps, or at the monotonic time `end`: AdamW, one rise and fall of the learning rate."""
    import torch
    from tqdm import tqdm

    net = net.train().requires_grad_(True).to(lessons.device, memory_format=torch.channels_last)
    fast = lessons.device.startswith("cuda")
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.01, fused=fast)
    began, told = time.monotonic(), None
    with tqdm(total=steps, desc="fit", disable=None) as bar:
        for step in range(steps):
            gone = max(step / steps, (time.monotonic() - began) / max(end - began, 1e-6))
            if gone >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 200) * (1 - gone)
            inputs, share = lessons.pairs(pairs)
            with torch.autocast("cuda", torch.bfloat16, enabled=fast):
                logits = net(*inputs)
            loss = loss_of(logits.float(), share)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            bar.update()
            told = loss.detach() if told is None else told + (loss.detach() - told) / min(step + 1, 100)
            if step % 100 == 99:
                lessons.check()
                bar.write(f"step {step + 1}  loss {float(told):.4f}  {lessons.filled} lessons  {gone:.0%} of the time")
    return net.eval()
