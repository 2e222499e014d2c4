"""What truly happened along the ego's path: rows 9, 11, 12, 14 and 32 of the catalogue, from the exact motions.

Numbers are written here and meet `limits.strict` (times it where large counts, over it where small counts). All hold only while the ego
itself drives along the road (within 45 degrees of it).
- lead_brakes: the lead's acceleration <= -3 / -5 m/s2 for 0.3 s at a headway under 2 s.
- low_thw: headway to the lead <= 1 / 0.5 s for 3 s at 8 m/s or more. tailgater: that of who follows, over its own speed, <= 0.8 s.
- rss_violation: same way, ahead or alongside, own lane or the next; both gaps under the distances of 'esmini R157-RSS', for 0.3 s.
- stationary_object: the nearest in the corridor, slower than 0.5 m/s, within 80 m, TTC <= 5 s, closing at 1 m/s or more, for 0.5 s;
  no more than 20 m beyond where the ego's drive ends.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet.oracle import EXIT, Array, Flags, Limits, Other, Rule, Truth, View, graded, half_width, intervals, nearest
from flywheel.fleet.simulate import Mover

RIDERS = ("car", "truck", "bus", "cyclist")


def stretch(view: View) -> Array:
    """Metres of the ego's lane for a metre of the road."""
    return np.asarray(1.0 / (1.0 + view.kappa_1pm * view.centre_m))


def riders(view: View) -> list[Other]:
    return [other for other in view.others if other.cls in RIDERS]


def _rear_gap(view: View, other: Other) -> Array:
    """From the ego's rear end back to the other's front."""
    return np.asarray((view.s_m - other.s_m) * stretch(view) - other.length_m / 2 + REAR_M)


def _graded(
    name: str, view: View, who: NDArray[np.int64], holds: list[Flags], stay: Flags, *, least_s: float, others: list[Other]
) -> Iterator[Truth]:
    """Intervals of a series of leads (or followers) and everyone who was one while the mildest level held."""
    course = view.on_course
    holds = [flags & course for flags in holds]
    for span in intervals(holds[0], stay & course):
        level = graded(holds, span, least_s=least_s)
        part = slice(span[0], span[1] + 1)
        ids = {others[k].actor_id for k in np.unique(who[part][holds[0][part]]) if k >= 0}
        if level:
            yield Truth(scenario=name, level=level, start=span[0], end=span[1], actors=tuple(sorted(ids)))


def _of(who: NDArray[np.int64], series: list[Array], none: float) -> Array:
    """The value of whoever it is at every instant."""
    found = np.full(len(who), none)
    for k, values in enumerate(series):
        found = np.where(who == k, values, found)
    return found


def _headway(gap: Array, speed: Array) -> Array:
    return np.where(speed > 0.05, gap / np.maximum(speed, 0.05), np.inf)


