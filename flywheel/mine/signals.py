"""Ego and sky series of one drive, cleaned once: nulls dropped, aligned, low-passed without delay."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from flywheel.errors import NotEvaluable
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals
from flywheel.types import LIGHTINGS, WEATHERS

EGO_GAP_S = 0.5
CURVE_SPEED_MPS = 3.0
# Indices of LIGHTINGS and WEATHERS are used below: day, dusk, night, low_sun and clear, fog, rain, snow.
CONDITION_NAMES = [f"{lighting}_{weather}" for lighting in LIGHTINGS for weather in WEATHERS]


def column(table: pa.Table, name: str) -> Reals:
    """A column as float64, NaN where null."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False), np.float64)


def times(table: pa.Table) -> Ints:
    """The t_ns column."""
    return np.asarray(table["t_ns"].to_numpy(), np.int64)


def series(table: pa.Table, name: str) -> tuple[Ints, Reals]:
    """Times and values of a column's own samples, nulls left out."""
    values = column(table, name)
    known = np.isfinite(values)
    return times(table)[known], values[known]


def resample(t_ns: Ints, known: tuple[Ints, Reals]) -> Reals:
    """Linear interpolation of (times, values) at t_ns; the outermost values hold beyond the ends."""
    base = known[0][0]
    return np.asarray(np.interp((t_ns - base).astype(np.float64), (known[0] - base).astype(np.float64), known[1]))


def nearest(known_ns: Ints, t_ns: Ints) -> Ints:
    """Index of the known time nearest to each time."""
    right = np.clip(np.searchsorted(known_ns, t_ns), 1, max(len(known_ns) - 1, 1)) if len(known_ns) > 1 else np.zeros(len(t_ns), np.int64)
    left = np.maximum(right - 1, 0)
    return np.where(t_ns - known_ns[left] <= known_ns[right] - t_ns, left, right)


def low_pass(values: Reals, clock: Clock, *, cutoff_hz: float) -> Reals:
    """Zero-phase Gaussian low-pass (-3 dB at the cutoff, no overshoot), each stretch between gaps on its own.

    Its deviation in time is sqrt(ln 2) / (2 pi cutoff). As given where the sample rate is too low for the cutoff.
    """
    if clock.period_ns == 0 or NS / clock.period_ns <= 2.5 * cutoff_hz:
        return values
    sigma = np.sqrt(np.log(2)) / (2 * np.pi * cutoff_hz) * NS / clock.period_ns
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    parts = np.split(values, np.flatnonzero(clock.broken))
    return np.concatenate([np.convolve(np.pad(part, reach, mode="edge"), kernel / kernel.sum(), mode="valid") for part in parts])


