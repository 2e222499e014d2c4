"""Objects to be drawn into a frame: which, where on the road, which pixels they cover, and the label they bring.

An object stands on the flat ground of the ego frame, in free space: apart from every tracked box, wholly in the picture, neither
hidden by a nearer box nor hiding a labelled one. Its size and place are the label, so it is right by construction of the mask;
whether the engine drew it there is what the gates measure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import NotEvaluable, require
from flywheel.geometry import ImageBox, corners, image_boxes, project_box, to_camera
from flywheel.types import Record, digest_of, short_id

Row = Mapping[str, Any]
TRIES = 64
CLEAR_M, HIDDEN_SHARE, LEAST_PX = 0.7, 0.02, 16.0
WIDEN = 0.06


class Kind(NamedTuple):
    """What can be inserted: class and subclass as in TRACKS, size in metres, words for the prompt, and where it may stand.

    `ahead_m` is how far before the ego, `aside_m` how far from its path, to either side; `turned` whether it crosses or goes along.
    """

    cls: str
    subclass: str | None
    size_m: tuple[float, float, float]
    words: str
    ahead_m: tuple[float, float]
    aside_m: tuple[float, float]
    crossing: bool


KINDS: dict[str, Kind] = {
    "pedestrian": Kind("pedestrian", None, (0.6, 0.6, 1.75), "a pedestrian walking across the road", (9.0, 28.0), (0.0, 3.0), True),
    "cyclist": Kind("cyclist", None, (1.8, 0.6, 1.75), "a cyclist riding across the road", (10.0, 30.0), (0.0, 3.5), True),
    "car": Kind("car", None, (4.5, 1.85, 1.5), "a car stopped on the road, seen from behind", (12.0, 35.0), (0.0, 4.5), False),
    "debris": Kind("other", "debris", (0.9, 0.7, 0.5), "a cardboard box lying on the road", (7.0, 20.0), (0.0, 1.2), False),
    "cone": Kind("other", "cone", (0.4, 0.4, 0.75), "an orange traffic cone standing on the road", (7.0, 18.0), (0.0, 2.0), False),
    "animal": Kind("other", "animal", (1.5, 0.5, 1.3), "a deer standing on the road", (9.0, 28.0), (0.0, 2.5), True),
}


class PlannedObject(Record):
    """An object that shall be drawn into a frame: a TRACKS row to be, in the ego frame at the frame's time, and what it is called.

    `z_m` is the box's centre, half the height: the ground is taken as flat.
    """

    kind: str
    track_id: str
    cls: str
    subclass: str | None
    x_m: float
    y_m: float
    z_m: float
    heading_rad: float
    length_m: float
    width_m: float
    height_m: float
    words: str

    def label(self, frame: Row) -> ImageBox | None:
        """The label it brings: its box in a calibrated FRAMES row's image, or None if it cannot be seen there."""
        return project_box(self.model_dump(), frame)


def plan_object(kind: str, frame: Row, tracks: Sequence[Row], *, salt: int = 0) -> PlannedObject:
    """The object of a kind at the first free place, tried in an order that follows from the frame and `salt` alone.

    `frame` is a calibrated FRAMES row, `tracks` the TRACKS rows of its instant. NotEvaluable without calibration or a free place.
    """
    if frame.get("fx_px") is None or frame.get("cam_qw") is None:
        raise NotEvaluable(f"camera {frame['camera']} is not calibrated: where a new {kind} would stand is not known")
    seed = int(digest_of([frame["drive_id"], frame["t_ns"], frame["camera"], kind, salt])[:16], 16)
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        found = _somewhere(kind, frame, rng)
        if _free(found, frame, tracks):
            return found
    raise NotEvaluable(f"no free place for a {kind} in frame {frame['t_ns']} of camera {frame['camera']} after {TRIES} tries")


def _somewhere(kind: str, frame: Row, rng: np.random.Generator) -> PlannedObject:
    what = KINDS[kind]
    length, width, height = (size * float(rng.uniform(0.94, 1.06)) for size in what.size_m)
    side = float(rng.choice((-1.0, 1.0)))
    heading = side * np.pi / 2 + float(rng.uniform(-0.2, 0.2)) if what.crossing else float(rng.uniform(-0.05, 0.05))
    place = {
        "x_m": round(float(rng.uniform(*what.ahead_m)), 3), "y_m": round(side * float(rng.uniform(*what.aside_m)), 3),
        "z_m": round(height / 2, 3), "heading_rad": round(heading, 4), "length_m": round(length, 3), "width_m": round(width, 3),
        "height_m": round(height, 3),
    }  # fmt: skip
    track_id = short_id("planned", [frame["drive_id"], frame["t_ns"], kind, place])
    return PlannedObject(kind=kind, track_id=track_id, cls=what.cls, subclass=what.subclass, words=what.words, **place)


def _free(found: PlannedObject, frame: Row, tracks: Sequence[Row]) -> bool:
    box = found.label(frame)
    if box is None or min(box.x1_px - box.x0_px, box.y1_px - box.y0_px) < LEAST_PX * frame["height_px"] / 720:
        return False
    whole = box.x0_px > 0 and box.x1_px < frame["width_px"] and box.y0_px > 0 and box.y1_px < frame["height_px"]
    reach = _reach(found.model_dump()) + CLEAR_M
    apart = all(np.hypot(row["x_m"] - found.x_m, row["y_m"] - found.y_m) > reach + _reach(row) for row in tracks)
    seen = image_boxes(tracks, frame)
    return whole and apart and not any(_hides(box, other) for other in seen)


def _reach(row: Row) -> float:
    """Half a footprint's diagonal."""
    return float(np.hypot(row["length_m"], row["width_m"])) / 2


def _hides(one: ImageBox, other: ImageBox) -> bool:
    """Whether two boxes cover each other in the picture by more than a sliver of the smaller."""
    wide = min(one.x1_px, other.x1_px) - max(one.x0_px, other.x0_px)
    high = min(one.y1_px, other.y1_px) - max(one.y0_px, other.y0_px)
    least = min((box.x1_px - box.x0_px) * (box.y1_px - box.y0_px) for box in (one, other))
    return max(wide, 0.0) * max(high, 0.0) > HIDDEN_SHARE * least


def mask_of(planned: PlannedObject, frame: Row, *, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(H, W) the pixels an object may be drawn on, at a drawing size: the outline of its box's corners, slightly widened.

    NotEvaluable if the box lies behind the camera or outside the picture.
    """
    cv2 = require("cv2", extra="generate")
    seen = to_camera(corners(planned.model_dump()), frame)
    if planned.label(frame) is None or (seen[:, 2] <= 0).any():
        raise NotEvaluable(f"the planned {planned.kind} cannot be seen by camera {frame['camera']}")
    u = (frame["fx_px"] * seen[:, 0] / seen[:, 2] + frame["cx_px"]) * size[1] / frame["width_px"]
    v = (frame["fy_px"] * seen[:, 1] / seen[:, 2] + frame["cy_px"]) * size[0] / frame["height_px"]
    points = np.stack([u, v], axis=1)
    wide = points.mean(axis=0) + (points - points.mean(axis=0)) * (1 + WIDEN)
    mask = np.zeros(size[:2], np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(wide).astype(np.int32)), 1)
    return np.asarray(mask > 0)
