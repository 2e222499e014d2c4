"""Post-encroachment times of crossings: both sweep one zone of the road, one after the other.

The zone is the ego's driven corridor, as wide as the ego, over the length that the other's box covers while it is inside. So no map
is needed, and nothing is predicted: both truly were there.
"""

from dataclasses import dataclass

import numpy as np

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.mine.measures import pet
from flywheel.mine.path import Line, driven, place
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, Spans, runs
from flywheel.mine.signals import Ego

Pose = tuple[Reals, Reals, Reals]


@dataclass(frozen=True)
class Moves:
    """Boxes of other road users in the ego frame, one track after the other (the clock breaks between two); m and rad."""

    clock: Clock
    t_ns: Ints
    x_m: Reals
    y_m: Reals
    heading_rad: Reals
    length_m: Reals
    width_m: Reals

    def take(self, rows: Ints) -> "Moves":
        """Some of the rows."""
        boxes = (part[rows] for part in (self.x_m, self.y_m, self.heading_rad, self.length_m, self.width_m))
        return Moves(Clock(self.clock.t_ns[rows], self.clock.max_gap_ns), self.t_ns[rows], *boxes)


def travelled_pose(ego: Ego) -> Pose | None:
    """The ego's pose, dead-reckoned from speed and yaw rate where the drive has none; None without either."""
    if ego.pose is not None or ego.yaw is None:
        return ego.pose
    step_s = np.diff(ego.clock.t_ns, prepend=ego.clock.t_ns[:1]) / NS
    heading = np.cumsum(ego.yaw * step_s)
    return np.cumsum(ego.speed * np.cos(heading) * step_s), np.cumsum(ego.speed * np.sin(heading) * step_s), heading


def crossing_pets(moves: Moves, ego: Ego) -> tuple[Ints, Reals, Ints]:
    """Every crossing of the ego's corridor from one side to the other: its first row inside, PET in s, when the second enters in ns.

    The PET is infinite where the ego never reached the zone. None is given for who was first or last seen inside the corridor.
    """
    pose = travelled_pose(ego)
    if pose is None or len(moves.t_ns) == 0:
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
    line = driven(pose, ego.travelled_m, end_curvature_1pm=ego.end_curvature_1pm)
    s_m, left_m, reach_m, margin_m = _placed(moves, ego, pose, line)
    spans = _through(runs(margin_m > 0, moves.clock), moves.clock, left_m)
    base = int(ego.clock.t_ns[0])
    t_s = (moves.t_ns - base) / NS
    enters, leaves = _edge(t_s, margin_m, spans.first - 1), _edge(t_s, margin_m, spans.last)
    low = np.array([(s_m - reach_m)[a : b + 1].min() for a, b in zip(spans.first, spans.last, strict=True)])
    high = np.array([(s_m + reach_m)[a : b + 1].max() for a, b in zip(spans.first, spans.last, strict=True)])
    comes, goes = _reached_s(ego, low - FRONT_M), _reached_s(ego, high - REAR_M)
    second = np.where(np.isfinite(comes), np.maximum(comes, enters), enters)
    return spans.first, pet(comes, goes, enters, leaves), base + np.round(second * NS).astype(np.int64)


def _placed(moves: Moves, ego: Ego, pose: Pose, line: Line) -> tuple[Reals, Reals, Reals, Reals]:
    """Places along and left of the line, half of what a box covers along it, and how far it reaches into the corridor; m."""
    ex, ey, turn = (ego.at(moves.t_ns, part) for part in pose)
    c, s = np.cos(turn), np.sin(turn)
    x, y = moves.x_m, moves.y_m
    foot = place(line, ex + x * c - y * s, ey + x * s + y * c, guess_m=ego.at(moves.t_ns, ego.travelled_m) + x)
    turned = moves.heading_rad + turn - foot.heading_rad
    c, s = np.abs(np.cos(turned)) / 2, np.abs(np.sin(turned)) / 2
    margin = s * moves.length_m + c * moves.width_m + WIDTH_M / 2 - np.abs(foot.left_m)
    return foot.s_m, foot.left_m, c * moves.length_m + s * moves.width_m, np.where(foot.found, margin, -1.0)


def _through(spans: Spans, clock: Clock, left_m: Reals) -> Spans:
    """The stretches that begin on one side of the corridor and end on the other, both seen."""
    before, after = spans.first - 1, np.minimum(spans.last + 1, len(left_m) - 1)
    seen: Mask = (spans.first > 0) & (spans.last + 1 < len(left_m)) & ~clock.broken[spans.first] & ~clock.broken[after]
    return spans.take(seen & (left_m[before] * left_m[after] < 0))


def _edge(t_s: Reals, margin_m: Reals, at: Ints) -> Reals:
    """When the margin is zero between rows `at` and the next."""
    early, late = margin_m[at], margin_m[at + 1]
    return np.asarray(t_s[at] + (t_s[at + 1] - t_s[at]) * early / (early - late))


def _reached_s(ego: Ego, way_m: Reals) -> Reals:
    """When the ego had come so far, s since its first sample: -inf if before, inf if never."""
    furthest = np.maximum.accumulate(ego.travelled_m)
    at = np.searchsorted(furthest, way_m)
    high = np.clip(at, 1, max(len(furthest) - 1, 1))
    t_s, step = (ego.clock.t_ns - ego.clock.t_ns[0]) / NS, furthest[high] - furthest[high - 1]
    share = np.clip((way_m - furthest[high - 1]) / np.where(step > 0, step, 1.0), 0.0, 1.0)
    when = t_s[high - 1] + share * (t_s[high] - t_s[high - 1])
    return np.where(at == 0, -np.inf, np.where(at == len(furthest), np.inf, when))