@dataclass(frozen=True)
class Ego:
    """The ego's motion at the times of its speed samples; a series is None where the drive has no such signal.

    Speed m/s; ax, ay m/s2 and yaw rad/s low-passed; pose (x, y in m, heading in rad, unwrapped) in a fixed frame.
    """

    clock: Clock
    speed: Reals
    ax: Reals | None
    ay: Reals | None
    yaw: Reals | None
    pose: tuple[Reals, Reals, Reals] | None

    @cached_property
    def travelled_m(self) -> Reals:
        """Distance driven since the first sample."""
        step_s = np.diff(self.clock.t_ns) / NS
        return np.concatenate([[0.0], np.cumsum(step_s * (self.speed[1:] + self.speed[:-1]) / 2)])

    def at(self, t_ns: Ints, values: Reals) -> Reals:
        """One of this ego's series at other times."""
        return resample(t_ns, (self.clock.t_ns, values))

    @property
    def end_curvature_1pm(self) -> float:
        """Curvature of the path at the last sample, 0 at walking pace, where it cannot be told."""
        if self.yaw is None or self.speed[-1] < CURVE_SPEED_MPS:
            return 0.0
        return float(self.yaw[-1] / self.speed[-1])

    def covers(self, t_ns: Ints) -> Mask:
        """Whether a sample lies within half the gap limit of each time."""
        known = self.clock.t_ns
        return np.asarray(np.abs(known[nearest(known, t_ns)] - t_ns) <= self.clock.max_gap_ns // 2)


def _first_known(signals: pa.Table, t_ns: Ints, *names: str) -> Reals | None:
    for name in names:
        known = series(signals, name)
        if len(known[0]) > 1:
            return resample(t_ns, known)
    return None


def _pose(signals: pa.Table, t_ns: Ints) -> tuple[Reals, Reals, Reals] | None:
    x, y = _first_known(signals, t_ns, "x_m"), _first_known(signals, t_ns, "y_m")
    headings = series(signals, "heading_rad")
    if x is None or y is None or len(headings[0]) < 2:
        return None
    return x, y, resample(t_ns, (headings[0], np.unwrap(headings[1])))


def read_ego(signals: pa.Table, *, cutoff_hz: float) -> Ego | None:
    """The ego of a SIGNALS table, or None without at least two speed samples."""
    t_ns, speed = series(signals, "speed_mps")
    if len(t_ns) < 2:
        return None
    rate = Clock(t_ns, NS)
    clock = Clock(t_ns, max(int(EGO_GAP_S * NS), 3 * rate.period_ns))
    pose = _pose(signals, t_ns)
    turning = _first_known(signals, t_ns, "yaw_rate_radps", "imu_yaw_rate_radps")
    if turning is None and pose is not None:
        turning = np.gradient(pose[2], (t_ns - t_ns[0]) / NS)
    smooth = {
        name: None if raw is None else low_pass(raw, clock, cutoff_hz=cutoff_hz)
        for name, raw in (
            ("ax", _first_known(signals, t_ns, "ax_mps2", "imu_ax_mps2")),
            ("ay", _first_known(signals, t_ns, "ay_mps2", "imu_ay_mps2")),
            ("yaw", turning),
        )
    }
    return Ego(clock=clock, speed=speed, pose=pose, **smooth)


@dataclass(frozen=True)
class Sky:
    """Light and weather samples; every value holds until the next sample. NaN where the drive does not say."""

    t_ns: Ints
    values: dict[str, Reals]

    NAMES = ("sun_elevation_deg", "sun_azimuth_rad", "illuminance_lx", "visibility_m", "rain_mmph", "snow_mmph")

    @property
    def known(self) -> bool:
        """Whether the drive says anything about its light and weather."""
        return len(self.t_ns) > 0

    def at(self, t_ns: Ints, name: str) -> Reals:
        """A value at other times; the first sample also stands for the time before it."""
        if not self.known:
            return np.full(len(t_ns), np.nan)
        return self.values[name][np.maximum(np.searchsorted(self.t_ns, t_ns, side="right") - 1, 0)]


def _held(values: Reals) -> Reals:
    at = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return values[at]


def read_sky(signals: pa.Table) -> Sky:
    """The environment columns of a SIGNALS table, nulls filled forward."""
    raw = {name: column(signals, name) for name in Sky.NAMES}
    rows = np.flatnonzero(np.any([np.isfinite(values) for values in raw.values()], axis=0))
    return Sky(times(signals)[rows], {name: _held(values[rows]) for name, values in raw.items()})


def condition_codes(sky: Sky, t_ns: Ints, heading_rad: Reals | None) -> Ints:
    """The condition at each time as an index of CONDITION_NAMES, by the catalogue's rows 44 to 48. NotEvaluable without signals."""
    if not sky.known:
        raise NotEvaluable("the drive has no environment signals")
    weather = _weather(sky, t_ns)
    sun, lux = sky.at(t_ns, "sun_elevation_deg"), sky.at(t_ns, "illuminance_lx")
    low = np.zeros(len(t_ns), bool)
    if heading_rad is not None:
        off = np.angle(np.exp(1j * (sky.at(t_ns, "sun_azimuth_rad") - heading_rad)))
        low = (sun >= 0) & (sun <= 20) & (np.abs(off) <= np.radians(30)) & (weather == 0)
    dark = (sun < -6) | (np.isnan(sun) & (lux < 20))
    lighting = np.select([dark, (sun >= -6) & (sun < 0), low], [2, 1, 3], 0)
    return np.asarray(lighting * len(WEATHERS) + weather, np.int64)


def _weather(sky: Sky, t_ns: Ints) -> Ints:
    snow, rain = sky.at(t_ns, "snow_mmph") > 0, sky.at(t_ns, "rain_mmph") >= 0.5
    fog = sky.at(t_ns, "visibility_m") < 1000
    return np.asarray(np.select([snow, rain, fog], [3, 2, 1], 0), np.int64)
