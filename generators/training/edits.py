"""Planted changes of a scene: a road user taken away, added or moved; and how visible the change is in a picture."""

import math
import random
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flywheel.fleet.render import camera_frame
from flywheel.fleet.scene import Actor, Camera, Instant
from flywheel.fleet.sight import visible
from flywheel.geometry import ImageBox, image_boxes

Rgb = NDArray[np.uint8]
Edit = Literal["removed", "added", "moved"]
EDITS: tuple[Edit, ...] = ("removed", "added", "moved")
# A box large enough to show an outline; a change large and strong enough to be called visible.
MIN_SIDE_PX, MIN_AREA_PX2 = 6.0, 144.0
STRONG_LEVELS, MIN_CHANGED_PX = 16, 80
SIZES: dict[str, tuple[float, float, float]] = {
    "car": (4.6, 1.85, 1.5), "truck": (8.0, 2.4, 3.2), "pedestrian": (0.5, 0.55, 1.75), "cyclist": (1.8, 0.6, 1.75),
}  # fmt: skip


def boxes_of(instant: Instant, camera: Camera) -> list[ImageBox]:
    """Boxes of the road users in plain view, nearest first."""
    seen = zip(instant.actors, visible(instant), strict=True)
    return image_boxes([_row(actor, instant) for actor, plain in seen if plain], camera_frame(camera))


def large(box: ImageBox) -> bool:
    """Whether a box is large enough that its loss must be noticed."""
    wide, high = box.x1_px - box.x0_px, box.y1_px - box.y0_px
    return min(wide, high) >= MIN_SIDE_PX and wide * high >= MIN_AREA_PX2


def changed(one: Rgb, two: Rgb) -> NDArray[np.bool_]:
    """(H, W) where two pictures differ by more than noise does."""
    return np.asarray(np.abs(one.astype(np.int16) - two.astype(np.int16)).max(axis=2) > STRONG_LEVELS)


def is_visible(one: Rgb, two: Rgb) -> bool:
    """Whether the change between two pictures is large enough that one can ask a gate to see it."""
    return int(changed(one, two).sum()) >= MIN_CHANGED_PX


def edited(instant: Instant, camera: Camera, *, edit: Edit, draw: random.Random) -> Instant | None:
    """The instant with one road user taken away, added or moved by 2 to 8 m; None where there is none to take."""
    if edit == "added":
        return _added(instant, draw)
    able = [box.track_id for box in boxes_of(instant, camera) if large(box)]
    if not able:
        return None
    chosen = draw.choice(able)
    rest = tuple(actor for actor in instant.actors if actor.actor_id != chosen)
    if edit == "removed":
        return instant.model_copy(update={"actors": rest})
    actor = next(actor for actor in instant.actors if actor.actor_id == chosen)
    away, turn = draw.uniform(2.0, 8.0), draw.uniform(0, 2 * math.pi)
    there = actor.model_copy(update={"x_m": actor.x_m + away * math.cos(turn), "y_m": actor.y_m + away * math.sin(turn)})
    return instant.model_copy(update={"actors": (*rest, there)}) if _free(rest, there) else None


def _added(instant: Instant, draw: random.Random) -> Instant | None:
    cls = draw.choice(tuple(SIZES))
    length, width, height = SIZES[cls]
    ahead, side = draw.uniform(7.0, 30.0 if length > 3 else 18.0), draw.uniform(-6.0, 6.0)
    cos, sin = math.cos(instant.ego_heading_rad), math.sin(instant.ego_heading_rad)
    extra = Actor(
        actor_id="extra", cls=cls, x_m=instant.ego_x_m + ahead * cos - side * sin, y_m=instant.ego_y_m + ahead * sin + side * cos,
        heading_rad=instant.ego_heading_rad + draw.choice((0.0, math.pi, draw.uniform(0, 6.28))), length_m=length, width_m=width,
        height_m=height, speed_mps=draw.uniform(0, 10), seed=draw.randrange(1_000_000),
    )  # fmt: skip
    return instant.model_copy(update={"actors": (*instant.actors, extra)}) if _free(instant.actors, extra) else None


def _free(actors: Sequence[Actor], new: Actor) -> bool:
    """Whether nothing stands where the new road user would."""
    return all(
        math.hypot(new.x_m - other.x_m, new.y_m - other.y_m) > 0.5 * (new.length_m + other.length_m) for other in actors
    )  # fmt: skip


def _row(actor: Actor, instant: Instant) -> dict[str, Any]:
    """A TRACKS row of a road user: its box in the ego frame."""
    dx, dy = actor.x_m - instant.ego_x_m, actor.y_m - instant.ego_y_m
    cos, sin = math.cos(instant.ego_heading_rad), math.sin(instant.ego_heading_rad)
    return {
        "track_id": actor.actor_id, "cls": actor.cls, "x_m": cos * dx + sin * dy, "y_m": cos * dy - sin * dx,
        "z_m": actor.height_m / 2, "heading_rad": actor.heading_rad - instant.ego_heading_rad, "length_m": actor.length_m,
        "width_m": actor.width_m, "height_m": actor.height_m, "visible": True,
    }  # fmt: skip
