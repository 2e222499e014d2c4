"""The truth of what the vehicle reports (rows 40, 41, 43, 49, 50): exact motion, with what the script lays over it, without noise."""

from collections.abc import Iterator

import numpy as np

from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import EXIT, MERGE_S, Array, Flags, Limits, Rule, Truth, View, graded, intervals, runs, seconds
from flywheel.types import Level

EARTH_M_PER_DEG, AFTER_S = 111_320.0, 5.0


def _sent(view: View, topic: str, column: str, exact: Array) -> Array:
    """A column as its sensor would send it without noise."""
    found, t_s = exact.copy(), np.arange(len(exact)) / RATE_HZ
    for lay in view.drive.plan.overlays:
        if (lay.topic, lay.column) == (topic, column):
            chosen = (t_s >= lay.t0_s) & (t_s < lay.t1_s)
            found[chosen] = lay.values(t_s[chosen], found[chosen])
    return found


def _up(view: View, name: str) -> Flags:
    return np.asarray(_sent(view, "/vehicle", name, np.zeros(len(view.s_m))) >= 0.5)


def _rises(flags: Flags) -> list[int]:
    return [a for a, _ in runs(flags) if a > 0]


def disengagement(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 40: the driver switches off or overrides the automation and a_x or a_y changes by 1 / 3 m/s2 or more within 5 s."""
    engaged, driver = _up(view, "engaged"), _up(view, "driver_override")
    off = [i for i in _rises(~engaged) if driver[max(i - RATE_HZ, 0) : i + RATE_HZ + 1].any()]
    moments = sorted({*off, *(i for i in _rises(driver) if engaged[i])})
    groups: list[list[int]] = []
    for i in moments:
        if groups and i - groups[-1][-1] < MERGE_S * RATE_HZ:
            groups[-1].append(i)
        else:
            groups.append([i])
    for group in groups:
        level = _change(view, group, limits)
        if level:
            yield Truth(
                scenario="disengagement", level=level, start=group[0], end=min(group[-1] + round(AFTER_S * RATE_HZ), len(driver) - 1)
            )


def _change(view: View, moments: list[int], limits: Limits) -> Level | None:
    """The level of the largest change of acceleration after these moments."""
    parts = [part[i : i + round(AFTER_S * RATE_HZ)] for i in moments for part in (view.accel_mps2, view.lateral_mps2)]
    largest = max(float(np.abs(part - part[0]).max()) for part in parts)
    return "L2" if largest >= 3.0 * limits.strict else "L1" if largest >= 1.0 * limits.strict else None


def assist_intervention(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 41: FCW for 0.1 s (L1), AEB or ESC (L2), AEB while braking with 5 m/s2 or more (L3)."""
    lasting = {name: [run for run in runs(_up(view, name)) if seconds(run) >= 0.09] for name in ("fcw", "aeb", "esc")}
    stage = np.zeros(len(view.s_m), np.int64)
    for name, found in lasting.items():
        for a, b in found:
            firm = name == "aeb" and -view.accel_mps2[a : b + 1].min() >= 5.0 * limits.strict
            stage[a : b + 1] = np.maximum(stage[a : b + 1], 1 if name == "fcw" else 3 if firm else 2)
    levels: tuple[Level, ...] = ("L1", "L2", "L3")
    for start, end in intervals(stage > 0, stage > 0):
        names = tuple(name for name, found in lasting.items() if any(start <= a <= end for a, _ in found))
        yield Truth(scenario="assist_intervention", level=levels[stage[start : end + 1].max() - 1], start=start, end=end, actors=names)


def gnss_loss(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 43: no fix for 2 s or more at 1 m/s or more on average, or a fix 5 m or more farther on than the ego drove."""
    drive, ego, silent = view.drive, view.drive.ego, [gap for gap in view.drive.plan.dropouts if gap.topic == "/gnss"]
    times = np.array([k for k in range(0, len(view.s_m), 10) if not any(g.t0_s < round(k / RATE_HZ, 3) < g.t1_s for g in silent)])
    lat = _sent(view, "/gnss", "lat_deg", drive.place.lat_deg + ego.y_m / EARTH_M_PER_DEG)
    narrow = EARTH_M_PER_DEG * np.cos(np.radians(drive.place.lat_deg))
    lon = _sent(view, "/gnss", "lon_deg", drive.place.lon_deg + ego.x_m / narrow)
    way = np.concatenate([[0.0], np.cumsum(ego.speed_mps[:-1])]) / RATE_HZ
    step = np.hypot(np.diff(lat[times]) * EARTH_M_PER_DEG, np.diff(lon[times]) * narrow)
    driven, lost_s = np.diff(way[times]), np.diff(times) / RATE_HZ
    gone = (lost_s >= 2.0 * limits.strict) & (driven >= lost_s * limits.strict)
    bad, found = gone | (step - driven >= 5.0 * limits.strict), np.zeros(len(view.s_m), bool)
    for k in np.flatnonzero(bad):
        found[times[k] : times[k + 1] + 1] = True
    for start, end in intervals(found, found):
        yield Truth(scenario="gnss_loss", level="L1", start=start, end=end)


def speed_bump_pothole(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 49: the vertical acceleration is 2.5 m/s2 or more off gravity for 0.05 s, at 1 m/s or more at its onset."""
    jolt = np.abs(_sent(view, "/imu", "az_mps2", np.zeros(len(view.s_m))))
    roll = np.abs(_sent(view, "/imu", "roll_rate_radps", np.zeros(len(view.s_m))))
    bound = 2.5 * limits.strict
    for start, end in intervals(jolt >= bound, jolt >= EXIT * bound):
        if not graded([jolt >= bound], (start, end), least_s=0.04) or view.speed_mps[start] < 1.0:
            continue
        first = next(run for run in runs(jolt >= EXIT * bound) if run[0] <= start <= run[1])
        hole = seconds(first) < 0.15 and roll[start : start + 15].max() >= 0.15
        yield Truth(scenario="speed_bump_pothole", level="L1", start=start, end=end, actors=("pothole" if hole else "bump",))


def low_grip_slip(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 50: the wheels are 10 % or more faster or slower than the ground, at 3 m/s or more, or ABS or ESC is active; for 0.2 s."""
    speed = view.speed_mps
    wheel = _sent(view, "/vehicle", "wheel_speed_mps", speed)
    faster = np.maximum(speed, wheel)
    slip = np.where(faster >= 3.0, np.abs(wheel - speed) / np.maximum(faster, 1e-3), 0.0)
    flags, bound = _up(view, "abs") | _up(view, "esc"), 0.1 * limits.strict
    for span in intervals((slip >= bound) | flags, (slip >= EXIT * bound) | flags):
        if graded([slip >= bound], span, least_s=0.2) or graded([flags], span, least_s=0.19):
            yield Truth(scenario="low_grip_slip", level="L1", start=span[0], end=span[1])


RULES: dict[str, Rule] = {
    "disengagement": disengagement, "assist_intervention": assist_intervention, "gnss_loss": gnss_loss,
    "speed_bump_pothole": speed_bump_pothole, "low_grip_slip": low_grip_slip,
}  # fmt: skip
