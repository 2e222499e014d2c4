"""The truth of things on and beside the road (rows 20, 33, 34, 39), from exact motions in road coordinates."""

from collections.abc import Iterator

import numpy as np

from flywheel.ego import FRONT_M, WIDTH_M
from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import EXIT, Array, Flags, Limits, Other, Rule, Truth, View, graded, intervals, runs, seconds
from flywheel.fleet.rules_crossing import EGO_M, close_by, covers, least
from flywheel.types import Level


def parked_car_door(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 20: a door of a standing vehicle, or a door that is an object of its own."""
    for other in view.others:
        is_door = other.mover.subclass == "door"
        if not (is_door or other.mover.opens):
            continue
        wide = np.array([other.mover.open_m(k / RATE_HZ) for k in range(len(view.s_m))])
        nearest = np.abs(other.d_m - view.d_m + wide / 2 * np.cos(other.turned_rad)) - covers(other)[1] - wide / 2
        standing = (other.mover.speed_mps < 0.5) & (is_door | (wide >= 0.4 * limits.strict))
        passing = standing & (other.gap_m <= 2.0 * view.speed_mps) & (other.gap_m >= -(EGO_M + other.length_m))
        floors = tuple(value / limits.strict for value in (1.0, 0.5))
        gap = nearest - WIDTH_M / 2
        yield from close_by(
            "parked_car_door", view, other, gap, passing, floors=floors, speed=5.0 * limits.strict, least_s=least(0.3, limits)
        )


def debris(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 33."""
    for other in view.others:
        if other.mover.subclass != "debris":
            continue
        ahead = other.s_m - view.s_m - FRONT_M
        inside = (ahead > 0) & (ahead <= 4.0 / limits.strict * view.speed_mps) & (np.abs(other.d_m - view.centre_m) <= 1.2 / limits.strict)
        for run in runs(inside):
            level = _reaction(view, other, limits, run) if seconds(run) >= least(0.3, limits) else None
            if level:
                yield Truth(scenario="debris", level=level, start=run[0], end=run[1], actors=(other.actor_id,))


def _reaction(view: View, other: Other, limits: Limits, run: tuple[int, int]) -> Level | None:
    """How the ego reacts before it is past: L2 hard braking; L1 braking, moving aside, or driving over it."""
    part, last = slice(run[0], run[1] + 1), run[1]
    braking = -float(view.accel_mps2[part].min())
    if braking >= 3.0 * limits.strict:
        return "L2"
    aside = np.abs(view.d_m[part] - view.d_m[run[0]]).max() >= 0.4 * limits.strict
    reach = (WIDTH_M + 2 * covers(other)[1][last]) / 2 / limits.strict
    over = (
        last + 1 < len(view.s_m) and other.s_m[last + 1] - view.s_m[last + 1] <= FRONT_M and abs(other.d_m[last] - view.d_m[last]) < reach
    )
    return "L1" if braking >= 1.5 * limits.strict or aside or over else None


def emergency_vehicle(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 34."""
    ego = view.drive.ego
    for other in view.others:
        m = other.mover
        if m.subclass != "emergency_vehicle" or not m.flashing:
            continue
        dx, dy = m.x_m - ego.x_m, m.y_m - ego.y_m
        distance = np.hypot(dx, dy)
        vx = m.speed_mps * np.cos(m.heading_rad) - ego.speed_mps * np.cos(ego.heading_rad)
        vy = m.speed_mps * np.sin(m.heading_rad) - ego.speed_mps * np.sin(ego.heading_rad)
        closing = -(dx * vx + dy * vy) / np.maximum(distance, 1e-6)
        near = distance <= 100.0 / limits.strict
        soon = distance <= 8.0 / limits.strict * np.maximum(closing, 0.0)
        yields = near & soon & _comes(view, other, dx, dy) & (m.speed_mps >= 3.0 * limits.strict)
        for span in intervals(near, near):
            level = graded([near, yields], span, least_s=least(1.0, limits))
            if level:
                yield Truth(scenario="emergency_vehicle", level=level, start=span[0], end=span[1], actors=(other.actor_id,))


def _comes(view: View, other: Other, dx: Array, dy: Array) -> Flags:
    """Whether it drives the ego's way from behind, or across it."""
    ego, heading = view.drive.ego, view.drive.ego.heading_rad
    turned = np.abs(np.angle(np.exp(1j * (other.mover.heading_rad - ego.heading_rad))))
    ahead = dx * np.cos(heading) + dy * np.sin(heading)
    return np.asarray(np.where(turned <= np.pi / 4, ahead < 5.0, turned < 3 * np.pi / 4))


def animal(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 39."""
    for other in view.others:
        if other.mover.subclass != "animal":
            continue
        ahead = other.s_m - view.s_m - FRONT_M
        corridor = (ahead > 0) & (np.abs(other.d_m - view.centre_m) - covers(other)[1] <= 1.2 / limits.strict)
        near = corridor & (ahead <= 60.0 / limits.strict)
        arrival = ahead / np.maximum(view.speed_mps, 0.1)
        levels = [near, near & (arrival <= 2.0 / limits.strict), near & (arrival <= 1.0 / limits.strict)]
        for span in intervals(near, corridor & (ahead <= 60.0 / limits.strict / EXIT)):
            level = graded(levels, span, least_s=least(0.3, limits))
            if level:
                yield Truth(scenario="animal", level=level, start=span[0], end=span[1], actors=(other.actor_id,))


RULES: dict[str, Rule] = {
    "parked_car_door": parked_car_door, "debris": debris, "emergency_vehicle": emergency_vehicle, "animal": animal,
}  # fmt: skip
