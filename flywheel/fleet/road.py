"""The main road of a place: a reference line of straights, clothoids and one arc, and what lies beside it.

Road coordinates: s along the reference line (the line between the two directions), d to its left, both metres.
The ego's direction drives on negative d, the other direction on positive d.
"""

from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from flywheel.types import Record

Array = NDArray[np.float64]
GRID_M = 0.25
COARSE = 16
BIKE_M, PARKING_M, SIDEWALK_M = 1.6, 2.2, 2.5
SIDE_LANE_M, SIDE_WALK_M, SIDE_ROAD_M = 3.5, 2.0, 160.0


class Place(Record):
    """One variant of the town; everything still follows from it."""

    name: str
    seed: int
    lanes: int
    lane_m: float
    junction_s_m: float
    curve_s_m: float
    radius_m: float
    turn_rad: float
    clothoid_m: float = 25.0
    tail_m: float = 260.0
    lat_deg: float
    lon_deg: float

    @property
    def curve_m(self) -> float:
        """Length of the curve with both clothoids."""
        return abs(self.turn_rad) * self.radius_m + self.clothoid_m

    @property
    def length_m(self) -> float:
        """Length of the main road."""
        return self.curve_s_m + self.curve_m + self.tail_m

    def lane_d_m(self, index: int) -> float:
        """Centre of an ego-direction driving lane; index 0 is the rightmost."""
        return -(self.lanes - index - 0.5) * self.lane_m

    @property
    def kerb_m(self) -> float:
        """Distance from the reference line to the outer edge of the rightmost driving lane."""
        return self.lanes * self.lane_m

    @property
    def parking_d_m(self) -> float:
        """Centre of the parking strip on the ego's side."""
        return -(self.kerb_m + BIKE_M + PARKING_M / 2)

    @property
    def sidewalk_d_m(self) -> float:
        """Centre of the sidewalk on the ego's side."""
        return -(self.kerb_m + BIKE_M + PARKING_M + SIDEWALK_M / 2)


def places(seed: int) -> tuple[Place, ...]:
    """The three variants of the town that a fleet seed gives."""
    rng = np.random.default_rng([seed, 7])
    rows = (("elmfield", 2, 3.5, 75.0, 1.0), ("harbour", 2, 3.3, 60.0, -1.0), ("northgate", 3, 3.4, 90.0, 1.0))
    return tuple(
        Place(
            name=name, seed=int(rng.integers(1 << 31)), lanes=lanes, lane_m=lane_m, junction_s_m=float(540 + 10 * rng.integers(0, 5)),
            curve_s_m=820.0, radius_m=radius_m, turn_rad=sign * np.deg2rad(80.0), lat_deg=48.0 + i, lon_deg=11.0 + 0.5 * i,
        )
        for i, (name, lanes, lane_m, radius_m, sign) in enumerate(rows)
    )  # fmt: skip


class Line:
    """A smooth line in the world, sampled every 0.25 m: its length s, its points, heading and curvature at each."""

    def __init__(self, s: Array, x: Array, y: Array, heading_rad: Array, curvature_1pm: Array) -> None:
        self.s, self.x, self.y, self.heading_rad, self.curvature_1pm = s, x, y, heading_rad, curvature_1pm

    @cached_property
    def _coarse(self) -> Array:
        return np.stack([self.x[::COARSE], self.y[::COARSE]], axis=-1)

    def pose(self, s: Array | float, d: Array | float = 0.0) -> tuple[Array, Array, Array]:
        """World x, y and the reference line's heading at road coordinates."""
        s = np.asarray(s, float)
        heading = np.interp(s, self.s, self.heading_rad)
        x = np.interp(s, self.s, self.x) - d * np.sin(heading)
        y = np.interp(s, self.s, self.y) + d * np.cos(heading)
        return x, y, heading

    def curvature(self, s: Array | float, d: Array | float = 0.0) -> Array:
        """Curvature of the line at constant d, in 1/m, positive to the left."""
        kappa = np.interp(np.asarray(s, float), self.s, self.curvature_1pm)
        return np.asarray(kappa / (1.0 - kappa * d))

    def points(self, s0: float, s1: float, d: float, *, step_m: float = 4.0) -> tuple[tuple[float, float], ...]:
        """A polyline at constant d, one vertex every few metres."""
        s = np.linspace(s0, s1, max(2, int(np.ceil(abs(s1 - s0) / step_m)) + 1))
        x, y, _ = self.pose(s, d)
        return tuple((round(float(a), 3), round(float(b), 3)) for a, b in zip(x, y, strict=True))

    def project(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Road coordinates (s, d) of world points: nearest point of the reference line; NaN stays NaN."""
        flat_x, flat_y = np.ravel(x), np.ravel(y)
        near = np.empty(flat_x.shape, dtype=np.int64)
        for start in range(0, len(flat_x), 4096):
            part = slice(start, start + 4096)
            dx = flat_x[part, None] - self._coarse[None, :, 0]
            dy = flat_y[part, None] - self._coarse[None, :, 1]
            near[part] = np.argmin(np.nan_to_num(dx * dx + dy * dy), axis=1) * COARSE
        s = self.s[near]
        for _ in range(4):
            cx, cy, heading = self.pose(s)
            ahead = (flat_x - cx) * np.cos(heading) + (flat_y - cy) * np.sin(heading)
            left = -(flat_x - cx) * np.sin(heading) + (flat_y - cy) * np.cos(heading)
            kappa = np.interp(s, self.s, self.curvature_1pm)
            s = np.clip(s + ahead / np.maximum(1.0 - kappa * left, 0.2), self.s[0], self.s[-1])
        cx, cy, heading = self.pose(s)
        d = -(flat_x - cx) * np.sin(heading) + (flat_y - cy) * np.cos(heading)
        return s.reshape(np.shape(x)), d.reshape(np.shape(x))


class Road(Line):
    """The reference line of a place's main road."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.s = np.arange(-40.0, place.length_m + 40.0, GRID_M)
        curvature_1pm = self._curvature(self.s)
        heading = self._integral(curvature_1pm)
        super().__init__(self.s, self._integral(np.cos(heading)), self._integral(np.sin(heading)), heading, curvature_1pm)

    def _curvature(self, s: Array) -> Array:
        p = self.place
        end = p.curve_s_m + p.curve_m
        rise, fall = (s - p.curve_s_m) / p.clothoid_m, (end - s) / p.clothoid_m
        return np.asarray(np.sign(p.turn_rad) / p.radius_m * np.clip(np.minimum(rise, fall), 0.0, 1.0))

    def _integral(self, values: Array) -> Array:
        steps = 0.5 * (values[1:] + values[:-1]) * GRID_M
        total = np.concatenate([[0.0], np.cumsum(steps)])
        return np.asarray(total - np.interp(0.0, self.s, total))


@lru_cache(maxsize=8)
def road_of(place: Place) -> Road:
    """The road of a place, built once a process."""
    return Road(place)
