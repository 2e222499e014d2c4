"""Pictures whose verdict is known: true renders of the target condition, and eleven kinds of bad ones made on purpose.

A scene is one instant of a dumped drive (python -m generators.dump_scenes). What is planted must be visible: a lost, added or moved
road user changes at least 80 pixels of the target picture by more than 16 levels; a swapped picture is another moment of the drive at
least 5 m away.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from benchmarks.gate_scenes import Rgb, brightened, recompressed
from flywheel.fleet.render import render_many
from flywheel.fleet.scene import Camera, Instant
from flywheel.generate.gates import Sample
from flywheel.types import CONDITIONS, Condition, short_id
from generators.training.edits import Edit, boxes_of, edited, is_visible
from generators.training.scenes import SceneDump

GOOD = "good"
BAD = (
    "garbled", "object removed", "object added", "wrong condition", "unchanged copy", "duplicate", "black", "torn", "swapped",
    "label moved", "other scene",
)  # fmt: skip
EDITED: dict[str, Edit] = {"object removed": "removed", "object added": "added", "label moved": "moved"}
VIEWS, SWAP_APART_M = 6, 5.0


class Case(NamedTuple):
    """One picture to judge, and how it was made."""

    kind: str
    detail: str
    sample: Sample


class Scene:
    """One instant of a drive under a few conditions, its boxes, and other instants drawn on demand."""

    def __init__(self, dump: SceneDump, number: int) -> None:
        self.dump, self.instant = dump, dump.instants[number]
        self.draw = random.Random(short_id("scene", [dump.drive, number]))
        self.conditions = self.draw.sample(CONDITIONS, VIEWS)
        self.views = dict(zip(self.conditions, self.drawn(self.instant, *self.conditions), strict=True))
        self.boxes = boxes_of(self.instant, Camera())

    def drawn(self, instant: Instant, *conditions: Condition) -> list[Rgb]:
        """The instant's pictures; the same seed in all of a drive, as the fleet's cameras have it."""
        seed = int(short_id("render", self.dump.drive).rpartition("-")[2][:7], 16)
        return [view.rgb for view in render_many(self.dump.world, instant, conditions, seed=seed)]

    def pair(self) -> tuple[Condition, Condition]:
        """A source and a target among the drawn conditions."""
        source, target = self.draw.sample(self.conditions, 2)
        return source, target

    def sample(self, output: Rgb, source: Condition, target: Condition) -> Sample:
        """An output for this scene's parent."""
        return Sample(self.views[source], output, source, target, self.boxes)


def good_cases(scene: Scene, *, count: int) -> list[Case]:
    """True renders of `count` different targets, each from a random source."""
    targets = scene.draw.sample(scene.conditions, count)
    pairs = [(scene.draw.choice([c for c in scene.conditions if c != target]), target) for target in targets]
    return [Case(GOOD, f"{s.name}>{t.name}", scene.sample(scene.views[t], s, t)) for s, t in pairs]


def bad_cases(scene: Scene, stranger: Scene, goods: Sequence[Case]) -> Iterator[Case]:
    """One case of each bad kind that can be made of a scene; `stranger` is another drive's, `goods` were delivered before."""
    for kind in BAD:
        source, target = scene.pair()
        if kind == "duplicate":
            first = scene.draw.choice(goods).sample
            source, target = first.source, first.target
        made = _made(kind, scene, stranger, source, target)
        if made is not None:
            output, detail = made
            yield Case(kind, f"{source.name}>{target.name} {detail}", scene.sample(output, source, target))


def _made(kind: str, scene: Scene, stranger: Scene, source: Condition, target: Condition) -> tuple[Rgb, str] | None:
    """The picture and how it was made; None where this scene has no such picture."""
    if kind in EDITED:
        return _edited(scene, EDITED[kind], target)
    if kind == "wrong condition":
        wrong = scene.draw.choice([c for c in scene.conditions if c not in (source, target)])
        return scene.views[wrong], wrong.name
    if kind == "swapped":
        there = _other_moment(scene)
        return None if there is None else (scene.drawn(there, target)[0], f"t {there.t_ns}")
    if kind == "other scene":
        return stranger.drawn(stranger.instant, target)[0], stranger.dump.drive
    way, name = scene.draw.choice(WAYS[kind])
    return way(scene.views[source if kind == "unchanged copy" else target], np.random.default_rng(scene.draw.randrange(1 << 30))), name


