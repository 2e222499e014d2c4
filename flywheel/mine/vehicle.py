"""Detectors of what the vehicle says of itself: assistance, automation, GNSS, jolts and grip (rows 40, 41, 43, 49, 50)."""

from collections.abc import Sequence

import numpy as np

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit, highest, together
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals, graded, lasting, runs
from flywheel.mine.signals import resample

EARTH_M_PER_DEG = 111_195.0  # of a sphere with the mean radius of 6371.0 km
SLOWEST_HZ = 5.0


def _timed(drive: Drive, name: str) -> tuple[Clock, Reals]:
    """A signal's values and their clock, which bridges three samples, or the gap of a stream at 5 Hz; one clock for equal times."""
    t_ns, values = drive.series(name)
    key = ("clock", id(t_ns))  # the drive keeps its times, so that no other array can get this id
    if key not in drive.memo:
        rate = Clock(t_ns, 0)
        drive.memo[key] = rate.bridging(max(3 * rate.period_ns, int(NS / SLOWEST_HZ)))
    return drive.memo[key], values


def _flagged(drive: Drive, names: Sequence[str], *, min_s: float) -> list[Hit]:
    """Stretches for which one of these flags is up, the flag being the actor."""
    found = []
    for name in (name for name in names if drive.highest(name) >= 0.5):
        clock, values = _timed(drive, name)
        spans = lasting(runs(values >= 0.5, clock), clock, min_s=min_s)
        times = zip(clock.start_ns(spans).tolist(), clock.end_ns(spans).tolist(), strict=True)
        found += [Hit(t0, t1, t0, 0.0, 1, (name,)) for t0, t1 in times]
    return found


def _needs(drive: Drive, *names: str) -> None:
    if not any(drive.says(name) for name in names):
        raise NotEvaluable(f"no {' or '.join(names)}")


def _rises(t_ns: Ints, up: Mask) -> Ints:
    """When a flag goes up."""
    return t_ns[1:][up[1:] & ~up[:-1]]


def disengagement(drive: Drive, entry: Scenario) -> list[Hit]:
    """The driver takes over from the automation, and the car moves otherwise within the next seconds."""
    _needs(drive, "engaged")
    t_ns, values = drive.series("engaged")
    engaged = values >= 0.5
    moments = [_rises(t_ns, ~engaged)]
    if drive.says("driver_override"):
        at, held = drive.series("driver_override")
        moments[0] = moments[0][_held_near(moments[0], at[held >= 0.5], within_s=entry.settings["driver_s"])]
        rises = _rises(at, held >= 0.5)
        moments.append(rises[engaged[np.maximum(np.searchsorted(t_ns, rises, side="right") - 1, 0)]])
    found = [_takeover(drive, entry, int(moment)) for moment in np.concatenate(moments)]
    return [hit for hit in _in_one(found, entry) if hit.level]


def _held_near(moments: Ints, held_ns: Ints, *, within_s: float) -> Mask:
    """At which moments the driver acts within some time before or after."""
    low, high = (np.searchsorted(held_ns, moments + sign * int(within_s * NS)) for sign in (-1, 1))
    return np.asarray(high > low)


def _takeover(drive: Drive, entry: Scenario, t0_ns: int) -> Hit:
    """A moment and the largest change of acceleration after it; level 0 for a routine cancel."""
    ego, clock = drive.ego, drive.ego.clock
    low, high = np.searchsorted(clock.t_ns, [t0_ns, t0_ns + int(entry.settings["within_s"] * NS)])
    parts = [part[low:high] for part in (ego.ax, ego.ay) if part is not None]
    change = np.max([np.abs(part - part[0]) for part in parts], axis=0) if high > low else np.zeros(1)
    at = clock.t_ns[min(low + int(change.argmax()), len(clock.t_ns) - 1)]
    level = sum(bool(change.max() >= limit) for limit in entry.limits("change"))
    end = min(t0_ns + int(entry.settings["within_s"] * NS), max(drive.t1_ns, t0_ns))
    return Hit(t0_ns, end, max(int(at), t0_ns), float(change.max()), level)


def _in_one(found: list[Hit], entry: Scenario) -> list[Hit]:
    """Moments less than the merge time apart are one event; the stretches after them do not join them."""
    moments = [Hit(hit.t0_ns, hit.t0_ns, hit.t_peak_ns, hit.peak, hit.level) for hit in found]
    ends = {hit.t0_ns: hit.t1_ns for hit in found}
    return [Hit(m.t0_ns, ends[m.t1_ns], m.t_peak_ns, m.peak, m.level) for m in together(moments, merge_s=entry.merge_s)]


def assist_intervention(drive: Drive, entry: Scenario) -> list[Hit]:
    """Warnings and interventions of the assistance systems, which are the actors."""
    _needs(drive, "fcw", "aeb", "esc")
    found = []
    for hit in _flagged(drive, ("fcw", "aeb", "esc"), min_s=entry.min_duration_s):
        low, high = np.searchsorted(drive.ego.clock.t_ns, [hit.t0_ns, hit.t1_ns])
        braking = -drive.ego.ax[low:high].min() if drive.ego.ax is not None and high > low else 0.0
        stage = 1 if hit.actors == ("fcw",) else 3 if hit.actors == ("aeb",) and braking >= entry.settings["demand_mps2"] else 2
        level = sum(stage >= limit for limit in entry.limits("stage"))
        found.append(Hit(hit.t0_ns, hit.t1_ns, hit.t0_ns, float(stage), level, hit.actors))
    return [hit for hit in together(found, merge_s=entry.merge_s) if hit.level]


