"""CommonRoad XML (2018b, 2020a) as records: obstacles with their states. Parsed with defusedxml: no entities, no DTD.

Exact values are taken as they are, of an interval the middle, of an uncertain position the centre of its shape.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.ingest.drive import Log
from flywheel.ingest.scenes import LARGEST

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_BYTES = 1 << 26
MAX_STEP = 1_000_000
DEFAULT_SIZE_M = (1.0, 1.0)


class Obstacle(NamedTuple):
    """One obstacle: role, type, (length, width), and (n,) steps with (n, 2) places, headings and speeds (NaN where not given).

    sets: whether some of it is only known as a set of places, which is left out. turned: whether a heading is missing and taken from the
    way the obstacle moves (along world +x if it does not).
    """

    name: str
    role: str
    kind: str
    size_m: tuple[float, float]
    steps: Ints
    place: Array
    heading: Array
    speed: Array
    sets: bool
    turned: bool


def parse(log: Log) -> Any:
    """The root element of the file; BadData if it is no well-formed CommonRoad XML, or declares entities."""
    tree = require("defusedxml.ElementTree", extra="ingest")
    try:
        root = tree.fromstring(log.read("", limit=MAX_BYTES), forbid_dtd=True)
    except (SyntaxError, ValueError, LookupError, MemoryError, RecursionError) as err:
        raise BadData(f"not well-formed XML, or XML with entities: {type(err).__name__}: {str(err)[:200]}") from err
    if root.tag != "commonRoad":
        raise BadData(f"the XML is a {root.tag[:60]!r}, not a commonRoad scenario")
    return root


def number(element: Any, path: str = ".") -> float:
    """The number at a path: plain, `exact`, or the middle of an interval; NaN if there is none. BadData if it is no finite number."""
    found = element.find(path)
    if found is None:
        return np.nan
    parts = [found.find(name) for name in ("exact", "intervalStart", "intervalEnd")]
    said = [part.text for part in parts if part is not None] or [found.text]
    try:
        value = float(np.mean([float(text) for text in said]))
    except (TypeError, ValueError) as err:
        raise BadData(f"<{found.tag}> holds {str(said[0])[:40]!r}, not a number") from err
    if not abs(value) <= LARGEST:
        raise BadData(f"<{found.tag}> holds {value}, which is out of any scene")
    return value


def points(element: Any | None) -> Array:
    """(k, 2) points below an element, empty for None."""
    found = [] if element is None else element.findall("point")
    return np.array([[number(p, "x"), number(p, "y")] for p in found], np.float64).reshape(-1, 2)


def step_of(element: Any) -> int:
    """The time step of a state; BadData if there is none or it is no step."""
    step = number(element, "time")
    if not 0 <= step <= MAX_STEP:
        raise BadData(f"a state's time is {step}; 0 to {MAX_STEP} steps are read")
    return int(step)


def obstacles(root: Any) -> Iterator[Obstacle]:
    """Static and dynamic obstacles in both versions' layouts; BadData names the obstacle of what is wrong."""
    for element in root:
        role = {"dynamicObstacle": "dynamic", "staticObstacle": "static"}.get(element.tag, element.findtext("role", "").strip())
        if element.tag in ("obstacle", "dynamicObstacle", "staticObstacle") and role in ("dynamic", "static"):
            name = str(element.get("id", ""))[:60]
            try:
                yield _obstacle(element, name, role)
            except BadData as err:
                raise BadData(f"obstacle {name}: {err}") from err


def _obstacle(element: Any, name: str, role: str) -> Obstacle:
    said = [s for s in (element.find("initialState"), *element.findall("trajectory/state")) if s is not None]
    states = {step_of(s) if s.find("time") is not None else 0: s for s in said}
    placed = [(step, *_position(s), number(s, "orientation"), number(s, "velocity")) for step, s in sorted(states.items())]
    rows = np.array(placed, np.float64).reshape(-1, 5)
    known = np.isfinite(rows[:, 1:3]).all(axis=1)
    rows, size = rows[known], _size(element.find("shape"))
    turned = bool(np.isnan(rows[:, 3]).any())
    if not min(size) > 0:
        raise BadData(f"has size {size} m")
    return Obstacle(
        name, role, str(element.findtext("type", "unknown")).strip(), size, rows[:, 0].astype(np.int64),
        rows[:, 1:3], _headings(rows) if turned else rows[:, 3], rows[:, 4],
        sets=element.find("occupancySet") is not None or not known.all(), turned=turned,
    )  # fmt: skip


def _headings(rows: Array) -> Array:
    """(n,) headings of step, x, y, heading rows: the given ones, else where the next place lies (the last one's, from the one before)."""
    steps = np.diff(rows[:, 1:3], axis=0, append=rows[-1:, 1:3] + (rows[-1:, 1:3] - rows[-2:-1, 1:3] if len(rows) > 1 else 0.0))
    return np.asarray(np.where(np.isnan(rows[:, 3]), np.arctan2(steps[:, 1], steps[:, 0]), rows[:, 3]))


def _position(state: Any) -> tuple[float, float]:
    """A point, or the centre of what is known of it; NaN where only a lanelet is named."""
    where = state.find("position")
    if where is None:
        return np.nan, np.nan
    for path in ("point", "rectangle/center", "circle/center"):
        if (found := where.find(path)) is not None:
            return number(found, "x"), number(found, "y")
    corners = points(where.find("polygon"))
    return (float(corners[:, 0].mean()), float(corners[:, 1].mean())) if len(corners) else (np.nan, np.nan)


def _size(shape: Any | None) -> tuple[float, float]:
    """Length and width of a rectangle, circle or polygon in the obstacle's own frame; of several shapes the first counts."""
    if shape is None:
        return DEFAULT_SIZE_M
    if (box := shape.find("rectangle")) is not None:
        return number(box, "length"), number(box, "width")
    if (disc := shape.find("circle")) is not None:
        return 2 * number(disc, "radius"), 2 * number(disc, "radius")
    corners = points(shape.find("polygon"))
    return (float(np.ptp(corners[:, 0])), float(np.ptp(corners[:, 1]))) if len(corners) else DEFAULT_SIZE_M
