"""The unprotected left turn (row 25): the ego's turn across the paths of those who come towards it.

Worked out in the world frame: the path that the ego drives bends away from the road, the oncoming traffic's does not.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flywheel.ego import FRONT_M, REAR_M
from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Hit
from flywheel.mine.objects import RIDERS
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Ints, Mask, Reals, runs
from flywheel.mine.signals import column, times


@dataclass(frozen=True)
class _Others:
    """Tracked road users in the world frame, sorted by time; places are the boxes' centres."""

    t_ns: Ints
    name: list[str]
    x_m: Reals
    y_m: Reals
    heading_rad: Reals
    speed_mps: Reals
    length_m: Reals
    width_m: Reals

    def take(self, chosen: Mask) -> "_Others":
        """The chosen rows."""
        at = np.flatnonzero(chosen)
        rest = (getattr(self, key)[at] for key in ("x_m", "y_m", "heading_rad", "speed_mps", "length_m", "width_m"))
        return _Others(self.t_ns[at], [self.name[i] for i in at], *rest)


def _others(drive: Drive, pose: tuple[Reals, Reals, Reals], t0_ns: int, t1_ns: int) -> _Others:
    """Vehicles and cyclists between two times."""
    tracks, ego = drive.tables.tracks, drive.ego
    t_ns = times(tracks)
    kind = pa.compute.is_in(tracks["cls"], pa.array(RIDERS, pa.string())).to_numpy(zero_copy_only=False).astype(bool)
    rows = tracks.filter(pa.array(kind & (t_ns >= t0_ns) & (t_ns <= t1_ns)))
    t_ns = times(rows)
    x, y, heading = (ego.at(t_ns, part) for part in pose)
    c, s, dx, dy = np.cos(heading), np.sin(heading), column(rows, "x_m"), column(rows, "y_m")
    return _Others(
        t_ns, rows["track_id"].to_pylist(), x + dx * c - dy * s, y + dx * s + dy * c, heading + column(rows, "heading_rad"),
        np.hypot(column(rows, "vx_mps"), column(rows, "vy_mps")), column(rows, "length_m"), column(rows, "width_m"),
    )  # fmt: skip


@dataclass(frozen=True)
class _Meeting:
    """Oncoming traffic's arrival (s) when the ego enters its path, when that is, and by how much it came later (PET, s; inf if never)."""

    name: str
    entry_ns: int
    arrival_s: float
    pet_s: float


def unprotected_left(drive: Drive, entry: Scenario) -> list[Hit]:
    """Left turns in a junction across the path of somebody who would soon be there."""
    lanes, pose = drive.lanes, drive.ego.pose
    if pose is None:
        raise NotEvaluable("no poses")
    spans = runs(lanes.in_junction, lanes.clock)
    heading = drive.ego.at(lanes.clock.t_ns, pose[2])
    turned = heading[spans.last] - heading[spans.first] >= np.radians(entry.settings["turned_deg"])
    left = spans.take(turned)
    found = []
    for t0, t1, first in zip(lanes.clock.start_ns(left), lanes.clock.end_ns(left), left.first, strict=True):
        met = _meetings(drive, entry, pose, float(heading[first]), (int(t0), int(t1)))
        soon = [m for m in met if m.arrival_s < entry.limit("L1", "arrival")]
        if soon:
            worst = min(soon, key=lambda m: m.arrival_s)
            level = 2 if any(m.arrival_s < entry.limit("L2", "arrival") and m.pet_s < entry.limit("L2", "pet") for m in soon) else 1
            found.append(Hit(int(t0), int(t1), worst.entry_ns, worst.arrival_s, level, tuple(sorted(m.name for m in soon))))
    return found


def _meetings(drive: Drive, entry: Scenario, pose: tuple[Reals, Reals, Reals], course_rad: float, turn: tuple[int, int]) -> list[_Meeting]:
    """Everyone who came towards the ego as it entered, and whose path it crosses between the turn's times."""
    rules = entry.settings
    others = _others(drive, pose, turn[0] - int(rules["before_s"] * NS), turn[1] + int(rules["look_s"] * NS))
    oncoming = np.cos(others.heading_rad - course_rad) < np.cos(np.radians(rules["oncoming_deg"]))
    others = others.take(oncoming & (others.speed_mps >= rules["moving_mps"]))
    names = np.array(others.name)
    met = [_meeting(drive, pose, others.take(names == name), turn) for name in sorted(set(others.name))]
    return [meeting for meeting in met if meeting is not None]


def _meeting(drive: Drive, pose: tuple[Reals, Reals, Reals], other: _Others, turn: tuple[int, int]) -> _Meeting | None:
    """The meeting with one road user, on the straight line on which it comes; None if the ego does not cross that or it is past."""
    clock = drive.ego.clock.t_ns
    during = (clock >= turn[0]) & (clock <= turn[1])
    course, half = float(np.median(np.unwrap(other.heading_rad))), float(other.width_m[0]) / 2
    along, left = np.array([np.cos(course), np.sin(course)]), np.array([-np.sin(course), np.cos(course)])
    middle = float(np.median(other.x_m * left[0] + other.y_m * left[1]))
    front, rear = (np.stack([pose[0] + m * np.cos(pose[2]), pose[1] + m * np.sin(pose[2])])[:, during] for m in (FRONT_M, REAR_M))
    enters, leaves = np.flatnonzero(left @ front - middle < half), np.flatnonzero(left @ rear - middle < -half)
    if len(enters) == 0 or len(leaves) == 0 or enters[0] == 0:
        return None
    at, gone = clock[during][enters[0]], clock[during][leaves[0]]
    reach = other.x_m * along[0] + other.y_m * along[1] + other.length_m / 2
    short = float(along @ front[:, enters[0]]) - reach
    there = int(np.abs(other.t_ns - at).argmin())
    if short[there] < 0 or abs(int(other.t_ns[there]) - int(at)) > NS // 2:
        return None
    reached = np.flatnonzero((short <= 0) & (other.t_ns >= at))
    pet = (other.t_ns[reached[0]] - gone) / NS if len(reached) else np.inf
    return _Meeting(other.name[0], int(at), float(short[there] / other.speed_mps[there]), float(pet))
