"""What truly happened on a drive, for all eight scenarios, from the exact motions (never from messages or from the script).

Shares no code with mining: agreement of the two is the test. Conventions, 100 Hz, road coordinates, ego lane from the rear axle:
- An interval begins when the L1 condition first holds and ends when it stops holding at 60 % of the threshold (for times to
  collision, where small is bad: at threshold / 0.6). Intervals less than 2 s apart are one. A level holds when its threshold
  holds without a break for the minimum duration; an event has its most severe level.
- hard_braking: a_x <= -3.0 / -4.05 / -6.4 m/s2 for 0.3 s, at 3 m/s or more at the onset.
- low_ttc: gap / closing speed <= 3 / 1.5 / 0.95 s for 0.2 s, closing at 1 m/s or more, to the nearest vehicle or cyclist ahead
  whose box overlaps the ego's laterally along the lane and whose heading is within 45 degrees; front bumper to rear bumper.
- cut_in: a car, truck, bus or cyclist comes in from an adjacent lane (the ego's lane unchanged): t0 when its nearest side is more
  than 0.3 m inside the ego lane, ahead, gap <= 50 m, nearest in the lane, for 0.3 s at least. L1: headway <= 2 s at t0. L2: also
  TTC < v_rel / 12 + 0.35 s. t1: its centre within 0.5 m of the lane's centre, or 3 s later.
- pedestrian_crossing: a walking pedestrian within 1.2 m of the ego lane's centre, x ahead of the rear axle with
  0 < x - 3.7 <= max(4 s * speed, 8 m). t0..t1 is that time (0.5 s at least); peak = the smallest (x - 3.7) / speed; it counts when
  that is <= 3 / 2 / 1 s.
- red_light_stop: red, speed < 0.3 m/s, front bumper 0 to 5 m before the stop line, for 1 s. It ends when one of these ends.
- night_intersection_lane_change: the lane index changes while |v_lat| >= 0.1 m/s, in the junction or with its entry <= 30 m ahead of
  the bumper, sun < -6 deg or < 20 lx, visibility < 1000 m or rain >= 1.9 mm/h. t0..t1: |v_lat| >= 0.1 m/s around it, 1 s at least.
- curve_speed_adaptation: a_x <= -0.5 m/s2 for 2 s or more with a mean of -2.0 or more, no lead within 3 s headway; then a lane radius
  <= 200 m within 5 s, where the largest |a_y| is 1.5 to 3.0 m/s2. t0 = onset of the deceleration, t1 = the apex,
  the first instant within 5 % of that largest.
- sensor_dropout: a gap between messages of more than three periods and >= 0.5 / 2 / 5 s; t0 the last message before, t1 the first after.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from flywheel.ego import FRONT_M, WIDTH_M
from flywheel.fleet.drive import Drive
from flywheel.fleet.motion import RATE_HZ, cumulative, driven_line
from flywheel.fleet.road import Line
from flywheel.fleet.scene import ActorClass
from flywheel.fleet.simulate import Mover
from flywheel.types import Level, Record

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rule = Callable[["View", "Limits"], Iterator["Truth"]]
MERGE_S, EXIT = 2.0, 0.6
NEAR_M = 110.0


class Truth(Record):
    """One event that truly happened; samples are 100 Hz indices from the drive's start."""

    scenario: str
    level: Level
    start: int
    end: int
    actors: tuple[str, ...] = ()
    borderline: bool = False


