"""Detectors of lane changes: cut-out with reveal (row 8), merge (row 29), risky lane change (row 30)."""

from dataclasses import dataclass

import numpy as np

from flywheel.ego import FRONT_M, REAR_M, WIDTH_M
from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.following import sees_behind
from flywheel.mine.hits import Detector, Hit
from flywheel.mine.lanes import Lanes
from flywheel.mine.measures import thw, ttc
from flywheel.mine.objects import RIDERS, Objects
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Ints, Mask, Reals, lasting, runs
from flywheel.mine.signals import nearest
from flywheel.mine.tracks import Courses, apart


@dataclass(frozen=True)
class Passage:
    """The ego's way from one lane into the next: from its side over the line, its centre over it, to all of it in the new lane.

    `before` is the LANES sample before the centre's crossing; `centre_m` and `width_m` are the new lane's.
    """

    t0_ns: int
    at_ns: int
    t1_ns: int
    before: int
    centre_m: float
    width_m: float


def passages(lanes: Lanes, *, longest_s: float) -> list[Passage]:
    """Every lane change of the ego that is completed, neither half of it longer than some seconds."""
    changed = (np.diff(lanes.index, prepend=lanes.index[:1]) != 0) & (np.diff(lanes.centre_m, prepend=0.0) != 0) & ~lanes.clock.broken
    changed[:1] = False
    found = [_passage(lanes, int(k), longest_s) for k in np.flatnonzero(changed)]
    return list({one.t0_ns: one for one in found if one is not None}.values())


def _passage(lanes: Lanes, k: int, longest_s: float) -> Passage | None:
    """The passage whose first sample in the new lane is k, or None if the ego does not get from one lane wholly into the other."""
    t_ns, old, new = lanes.clock.t_ns, lanes.centre_m[k - 1], lanes.centre_m[k]
    low, high = np.searchsorted(t_ns, [t_ns[k] - int(longest_s * NS), t_ns[k] + int(longest_s * NS) + 1])
    over = (lanes.ego_m[low:high] - (old + new) / 2) * np.sign(new - old)
    here, half = k - low, WIDTH_M / 2
    outside, inside = np.flatnonzero(over[:here] <= -half), np.flatnonzero(over[here:] >= half)
    if len(outside) == 0 or len(inside) == 0 or (over[here : here + inside[0]] <= -half).any():
        return None
    first, last = low + int(outside[-1]), low + here + int(inside[0]) - 1
    t0_ns, at_ns, t1_ns = (_moment(t_ns, over, low, at, value) for at, value in ((first, -half), (k - 1, 0.0), (last, half)))
    return Passage(t0_ns, at_ns, t1_ns, before=k - 1, centre_m=float(new), width_m=float(lanes.width_m[k]))


def _moment(t_ns: Ints, over: Reals, low: int, at: int, value: float) -> int:
    """When a series that starts at sample `low` passes a value between samples `at` and the next."""
    a, b = over[at - low], over[at - low + 1]
    share = float(np.clip((value - a) / (b - a), 0.0, 1.0)) if b != a else 0.0
    return int(t_ns[at]) + round(share * int(t_ns[at + 1] - t_ns[at]))


@dataclass(frozen=True)
class _Gap:
    """Whoever is in a lane before and behind the ego, a row of `objects` a frame, and their gaps to the ego, m."""

    front: Ints
    rear: Ints
    front_m: Reals
    rear_m: Reals


def _gap(objects: Objects, passage: Passage) -> _Gap:
    """The gap in the passage's new lane; whoever is level with the ego is 0 m away."""
    inside = objects.is_a(*RIDERS) & objects.aligned & (np.abs(objects.abs_m - passage.centre_m) < passage.width_m / 2)
    ahead = objects.front_m > (REAR_M - FRONT_M) / 2
    front_m, rear_m = objects.gap_m, np.maximum(objects.behind_m, 0.0)
    return _Gap(objects.nearest(inside & ahead, front_m), objects.nearest(inside & ~ahead, rear_m), front_m, rear_m)


def _rear_headway(objects: Objects, gap: _Gap) -> Reals:
    """The follower's headway at every frame, infinite without one."""
    return thw(np.where(gap.rear >= 0, gap.rear_m[gap.rear], np.inf), np.where(gap.rear >= 0, objects.along_mps[gap.rear], 0.0))


def _actors(objects: Objects, *rows: int) -> tuple[str, ...]:
    return tuple(sorted({objects.names[objects.track[row]] for row in rows if row >= 0}))


def merge(drive: Drive, entry: Scenario) -> list[Hit]:
    """The ego's changes out of a lane that ends, into a gap that is short before or behind."""
    ends_m = drive.lanes.says("lane_ends_m")
    if not (np.isfinite(ends_m) | np.isfinite(drive.lanes.says("lanes"))).any():
        raise NotEvaluable("the map does not say where lanes end")
    sees_behind(drive, entry)
    found = [
        _merge_hit(drive.objects, passage, entry)
        for passage in passages(drive.lanes, longest_s=entry.settings["longest_s"])
        if ends_m[passage.before] <= entry.settings["lane_end_m"] and passage.t1_ns - passage.t0_ns >= entry.min_duration_s * NS
    ]
    return [hit for hit in found if hit is not None]


def _merge_hit(objects: Objects, passage: Passage, entry: Scenario) -> Hit | None:
    if len(objects.clock.t_ns) == 0:
        return None
    gap, i = _gap(objects, passage), int(nearest(objects.clock.t_ns, np.array([passage.at_ns]))[0])
    if abs(int(objects.clock.t_ns[i]) - passage.at_ns) > objects.clock.max_gap_ns:
        return None
    before = float(thw(gap.front_m[gap.front[i]] if gap.front[i] >= 0 else np.inf, objects.speed[i]))
    behind = float(_rear_headway(objects, gap)[i])
    short = min(before, behind)
    level = sum(short < limit for limit in entry.limits("headway"))
    sides = [row for row, headway in ((gap.front[i], before), (gap.rear[i], behind)) if headway < entry.limit("L1", "headway")]
    return Hit(passage.t0_ns, passage.t1_ns, passage.at_ns, short, level, _actors(objects, *sides)) if level else None


