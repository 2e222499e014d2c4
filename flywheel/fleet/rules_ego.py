"""The truth of how the ego moves, from its exact motion at 100 Hz: rows 2 to 6, 27 and 38. The numbers are the definitions'.

Intervals, exit ratio and merging are the oracle's. Jerk is the slope of the line that fits the acceleration best over 0.8 s.
"""

from collections.abc import Iterator

import numpy as np

from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import EXIT, Array, Flags, Limits, Rule, Truth, View, graded, intervals, runs, seconds

JERK_S, LAG_S, REVERSES_S, AHEAD_S = 0.8, 1.5, 2.0, 3.0


def _above(scenario: str, value: Array, bounds: tuple[float, ...], *, least_s: float, also: Flags | None = None) -> Iterator[Truth]:
    """Events of a value at or above bounds (L1, L2, L3), where `also` holds too."""
    kept = np.ones(len(value), bool) if also is None else also
    for span in intervals((value >= bounds[0]) & kept, (value >= EXIT * bounds[0]) & kept):
        level = graded([(value >= bound) & kept for bound in bounds], span, least_s=least_s)
        if level:
            yield Truth(scenario=scenario, level=level, start=span[0], end=span[1])


def _scaled(limits: Limits, *bounds: float) -> tuple[float, ...]:
    return tuple(bound * limits.strict for bound in bounds)