class Limits(Record):
    """The numbers of the definitions; three values are L1, L2, L3."""

    braking_mps2: tuple[float, ...] = (-3.0, -4.05, -6.4)
    ttc_s: tuple[float, ...] = (3.0, 1.5, 0.95)
    headway_s: float = 2.0
    cut_in_gap_m: float = 50.0
    cut_in_ttc_s: float = 0.35
    arrival_s: tuple[float, ...] = (3.0, 2.0, 1.0)
    stop_line_m: float = 5.0
    standing_s: float = 1.0
    junction_m: float = 30.0
    dark_lx: float = 20.0
    visibility_m: float = 1000.0
    rain_mmph: float = 1.9
    easing_mps2: tuple[float, float] = (-0.5, -2.0)
    apex_mps2: tuple[float, float] = (1.5, 3.0)
    gap_s: tuple[float, ...] = (0.5, 2.0, 5.0)
    strict: float = 1.0  # rules that hold their own numbers ask for this much more

    def stricter(self, factor: float) -> "Limits":
        """Limits that ask for more (factor > 1) or less (factor < 1)."""
        return Limits(
            braking_mps2=tuple(v * factor for v in self.braking_mps2), ttc_s=tuple(v / factor for v in self.ttc_s),
            headway_s=self.headway_s / factor, cut_in_gap_m=self.cut_in_gap_m / factor, cut_in_ttc_s=self.cut_in_ttc_s / factor,
            arrival_s=tuple(v / factor for v in self.arrival_s), stop_line_m=self.stop_line_m / factor, standing_s=self.standing_s * factor,
            junction_m=self.junction_m / factor, dark_lx=self.dark_lx / factor, visibility_m=self.visibility_m / factor,
            rain_mmph=self.rain_mmph * factor, easing_mps2=(self.easing_mps2[0] * factor, self.easing_mps2[1] / factor),
            apex_mps2=(self.apex_mps2[0] * factor, self.apex_mps2[1] / factor), gap_s=tuple(v * factor for v in self.gap_s),
            strict=self.strict * factor,
        )  # fmt: skip


@dataclass(frozen=True)
class Other:
    """A road user along the ego's lane at 100 Hz: road coordinates of its box's centre, speed along and across the road (to the left),

    its heading against the road's, gap from the ego's front bumper to its rear (negative once alongside). Everything is NaN while it is
    not there. `mover` is the same in the world.
    """

    actor_id: str
    cls: ActorClass
    s_m: Array
    d_m: Array
    along_mps: Array
    aligned: Flags
    gap_m: Array
    width_m: float
    length_m: float
    mover: Mover
    turned_rad: Array
    across_mps: Array


@dataclass(frozen=True)
class View:
    """A drive along a line: its road, or the ego's own path."""

    drive: Drive
    line: Line
    s_m: Array
    d_m: Array
    v_lat_mps: Array
    lane: NDArray[np.int64]
    centre_m: Array
    kappa_1pm: Array
    others: tuple[Other, ...]

    @cached_property
    def on_course(self) -> Flags:
        """Whether the ego drives along the line, within 45 degrees of it."""
        return np.asarray(np.cos(self.drive.ego.heading_rad - np.interp(self.s_m, self.line.s, self.line.heading_rad)) > np.cos(np.pi / 4))

    @cached_property
    def own(self) -> "View":
        """The drive along the ego's own path where the ego leaves the road, else this one."""
        if self.on_course.all():
            return self
        ego, zero = self.drive.ego, np.zeros(len(self.s_m))
        line, way = driven_line(ego), cumulative(ego.speed_mps, 1 / RATE_HZ)
        others = tuple(_others(self.drive, line, way, np.ones_like(zero)))
        return View(self.drive, line, way, zero, zero, self.lane, zero, zero, others)

    @property
    def speed_mps(self) -> Array:
        """The ego's speed."""
        return self.drive.ego.speed_mps

    @property
    def accel_mps2(self) -> Array:
        """The ego's longitudinal acceleration."""
        return self.drive.ego.accel_mps2

    @property
    def lateral_mps2(self) -> Array:
        """The ego's lateral acceleration."""
        return self.drive.ego.speed_mps * self.drive.ego.yaw_rate_radps


def view_of(drive: Drive) -> View:
    """The drive seen along its road; only road users that come within 110 m.

    While the ego is turned away from the road or beyond the oncoming lane it is in no lane: the centre and all gaps are NaN.
    """
    road, place, ego = drive.road, drive.place, drive.ego
    s, d = road.project(ego.x_m, ego.y_m)
    lane = np.clip(np.floor((d + place.kerb_m) / place.lane_m), 0, place.lanes - 1).astype(np.int64)
    on_road = (np.cos(ego.heading_rad - np.interp(s, road.s, road.heading_rad)) > 0.5) & (d < place.lane_m)
    centre = np.where(on_road, -(place.lanes - lane - 0.5) * place.lane_m, np.nan)
    kappa, v_lat = road.curvature(s), np.asarray(np.gradient(d, 1 / RATE_HZ), np.float64)
    others = tuple(_others(drive, road, s, 1.0 - kappa * centre))
    return View(drive, road, s, d, v_lat, lane, centre, kappa / (1.0 - kappa * centre), others)