def gnss_loss(drive: Drive, entry: Scenario) -> list[Hit]:
    """Time without a fix while moving, and fixes that jump; the actor says which."""
    (t_ns, lat), (_, lon) = drive.series("lat_deg"), drive.series("lon_deg")
    if len(t_ns) < 2 or len(lon) != len(lat):
        raise NotEvaluable("no GNSS fixes")
    edges = np.concatenate([[min(drive.t0_ns, t_ns[0])], t_ns, [max(drive.t1_ns, t_ns[-1])]])
    coarse = drive.ego.coarse
    driven = np.abs(np.diff(resample(edges, (coarse.clock.t_ns, coarse.travelled_m))))
    lost_s = np.diff(edges) / NS
    gone = (lost_s >= entry.limit("L1", "gap")) & (driven >= entry.settings["moving_mps"] * lost_s)
    step = np.hypot(np.diff(lon) * np.cos(np.radians(lat[1:])), np.diff(lat)) * EARTH_M_PER_DEG
    excess = np.concatenate([[0.0], step - driven[1:-1], [0.0]])
    jumps = ~gone & (excess >= entry.settings["jump_m"])
    found = [_lost(edges, k, float(driven[k]), "gap", entry) for k in np.flatnonzero(gone).tolist()]
    found += [_lost(edges, k, float(excess[k]), "jump", entry) for k in np.flatnonzero(jumps).tolist()]
    return together(found, merge_s=entry.merge_s)


def _lost(edges: Ints, k: int, metres: float, kind: str, entry: Scenario) -> Hit:
    level = 2 if kind == "gap" and metres >= entry.limit("L2", "driven") else 1
    return Hit(int(edges[k]), int(edges[k + 1]), int(edges[k + 1]), metres, level, (kind,))


def speed_bump_pothole(drive: Drive, entry: Scenario) -> list[Hit]:
    """Jolts upwards and downwards; the actor says whether it was a bump or a pothole."""
    _needs(drive, "imu_az_mps2")
    clock, az = _timed(drive, "imu_az_mps2")
    if clock.period_ns == 0 or 1.1 * NS / clock.period_ns < entry.settings["least_hz"]:
        raise NotEvaluable(f"vertical acceleration is sampled below {entry.settings['least_hz']:g} Hz")
    jolt, limit = np.abs(az - np.median(az[:: max(1, len(az) // 10_000)])), entry.limit("L1", "vertical")
    spans, level = graded([jolt >= limit], jolt >= limit * entry.exit_ratio, clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    hits = highest(spans, level, clock, jolt) if len(spans) else []
    speed = np.abs(drive.ego.at(np.array([hit.t0_ns for hit in hits], np.int64), drive.ego.speed))
    moving = [hit for hit, mps in zip(hits, speed, strict=True) if mps >= entry.settings["moving_mps"]]
    return [Hit(h.t0_ns, h.t1_ns, h.t_peak_ns, h.peak, h.level, (_kind(drive, entry, h, clock, jolt),)) for h in moving]


def _kind(drive: Drive, entry: Scenario, hit: Hit, clock: Clock, jolt: Reals) -> str:
    """`pothole` if the first pulse is short and rolls the car, else `bump`."""
    start = int(np.searchsorted(clock.t_ns, hit.t0_ns))
    held = (
        jolt[start : start + int(entry.settings["pothole_s"] * NS / clock.period_ns) + 1]
        >= entry.limit("L1", "vertical") * entry.exit_ratio
    )
    if held.all() or not drive.says("roll_rate_radps"):
        return "bump"
    t_ns, roll = drive.series("roll_rate_radps")
    low, high = np.searchsorted(t_ns, [hit.t0_ns, hit.t0_ns + int(entry.settings["pothole_s"] * NS) + 1])
    return "pothole" if high > low and np.abs(roll[low:high]).max() >= entry.settings["roll_radps"] else "bump"


def low_grip_slip(drive: Drive, entry: Scenario) -> list[Hit]:
    """Wheels that turn faster or slower than the road passes, and ABS or ESC at work; the actors say which."""
    _needs(drive, "wheel_speed_mps", "abs", "esc")
    found = _flagged(drive, ("abs", "esc"), min_s=entry.min_duration_s)
    if drive.says("wheel_speed_mps"):
        clock, wheel = _timed(drive, "wheel_speed_mps")
        ground, limit = np.abs(drive.ego.at(clock.t_ns, drive.ego.speed)), entry.limit("L1", "slip")
        faster = np.maximum(ground, wheel)
        slip = np.where(faster >= entry.settings["least_speed_mps"], np.abs(wheel - ground) / np.maximum(faster, 1e-6), 0.0)
        spans, level = graded([slip >= limit], slip >= limit * entry.exit_ratio, clock, min_s=entry.min_duration_s, merge_s=0.0)
        found += [Hit(h.t0_ns, h.t1_ns, h.t_peak_ns, h.peak, h.level, ("slip",)) for h in highest(spans, level, clock, slip)]
    return together(found, merge_s=entry.merge_s)


DETECTORS: dict[str, Detector] = {
    "disengagement": disengagement,
    "assist_intervention": assist_intervention,
    "gnss_loss": gnss_loss,
    "speed_bump_pothole": speed_bump_pothole,
    "low_grip_slip": low_grip_slip,
}