def low_thw(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 11."""
    gap, _, who = nearest(view)
    headway, fast = _headway(gap, view.speed_mps), view.speed_mps >= 8.0 * limits.strict
    holds = [fast & (headway <= value / limits.strict) for value in (1.0, 0.5)]
    yield from _graded("low_thw", view, who, holds, fast & (headway <= 1.0 / EXIT / limits.strict), least_s=3.0, others=list(view.others))


def tailgater(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 12."""
    others, gap = riders(view), np.full(len(view.s_m), np.inf)
    who = np.full(len(view.s_m), -1)
    for k, other in enumerate(others):
        back = _rear_gap(view, other)
        over = (np.abs(other.d_m - view.d_m) < half_width(other) + WIDTH_M / 2) & other.aligned & (back > 0) & (back < gap)
        gap, who = np.where(over, back, gap), np.where(over, k, who)
    speed = _of(who, [other.along_mps for other in others], 0.0)
    headway, fast = _headway(gap, speed), speed >= 8.0 * limits.strict
    hold = fast & (headway <= 0.8 / limits.strict)
    yield from _graded("tailgater", view, who, [hold], fast & (headway <= 0.8 / EXIT / limits.strict), least_s=3.0, others=others)


def lead_brakes(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 9."""
    gap, _, who = nearest(view)
    accel = _of(who, [other.mover.accel_mps2 for other in view.others], np.nan)
    headway = _headway(gap, view.speed_mps)
    holds = [(accel <= value * limits.strict) & (headway < 2.0 / limits.strict) for value in (-3.0, -5.0)]
    stay = (accel <= -3.0 * EXIT * limits.strict) & (headway < 2.0 / EXIT / limits.strict)
    yield from _graded("lead_brakes", view, who, holds, stay, least_s=0.3, others=list(view.others))


def parked(view: View) -> Iterator[Other]:
    """The parked cars that come within 6 m of the ego's course across the line."""
    line, samples = view.line, len(view.s_m)
    for car in view.drive.parked:
        s, d = (float(part[0]) for part in line.project(np.array([car.x_m]), np.array([car.y_m])))
        if np.abs(d - view.d_m).min() > 6.0:
            continue
        x, y, heading, zero = (np.full(samples, value) for value in (car.x_m, car.y_m, car.heading_rad, 0.0))
        still = Mover(car.actor_id, car.cls, x, y, heading, zero, zero, size_m=(car.length_m, car.width_m, car.height_m))
        turned = np.full(samples, car.heading_rad - np.interp(s, line.s, line.heading_rad))
        gap = (s - view.s_m) * stretch(view) - car.length_m / 2 - FRONT_M
        yield Other(
            car.actor_id, car.cls, np.full(samples, s), np.full(samples, d), zero, np.cos(turned) > np.cos(np.pi / 4), gap,
            car.width_m, length_m=car.length_m, mover=still, turned_rad=turned, across_mps=zero,
        )  # fmt: skip


def _ahead(view: View, other: Other) -> Array:
    """From the ego's front to the nearest of a box as it is turned; infinite outside the ego's corridor."""
    c, s = np.abs(np.cos(other.turned_rad)), np.abs(np.sin(other.turned_rad))
    centre = (other.s_m - view.s_m) * stretch(view) - FRONT_M
    inside = (centre > 0) & (np.abs(other.d_m - view.d_m) < half_width(other) + WIDTH_M / 2)
    return np.where(inside, np.maximum(centre - (c * other.length_m + s * other.width_m) / 2, 0.0), np.inf)


def stationary_object(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 32, along the ego's own path where it leaves the road."""
    view = view.own
    things = [other for other in (*view.others, *parked(view)) if other.cls != "pedestrian"]
    gap, who = np.full(len(view.s_m), np.inf), np.full(len(view.s_m), -1)
    for k, thing in enumerate(things):
        ahead = np.where(thing.s_m - view.s_m[-1] <= 20.0, _ahead(view, thing), np.inf)
        gap, who = np.where(ahead < gap, ahead, gap), np.where(ahead < gap, k, who)
    pace, along = _of(who, [thing.mover.speed_mps for thing in things], np.inf), _of(who, [thing.along_mps for thing in things], np.inf)
    closing = view.speed_mps - along
    ttc = np.where((closing > 0) & (gap <= 80.0 / limits.strict), gap / np.maximum(closing, 1e-6), np.inf)
    course = view.on_course
    hold = course & (pace < 0.5 / limits.strict) & (closing >= 1.0 * limits.strict) & (ttc <= 5.0 / limits.strict)
    stay = course & (pace < 0.5 / EXIT) & (closing >= EXIT) & (ttc <= 5.0 / EXIT / limits.strict)
    for span in intervals(hold, stay):
        part = slice(span[0], span[1] + 1)
        if graded([hold], span, least_s=0.5):
            ids = {things[k].actor_id for k in np.unique(who[part][hold[part]]) if k >= 0}
            yield Truth(scenario="stationary_object", level="L1", start=span[0], end=span[1], actors=tuple(sorted(ids)))


def _rss_along(rear: Array, front: Array) -> Array:
    """Least gap behind one that drives the same way: response 0.75 s, 3.0 m/s2, both brake at 0.774 g."""
    after, brake = rear + 0.75 * 3.0, 0.774 * 9.81
    least = rear * 0.75 + 0.5 * 3.0 * 0.75**2 + (after**2 - np.maximum(front, 0.0) ** 2) / (2 * brake)
    return np.asarray(np.maximum(least, 1e-3))


def _rss_across(other: Array, own: Array) -> Array:
    """Least gap across for speeds towards each other: the other answers after 0.75 s at 1 m/s2, the ego at once."""
    fast = other + 0.75
    return 0.3 + np.maximum((other + fast) * 0.75 / 2 + np.maximum(fast, 0.0) ** 2 / 2 + np.maximum(own, 0.0) ** 2 / 2, 0.0)


def _door_m(view: View, other: Other) -> Array:
    """By how much an open door of the other's left side widens its box, at every instant."""
    opens, closes, by = other.mover.opens or (0.0, 0.0, 0.0)
    t_s = view.drive.ego.t_s
    return np.where((t_s >= opens) & (t_s < closes), by, 0.0)


def rss_violation(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 14, along the ego's own path where it leaves the road."""
    view = view.own
    course = view.on_course
    for other in (*riders(view), *parked(view)):
        side = np.sign(other.d_m - view.d_m)
        clear = np.abs(other.d_m - view.d_m) - half_width(other) - WIDTH_M / 2 - np.where(side < 0, _door_m(view, other), 0.0)
        beside = clear < _rss_across(-side * other.across_mps, side * view.v_lat_mps) / limits.strict
        close = np.abs(other.d_m - view.centre_m) < 1.5 * view.drive.place.lane_m
        same = course & other.aligned & ((other.s_m - view.s_m) > 0) & close & beside
        share = np.maximum(other.gap_m, 0.0) / _rss_along(view.speed_mps, other.along_mps)
        hold = same & (share < 1.0 / limits.strict)
        for span in intervals(hold, same & (share < 1.0 / EXIT / limits.strict)):
            if graded([hold], span, least_s=0.3):
                yield Truth(scenario="rss_violation", level="L1", start=span[0], end=span[1], actors=(other.actor_id,))


RULES: dict[str, Rule] = {
    "lead_brakes": lead_brakes, "low_thw": low_thw, "tailgater": tailgater, "rss_violation": rss_violation,
    "stationary_object": stationary_object,
}  # fmt: skip