def _others(drive: Drive, line: Line, s_ego: Array, stretch: Array) -> Iterator[Other]:
    """Everyone who comes near; lengths along the ego's lane are the line's times `stretch`."""
    ego = drive.ego
    for m in drive.movers:
        far = np.hypot(m.x_m - ego.x_m, m.y_m - ego.y_m)
        if not (far < NEAR_M).any():
            continue
        s, d = line.project(m.x_m[:: m.every], m.y_m[:: m.every])
        s, d = _fill(s, m.every, len(far)), _fill(d, m.every, len(far))
        turned = np.asarray(m.heading_rad - np.interp(s, line.s, line.heading_rad), np.float64)
        gap = (s - s_ego) * stretch - m.size_m[0] / 2 - FRONT_M
        yield Other(
            m.actor_id, m.cls, s, d, m.speed_mps * np.cos(turned), np.cos(turned) > np.cos(np.pi / 4), gap, m.size_m[1],
            length_m=m.size_m[0], mover=m, turned_rad=turned, across_mps=m.speed_mps * np.sin(turned),
        )  # fmt: skip


def _fill(values: Array, every: int, samples: int) -> Array:
    """Values of every n-th sample at all samples: straight lines, NaN next to a missing one."""
    return values if every == 1 else np.interp(np.arange(samples), np.arange(0, samples, every), values)


def runs(flags: Flags) -> list[tuple[int, int]]:
    """First and last index of every unbroken run of true."""
    edge = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edge[::2], edge[1::2], strict=True)]


def seconds(run: tuple[int, int]) -> float:
    """How long a run lasts."""
    return (run[1] - run[0]) / RATE_HZ


def intervals(enter: Flags, stay: Flags) -> list[tuple[int, int]]:
    """Runs of `stay` from the first `enter` in them, joined when less than 2 s apart."""
    found: list[tuple[int, int]] = []
    for start, end in runs(stay | enter):
        inside = np.flatnonzero(enter[start : end + 1])
        if len(inside) == 0:
            continue
        start += int(inside[0])
        if found and (start - found[-1][1]) / RATE_HZ < MERGE_S:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    return found


def graded(holds: list[Flags], span: tuple[int, int], *, least_s: float) -> Level | None:
    """The most severe level whose condition holds unbroken for long enough within the span."""
    names: tuple[Level, ...] = ("L1", "L2", "L3")
    part = slice(span[0], span[1] + 1)
    held = [name for name, flags in zip(names, holds, strict=False) if any(seconds(r) >= least_s for r in runs(flags[part]))]
    return held[-1] if held else None


def half_width(other: Other) -> Array:
    """Half of what a box covers across the road as it is turned."""
    return np.asarray((np.abs(np.cos(other.turned_rad)) * other.width_m + np.abs(np.sin(other.turned_rad)) * other.length_m) / 2)


def overlaps(view: View, other: Other) -> Flags:
    """Does the other's box lie in the ego's path, ahead and in the same direction?"""
    sideways = np.abs(other.d_m - view.d_m) < half_width(other) + WIDTH_M / 2
    return np.asarray(sideways & other.aligned & (other.gap_m > 0))


def nearest(view: View) -> tuple[Array, Array, NDArray[np.int64]]:
    """Gap and closing speed to the lead at every instant (inf and 0 without one), and which of `others` it is (-1)."""
    samples = len(view.s_m)
    gap, closing, who = np.full(samples, np.inf), np.zeros(samples), np.full(samples, -1)
    for k, other in enumerate(view.others):
        if other.cls in ("pedestrian", "other"):
            continue
        better = overlaps(view, other) & (other.gap_m < gap)
        gap = np.where(better, other.gap_m, gap)
        closing = np.where(better, view.speed_mps - other.along_mps, closing)
        who = np.where(better, k, who)
    return gap, closing, who
