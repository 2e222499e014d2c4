"""Detectors that watch other road users: cut-in (row 7), low time to collision (row 10), pedestrian crossing (row 15)."""

import numpy as np

from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.objects import VEHICLES, Objects
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, Spans, graded, lasting, merge, runs


def low_ttc(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches of short time to collision with the lead; the exit is at a time the exit ratio longer."""
    objects, lead = drive.objects, drive.lead
    if len(lead) == 0:
        return []
    closing = np.where(lead >= 0, objects.speed - objects.along_mps[lead], 0.0)
    gap = np.where((lead >= 0) & (objects.gap_m[lead] <= entry.settings["reach_m"]), objects.gap_m[lead], np.inf)
    least = entry.settings["closing_mps"]
    ttc = np.where(closing > 0, gap / np.maximum(closing, 1e-9), np.inf)
    limits = entry.limits("ttc")
    hold = (ttc <= limits[0] / entry.exit_ratio) & (closing >= least * entry.exit_ratio)
    spans, level = graded(
        [(ttc <= limit) & (closing >= least) for limit in limits], hold, objects.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s
    )
    worst = np.where(closing >= least, ttc, np.inf)
    return [with_actors(hit, objects, lead, worst <= limits[0]) for hit in lowest(spans, level, objects.clock, worst)]


def with_actors(hit: Hit, objects: Objects, lead: Ints, counted: Mask) -> Hit:
    """The hit with everyone who is the one that `lead` names in a frame of it that is counted."""
    inside = counted & (objects.clock.t_ns >= hit.t0_ns) & (objects.clock.t_ns < hit.t1_ns)
    names = sorted({str(objects.names[track]) for track in np.unique(objects.track[lead[inside]])})
    return Hit(hit.t0_ns, hit.t1_ns, hit.t_peak_ns, hit.peak, hit.level, tuple(names))


class Courses:
    """The rows of some objects put in order of (track, time), so that one track is one stretch of rows."""

    def __init__(self, objects: Objects, chosen: Mask) -> None:
        rows = np.flatnonzero(chosen)
        # The rows are sorted by frame; 16-bit numbers are sorted by radix, ten times as fast.
        track = objects.track[rows]
        self.rows = rows[np.argsort(track.astype(np.uint16) if len(objects.names) < 1 << 16 else track, kind="stable")]
        self.track = objects.track[self.rows]
        t_ns = objects.clock.t_ns[objects.frame[self.rows]]
        # Tracks follow one another on one clock: a step back or a new track is a gap of a minute.
        leap = np.diff(self.track, prepend=self.track[:1]) != 0
        self.t_ns = t_ns
        shift = np.cumsum(np.where(leap, np.maximum(-np.diff(t_ns, prepend=t_ns[:1]), 0) + 60 * NS, 0))
        self.clock = Clock(t_ns + shift, objects.clock.max_gap_ns)
        self.shift = shift
        self.names = objects.names

    @property
    def heads(self) -> Mask:
        """True at the first row of every track."""
        return np.asarray(np.diff(self.track, prepend=-1) != 0)

    def window(self, at: int, *, before_s: float = 0.0, after_s: float = 0.0) -> slice:
        """The sorted rows of the same track from some time before row `at` to some time after it."""
        now = self.clock.t_ns[at]
        low, high = np.searchsorted(self.clock.t_ns, [now - int(before_s * NS), now + int(after_s * NS) + 1])
        return slice(int(low), int(high))

    def ends(self, spans: Spans) -> Ints:
        """When stretches end, in the drive's own time."""
        return np.asarray(self.clock.end_ns(spans) - self.shift[spans.last], np.int64)

    def graded(self, entry: Scenario, *, levels: list[Mask], hold: Mask, worst: Reals) -> list[Hit]:
        """Graded stretches of each track on its own, in the drive's time; the peak is the smallest of `worst`, a value a sorted row."""
        spans, level = graded(levels, hold, self.clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
        found = zip(lowest(spans, level, self.clock, worst), self.shift[spans.first], self.track[spans.first], strict=True)
        return [
            Hit(hit.t0_ns - int(shift), hit.t1_ns - int(shift), hit.t_peak_ns - int(shift), hit.peak, hit.level, (self.names[track],))
            for hit, shift, track in found
        ]


def pedestrian_crossing(drive: Drive, entry: Scenario) -> list[Hit]:
    """Pedestrians who walk across the corridor ahead; the level follows from the shortest arrival time inside."""
    objects = drive.objects
    return crosses_corridor(objects, entry, objects.is_a("pedestrian"), np.zeros(len(objects.side_m)))


def crosses_corridor(objects: Objects, entry: Scenario, chosen: Mask, reach_m: Reals) -> list[Hit]:
    """Those of the chosen who move across the corridor ahead, each taken to reach so far to either side of its centre."""
    rules = entry.settings
    walks = Courses(objects, chosen)
    rows, speed = walks.rows, np.abs(objects.speed[objects.frame[walks.rows]])
    ahead = objects.front_m[rows]
    inside = (np.abs(objects.side_m[rows]) <= rules["half_width_m"] + reach_m[rows]) & (ahead > 0)
    inside &= ahead <= np.maximum(rules["horizon_s"] * speed, rules["near_m"])
    arrival = np.where(inside, ahead / np.maximum(speed, rules["slowest_mps"]), np.inf)
    spans = lasting(runs(inside, walks.clock), walks.clock, min_s=entry.min_duration_s)
    spans = merge(spans, walks.clock, within_s=entry.merge_s)
    crossing = _crosses(objects, rows, spans, rules["walking_mps"])
    return [hit for hit in _walk_hits(walks, objects, spans.take(crossing), arrival, entry.limits("arrival")) if hit.level]


def _crosses(objects: Objects, rows: Ints, spans: Spans, walking_mps: float) -> Mask:
    """Stretches in which the mean motion across the path is walking pace or more, and more than that along it."""
    across, along = (np.concatenate([[0.0], np.cumsum(part[rows])]) for part in (objects.across_mps, objects.along_mps))
    count = spans.last + 1 - spans.first
    mean_across, mean_along = (np.abs(part[spans.last + 1] - part[spans.first]) / count for part in (across, along))
    return np.asarray((mean_across >= walking_mps) & (mean_across >= mean_along))


def _walk_hits(walks: Courses, objects: Objects, spans: Spans, arrival: Reals, limits: tuple[float, ...]) -> list[Hit]:
    found, ends = [], walks.ends(spans)
    for end, first, last in zip(ends, spans.first, spans.last, strict=True):
        at = int(first + arrival[first : last + 1].argmin())
        level = sum(bool(arrival[at] <= limit) for limit in limits)
        name = str(objects.names[walks.track[first]])
        found.append(Hit(int(walks.t_ns[first]), int(end), int(walks.t_ns[at]), float(arrival[at]), level, (name,)))
    return found


def cut_in(drive: Drive, entry: Scenario) -> list[Hit]:
    """Vehicles that come from an adjacent lane into the ego's, ahead and close, and become its lead."""
    objects, lanes, rules = drive.objects, drive.lanes, entry.settings
    frames = objects.clock.t_ns
    width, mapped = lanes.latest(frames, lanes.width_m)[objects.frame], lanes.covers(frames)[objects.frame]
    reach = width / 2 - rules["intrusion_m"] + objects.width_m / 2
    vehicle = objects.is_a(*VEHICLES) & objects.aligned & (objects.front_m > 0)
    inside = mapped & vehicle & (np.abs(objects.lane_m) < reach)
    lead = objects.nearest_ahead(inside)
    leads = inside & (lead[objects.frame] == np.arange(len(lead[objects.frame]))) & (objects.gap_m <= rules["max_gap_m"])
    courses = Courses(objects, objects.is_a(*VEHICLES))
    spans = lasting(runs(leads[courses.rows], courses.clock), courses.clock, min_s=entry.min_duration_s)
    hits = [_cut_in_hit(objects, courses, int(first), reach, width, entry) for first in spans.first]
    return apart([hit for hit in hits if hit is not None], entry.merge_s)


def _cut_in_hit(objects: Objects, courses: Courses, first: int, reach: Reals, width: Reals, entry: Scenario) -> Hit | None:
    """The hit of a track that leads from sorted row `first` on, or None if it was there before or came from elsewhere."""
    row = int(courses.rows[first])
    past = courses.rows[courses.window(first, before_s=entry.settings["look_back_s"])][:-1]
    centre = objects.abs_m[row] - objects.lane_m[row]
    if len(past) == 0 or abs(objects.abs_m[past[-1]] - centre) < reach[past[-1]]:
        return None
    beside = np.abs(objects.abs_m[past] - centre)
    adjacent = (beside >= width[row] / 2) & (beside <= 1.5 * width[row]) & objects.aligned[past]
    speed = float(objects.speed[objects.frame[row]])
    headway = float(objects.gap_m[row]) / max(speed, 1e-6)
    if not adjacent.any() or headway > entry.limit("L1", "headway"):
        return None
    closing = speed - float(objects.along_mps[row])
    short = closing > 0 and objects.gap_m[row] / closing < closing / entry.settings["ttc_slope_mps2"] + entry.limit("L2", "ttc_offset")
    t0_ns = int(courses.t_ns[first])
    name = str(objects.names[courses.track[first]])
    return Hit(t0_ns, _settled(objects, courses, first, entry), t0_ns, headway, 2 if short else 1, (name,))


def _settled(objects: Objects, courses: Courses, first: int, entry: Scenario) -> int:
    """When the track's centre is near the lane's centre, at the latest some seconds after the intrusion."""
    longest_s = entry.settings["longest_s"]
    after = courses.window(first, after_s=longest_s)
    near = np.abs(objects.lane_m[courses.rows[after]]) <= entry.settings["settled_m"]
    return int(courses.t_ns[after][near][0]) if near.any() else int(courses.t_ns[first]) + int(longest_s * NS)


def apart(hits: list[Hit], merge_s: float) -> list[Hit]:
    """Hits of one actor that begin less than the merge time after its last one ended are dropped."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda h: (h.actors, h.t0_ns)):
        if not (kept and kept[-1].actors == hit.actors and hit.t0_ns - kept[-1].t1_ns < merge_s * NS):
            kept.append(hit)
    return sorted(kept, key=lambda h: (h.t0_ns, h.actors))


DETECTORS: dict[str, Detector] = {
    "low_ttc": low_ttc,
    "cut_in": cut_in,
    "pedestrian_crossing": pedestrian_crossing,
}
