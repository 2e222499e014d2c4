"""Does the picture still show what its parent shows, and nothing else: a small network that looks at both, cell by cell.

Frozen ImageNet features of parent and output (the first eleven blocks of the packaged EfficientNet-Lite0) go through a head that
`python -m generators.train_witness` fits on planted changes: true renders against renders with a road user taken away, added or
moved, and against other moments. It gives for each cell of 8 px the chance that the content differs.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flywheel.encoder import GPU_BATCH, network
from flywheel.errors import BadData, require
from flywheel.geometry import VRU, ImageBox
from flywheel.types import LIGHTINGS, WEATHERS, Condition

Rgb = NDArray[np.uint8]
Plane = NDArray[np.float32]
WEIGHTS = Path(__file__).parents[1] / "weights" / "witness.safetensors"
WIDTH_PX, HIGH_PX, CELL_PX = 320, 192, 8
COLUMNS, ROWS = WIDTH_PX // CELL_PX, HIGH_PX // CELL_PX
FEATURES, MASKS = 240, 3
BOX_MIN_PX, BOXES_MAX = 6, 12
TOLD = 2 * (len(LIGHTINGS) + len(WEATHERS))


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


def features(images: Sequence[Rgb], *, device: str = "cpu", batch: int = 16) -> Any:
    """(N, 24, 40, 240) features of each cell of N pictures, on the device: at 8 px, the same over 3 x 3 cells, and at 16 px."""
    torch, cv2 = require("torch", extra="generate"), require("cv2", extra="generate")
    found = []
    for start in range(0, len(images), batch):
        small = [cv2.resize(image, (WIDTH_PX, HIGH_PX), interpolation=cv2.INTER_AREA) for image in images[start : start + batch]]
        pixels = torch.from_numpy((np.stack(small).astype(np.float32) - 127) / 128).permute(0, 3, 1, 2).to(device)
        with torch.inference_mode():
            found.append(_cells(network(device), pixels, torch))
    return torch.cat(found)


def _cells(net: Any, pixels: Any, torch: Any) -> Any:
    """The maps after blocks 2, 4 and 10, brought to the cells' size."""
    functional = torch.nn.functional
    x, maps = net._swish(net._bn0(net._conv_stem(pixels))), {}
    for number, block in enumerate(net._blocks[:11]):
        x = maps[number] = block(x)
    fine = functional.avg_pool2d(maps[2], 2)
    around = functional.avg_pool2d(fine, 3, stride=1, padding=1, count_include_pad=False)
    near = functional.avg_pool2d(maps[4], 3, stride=1, padding=1, count_include_pad=False)
    wide = functional.interpolate(maps[10], scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat([fine, maps[4], around, near, wide], dim=1).permute(0, 2, 3, 1)


def told(source: Condition, target: Condition) -> Plane:
    """(18,) which lighting and weather the parent has and the output shall have."""
    names = [*LIGHTINGS, *WEATHERS]
    return np.array([float(name in (c.lighting, c.weather)) for c in (source, target) for name in names], np.float32)


def box_planes(boxes: Sequence[ImageBox], *, size: tuple[int, ...]) -> Plane:
    """(3, 24, 40) how far each cell is covered by vehicles' boxes, by those of people, and by any box's edge."""
    planes = np.zeros((MASKS, ROWS, COLUMNS), np.float32)
    for box in boxes:
        inside = _cover(box, size)
        kind = int(box.cls in VRU)
        planes[kind] = np.maximum(planes[kind], inside)
        planes[2] = np.maximum(planes[2], 4 * inside * (1 - inside))
    return planes


def _cover(box: ImageBox, size: tuple[int, ...]) -> Plane:
    """(24, 40) share of each cell inside a box."""
    columns = _share(box.x0_px / size[1] * COLUMNS, box.x1_px / size[1] * COLUMNS, COLUMNS)
    rows = _share(box.y0_px / size[0] * ROWS, box.y1_px / size[0] * ROWS, ROWS)
    return np.asarray(rows[:, None] * columns[None], np.float32)


def _share(low: float, high: float, count: int) -> Plane:
    at = np.arange(count, dtype=np.float32)
    return np.asarray(np.clip(np.minimum(at + 1, high) - np.maximum(at, low), 0, 1), np.float32)


def head() -> Any:
    """The untrained head, a torch module."""
    from flywheel.generate.witness_head import Head

    return Head()


@lru_cache(maxsize=2)
def _trained(device: str) -> Any:
    if not WEIGHTS.is_file():
        raise BadData(f"no witness weights at {WEIGHTS}; train them with: python -m generators.train_witness --help")
    made = head()
    made.load_state_dict(require("safetensors.torch", extra="generate").load_file(str(WEIGHTS)))
    return made.eval().to(device)


def differs(pairs: Sequence[Pair], *, device: str = "cpu", batch: int = 16) -> Plane:
    """(N, 24, 40) log odds of each cell that the output shows something else than the parent; BadData without trained weights."""
    torch = require("torch", extra="generate")
    judge = _trained(device)
    shown = {id(image): image for pair in pairs for image in (pair.parent, pair.output)}
    place = {key: at for at, key in enumerate(shown)}
    seen = features(list(shown.values()), device=device, batch=batch)
    was, now = (seen[[place[id(getattr(pair, name))] for pair in pairs]] for name in ("parent", "output"))
    planes = np.stack([box_planes(pair.boxes, size=pair.parent.shape) for pair in pairs])
    said = np.stack([told(pair.source, pair.target) for pair in pairs])[:, None, None].repeat(ROWS, 1).repeat(COLUMNS, 2)
    inputs = (was, now, torch.from_numpy(planes).movedim(1, -1), torch.from_numpy(said))
    with torch.inference_mode():
        found = judge(*(part.to(device).reshape(-1, part.shape[-1]) for part in inputs))
    return np.asarray(found.reshape(len(pairs), ROWS, COLUMNS).cpu().numpy(), np.float32)