def hard_acceleration(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 2: a_x >= 2.4 / 3.4 m/s2 for 0.5 s."""
    yield from _above("hard_acceleration", view.accel_mps2, _scaled(limits, 2.4, 3.4), least_s=0.5)


def hard_cornering(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 3: |a_y| >= 3.0 / 4.89 / 7.4 m/s2 for 0.5 s."""
    yield from _above("hard_cornering", np.abs(view.lateral_mps2), _scaled(limits, 3.0, 4.89, 7.4), least_s=0.5)


def _slope(value: Array) -> Array:
    """The slope of the line through the 81 samples around each, per second."""
    reach = round(JERK_S * RATE_HZ) // 2
    places = np.arange(reach, -reach - 1, -1) / RATE_HZ
    return np.convolve(np.pad(value, reach, mode="edge"), places / np.square(places).sum(), mode="valid")


def high_jerk(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 4: |j_x| >= 4.13 or |j| >= 8.37 m/s3 for 0.2 s, at 1 m/s or more."""
    along, across = _slope(view.accel_mps2), _slope(view.lateral_mps2)
    bounds = np.maximum(np.abs(along) / 4.13, np.hypot(along, across) / 8.37)
    yield from _above("high_jerk", bounds, _scaled(limits, 1.0), least_s=0.2, also=view.speed_mps >= 1.0)


def brake_steer_evasion(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 6: a_x <= -2, |a_y| >= 2 and both together 5 m/s2 or more, for 0.3 s."""
    brake, across = -view.accel_mps2, np.abs(view.lateral_mps2)
    share = np.minimum(np.hypot(brake, across) / 5.0, np.minimum(brake, across) / 2.0)
    yield from _above("brake_steer_evasion", share, _scaled(limits, 1.0), least_s=0.3)


def curve_speed_excess(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 27: speed squared times the largest curvature of the lane over the next 3 s of travel >= 3.0 / 4.9 m/s2 for 0.5 s.

    Off the ego's road: speed times yaw rate.
    """
    road, needed = view.drive.road, np.abs(view.lateral_mps2)
    turned = view.drive.ego.heading_rad - np.interp(view.s_m, road.s, road.heading_rad)
    on_road = (np.cos(turned) > 0.5) & (view.d_m < view.drive.place.lane_m)
    reach = np.max(
        [np.abs(road.curvature(view.s_m + k / 10 * view.speed_mps, view.centre_m)) for k in range(round(AHEAD_S * 10) + 1)], axis=0
    )
    needed = np.where(on_road, view.speed_mps**2 * reach, needed)
    yield from _above("curve_speed_excess", needed, _scaled(limits, 3.0, 4.9), least_s=0.5, also=view.speed_mps >= 3.0)


def _reversing(across: Array, bound: float) -> Flags:
    """Samples of strong lateral acceleration with an equally strong one to the other side up to 2 s earlier or later."""
    sides = [runs(across >= bound), runs(across <= -bound)]
    found = np.zeros(len(across), bool)
    for mine, others in (sides, sides[::-1]):
        for a, b in mine:
            if any(a - d <= REVERSES_S * RATE_HZ and c - b <= REVERSES_S * RATE_HZ for c, d in others):
                found[a : b + 1] = True
    return found


def _off(heading: Array) -> Array:
    """How far the heading is off, in degrees, both what it was 1.5 s before and what it is 1.5 s after, to the same side."""
    lag, off = round(LAG_S * RATE_HZ), np.zeros(len(heading))
    if len(heading) > 2 * lag:
        before, after = heading[lag:-lag] - heading[: -2 * lag], heading[lag:-lag] - heading[2 * lag :]
        off[lag:-lag] = np.maximum(np.minimum(before, after), np.minimum(-before, -after))
    return np.degrees(np.maximum(off, 0.0))


def _beside(view: View, part: slice) -> tuple[float, Array]:
    """The heading change over a stretch, and how far beside the arc of that change each place of it is."""
    ego = view.drive.ego
    x, y, heading = ego.x_m[part] - ego.x_m[part.start], ego.y_m[part] - ego.y_m[part.start], ego.heading_rad[part]
    turned = float(heading[-1] - heading[0])
    length = max(float(ego.speed_mps[part].sum()) / RATE_HZ, 1e-6)
    kappa = turned / length if abs(turned) > 1e-4 else 1e-4 / length
    ahead, left = x * np.cos(heading[0]) + y * np.sin(heading[0]), y * np.cos(heading[0]) - x * np.sin(heading[0])
    return turned, (1.0 - np.hypot(kappa * ahead, 1.0 - kappa * left)) / kappa


def swerve(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 5: a_y reverses with 2.5 m/s2 to both sides, or the heading is 4 degrees off for less than 3 s; at least 0.5 m beside the line,

    no turn (less than 10 degrees from 1.5 s before to 1.5 s after) and no lane change (it ends less than 1.5 m beside the line).
    """
    across, off, fast = view.lateral_mps2, _off(view.drive.ego.heading_rad), view.speed_mps >= 5.0
    bound, angle = 2.5 * limits.strict, 4.0 * limits.strict
    shaken = _reversing(across, bound)
    near = np.zeros(len(across), bool)
    for a, b in intervals(shaken, np.abs(across) >= EXIT * bound):
        near[a : b + 1] = True
    enter, stay = shaken | ((off >= angle) & fast), near | ((off >= EXIT * angle) & fast)
    for start, end in intervals(enter, stay):
        margin = round(LAG_S * RATE_HZ)
        turned, side = _beside(view, slice(max(start - margin, 0), min(end + margin, len(across) - 1) + 1))
        straight_on = abs(turned) < np.radians(10.0) / limits.strict and abs(side[-1]) < 1.5 / limits.strict
        if seconds((start, end)) >= 0.5 and straight_on and np.abs(side).max() >= 0.5 * limits.strict:
            yield Truth(scenario="swerve", level="L1", start=start, end=end)


def u_turn(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 38: the heading turns by 150 degrees or more to one side within 20 s, on a mean radius of 15 m or less."""
    ego = view.drive.ego
    for side in (1.0, -1.0):
        rate = side * ego.yaw_rate_radps
        for start, end in intervals(rate >= 0.1, rate >= EXIT * 0.1):
            turned = side * float(ego.heading_rad[end] - ego.heading_rad[start])
            way = float(np.abs(ego.speed_mps[start:end]).sum()) / RATE_HZ
            small = way <= 15.0 / limits.strict * turned and seconds((start, end)) <= 20.0 / limits.strict
            if turned >= np.radians(150.0) * limits.strict and small:
                yield Truth(scenario="u_turn", level="L1", start=start, end=end)


RULES: dict[str, Rule] = {
    "hard_acceleration": hard_acceleration, "hard_cornering": hard_cornering, "high_jerk": high_jerk, "swerve": swerve,
    "brake_steer_evasion": brake_steer_evasion, "curve_speed_excess": curve_speed_excess, "u_turn": u_turn,
}  # fmt: skip
