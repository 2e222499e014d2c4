"""Quality gates: pure functions from what was counted to findings. An error quarantines the log, a warning is kept in FINDINGS."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import DriveFacts, Finding, warning
from flywheel.ingest.tally import MAX_GAP_S, Tally
from flywheel.ingest.whereabouts import day_of

Array = NDArray[np.float64]
Times = NDArray[np.int64]

# Which gates belong together: the checks that an operator sees. A reader's own findings that are not here are about the log's layout.
FAMILIES: dict[str, tuple[str, ...]] = {
    "layout": (),
    "signals": ("empty", "speed", "limits", "travel", "gaps", "kinematics", "units", "stuck"),
    "positions": ("pose_jump", "pace", "gnss_jump", "gnss_null", "jumps"),
    "clocks": ("clock", "day", "duration", "overlap", "sync", "sensor_gaps", "sensor_order", "sensor_clock"),
    "cameras": ("black", "blur", "blocked", "frozen", "undecodable", "images", "calibration", "camera"),
    "tracks": ("teleport", "track_velocity", "tracks"),
    "copies": ("twin",),
}

MIN_DURATION_S = 1.0
MAX_DURATION_S = 86_400.0
# Nanoseconds since 1970 for 2000-01-01 and 2100-01-01: seconds, milliseconds or microseconds fall outside.
T_MIN_NS, T_MAX_NS = 946_684_800 * 10**9, 4_102_444_800 * 10**9


class Limit(NamedTuple):
    """What a column may hold; outside it is an error (impossible) or a warning (implausible: a unit may be wrong)."""

    low: float
    high: float
    severity: str


SIGNAL_LIMITS: dict[str, Limit] = {
    "speed_mps": Limit(-15, 90, "error"), "ax_mps2": Limit(-30, 30, "error"), "ay_mps2": Limit(-30, 30, "error"),
    "imu_ax_mps2": Limit(-30, 30, "warning"), "imu_ay_mps2": Limit(-30, 30, "warning"), "imu_az_mps2": Limit(-40, 40, "warning"),
    "yaw_rate_radps": Limit(-3, 3, "warning"), "imu_yaw_rate_radps": Limit(-3, 3, "warning"),
    "steering_rad": Limit(-1.3, 1.3, "warning"), "steering_wheel_rad": Limit(-20, 20, "warning"),
    "brake": Limit(0, 1, "warning"), "throttle": Limit(0, 1, "warning"), "heading_rad": Limit(-7, 7, "warning"),
    "lat_deg": Limit(-90, 90, "error"), "lon_deg": Limit(-180, 180, "error"), "sun_elevation_deg": Limit(-90, 90, "error"),
    "sun_azimuth_rad": Limit(-6.3, 6.3, "warning"), "illuminance_lx": Limit(0, 200_000, "warning"),
    "visibility_m": Limit(0, 200_000, "warning"),
    "rain_mmph": Limit(0, 300, "warning"), "snow_mmph": Limit(0, 100, "warning"), "temperature_c": Limit(-60, 70, "warning"),
    "wheel_speed_mps": Limit(-30, 120, "warning"), "roll_rate_radps": Limit(-5, 5, "warning"),
} | dict.fromkeys(("engaged", "driver_override", "fcw", "aeb", "abs", "esc"), Limit(0, 1, "warning"))  # fmt: skip
TRACK_LIMITS: dict[str, Limit] = {
    "length_m": Limit(0.01, 60, "warning"), "width_m": Limit(0.01, 30, "warning"), "height_m": Limit(0.01, 30, "warning"),
    "x_m": Limit(-1000, 1000, "warning"), "y_m": Limit(-1000, 1000, "warning"),
    "vx_mps": Limit(-90, 90, "warning"), "vy_mps": Limit(-90, 90, "warning"),
}  # fmt: skip
LANE_LIMITS: dict[str, Limit] = {"width_m": Limit(0.5, 20, "warning"), "curvature_1pm": Limit(-1, 1, "warning")}


def check_finite(topic: str, column: str, *, times: Times, values: Array) -> None:
    """BadData naming topic, column and time of the first NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise BadData(f"{topic}: {column} is {values[bad[0]]} at {times[bad[0]]} ns (and {len(bad) - 1} more): values must be finite")


def check_times(topic: str, times: Times, *, strict: bool = True) -> None:
    """BadData if times go back (or, if strict, repeat), or are not nanoseconds since 1970."""
    steps = np.diff(times)
    wrong = np.flatnonzero(steps <= 0 if strict else steps < 0)
    if len(wrong):
        at = int(wrong[0])
        raise BadData(f"{topic}: time does not advance: {times[at]} ns is followed by {times[at + 1]} ns ({len(wrong)} such steps)")
    if len(times) and not (times[0] >= T_MIN_NS and times[-1] < T_MAX_NS):
        raise BadData(f"{topic}: times {times[0]} to {times[-1]} are not nanoseconds UTC of the years 2000 to 2099")


