"""What truly happened against the rules of the road, rows 21, 23 to 25, 31, 35 to 37; numbers as the catalogue gives them.

- red_light_running: the front bumper crosses the line at 2 m/s or more, 0.5 s or more after red; until the rear bumper has crossed it.
- red_light_running_other: somebody crossing (45 to 135 degrees, 2 m/s across) within 80 m whose front enters the carriageway in the
  junction, the ego still before it, 2 s or more after the ego's green began; until the rear has left the carriageway.
- yellow_dilemma: at the onset of yellow the line is 2.5 to 5.5 s away; until yellow ends or the front bumper crosses the line.
- rolling_stop: the lowest speed within 3 m of a stop sign's line is over 1.5 m/s; from 3 m before to 3 m after.
- unprotected_left: see `unprotected_left`.
- construction_nudge: 0.4 m off the centre for 1 s with 3 cones, barriers or signs within 20 m, then back in the same lane.
- wrong_way_vehicle: a vehicle within 80 m ahead, in a lane of the ego's direction, over 120 degrees off it, 3 m/s, for 1 s.
- oncoming_incursion: an oncoming box 0.3 m over the ego lane's edge for 0.3 s, less than 4 s away.
- road_departure: a corner 0.3 m outside the drivable area for 0.2 s. lane_departure: 0.5 m off the centre for 2 s, no lane change.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import EXIT, Array, Flags, Limits, Other, Rule, Truth, View, intervals, runs, seconds
from flywheel.fleet.road import BIKE_M, PARKING_M

WORKS, VEHICLES, RIDERS = ("cone", "barrier", "sign"), ("car", "truck", "bus"), ("car", "truck", "bus", "cyclist")


def _turned(view: View) -> Array:
    """The ego's heading against the road's."""
    return np.asarray(view.drive.ego.heading_rad - np.interp(view.s_m, view.drive.road.s, view.drive.road.heading_rad))


def _edge_m(view: View) -> float:
    return view.drive.place.kerb_m + BIKE_M + PARKING_M


def _in_junction(view: View) -> Flags:
    net = view.drive.network
    depth = max(y for _, y in net.junction_outline)
    return np.asarray((view.s_m + FRONT_M >= net.junction_in_s_m) & (view.s_m <= net.junction_out_s_m) & (np.abs(view.d_m) <= depth))


def _off_centre(view: View) -> Array:
    """Distance from the lane's centre, 0 in the junction and off the road."""
    off = np.abs(view.d_m - view.centre_m)
    return np.where(_in_junction(view) | np.isnan(off), 0.0, off)


def _light(view: View) -> tuple[NDArray[np.int64], Array]:
    """Which entry of the script's lights shows at each instant, and for how many seconds it has."""
    begins, t_s = np.array([start for start, _ in view.drive.plan.lights]), np.arange(len(view.s_m)) / RATE_HZ
    at = np.searchsorted(begins, t_s, side="right") - 1
    return at, t_s - begins[at]


def _shows(view: View, state: str) -> Flags:
    at, _ = _light(view)
    return np.array([said == state for _, said in view.drive.plan.lights])[at] & (view.drive.plan.control == "light")


def _line_m(view: View) -> Array:
    return np.asarray(view.drive.network.stop_line_s_m - view.s_m - FRONT_M)


def _first(flags: Flags, since: int) -> int:
    """The first instant with the flag from one on, the last instant if there is none."""
    later = np.flatnonzero(flags[since:])
    return since + int(later[0]) if len(later) else len(flags) - 1


