"""Who comes out of hiding before the ego (row 17): marked invisible by the source, or behind another box as seen from the camera."""

import numpy as np
import pyarrow as pa

from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit
from flywheel.mine.objects import Objects
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Ints, Mask, Reals, lasting, runs
from flywheel.mine.signals import column
from flywheel.mine.tracks import Courses, apart

SLACK_NS = NS // 10
SPOTS = ((0.0, 0.0), (0.45, 0.45), (0.45, -0.45), (-0.45, 0.45), (-0.45, -0.45))


def vru_occlusion_reveal(drive: Drive, entry: Scenario) -> list[Hit]:
    """Pedestrians and cyclists on a course into the corridor who turn visible, or whose track begins where they were hidden before."""
    objects = drive.objects
    courses = Courses(objects, objects.is_a("pedestrian", "cyclist"))
    conflict = _conflict_s(objects, courses.rows, entry)
    near = conflict <= entry.limits("conflict")[0]
    if not near.any():
        return []
    hidden = _hidden(objects, courses, near, entry)
    spans = lasting(runs(hidden, courses.clock), courses.clock, min_s=entry.settings["hidden_s"])
    reveals = spans.last[spans.last + 1 < len(hidden)] + 1
    reveals = reveals[~courses.clock.broken[reveals]]
    born = [at for at in np.flatnonzero(courses.heads & near & ~hidden) if _was_hidden(drive, courses, int(at), entry)]
    chosen = sorted({int(at) for at in reveals if near[at]} | {int(at) for at in born})
    return apart([_reveal(objects, courses, at, float(conflict[at]), entry) for at in chosen], entry.merge_s)


def _reveal(objects: Objects, courses: Courses, at: int, conflict_s: float, entry: Scenario) -> Hit:
    t_ns = int(courses.t_ns[at])
    level = sum(conflict_s <= limit for limit in entry.limits("conflict"))
    return Hit(t_ns, t_ns + int(conflict_s * NS), t_ns, conflict_s, level, (str(objects.names[courses.track[at]]),))


def _conflict_s(objects: Objects, rows: Ints, entry: Scenario) -> Reals:
    """The later of the ego's arrival at each row and the row's own arrival in the corridor, s; infinite where one never comes."""
    ahead, side, across = objects.front_m[rows], objects.side_m[rows], -np.sign(objects.side_m[rows]) * objects.across_mps[rows]
    speed, way = objects.speed[objects.frame[rows]], np.maximum(np.abs(side) - entry.settings["half_width_m"], 0.0)
    moving = entry.settings["moving_mps"]
    own = np.where(way > 0, np.where(across >= moving, way / np.maximum(across, moving), np.inf), 0.0)
    comes = (ahead > 0) & (speed >= moving) & (np.abs(objects.across_mps[rows]) >= moving)
    return np.where(comes, np.maximum(ahead / np.maximum(speed, moving), own), np.inf)


def _hidden(objects: Objects, courses: Courses, near: Mask, entry: Scenario) -> Mask:
    """Which sorted rows nobody in the ego can see: as the source says, else by the sight lines of those tracks that come near."""
    said = objects.rows["visible"].take(pa.array(courses.rows))
    hidden = np.asarray(pa.compute.equal(said, False).fill_null(False).to_numpy(zero_copy_only=False), bool)
    unsaid = np.asarray(said.is_null().to_numpy(zero_copy_only=False), bool)
    asked = np.flatnonzero(unsaid & np.isin(courses.track, np.unique(courses.track[near])))
    rows = courses.rows[asked]
    hidden[asked] = _blocked(
        objects, rows, objects.frame[rows], (column(objects.rows, "x_m")[rows], column(objects.rows, "y_m")[rows]), entry
    )
    return hidden


