"""The lanes of a map together: which follows which, which lies to the right of which, and which are in a junction."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.ego_path import wrap
from flywheel.ingest.lanelets import Array, Lane, Placed, place

MAX_LANES = 200_000
# A lane goes on in one that begins this near its end, within this turn; a map that names successors is not asked.
JOIN_M, JOIN_TURN_RAD = 1.0, np.pi / 4
CROSSING_RAD = np.radians(20)


class Road:
    """The lanes of a map, and which follows which; crosswalks are (p, 2) polygons."""

    def __init__(self, lanes: Sequence[Lane], *, crosswalks: Sequence[Array] = ()) -> None:
        if len(lanes) > MAX_LANES or len(crosswalks) > MAX_LANES:
            raise BadData(f"a map of {len(lanes)} lanes and {len(crosswalks)} crosswalks: at most {MAX_LANES} of each are read")
        self.lanes, self.crosswalks = tuple(lanes), tuple(crosswalks)
        self.index = {lane.lane_id: k for k, lane in enumerate(lanes)}
        boxes = [[*x.centre.min(axis=0) - _reach(x), *x.centre.max(axis=0) + _reach(x)] for x in lanes]
        self.boxes = np.asfortranarray(np.array(boxes, np.float64).reshape(-1, 4))
        self.starts = np.array([x.centre[0] for x in lanes]).reshape(-1, 2)
        self.start_heading = np.array([x.heading[0] for x in lanes])
        self.names_successors = any(x.successors for x in lanes)
        self.names_neighbours = any(x.right_id for x in lanes)
        self._right: dict[int, int | None] = {}
        self._junction: dict[int, bool] = {}
        self._nexts: dict[int, list[int]] = {}

    @property
    def derived(self) -> tuple[str, ...]:
        """The LANES columns that this map does not state and geometry has to."""
        junctions = () if all(x.in_junction is not None for x in self.lanes) else ("LANES.in_junction",)
        return (*(() if self.names_neighbours else ("LANES.lane_index",)), *junctions)

    def nexts(self, lane: int) -> list[int]:
        """The lanes that follow a lane, the straightest first."""
        if lane not in self._nexts:
            self._nexts[lane] = self._follow(lane)
        return self._nexts[lane]

    def _follow(self, lane: int) -> list[int]:
        at = self.lanes[lane]
        if self.names_successors:
            found = [self.index[name] for name in at.successors if name in self.index]
        else:
            end = at.centre[-1]
            near = np.hypot(self.starts[:, 0] - end[0], self.starts[:, 1] - end[1]) <= JOIN_M
            found = [int(k) for k in np.flatnonzero(near) if k != lane and self._turn(lane, int(k)) <= JOIN_TURN_RAD]
        return sorted(found, key=lambda k: (self._turn(lane, k), k))

    def _turn(self, lane: int, after: int) -> float:
        """How far a car turns that goes from one lane into another."""
        return abs(float(wrap(self.start_heading[after] - self.lanes[lane].heading[-1])))

    def lane_index(self, lane: int) -> int:
        """How many lanes of the same direction lie to the right of a lane."""
        seen = [lane]
        while (right := self._right_of(seen[-1])) is not None and right not in seen and len(seen) < 20:
            seen.append(right)
        return len(seen) - 1

    def _right_of(self, lane: int) -> int | None:
        if lane not in self._right:
            named = self.lanes[lane].right_id
            self._right[lane] = (self.index.get(named) if named else None) if self.names_neighbours else self._beside(lane)
        return self._right[lane]

    def _beside(self, lane: int) -> int | None:
        """The lane of the same direction that holds the point a metre off the right edge of a lane's middle."""
        at = self.lanes[lane]
        middle = len(at.centre) // 2
        turn = at.heading[min(middle, len(at.heading) - 1)]
        point = at.centre[middle] + (at.right_m[middle] + 1.0) * np.array([np.sin(turn), -np.cos(turn)])
        for k in self.around(point, point):
            placed = place(self.lanes[k].centre, point[None])
            if k != lane and placed.beside[0] and self.holds(k, placed)[0] and abs(wrap(placed.heading - turn)[0]) < JOIN_TURN_RAD / 2:
                return k
        return None

    def holds(self, lane: int, placed: Placed) -> NDArray[np.bool_]:
        """Whether placed points lie between a lane's edges."""
        at = self.lanes[lane]
        left, right = (np.interp(placed.s_m, at.s_m, side) for side in (at.left_m, at.right_m))
        return np.asarray(placed.beside & (placed.d_m <= left) & (placed.d_m >= -right))

    def around(self, low: Array, high: Array) -> list[int]:
        """The lanes whose boxes meet a box."""
        x0, y0, x1, y1 = self.boxes.T
        meets = (x0 <= high[0]) & (y0 <= high[1]) & (x1 >= low[0]) & (y1 >= low[1])
        return [int(k) for k in np.flatnonzero(meets)]

    def in_junction(self, lane: int) -> bool:
        """What the map says; where it says nothing, whether another lane's centre line crosses this one's at more than 20 degrees."""
        said = self.lanes[lane].in_junction
        if said is None and lane not in self._junction:
            self._junction[lane] = self._crossed(lane)
        return self._junction[lane] if said is None else said

    def _crossed(self, lane: int) -> bool:
        at = self.lanes[lane]
        others = (k for k in self.around(at.centre.min(axis=0), at.centre.max(axis=0)) if k != lane)
        return any(_crosses(at, self.lanes[k]) for k in others)


def _reach(lane: Lane) -> float:
    return float(max(lane.left_m.max(), lane.right_m.max()))


def _crosses(one: Lane, other: Lane) -> bool:
    """Whether two centre lines cut each other, away from their ends, at more than 20 degrees."""
    a, b = one.centre[:-1, None], other.centre[None, :-1]
    u, v = np.diff(one.centre, axis=0)[:, None], np.diff(other.centre, axis=0)[None]
    cross = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        s = ((b - a)[..., 0] * v[..., 1] - (b - a)[..., 1] * v[..., 0]) / cross
        t = ((b - a)[..., 0] * u[..., 1] - (b - a)[..., 1] * u[..., 0]) / cross
    cut = (
        (s >= 0)
        & (s <= 1)
        & (t >= 0)
        & (t <= 1)
        & (np.abs(np.sin(wrap(one.heading[:, None] - other.heading[None]))) > np.sin(CROSSING_RAD))
    )
    pieces = np.argwhere(cut)
    return any(1.0 < one.s_m[i] + s[i, k] * (one.s_m[i + 1] - one.s_m[i]) < one.length_m - 1.0 for i, k in pieces)