def risky_lane_change(drive: Drive, entry: Scenario) -> list[Hit]:
    """The ego's lane changes in front of one who is too near or too fast."""
    sees_behind(drive, entry)
    found = [_risky_hit(drive.objects, one, entry) for one in passages(drive.lanes, longest_s=entry.settings["longest_s"])]
    return [hit for hit in found if hit is not None]


def _risky_hit(objects: Objects, passage: Passage, entry: Scenario) -> Hit | None:
    t_ns = objects.clock.t_ns
    frames = np.flatnonzero((t_ns >= passage.at_ns) & (t_ns <= passage.t1_ns))
    if len(frames) == 0:
        return None
    gap = _gap(objects, passage)
    rear, headway = gap.rear[frames], _rear_headway(objects, gap)[frames]
    closing = np.where(rear >= 0, objects.along_mps[rear], -np.inf) - objects.speed[frames]
    fast = closing >= entry.settings["closing_mps"]
    hurried = fast & (ttc(gap.rear_m[rear], np.where(fast, closing, 0.0)) < entry.settings["rear_ttc_s"])
    if not (hurried | (headway < entry.limit("L1", "rear_headway"))).any():
        return None
    at = int(headway.argmin())
    return Hit(passage.t0_ns, passage.t1_ns, int(t_ns[frames[at]]), float(headway[at]), 1, _actors(objects, int(rear[at])))


def cut_out_reveal(drive: Drive, entry: Scenario) -> list[Hit]:
    """The lead moves out of the ego's path and shows a slow one."""
    objects, lanes, lead = drive.objects, drive.lanes, drive.lead
    if len(lead) == 0 or len(objects.track) == 0:
        return []
    track = np.where(lead >= 0, objects.track[lead], -1)
    left = np.flatnonzero((track[:-1] >= 0) & (track[1:] != track[:-1]) & ~objects.clock.broken[1:]) + 1
    courses = Courses(objects, np.isin(objects.track, track[left - 1]))
    slow, centre = _slow(drive, entry), lanes.latest(objects.clock.t_ns, lanes.centre_m)
    scene = _Scene(objects, courses, lead, slow, centre)
    hits = [_reveal(scene, int(i), entry) for i in left]
    return apart([hit for hit in hits if hit is not None], entry.merge_s)


@dataclass(frozen=True)
class _Scene:
    """Objects, the courses of those who lead, and at every frame: the lead's row, whether it is a slow one that stays, the centre."""

    objects: Objects
    courses: Courses
    lead: Ints
    slow: Mask
    centre_m: Reals


def _slow(drive: Drive, entry: Scenario) -> Mask:
    """At every frame, whether the lead is near, slow enough for a revealed one, and so for long enough."""
    objects, lead = drive.objects, drive.lead
    crawls = objects.along_mps[lead] <= entry.limit("L1", "speed_share") * objects.speed
    slow = (lead >= 0) & crawls & (objects.gap_m[lead] <= entry.settings["reach_m"])
    spans = lasting(runs(slow, objects.clock), objects.clock, min_s=entry.min_duration_s)
    marks = np.zeros(len(lead) + 1, np.int64)
    np.add.at(marks, spans.first, 1)
    np.add.at(marks, spans.last + 1, -1)
    return np.asarray(np.cumsum(marks)[:-1] > 0)


def _reveal(scene: _Scene, i: int, entry: Scenario) -> Hit | None:
    """The hit of the lead that is none any more from frame i on, or None."""
    objects, lead, t_ns = scene.objects, scene.lead, scene.objects.clock.t_ns
    gone = int(objects.track[lead[i - 1]])
    start = _drifts(scene, gone, i, entry)
    until = int(np.searchsorted(t_ns, t_ns[i] + int(entry.settings["within_s"] * NS) + 1))
    shown = np.flatnonzero(scene.slow[i:until] & (objects.track[lead[i:until]] != gone))
    if start is None or len(shown) == 0:
        return None
    j = i + int(shown[0])
    if np.ptp(scene.centre_m[np.searchsorted(t_ns, start) : j + 1]) > 0:
        return None
    headway = float(thw(objects.gap_m[lead[j]], objects.speed[j]))
    level = 2 if headway < entry.limit("L2", "headway") else 1
    return Hit(start, int(t_ns[j]), int(t_ns[j]), headway, level, _actors(objects, int(lead[i - 1]), int(lead[j])))


def _drifts(scene: _Scene, track: int, i: int, entry: Scenario) -> int | None:
    """When a track that is still ahead in frame i began to be off the lane's centre, or None if it is not or always was."""
    courses, objects = scene.courses, scene.objects
    at = np.flatnonzero((courses.track == track) & (objects.frame[courses.rows] == i))
    if len(at) == 0 or objects.front_m[courses.rows[at[0]]] <= 0:
        return None
    past = courses.window(int(at[0]), before_s=entry.settings["look_back_s"])
    off = np.abs(objects.lane_m[courses.rows[past]]) > entry.settings["drift_m"]
    near = np.flatnonzero(~off)
    return int(courses.t_ns[past][near[-1] + 1]) if len(near) and off[-1] else None


DETECTORS: dict[str, Detector] = {
    "cut_out_reveal": cut_out_reveal,
    "merge": merge,
    "risky_lane_change": risky_lane_change,
}