def check_camera(where: str, said: Mapping[str, float]) -> None:
    """BadData unless a camera's numbers are finite, its focal lengths positive and its quaternion (if any) of unit length."""
    wrong = [name for name, value in said.items() if not np.isfinite(value) or (name in ("fx_px", "fy_px") and value <= 0)]
    turn = [said[name] for name in ("cam_qw", "cam_qx", "cam_qy", "cam_qz") if name in said]
    if wrong or (turn and abs(float(np.linalg.norm(turn)) - 1) > 1e-3):
        raise BadData(f"{where}: {wrong or 'the rotation'} is not what a camera can have: {dict(said)}")


def gate(tally: Tally, facts: DriveFacts) -> list[Finding]:
    """The findings of all gates over a whole drive."""
    return [finding for check in GATES for finding in check(tally, facts)]


def family_of(gate: str) -> str:
    """The family a gate belongs to."""
    return next((family for family, gates in FAMILIES.items() if gate in gates), "layout")


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings without repeats, errors first."""
    return tuple(sorted(set(findings), key=lambda f: (f.severity, f.gate, f.message)))


def refuse_errors(findings: Iterable[Finding]) -> None:
    """BadData listing every error among the findings."""
    errors = [f"{f.gate}: {f.message}" for f in findings if f.severity == "error"]
    if errors:
        raise BadData("; ".join(errors))


def duration_gate(tally: Tally, facts: DriveFacts) -> list[Finding]:
    """Empty, too short or impossibly long drives."""
    if not tally.spans:
        return [Finding(severity="error", gate="empty", message="the log holds no signals, tracks or frames")]
    if tally.seconds < MIN_DURATION_S:
        text = f"{tally.seconds:.3f} s recorded; at least {MIN_DURATION_S:g} s are needed"
        return [Finding(severity="error", gate="duration", message=text)]
    if tally.seconds > MAX_DURATION_S:
        return [Finding(severity="error", gate="duration", message=f"{tally.seconds:.0f} s of data: a clock has jumped")]
    return []


def speed_gate(tally: Tally, facts: DriveFacts) -> list[Finding]:
    """Without an ego speed no scenario of motion can be evaluated; the drive is kept for its pictures."""
    if "speed_mps" in tally.measured:
        return []
    return [warning("speed", "no ego speed: scenarios that need motion are not evaluable in this drive")]


def limits_gate(tally: Tally, facts: DriveFacts) -> list[Finding]:
    """Values that cannot be, or that suggest a wrong unit."""
    checks = [("SIGNALS", SIGNAL_LIMITS), ("TRACKS", TRACK_LIMITS), ("LANES", LANE_LIMITS)]
    return [f for name, limits in checks for field, limit in limits.items() if (f := _outside(tally, name, field, limit))]


def _outside(tally: Tally, name: str, field: str, limit: Limit) -> Finding | None:
    seen = tally.extremes.get((name, field))
    if seen is None or (seen.low >= limit.low and seen.high <= limit.high) or seen.low > seen.high:
        return None
    value, t_ns = (seen.low, seen.low_t_ns) if seen.low < limit.low else (seen.high, seen.high_t_ns)
    text = f"{name}.{field} reaches {value:g} at {t_ns} ns, outside {limit.low:g} to {limit.high:g}"
    return Finding.model_validate({"severity": limit.severity, "gate": "limits", "message": text})


def travel_gate(tally: Tally, facts: DriveFacts) -> list[Finding]:
    """Speed and position must tell the same distance within a factor of two (km/h read as m/s is 3.6)."""
    path, driven = tally.moved.total_m, tally.driven.total_m
    if max(path, driven) < 20 or path == 0 or "speed_mps" not in tally.measured or 0.5 < driven / path < 2:
        return []
    text = f"speed_mps sums to {driven:.0f} m but x_m, y_m move {path:.0f} m: is the speed in m/s and the position in m?"
    return [Finding(severity="error", gate="travel", message=text)]


def gap_gate(tally: Tally, facts: DriveFacts) -> list[Finding]:
    """Holes in the ego signals."""
    text = f"{tally.holes} gaps above {MAX_GAP_S:g} s, the longest {tally.longest_hole_s:.1f} s" if tally.holes else ""
    return [warning("gaps", text)] if text else []


def day_gate(tally: Tally, facts: DriveFacts) -> list[Finding]:
    """The stated day must be near the first sample's (local days differ from UTC by one at most)."""
    if not tally.spans:
        return []
    recorded = date.fromisoformat(day_of(tally.t0_ns))
    apart = abs((recorded - date.fromisoformat(facts.day)).days)
    text = f"the log says {facts.day} but was recorded on {recorded} UTC"
    return [warning("day", text)] if apart > 1 else []


GATES: tuple[Callable[[Tally, DriveFacts], list[Finding]], ...] = (
    duration_gate, speed_gate, limits_gate, travel_gate, gap_gate, day_gate,
)  # fmt: skip