def _was_hidden(drive: Drive, courses: Courses, at: int, entry: Scenario) -> bool:
    """Whether the track that begins at a sorted row was behind a box for long enough before its tracker could begin it.

    Its place then follows from its velocity and the ego's motion now.
    """
    objects, row = drive.objects, int(courses.rows[at])
    frame, t_ns = int(objects.frame[row]), objects.clock.t_ns
    late_ns, hidden_ns = (int(entry.settings[name] * NS) for name in ("tracker_s", "hidden_s"))
    first, last = np.searchsorted(t_ns, [t_ns[frame] - late_ns - hidden_ns, t_ns[frame] - late_ns + 1])
    frames = np.arange(first, last)
    if len(frames) == 0 or t_ns[frames[0]] - t_ns[frame] > SLACK_NS - late_ns - hidden_ns:
        return False
    ago_s = (t_ns[frame] - t_ns[frames]) / NS
    x, y, vx, vy = (float(column(objects.rows, name)[row]) for name in ("x_m", "y_m", "vx_mps", "vy_mps"))
    speed = float(objects.speed[frame])
    rate = 0.0 if drive.ego.yaw is None else float(drive.ego.at(t_ns[frame : frame + 1], drive.ego.yaw)[0])
    px, py, turn = x - vx * ago_s, y - vy * ago_s, rate * ago_s
    there = np.cos(turn) * px - np.sin(turn) * py + speed * ago_s, np.sin(turn) * px + np.cos(turn) * py
    return bool(_blocked(objects, np.full(len(frames), row), frames, there, entry).all())


def _blocked(objects: Objects, rows: Ints, frames: Ints, at: tuple[Reals, Reals], entry: Scenario) -> Mask:
    """For each box (that of a row, put at a place of the ego frame): is every spot of it behind some other box of a frame?"""
    starts = np.searchsorted(objects.frame, frames)
    counts = np.searchsorted(objects.frame, frames, side="right") - starts
    query = np.repeat(np.arange(len(rows)), counts)
    other = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
    box = {name: column(objects.rows, name) for name in ("x_m", "y_m", "heading_rad", "length_m", "width_m", "height_m")}
    kept = (objects.track[other] != objects.track[rows][query]) & (
        box["height_m"][other] >= entry.settings["high_enough"] * box["height_m"][rows][query]
    )
    query, other = query[kept], other[kept]
    c, s = np.cos(box["heading_rad"][rows]), np.sin(box["heading_rad"][rows])
    clear = np.zeros(len(rows), bool)
    for forth, left in SPOTS:
        du, dv = forth * box["length_m"][rows], left * box["width_m"][rows]
        spot = at[0] + c * du - s * dv, at[1] + s * du + c * dv
        crossed = _crosses({name: part[other] for name, part in box.items()}, (spot[0][query], spot[1][query]), entry.settings["camera_m"])
        clear |= np.bincount(query[crossed], minlength=len(rows)) == 0
    return ~clear


def _crosses(box: dict[str, Reals], spot: tuple[Reals, Reals], eye_m: float) -> Mask:
    """Does the line from the camera (`eye_m` ahead of the ego's origin) to each spot pass through the box of the same row?"""
    c, s = np.cos(box["heading_rad"]), np.sin(box["heading_rad"])
    enter, leave = np.full(len(c), -np.inf), np.full(len(c), np.inf)
    for ux, uy, half in ((c, s, box["length_m"] / 2), (-s, c, box["width_m"] / 2)):
        start = ux * (eye_m - box["x_m"]) - uy * box["y_m"]
        way = ux * (spot[0] - eye_m) + uy * spot[1]
        way = np.where(np.abs(way) < 1e-9, 1e-9, way)
        a, b = (-half - start) / way, (half - start) / way
        enter, leave = np.maximum(enter, np.minimum(a, b)), np.minimum(leave, np.maximum(a, b))
    return np.asarray((enter < leave) & (leave > 0) & (enter < 1.0))


DETECTORS: dict[str, Detector] = {"vru_occlusion_reveal": vru_occlusion_reveal}
