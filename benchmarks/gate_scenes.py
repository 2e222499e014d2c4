"""Scenes for the gate check: a seeded street drawn under every condition, and ways to spoil a picture on purpose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.render import camera_frame, render_many
from flywheel.fleet.scene import Actor, Area, Block, Instant, Marking, Post, Strip, World
from flywheel.geometry import ImageBox, image_boxes
from flywheel.types import CONDITIONS

Rgb = NDArray[np.uint8]
NAMES = tuple(c.name for c in CONDITIONS)


@dataclass(frozen=True)
class Street:
    """One instant under all conditions; the same without each of its road users; another street; and the object boxes."""

    views: dict[str, Rgb]
    without: dict[str, dict[str, Rgb]]
    other: dict[str, Rgb]
    boxes: list[ImageBox]


def street(seed: int) -> Street:
    """A street with a vehicle ahead, one oncoming and a pedestrian; equal seeds give equal pictures."""
    world, instant = _world(seed), _instant(seed)
    far = _instant(seed + 500).model_copy(update={"ego_y_m": 1.75, "ego_heading_rad": 0.06, "ego_x_m": 17.0})
    lost = {actor.actor_id: tuple(a for a in instant.actors if a is not actor) for actor in instant.actors}
    without = {name: instant.model_copy(update={"actors": actors}) for name, actors in lost.items()}
    return Street(
        views=_draw(world, instant, seed),
        without={name: _draw(world, there, seed) for name, there in without.items()},
        other=_draw(_world(seed + 500), far, seed),
        boxes=image_boxes([_row(actor, instant) for actor in instant.actors], camera_frame()),
    )


def _draw(world: World, instant: Instant, seed: int) -> dict[str, Rgb]:
    return {name: view.rgb for name, view in zip(NAMES, render_many(world, instant, CONDITIONS, seed=seed), strict=True)}


def _row(actor: Actor, instant: Instant) -> dict[str, Any]:
    return {
        "track_id": actor.actor_id, "cls": actor.cls, "x_m": actor.x_m - instant.ego_x_m, "y_m": actor.y_m - instant.ego_y_m,
        "z_m": actor.height_m / 2, "heading_rad": actor.heading_rad, "length_m": actor.length_m, "width_m": actor.width_m,
        "height_m": actor.height_m, "visible": True,
    }  # fmt: skip


def _along(y_m: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (-50.0, y_m), (250.0, y_m)


def _world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    blocks, posts = [], []
    for side in (-1, 1):
        x_m = -20.0
        while x_m < 200:
            length_m = float(rng.uniform(9, 22))
            blocks.append(Block(
                x_m=x_m + length_m / 2, y_m=side * float(rng.uniform(12, 17)), heading_rad=0.0, length_m=length_m, width_m=8.0,
                height_m=float(rng.uniform(5, 18)), seed=int(rng.integers(1_000_000)),
            ))  # fmt: skip
            x_m += length_m + float(rng.uniform(1, 25))
        for x in np.arange(5, 150, 18.0):
            posts.append(Post(
                kind="lamp" if rng.random() < 0.5 else "tree", x_m=float(x + rng.uniform(-4, 4)), y_m=side * float(rng.uniform(6.3, 8)),
                height_m=float(rng.uniform(4, 8)), seed=int(rng.integers(1_000_000)),
            ))  # fmt: skip
    return World(
        lanes=tuple(Strip(line=_along(y), width_m=3.5) for y in (-1.75, 1.75)),
        sidewalks=tuple(Strip(line=_along(y), width_m=2.5) for y in (-4.9, 4.9)),
        markings=(Marking(line=_along(0.0), dashed=True), Marking(line=_along(3.4)), Marking(line=_along(-3.4))),
        crosswalks=(Area(outline=((40.0, -3.5), (43.0, -3.5), (43.0, 3.5), (40.0, 3.5))),), blocks=tuple(blocks), posts=tuple(posts),
    )  # fmt: skip


def _instant(seed: int) -> Instant:
    rng = np.random.default_rng([seed, 1])
    car = {"length_m": 4.6, "width_m": 1.85, "height_m": 1.5, "speed_mps": 8.0}
    person = {"length_m": 0.5, "width_m": 0.55, "height_m": 1.75, "speed_mps": 1.2}
    places = (float(rng.uniform(14, 35)), float(rng.uniform(20, 45)), float(rng.uniform(10, 22)), float(rng.uniform(-3.5, 3.5)))
    seeds = [int(s) for s in rng.integers(1_000_000, size=3)]
    actors = (
        Actor(actor_id="lead", cls="car", x_m=places[0], y_m=-1.75, heading_rad=0.0, seed=seeds[0], **car),
        Actor(actor_id="oncoming", cls="car", x_m=places[1], y_m=1.75, heading_rad=float(np.pi), seed=seeds[1], **car),
        Actor(actor_id="pedestrian", cls="pedestrian", x_m=places[2], y_m=places[3], heading_rad=1.5, seed=seeds[2], **person),
    )
    return Instant(t_ns=1_000_000_000, ego_x_m=0.0, ego_y_m=-1.75, ego_heading_rad=0.0, ego_speed_mps=8.0, actors=actors)


def torn(image: Rgb) -> Rgb:
    """The lower half moved sideways by 60 px."""
    half = image.shape[0] // 2
    return np.concatenate([image[:half], np.roll(image[half:], 60, axis=1)])


def dead(image: Rgb) -> Rgb:
    """The lower third replaced by one grey."""
    spoiled = image.copy()
    spoiled[2 * image.shape[0] // 3 :] = 90
    return spoiled


def recompressed(image: Rgb) -> Rgb:
    """The image after strong JPEG compression: a copy in all but its bytes."""
    import cv2

    data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def brightened(image: Rgb) -> Rgb:
    """The image 6% brighter."""
    return np.clip(image * 1.06, 0, 255).astype(np.uint8)


def darkened(image: Rgb) -> Rgb:
    """A photograph's crude night: gamma 1.6 at a fifth of the light."""
    return ((image / 255.0) ** 1.6 * 51).astype(np.uint8)


def fogged(image: Rgb) -> Rgb:
    """A photograph's crude fog: grey, thicker towards the top."""
    clear = np.clip(1 - 0.7 * np.linspace(1.4, 0.3, image.shape[0]), 0, 1)[:, None, None]
    return (image * clear + 200 * (1 - clear)).astype(np.uint8)


def blurred(image: Rgb) -> Rgb:
    """The image out of focus by 3 px."""
    import cv2

    return np.asarray(cv2.GaussianBlur(image, (0, 0), 3.0), np.uint8)
