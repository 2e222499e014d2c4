"""Detectors along the ego's path: the lead brakes (row 9), low headway (11), tailgater (12), RSS violation (14), stationary object (32)."""

import numpy as np

from flywheel.ego import FRONT_M, WIDTH_M
from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.filters import low_pass
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.measures import thw, ttc
from flywheel.mine.objects import RIDERS, Objects
from flywheel.mine.prepare import Drive
from flywheel.mine.rss import RssParameters, rss_lateral, rss_longitudinal
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, graded
from flywheel.mine.signals import column
from flywheel.mine.tracks import Courses, with_actors

THINGS = (*RIDERS, "other")


def sees_behind(drive: Drive, entry: Scenario) -> None:
    """Nothing; NotEvaluable where no track is ever behind the ego, so that nobody can be said not to be there."""
    if not (column(drive.tables.tracks, "x_m") < -entry.settings["seen_behind_m"]).any():
        raise NotEvaluable("no tracks behind the ego")


def _of(who: Ints, values: Reals, none: float = np.inf) -> Reals:
    """A value of one row a frame, `none` where there is no row."""
    return np.where(who >= 0, values[who], none) if len(values) else np.full(len(who), none)


def _hits(objects: Objects, who: Ints, entry: Scenario, *, levels: list[Mask], hold: Mask, worst: Reals) -> list[Hit]:
    """Graded stretches of frames whose peak is the smallest of `worst`, with those who took part."""
    spans, level = graded(levels, hold, objects.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    found = lowest(spans, level, objects.clock, np.where(levels[0], worst, np.inf))
    return [with_actors(hit, objects, who, levels[0]) for hit in found]


def _close(objects: Objects, who: Ints, entry: Scenario, *, gap_m: Reals, speed_mps: Reals) -> list[Hit]:
    """Stretches in which one who drives fast enough has a short headway."""
    headway, fast = thw(_of(who, gap_m), speed_mps), speed_mps >= entry.settings["least_speed_mps"]
    limits = entry.limits("headway")
    hold = fast & (headway <= limits[0] / entry.exit_ratio)
    return _hits(objects, who, entry, levels=[fast & (headway <= limit) for limit in limits], hold=hold, worst=headway)


def low_thw(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches of short headway to the lead."""
    objects = drive.objects
    return _close(objects, drive.lead, entry, gap_m=objects.gap_m, speed_mps=objects.speed)


def tailgater(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches in which whoever follows has a short headway."""
    sees_behind(drive, entry)
    objects, who = drive.objects, drive.follower
    return _close(objects, who, entry, gap_m=objects.behind_m, speed_mps=_of(who, objects.along_mps, 0.0))


def slope(values: Reals, clock: Clock) -> Reals:
    """The derivative of a series per second, by central differences that cross no gap; NaN for a lone sample."""
    here = np.arange(len(values))
    before, after = here - ~clock.broken * (here > 0), here + np.append(~clock.broken[1:], False)
    step_s = (clock.t_ns[after] - clock.t_ns[before]) / NS
    return np.where(step_s > 0, (values[after] - values[before]) / np.maximum(step_s, 1e-9), np.nan)


def accelerations(objects: Objects, chosen: Mask, *, low_pass_hz: float) -> Reals:
    """Acceleration along the path of the chosen rows, from their own low-passed speeds; NaN for the others, m/s2."""
    found = np.full(len(objects.track), np.nan)
    courses = Courses(objects, chosen)
    if len(courses.rows):
        speed = low_pass(objects.along_mps[courses.rows], courses.clock, cutoff_hz=low_pass_hz)
        found[courses.rows] = slope(speed, courses.clock)
    return found


def lead_brakes(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches in which the lead brakes hard before an ego that follows closely."""
    objects, lead, limits = drive.objects, drive.lead, entry.limits("acceleration")
    leads = np.isin(objects.track, objects.track[lead[lead >= 0]])
    accel = _of(lead, accelerations(objects, leads, low_pass_hz=entry.settings["low_pass_hz"]), np.nan)
    headway = thw(_of(lead, objects.gap_m), objects.speed)
    near, within = headway < entry.settings["headway_s"], headway < entry.settings["headway_s"] / entry.exit_ratio
    hold = within & (accel <= limits[0] * entry.exit_ratio)
    found = _hits(objects, lead, entry, levels=[near & (accel <= limit) for limit in limits], hold=hold, worst=accel)
    return [hit for hit in found if hit.peak >= -entry.settings["plausible_mps2"]]


def stationary_object(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches in which the ego comes up to something that stands in its corridor."""
    objects, rules, limits = drive.objects, entry.settings, entry.limits("ttc")
    way_m = drive.ego.at(objects.clock.t_ns, drive.ego.travelled_m)[objects.frame] + FRONT_M + objects.front_m
    inside = objects.is_a(*THINGS) & (objects.front_m > 0) & (way_m <= drive.ego.travelled_m[-1] + rules["beyond_m"])
    inside &= np.abs(objects.side_m) < objects.half_m + WIDTH_M / 2
    who = objects.nearest_ahead(inside)
    pace, gap = _of(who, np.hypot(objects.along_mps, objects.across_mps)), _of(who, objects.gap_m)
    closing = objects.speed - _of(who, objects.along_mps)
    left = np.where(gap <= rules["reach_m"], ttc(gap, closing), np.inf)
    levels = [(pace < rules["still_mps"]) & (closing >= rules["closing_mps"]) & (left <= limit) for limit in limits]
    hold = (pace < rules["still_mps"] / entry.exit_ratio) & (closing >= rules["closing_mps"] * entry.exit_ratio)
    return _hits(objects, who, entry, levels=levels, hold=hold & (left <= limits[0] / entry.exit_ratio), worst=left)


def rss_set(entry: Scenario) -> RssParameters:
    """The parameter set of an RSS entry: its settings under its name."""
    said = entry.settings
    return RssParameters(
        name=entry.name, response_ego_s=said["response_s"], response_other_s=said["other_response_s"],
        accelerate_mps2=said["accelerate_mps2"], brake_min_mps2=said["brake_min_mps2"], brake_max_mps2=said["brake_max_mps2"],
        brake_min_correct_mps2=said["brake_min_mps2"],
        lateral_accelerate_mps2=said["lateral_accelerate_mps2"], lateral_brake_mps2=said["lateral_brake_mps2"], margin_m=said["margin_m"],
    )  # fmt: skip


def _beside(drive: Drive, rows: Ints, side_m: Reals, towards_mps: Reals, rules: RssParameters) -> Mask:
    """Which rows are nearer across than they may be, given their places to the left and their speeds towards the ego.

    The ego keeps its course: it has no response time across.
    """
    objects, lanes = drive.objects, drive.lanes
    own = np.sign(side_m) * lanes.at(objects.clock.t_ns, lanes.lateral_mps)[objects.frame[rows]]
    least = rss_lateral(-towards_mps, own, rules, left_response_s=rules.response_other_s, right_response_s=0.0)
    return np.asarray(np.abs(side_m) - objects.half_m[rows] - WIDTH_M / 2 < least)


def _in_question(drive: Drive, rules: RssParameters, entry: Scenario) -> Courses:
    """The courses of those who go the ego's way, ahead or alongside, and by their raw speeds come anywhere near a violation."""
    objects, lanes = drive.objects, drive.lanes
    near_m = entry.settings["lanes_away"] * lanes.latest(objects.clock.t_ns, lanes.width_m)[objects.frame]
    same_way = objects.is_a(*RIDERS) & objects.aligned & (objects.front_m > -FRONT_M) & (np.abs(objects.lane_m) < near_m)
    least = rss_longitudinal(objects.speed, 0.0, rules)[objects.frame]
    rows = np.flatnonzero(same_way & (objects.gap_m * entry.exit_ratio < least * max(entry.limits("share"))))
    rows = rows[_beside(drive, rows, objects.side_m[rows], np.abs(objects.across_mps[rows]) + entry.settings["slack_mps"], rules)]
    return Courses(objects, same_way & np.isin(objects.track, objects.track[rows]))


def rss_violation(drive: Drive, entry: Scenario) -> list[Hit]:
    """For each road user ahead or alongside that goes the ego's way: stretches in which both RSS distances are violated."""
    objects, rules = drive.objects, rss_set(entry)
    courses = _in_question(drive, rules, entry)
    rows, clock = courses.rows, courses.clock
    if len(rows) == 0:
        return []
    cutoff, parts = entry.settings["low_pass_hz"], (objects.along_mps, objects.across_mps, objects.side_m)
    along, across, side = (low_pass(part[rows], clock, cutoff_hz=cutoff) for part in parts)
    beside = _beside(drive, rows, side, -np.sign(side) * across, rules)
    share = objects.gap_m[rows] / np.maximum(rss_longitudinal(objects.speed[objects.frame[rows]], along, rules), 1e-3)
    limits = entry.limits("share")
    levels, hold = [beside & (share < limit) for limit in limits], beside & (share < limits[0] / entry.exit_ratio)
    return courses.graded(entry, levels=levels, hold=hold, worst=np.where(beside, share, np.inf))


DETECTORS: dict[str, Detector] = {
    "lead_brakes": lead_brakes,
    "low_thw": low_thw,
    "tailgater": tailgater,
    "rss_violation": rss_violation,
    "stationary_object": stationary_object,
}