def red_light_running(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 21, the ego."""
    line, (_, held) = _line_m(view), _light(view)
    late = _shows(view, "red") & (held >= 0.5 * limits.strict) & (view.speed_mps >= 2.0 * limits.strict)
    for k in np.flatnonzero((line[1:] <= 0) & (line[:-1] > 0)) + 1:
        if late[k]:
            yield Truth(scenario="red_light_running", level="L1", start=int(k), end=_first(line <= REAR_M - FRONT_M, int(k)))


def red_light_running_other(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 21, somebody else."""
    net, edge, (_, held) = view.drive.network, _edge_m(view), _light(view)
    green = _shows(view, "green") & (held >= 2.0 * limits.strict) & (view.s_m + FRONT_M <= net.junction_in_s_m)
    for other in view.others:
        way = np.sign(other.across_mps)
        half = other.length_m / 2 * np.abs(np.sin(other.turned_rad)) + other.width_m / 2 * np.abs(np.cos(other.turned_rad))
        front, rear = np.abs(other.d_m + way * half), other.d_m - way * half
        near = np.hypot(other.s_m - view.s_m - FRONT_M, other.d_m - view.d_m) <= 80.0 / limits.strict
        within = (other.s_m >= net.junction_in_s_m) & (other.s_m <= net.junction_out_s_m) & near
        crosses = within & (np.abs(np.sin(other.turned_rad)) >= np.sqrt(0.5)) & (np.abs(other.across_mps) >= 2.0 * limits.strict)
        for k in np.flatnonzero((front[1:] <= edge) & (front[:-1] > edge)) + 1:
            if other.cls in RIDERS and crosses[k] and green[k] and other.d_m[k] * way[k] < 0:
                end = _first((rear * way[k] > edge) | np.isnan(rear), int(k))
                yield Truth(scenario="red_light_running_other", level="L1", start=int(k), end=end, actors=(other.actor_id,))


def yellow_dilemma(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 23."""
    yellow, green, line = _shows(view, "yellow"), _shows(view, "green"), _line_m(view)
    for k in np.flatnonzero(yellow[1:] & green[:-1]) + 1:
        if 2.5 * limits.strict <= line[k] / max(view.speed_mps[k], 1e-6) <= 5.5 / limits.strict:
            yield Truth(scenario="yellow_dilemma", level="L1", start=int(k), end=_first(~yellow | (line <= 0), int(k)))


def rolling_stop(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 24."""
    line = _line_m(view)
    near = np.flatnonzero(np.abs(line) <= 3.0)
    if view.drive.plan.control != "stop" or len(near) == 0 or line[near[-1]] > 0:
        return
    if view.speed_mps[near].min() > 1.5 * limits.strict:
        yield Truth(scenario="rolling_stop", level="L1", start=int(near[0]), end=int(near[-1]))


def unprotected_left(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 25. In road coordinates (the junction lies on a straight): the ego enters the path of somebody who comes towards it when its

    front bumper is over the near edge of that path, which is as wide as the other is; it has left it when its rear is over the far edge.
    """
    heading = view.drive.ego.heading_rad
    for first, last in runs(_in_junction(view)):
        if heading[last] - heading[first] < np.pi / 4:
            continue
        met = {o.actor_id: _meeting(view, o, first, last) for o in view.others if o.cls in RIDERS}
        soon = {name: m for name, m in met.items() if m is not None and m[0] < 5.0 / limits.strict}
        if soon:
            close = any(pet < 2.0 / limits.strict for _, pet in soon.values())
            yield Truth(scenario="unprotected_left", level="L2" if close else "L1", start=first, end=last, actors=tuple(sorted(soon)))


def _meeting(view: View, other: Other, first: int, last: int) -> tuple[float, float] | None:
    """(arrival time when the ego enters the other's path, seconds from its leaving to the other's arrival); None if they do not meet."""
    turned, part = _turned(view), slice(first, last + 1)
    front_s, front_d = view.s_m + FRONT_M * np.cos(turned), view.d_m + FRONT_M * np.sin(turned)
    path = np.nanmedian(other.d_m[part]) if not np.isnan(other.d_m[part]).all() else np.nan
    enters = np.flatnonzero(front_d[part] > path - other.width_m / 2)
    leaves = np.flatnonzero((view.d_m + REAR_M * np.sin(turned))[part] > path + other.width_m / 2)
    if len(enters) == 0 or len(leaves) == 0 or enters[0] == 0:
        return None
    at, gone = first + int(enters[0]), first + int(leaves[0])
    coming = np.cos(other.turned_rad[at] - turned[first]) < -np.sqrt(0.5)
    short = other.s_m - other.length_m / 2 - front_s[at]
    if not (coming and other.mover.speed_mps[at] >= 1.0 and short[at] >= 0):
        return None
    there = np.flatnonzero(short[at:] <= 0)
    return float(short[at] / other.mover.speed_mps[at]), (at + int(there[0]) - gone) / RATE_HZ if len(there) else np.inf


def construction_nudge(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 31."""
    ego, off = view.drive.ego, _off_centre(view)
    count = np.zeros(len(off))
    for mover in view.drive.movers:
        if mover.subclass in WORKS:
            count += np.hypot(mover.x_m - ego.x_m, mover.y_m - ego.y_m) <= 20.0 / limits.strict
    aside = (off >= 0.4 * limits.strict) & (count >= 3)
    for span in intervals(aside, off >= EXIT * 0.4 * limits.strict):
        long = any(seconds(run) >= 1.0 for run in runs(aside[span[0] : span[1] + 1]))
        if long and view.lane[span[0]] == view.lane[span[1]] and span[1] < len(off) - 1:
            yield Truth(scenario="construction_nudge", level="L1", start=span[0], end=span[1])


def _ahead_m(view: View, other: Other) -> Array:
    """From the ego's front bumper to the other's centre."""
    return other.gap_m + other.length_m / 2


def wrong_way_vehicle(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 35."""
    for other in view.others:
        if other.cls not in VEHICLES:
            continue
        ahead, own = _ahead_m(view, other), (other.d_m <= 0) & (other.d_m >= -view.drive.place.kerb_m)
        against = (np.cos(other.turned_rad) < np.cos(np.radians(120.0))) & (other.mover.speed_mps >= 3.0 * limits.strict)
        wrong = own & against & (ahead > 0) & (ahead <= 80.0 / limits.strict)
        for span in intervals(wrong, wrong):
            if any(seconds(run) >= 1.0 for run in runs(wrong[span[0] : span[1] + 1])):
                yield Truth(scenario="wrong_way_vehicle", level="L1", start=span[0], end=span[1], actors=(other.actor_id,))


def oncoming_incursion(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 36."""
    for other in view.others:
        if other.cls not in RIDERS:
            continue
        sin, cos = np.abs(np.sin(other.turned_rad)), np.abs(np.cos(other.turned_rad))
        over = view.drive.place.lane_m / 2 + (sin * other.length_m + cos * other.width_m) / 2 - np.abs(other.d_m - view.centre_m)
        gap, closing = _ahead_m(view, other) - (cos * other.length_m + sin * other.width_m) / 2, view.speed_mps - other.along_mps
        oncoming = (np.cos(other.turned_rad) < -0.5) & (other.mover.speed_mps >= 1.0) & (gap > 0) & (closing > 0)
        oncoming &= view.speed_mps >= 2.0
        ttc = np.where(oncoming, gap / np.maximum(closing, 1e-6), np.inf)
        reach, soon = 0.3 * limits.strict, 4.0 / limits.strict
        enter, stay = (over > reach) & (ttc < soon), (over > EXIT * reach) & (ttc < soon / EXIT)
        for span in intervals(enter, stay):
            if any(seconds(run) >= 0.3 for run in runs(enter[span[0] : span[1] + 1])):
                yield Truth(scenario="oncoming_incursion", level="L1", start=span[0], end=span[1], actors=(other.actor_id,))


def road_departure(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 37, the drivable area."""
    turned = _turned(view)
    ends = [view.d_m + m * np.sin(turned) + side * WIDTH_M / 2 * np.cos(turned) for m in (FRONT_M, REAR_M) for side in (1, -1)]
    outside = np.max(np.abs(ends), axis=0) - _edge_m(view)
    outside = np.where(np.isnan(view.centre_m), -np.inf, outside)
    for span in intervals(outside > 0.3 * limits.strict, outside > EXIT * 0.3 * limits.strict):
        if any(seconds(run) >= 0.2 for run in runs(outside[span[0] : span[1] + 1] > 0.3 * limits.strict)):
            yield Truth(scenario="road_departure", level="L1", start=span[0], end=span[1])


def lane_departure(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 37, the lane."""
    off = np.where(view.speed_mps >= 2.0, _off_centre(view), 0.0)
    for span in intervals(off > 0.5 * limits.strict, off > EXIT * 0.5 * limits.strict):
        long = any(seconds(run) >= 2.0 * limits.strict for run in runs(off[span[0] : span[1] + 1] > 0.5 * limits.strict))
        if long and view.lane[span[0]] == view.lane[span[1]]:
            yield Truth(scenario="lane_departure", level="L1", start=span[0], end=span[1])


RULES: dict[str, Rule] = {
    "red_light_running": red_light_running, "red_light_running_other": red_light_running_other, "yellow_dilemma": yellow_dilemma,
    "rolling_stop": rolling_stop, "unprotected_left": unprotected_left, "construction_nudge": construction_nudge,
    "wrong_way_vehicle": wrong_way_vehicle, "oncoming_incursion": oncoming_incursion, "road_departure": road_departure,
    "lane_departure": lane_departure,
}  # fmt: skip
