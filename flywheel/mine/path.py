"""Where things lie along the ego's path: distance ahead, distance to the left, and heading against it.

With poses the path is the line the ego drove; without, it is the arc of the present yaw rate.
"""

from dataclasses import dataclass

import numpy as np

from flywheel.mine.segments import Mask, Reals

STEP_M = 1.0
AHEAD_M = 150.0
BEHIND_M = 100.0
STEPS = 12
CLOSE_M = 0.02
MAX_CURVATURE_1PM = 0.2


@dataclass(frozen=True)
class Line:
    """A polyline with vertices every metre; `s_m` is the distance along it, headings are unwrapped."""

    s_m: Reals
    x_m: Reals
    y_m: Reals
    heading_rad: Reals

    def at(self, s_m: Reals) -> tuple[Reals, Reals, Reals]:
        """(x, y, heading) at distances along the line; beyond the ends the outermost vertex."""
        place = np.clip((s_m - self.s_m[0]) / STEP_M, 0, len(self.s_m) - 1.000001)
        low = place.astype(np.int64)
        share = place - low
        x, y, heading = ((1 - share) * part[low] + share * part[low + 1] for part in (self.x_m, self.y_m, self.heading_rad))
        return x, y, heading


def driven(pose: tuple[Reals, Reals, Reals], travelled_m: Reals, *, end_curvature_1pm: float = 0.0) -> Line:
    """The line driven, a vertex every metre; prolonged straight before its start and on the last curve beyond its end."""
    x, y, heading = pose
    grid = np.arange(0.0, np.floor(travelled_m.max() / STEP_M) + 1) * STEP_M
    furthest = np.maximum.accumulate(travelled_m)
    gx, gy = np.interp(grid, furthest, x), np.interp(grid, furthest, y)
    back, (on_x, on_y) = np.arange(BEHIND_M, 0, -STEP_M), _onward(float(heading[-1]), end_curvature_1pm)
    gx = np.concatenate([gx[0] - back * np.cos(heading[0]), gx, gx[-1] + on_x])
    gy = np.concatenate([gy[0] - back * np.sin(heading[0]), gy, gy[-1] + on_y])
    s_m = np.arange(len(gx), dtype=np.float64) * STEP_M - BEHIND_M
    return Line(s_m, gx, gy, _headings(gx, gy))


def _onward(heading_rad: float, curvature_1pm: float) -> tuple[Reals, Reals]:
    """Steps on along a circle, at most a quarter turn of it, then straight."""
    turned = np.clip(np.arange(STEP_M / 2, AHEAD_M, STEP_M) * curvature_1pm, -np.pi / 2, np.pi / 2)
    return np.cumsum(np.cos(heading_rad + turned)) * STEP_M, np.cumsum(np.sin(heading_rad + turned)) * STEP_M


def _headings(x: Reals, y: Reals) -> Reals:
    dx, dy = np.gradient(x), np.gradient(y)
    return np.unwrap(np.arctan2(dy, dx))


@dataclass(frozen=True)
class Placed:
    """Points in path coordinates: metres along, metres to the left, the path's heading there, and whether a foot was found."""

    s_m: Reals
    left_m: Reals
    heading_rad: Reals
    found: Mask


def place(line: Line, x_m: Reals, y_m: Reals, *, guess_m: Reals) -> Placed:
    """Feet of points on a line, by Newton steps from a guess along it."""
    s_m, left_m, turn = guess_m.copy(), np.zeros_like(guess_m), np.zeros_like(guess_m)
    open_ = np.arange(len(s_m))
    for _ in range(STEPS):
        px, py, heading = line.at(s_m[open_])
        dx, dy, c, s = x_m[open_] - px, y_m[open_] - py, np.cos(heading), np.sin(heading)
        left_m[open_], turn[open_] = dy * c - dx * s, heading
        move = np.clip(dx * c + dy * s, -10.0, 10.0)
        s_m[open_] += move
        open_ = open_[np.abs(move) > CLOSE_M]
    found = np.ones(len(s_m), bool)
    found[open_] = False
    return Placed(s_m, left_m, turn, found)


def place_on_arc(curvature_1pm: Reals, x_m: Reals, y_m: Reals) -> Placed:
    """Points in the ego frame placed on the circle the ego is on (positive curvature turns left)."""
    k = np.clip(curvature_1pm, -MAX_CURVATURE_1PM, MAX_CURVATURE_1PM)
    k = np.where(np.abs(k) < 1e-6, 1e-6, k)
    angle = np.arctan2(k * x_m, 1 - k * y_m)
    left = (1 - np.hypot(k * x_m, 1 - k * y_m)) / k
    return Placed(angle / k, left, angle, np.abs(angle) < np.pi / 2)