def _edited(scene: Scene, edit: Edit, target: Condition) -> tuple[Rgb, str] | None:
    for _ in range(4):
        there = edited(scene.instant, Camera(), edit=edit, draw=scene.draw)
        if there is not None:
            image = scene.drawn(there, target)[0]
            if is_visible(image, scene.views[target]):
                return image, edit
    return None


def _other_moment(scene: Scene) -> Instant | None:
    now = scene.instant
    far = [t for t in scene.dump.instants if np.hypot(t.ego_x_m - now.ego_x_m, t.ego_y_m - now.ego_y_m) >= SWAP_APART_M]
    return scene.draw.choice(far) if far else None


def _grainy(image: Rgb, rng: np.random.Generator, *, sigma: float = 2.0) -> Rgb:
    return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def _shuffled(image: Rgb, rng: np.random.Generator, *, size: int) -> Rgb:
    """Blocks in another order."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    blocks = [image[r * size : (r + 1) * size, c * size : (c + 1) * size] for r in range(rows) for c in range(columns)]
    order, spoiled = rng.permutation(len(blocks)), image.copy()
    for at, other in enumerate(order):
        r, c = divmod(at, columns)
        spoiled[r * size : (r + 1) * size, c * size : (c + 1) * size] = blocks[other]
    return spoiled


def _warped(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Melted: every place moved by up to about 12 px, smoothly."""
    import cv2

    height, width = image.shape[:2]
    moves = [cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 12.0) for _ in range(2)]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    maps = [at + 12 * move / max(float(np.abs(move).max()), 1e-6) for at, move in zip((columns, rows), moves, strict=True)]
    return np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.uint8)


def _blurred(image: Rgb, rng: np.random.Generator) -> Rgb:
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(4, 9))), np.uint8)


def _noisy(image: Rgb, rng: np.random.Generator) -> Rgb:
    return _grainy(image, rng, sigma=float(rng.uniform(45, 90)))


def _half_noise(image: Rgb, rng: np.random.Generator) -> Rgb:
    """A stretch of the picture decoded from damaged bytes: noise in a third of it."""
    spoiled, top = image.copy(), int(rng.integers(image.shape[0] // 2))
    high = image.shape[0] // 3
    spoiled[top : top + high] = rng.integers(0, 256, (high, *image.shape[1:]), np.uint8)
    return spoiled


def _torn(image: Rgb, rng: np.random.Generator, *, axis: int) -> Rgb:
    """A part of the picture moved along itself by 12 to 90 px."""
    cut, spoiled = int(rng.uniform(0.25, 0.75) * image.shape[axis]), image.copy()
    part = (slice(cut, None),) if axis == 0 else (slice(None), slice(cut, None))
    spoiled[part] = np.roll(image[part], int(rng.integers(12, 90)) * (1 if rng.random() < 0.5 else -1), axis=1 - axis)
    return spoiled


def _dark(image: Rgb, rng: np.random.Generator) -> Rgb:
    return _grainy(np.zeros_like(image), rng, sigma=1.0)


Way = Callable[[Rgb, np.random.Generator], Rgb]
Ways = tuple[tuple[Way, str], ...]
COPIES: Ways = (
    (lambda image, _: image, "as it is"), (lambda image, _: recompressed(image), "recompressed"), (_grainy, "grainy"),
    (lambda image, _: brightened(image), "6 % brighter"),
)  # fmt: skip
TWINS: Ways = (
    (lambda image, _: image, "same bytes"), (lambda image, _: recompressed(image), "recompressed"), (_grainy, "grainy"),
    (lambda image, _: brightened(image), "6 % brighter"),
)  # fmt: skip
GARBLES: Ways = (
    (partial(_shuffled, size=16), "blocks of 16 px shuffled"), (partial(_shuffled, size=40), "blocks of 40 px shuffled"),
    (_warped, "melted"), (_blurred, "out of focus"), (_noisy, "drowned in noise"), (_half_noise, "a third is noise"),
)  # fmt: skip
TEARS: Ways = ((partial(_torn, axis=0), "rows"), (partial(_torn, axis=1), "columns"))
BLACKS: Ways = ((lambda image, _: np.zeros_like(image), "zeros"), (_dark, "sensor noise alone"))
WAYS: dict[str, Ways] = {"unchanged copy": COPIES, "duplicate": TWINS, "garbled": GARBLES, "torn": TEARS, "black": BLACKS}
