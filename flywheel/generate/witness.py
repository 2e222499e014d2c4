"""Does the picture still show what its parent shows, and nothing else: a small network that looks at both, cell by cell.

`python -m generators.train_witness` trains it on planted changes: true renders against renders with a road user taken away, added or
moved, against other moments, and against spoiled ones. It gives for each cell of 8 px the chance that the content differs.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flywheel.encoder import GPU_BATCH
from flywheel.errors import BadData, require
from flywheel.geometry import VRU, ImageBox
from flywheel.types import LIGHTINGS, WEATHERS, Condition

Rgb = NDArray[np.uint8]
Plane = NDArray[np.float32]
WEIGHTS = Path(__file__).parents[1] / "weights" / "witness.safetensors"
WIDTH_PX, HIGH_PX, CELL_PX = 320, 192, 8
COLUMNS, ROWS = WIDTH_PX // CELL_PX, HIGH_PX // CELL_PX
MASKS, FINER = 3, 2  # boxes are told at twice the cells' resolution
BOX_MIN_PX, BOXES_MAX = 6, 12
LOOKS = len(LIGHTINGS) + len(WEATHERS)


class Pair(Protocol):
    """What the witness looks at: two pictures of one size, their conditions, and the objects of the parent."""

    @property
    def parent(self) -> Rgb: ...
    @property
    def output(self) -> Rgb: ...
    @property
    def source(self) -> Condition: ...
    @property
    def target(self) -> Condition: ...
    @property
    def boxes(self) -> Sequence[ImageBox]: ...


class Witnessed(NamedTuple):
    """`labels`: how sure it is that the worst labelled object is still there; `content`: that no cell elsewhere shows something else."""

    labels: float
    content: float


def witnessed(pairs: Sequence[Pair]) -> list[Witnessed]:
    """What the witness says of pairs, in order, on the GPU where there is one; BadData without trained weights."""
    if not pairs:
        return []
    torch = require("torch", extra="generate")
    place = "cuda" if torch.cuda.is_available() else "cpu"
    # As the encoder does: before other work, and never behind a drawing under way.
    with torch.cuda.stream(torch.cuda.Stream(priority=-1) if place == "cuda" else None):
        found = differs(pairs, device=place, batch=GPU_BATCH if place == "cuda" else 16)
    return [_said(odds, pair) for odds, pair in zip(found, pairs, strict=True)]


def _said(odds: Plane, pair: Pair) -> Witnessed:
    """Scores of one map of log odds: over each label's cells their mean, anywhere the mean of the worst 2 x 2 cells."""
    large = [box for box in pair.boxes if min(box.x1_px - box.x0_px, box.y1_px - box.y0_px) >= BOX_MIN_PX][:BOXES_MAX]
    covers = [cover for box in large if (cover := _cover(box, pair.parent.shape)).any()]
    worst = max((float((odds * cover).sum() / cover.sum()) for cover in covers), default=-np.inf)
    near = (odds[1:, 1:] + odds[1:, :-1] + odds[:-1, 1:] + odds[:-1, :-1]) / 4
    return Witnessed(labels=_sure(worst), content=_sure(float(near.max())))


def _sure(odds: float) -> float:
    """The chance that something is the same, of the log odds that it differs."""
    return float(1 / (1 + np.exp(min(odds, 700.0))))


def shrunk(image: Rgb) -> Rgb:
    """(192, 320, 3) the picture as the network looks at it."""
    cv2 = require("cv2", extra="generate")
    return np.asarray(cv2.resize(image, (WIDTH_PX, HIGH_PX), interpolation=cv2.INTER_AREA), np.uint8)


def look_of(condition: Condition) -> Plane:
    """(8,) which lighting and weather a picture has or shall have."""
    return np.array([float(name in (condition.lighting, condition.weather)) for name in (*LIGHTINGS, *WEATHERS)], np.float32)


def box_planes(boxes: Sequence[ImageBox], *, size: tuple[int, ...]) -> Plane:
    """(3, 48, 80) how far each half cell is covered by vehicles' boxes, by those of people, and by any box's edge."""
    planes = np.zeros((MASKS, FINER * ROWS, FINER * COLUMNS), np.float32)
    for box in boxes:
        inside = _cover(box, size, finer=FINER)
        kind = int(box.cls in VRU)
        planes[kind] = np.maximum(planes[kind], inside)
        planes[2] = np.maximum(planes[2], 4 * inside * (1 - inside))
    return planes


def _cover(box: ImageBox, size: tuple[int, ...], *, finer: int = 1) -> Plane:
    """(24, 40) share of each cell inside a box, or of each of `finer` times as many."""
    rows, columns = finer * ROWS, finer * COLUMNS
    across = _share(box.x0_px / size[1] * columns, box.x1_px / size[1] * columns, columns)
    return np.asarray(_share(box.y0_px / size[0] * rows, box.y1_px / size[0] * rows, rows)[:, None] * across[None], np.float32)


def _share(low: float, high: float, count: int) -> Plane:
    at = np.arange(count, dtype=np.float32)
    return np.asarray(np.clip(np.minimum(at + 1, high) - np.maximum(at, low), 0, 1), np.float32)


def trained(file: Path) -> Any:
    """The network with the weights of a file, ready to look; BadData where there is none."""
    from flywheel.generate.witness_net import Net

    if not file.is_file():
        raise BadData(f"no witness weights at {file}; train them with: python -m generators.train_witness --help")
    with require("torch", extra="generate").inference_mode(False):
        net = Net()
        net.load_state_dict(require("safetensors.torch", extra="generate").load_file(str(file)))
        return net.eval().requires_grad_(False)


@lru_cache(maxsize=2)
def _trained(device: str) -> Any:
    return trained(WEIGHTS).to(device)


def differs(pairs: Sequence[Pair], *, device: str = "cpu", batch: int = 16) -> Plane:
    """(N, 24, 40) log odds of each cell that the output shows something else than the parent; BadData without trained weights.

    The mean of what the network says of the pictures and of their mirror images.
    """
    torch, net = require("torch", extra="generate"), _trained(device)
    found = []
    with torch.inference_mode():
        for start in range(0, len(pairs), batch):
            *shown, looks = (part.to(device) for part in inputs_of(pairs[start : start + batch]))
            odds = net(*shown, looks) + net(*(part.flip(-1) for part in shown), looks).flip(-1)
            found.append((odds / 2).float().cpu().numpy())
    return np.concatenate(found)


def inputs_of(pairs: Sequence[Pair]) -> tuple[Any, ...]:
    """What the network is given of pairs: parents and outputs (N, 3, 192, 320), boxes (N, 3, 48, 80), conditions (N, 2, 8)."""
    torch = require("torch", extra="generate")
    shown = ([shrunk(getattr(pair, name)) for pair in pairs] for name in ("parent", "output"))
    pictures = (torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1 for images in shown)
    boxes = np.stack([box_planes(pair.boxes, size=pair.parent.shape) for pair in pairs])
    looks = np.stack([[look_of(pair.source), look_of(pair.target)] for pair in pairs])
    return (*pictures, torch.from_numpy(boxes), torch.from_numpy(looks))
