"""Detectors that need the ego's own motion: hard braking (row 1) and curve-speed adaptation (row 28)."""

import numpy as np

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Mask, Reals, Spans, graded, hysteresis, lasting, runs
from flywheel.mine.signals import Ego


def _accelerations(ego: Ego) -> Reals:
    if ego.ax is None:
        raise NotEvaluable("no acceleration")
    return ego.ax


def hard_braking(drive: Drive, entry: Scenario) -> list[Hit]:
    """Braking at or below the level's acceleration for the minimum time, begun at 3 m/s or more."""
    ax, clock = _accelerations(drive.ego), drive.ego.clock
    limits = entry.limits("acceleration")
    spans, level = graded(
        [ax <= limit for limit in limits], ax <= limits[0] * entry.exit_ratio, clock, min_s=entry.min_duration_s, merge_s=entry.merge_s
    )
    fast = drive.ego.speed[spans.first] >= entry.settings["entry_speed_mps"]
    return lowest(spans.take(fast), level[fast], clock, ax)


def _led(drive: Drive, headway_s: float) -> Mask:
    """At each ego sample, whether a lead is closer than the headway; never where the drive has no tracks."""
    ego = drive.ego
    if drive.missing("tracks") or len(drive.lead) == 0:
        return np.zeros(len(ego.speed), bool)
    objects, lead = drive.objects, drive.lead
    close = (lead >= 0) & (objects.gap_m[lead] < headway_s * objects.speed)
    return _latest(close, objects.clock, ego.clock)


def _latest(flag: Mask, frames: Clock, clock: Clock) -> Mask:
    at = np.searchsorted(frames.t_ns, clock.t_ns, side="right") - 1
    fresh = (at >= 0) & (clock.t_ns - frames.t_ns[np.maximum(at, 0)] <= frames.max_gap_ns)
    return fresh & flag[np.maximum(at, 0)]


def _slowing(drive: Drive, entry: Scenario) -> Spans:
    """Stretches of gentle braking that last and have no lead."""
    ax, clock = _accelerations(drive.ego), drive.ego.clock
    mild = entry.limit("L1", "deceleration")
    spans = lasting(hysteresis(ax <= -mild, ax <= -mild * entry.exit_ratio, clock), clock, min_s=entry.min_duration_s)
    mean = np.array([ax[first : last + 1].mean() for first, last in zip(spans.first, spans.last, strict=True)])
    led = _led(drive, entry.settings["lead_headway_s"])
    free = np.array([not led[first : last + 1].any() for first, last in zip(spans.first, spans.last, strict=True)], bool)
    return spans.take(free & (mean <= -mild) & (mean >= -entry.settings["strongest_mps2"]))


def _curves(ego: Ego, entry: Scenario) -> Spans:
    if ego.yaw is None:
        raise NotEvaluable("no yaw rate")
    least = entry.settings["least_speed_mps"]
    return runs((ego.speed >= least) & (np.abs(ego.yaw) >= ego.speed / entry.settings["radius_m"]), ego.clock)


def curve_speed_adaptation(drive: Drive, entry: Scenario) -> list[Hit]:
    """Gentle slowing for a curve: from the onset of the slowing to the apex of the curve that follows."""
    ego, clock = drive.ego, drive.ego.clock
    slowing, curves = _slowing(drive, entry), _curves(ego, entry)
    if ego.yaw is None or len(curves) == 0:
        return []
    lateral = np.abs(ego.ay) if ego.ay is not None else np.abs(ego.yaw * ego.speed)
    found = []
    for first, last in zip(slowing.first, slowing.last, strict=True):
        entered = clock.t_ns[curves.first]
        near = (entered >= clock.t_ns[first]) & (entered <= clock.t_ns[last] + entry.settings["within_s"] * NS)
        found += [_curve_hit(clock, lateral, int(first), curves.take(near), entry)] if near.any() else []
    return [hit for hit in found if hit is not None]


def _curve_hit(clock: Clock, lateral: Reals, first: int, curves: Spans, entry: Scenario) -> Hit | None:
    """The hit that ends at the apex: the first instant at which the hardest curve's lateral acceleration is close to its largest."""
    largest, a, b = max((float(lateral[a : b + 1].max()), a, b) for a, b in zip(curves.first, curves.last, strict=True))
    if not entry.settings["apex_low_mps2"] <= largest <= entry.settings["apex_high_mps2"]:
        return None
    apex = int(clock.t_ns[a + np.argmax(lateral[a : b + 1] >= entry.settings["apex_share"] * largest)])
    return Hit(int(clock.t_ns[first]), apex, apex, largest, 1)


DETECTORS: dict[str, Detector] = {
    "hard_braking": hard_braking,
    "curve_speed_adaptation": curve_speed_adaptation,
}
