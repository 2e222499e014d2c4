"""Quality gates: pure functions from tables to findings. An error quarantines the log, a warning stays in the report."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Drive, Finding
from flywheel.ingest.images import is_black

Array = NDArray[np.float64]
Times = NDArray[np.int64]

MIN_DURATION_S = 1.0
MAX_DURATION_S = 86_400.0
MAX_GAP_S = 1.0
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
    "yaw_rate_radps": Limit(-3, 3, "warning"), "imu_yaw_rate_radps": Limit(-3, 3, "warning"), "steering_rad": Limit(-1.3, 1.3, "warning"),
    "brake": Limit(0, 1, "warning"), "throttle": Limit(0, 1, "warning"), "heading_rad": Limit(-7, 7, "warning"),
    "lat_deg": Limit(-90, 90, "error"), "lon_deg": Limit(-180, 180, "error"), "sun_elevation_deg": Limit(-90, 90, "error"),
    "sun_azimuth_rad": Limit(-6.3, 6.3, "warning"), "illuminance_lx": Limit(0, 200_000, "warning"),
    "visibility_m": Limit(0, 200_000, "warning"),
    "rain_mmph": Limit(0, 300, "warning"), "snow_mmph": Limit(0, 100, "warning"),
}  # fmt: skip
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


def gate(drive: Drive) -> tuple[Finding, ...]:
    """All findings of all gates, errors first."""
    found = [*drive.findings, *(finding for check in GATES for finding in check(drive))]
    return tuple(sorted(found, key=lambda f: (f.severity, f.gate, f.message)))


def refuse_errors(findings: tuple[Finding, ...]) -> None:
    """BadData listing every error among the findings."""
    errors = [f"{f.gate}: {f.message}" for f in findings if f.severity == "error"]
    if errors:
        raise BadData("; ".join(errors))


def duration_gate(drive: Drive) -> list[Finding]:
    """Empty, too short or impossibly long drives."""
    times = column(drive.tables["SIGNALS"], "t_ns")
    if len(times) == 0:
        return [Finding(severity="error", gate="empty", message="the drive has no ego signals")]
    seconds = float(times[-1] - times[0]) / 1e9
    if seconds < MIN_DURATION_S:
        return [Finding(severity="error", gate="duration", message=f"{seconds:.3f} s of signals; at least {MIN_DURATION_S:g} s are needed")]
    if seconds > MAX_DURATION_S:
        return [Finding(severity="error", gate="duration", message=f"{seconds:.0f} s of signals: a clock has jumped")]
    return []


def speed_gate(drive: Drive) -> list[Finding]:
    """A drive whose speed was never measured cannot be mined."""
    speed = drive.tables["SIGNALS"]["speed_mps"]
    missing = len(speed) > 0 and speed.null_count == len(speed)
    return [Finding(severity="error", gate="speed", message="speed_mps has no value in the whole drive")] if missing else []


def limits_gate(drive: Drive) -> list[Finding]:
    """Values that cannot be, or that suggest a wrong unit."""
    checks = [("SIGNALS", SIGNAL_LIMITS), ("TRACKS", TRACK_LIMITS), ("LANES", LANE_LIMITS)]
    return [f for name, limits in checks for field, limit in limits.items() if (f := _outside(drive.tables, name, field, limit))]


def _outside(tables: Mapping[str, pa.Table], name: str, field: str, limit: Limit) -> Finding | None:
    times, values = column(tables[name], "t_ns"), column(tables[name], field)
    bad = np.flatnonzero((values < limit.low) | (values > limit.high))
    if len(bad) == 0:
        return None
    worst = bad[np.argmax(np.abs(values[bad]))]
    text = f"{name}.{field} reaches {values[worst]:g} at {int(times[worst])} ns, outside {limit.low:g} to {limit.high:g} ({len(bad)} rows)"
    return Finding.model_validate({"severity": limit.severity, "gate": "limits", "message": text})


def travel_gate(drive: Drive) -> list[Finding]:
    """Speed and position must tell the same distance within a factor of two (km/h read as m/s is 3.6)."""
    signals = drive.tables["SIGNALS"]
    path, driven = path_m(signals), distance_m(signals)
    if max(path, driven) < 20 or path == 0 or 0.5 < driven / path < 2:
        return []
    text = f"speed_mps sums to {driven:.0f} m but x_m, y_m move {path:.0f} m: is the speed in m/s and the position in m?"
    return [Finding(severity="error", gate="travel", message=text)]


def gap_gate(drive: Drive) -> list[Finding]:
    """Holes in the ego signals."""
    steps = np.diff(column(drive.tables["SIGNALS"], "t_ns")) / 1e9
    holes = steps[steps > MAX_GAP_S]
    text = f"{len(holes)} gaps above {MAX_GAP_S:g} s, the longest {holes.max():.1f} s" if len(holes) else ""
    return [Finding(severity="warning", gate="gaps", message=text)] if text else []


def day_gate(drive: Drive) -> list[Finding]:
    """The stated day must be near the first sample's (local days differ from UTC by one at most)."""
    times = column(drive.tables["SIGNALS"], "t_ns")
    if len(times) == 0:
        return []
    recorded = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(times[0]) // 1000)).date()
    apart = abs((recorded - date.fromisoformat(drive.facts.day)).days)
    text = f"the log says {drive.facts.day} but was recorded on {recorded} UTC"
    return [Finding(severity="warning", gate="day", message=text)] if apart > 1 else []


def picture_gate(drive: Drive) -> list[Finding]:
    """The first frame of each camera must decode (error) and should show something (warning)."""
    found = []
    for camera, data in sorted(drive.first_frames.items()):
        try:
            if is_black(data):
                found.append(Finding(severity="warning", gate="black", message=f"the first frame of {camera} is black"))
        except BadData as err:
            found.append(Finding(severity="error", gate="undecodable", message=f"the first frame of {camera}: {err}"))
    return found


GATES: tuple[Callable[[Drive], list[Finding]], ...] = (
    duration_gate, speed_gate, limits_gate, travel_gate, gap_gate, day_gate, picture_gate,
)  # fmt: skip


def column(table: pa.Table, name: str) -> Array:
    """A numeric column as an array (times stay int64; null is NaN elsewhere)."""
    values = table[name]
    return np.asarray(values.to_numpy() if name == "t_ns" else values.cast(pa.float64()).to_numpy())


def distance_m(signals: pa.Table) -> float:
    """Distance driven: the trapezoid sum of |speed_mps| over steps of at most MAX_GAP_S (a hole adds nothing)."""
    times, speed = column(signals, "t_ns"), np.abs(column(signals, "speed_mps"))
    known = np.isfinite(speed)
    steps, means = np.diff(times[known]) / 1e9, (speed[known][1:] + speed[known][:-1]) / 2
    return float((steps * means)[steps <= MAX_GAP_S].sum())


def path_m(signals: pa.Table) -> float:
    """Length of the path through x_m, y_m, over the same steps as distance_m."""
    times, xy = column(signals, "t_ns"), np.stack([column(signals, "x_m"), column(signals, "y_m")], axis=1)
    known = np.isfinite(xy).all(axis=1)
    steps, hops = np.diff(times[known]) / 1e9, np.linalg.norm(np.diff(xy[known], axis=0), axis=1)
    return float(hops[steps <= MAX_GAP_S].sum())
