"""A made stretch of road for scenes with maps: two lanes of 3.5 m, a junction from x = 100 to 120 m, one lane beyond; no real data.

In road coordinates the ego drives along +x in the left lane (y = 1.75) from x = 60 m at 10 m/s. The world is turned by 0.5 rad and moved,
so that nothing works by accident.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TURN = 0.5
PLACE = np.array([1000.0, 500.0])
SPEED_MPS, X0_M, LANE_M = 10.0, 60.0, 3.5
JUNCTION_M, OUT_M, END_M, STOP_M = 100.0, 120.0, 400.0, 93.0
CROSSWALK_M = (95.0, 99.0)
COUNT, STEP_S = 41, 0.1
# Lane id -> (first x, last x, y of its right edge, in the junction, lane to the right, lanes after)
LANES: dict[str, tuple[float, float, float, bool, str | None, tuple[str, ...]]] = {
    "11": (0.0, JUNCTION_M, 0.0, False, "12", ("13",)),
    "12": (0.0, JUNCTION_M, -LANE_M, False, None, ()),
    "13": (JUNCTION_M, OUT_M, 0.0, True, None, ("14",)),
    "14": (OUT_M, END_M, 0.0, False, None, ()),
}


def world(points: Any) -> Array:
    """(N, 2) world points of road coordinates."""
    c, s = np.cos(TURN), np.sin(TURN)
    return np.asarray(points, float) @ np.array([[c, s], [-s, c]]) + PLACE


def edge(name: str, *, left: bool, points: int = 4) -> Array:
    """(points, 2) world points of a lane's edge."""
    first, last, right, *_ = LANES[name]
    y = right + LANE_M if left else right
    return world([[x, y] for x in np.linspace(first, last, points)])


def middle(name: str, *, points: int = 5) -> Array:
    """(points, 2) world points of a lane's centre line."""
    return (edge(name, left=True, points=points) + edge(name, left=False, points=points)) / 2


def crosswalk() -> Array:
    """(4, 2) world points of the crosswalk before the junction."""
    a, b = CROSSWALK_M
    return world([[a, -4.0], [a, 4.0], [b, 4.0], [b, -4.0]])


def path(x0: float, y: float, speed: float, *, count: int = COUNT) -> Array:
    """(count, 2) world places of something that drives along the road."""
    return world([[x0 + speed * k * STEP_S, y] for k in range(count)])


def velocity(speed: float) -> Array:
    """(2,) world velocity along the road."""
    return speed * np.array([np.cos(TURN), np.sin(TURN)])
