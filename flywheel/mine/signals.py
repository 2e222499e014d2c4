"""Ego and sky series of one drive, cleaned once: nulls dropped, aligned, low-passed without delay."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import catalogue
from flywheel.mine.filters import low_pass as low_pass  # for whoever reads signals
from flywheel.mine.segments import NS, Clock, Ints, Mask, Reals
from flywheel.types import LIGHTINGS, WEATHERS

EGO_GAP_S = 0.5
COARSE_S = 0.05
NO_ROWS = np.zeros(0, np.int64)
CURVE_SPEED_MPS = 3.0
# Indices of LIGHTINGS and WEATHERS are used below: day, dusk, night, low_sun and clear, fog, rain, snow.
CONDITION_NAMES = [f"{lighting}_{weather}" for lighting in LIGHTINGS for weather in WEATHERS]


def column(table: pa.Table, name: str) -> Reals:
    """A column as float64, NaN where null."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False), np.float64)


def times(table: pa.Table) -> Ints:
    """The t_ns column."""
    return np.asarray(table["t_ns"].to_numpy(), np.int64)


def series(table: pa.Table, name: str, *, rows_of: dict[bytes, tuple[Ints, Ints]] | None = None) -> tuple[Ints, Reals]:
    """Times and values of a float64 column's own samples, nulls and what is not finite left out.

    `rows_of` keeps rows and times for other columns that have samples in exactly the same rows.
    """
    held = {} if rows_of is None else rows_of
    chosen = table[name].combine_chunks() if table[name].num_chunks != 1 else table[name].chunk(0)
    if chosen.null_count == len(chosen):
        return np.zeros(0, np.int64), np.zeros(0)
    if chosen.null_count == 0:
        at, values = held.setdefault(b"", (NO_ROWS, times(table)))[1], np.asarray(chosen.to_numpy(), np.float64)
    else:
        rows, at = _rows_known(table, chosen, held)
        values = np.frombuffer(chosen.buffers()[1], np.float64)[chosen.offset + rows]
    known = np.isfinite(values)
    return (at, values) if known.all() else (at[known], values[known])


def _rows_known(table: pa.Table, chosen: pa.Array, held: dict[bytes, tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    """The rows in which a column is not null, and their times."""
    valid = chosen.is_valid()
    bits = valid.buffers()[1].to_pybytes()
    if bits not in held:
        rows = np.flatnonzero(valid.to_numpy(zero_copy_only=False)).astype(np.int64)
        held[bits] = rows, times(table)[rows]
    return held[bits]


def resample(t_ns: Ints, known: tuple[Ints, Reals]) -> Reals:
    """Linear interpolation of (times, values) at t_ns; the outermost values hold beyond the ends."""
    at, values = known
    return np.asarray(np.interp(t_ns - at[0], at - at[0], values))


def nearest(known_ns: Ints, t_ns: Ints) -> Ints:
    """Index of the known time nearest to each time."""
    right = np.clip(np.searchsorted(known_ns, t_ns), 1, max(len(known_ns) - 1, 1)) if len(known_ns) > 1 else np.zeros(len(t_ns), np.int64)
    left = np.maximum(right - 1, 0)
    return np.where(t_ns - known_ns[left] <= known_ns[right] - t_ns, left, right)


def _running(rate: Reals, t_ns: Ints) -> Reals:
    """The running integral of a rate, 0 at the first sample."""
    return np.concatenate([[0.0], np.cumsum(np.diff(t_ns) / NS * (rate[1:] + rate[:-1]) / 2)])


@dataclass(frozen=True)
class Coarse:
    """The ego at about 20 Hz, enough for what is low-passed at 2 Hz: which samples they are, and the way gone since the first."""

    rows: Ints
    clock: Clock
    travelled_m: Reals


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
        return _running(self.speed, self.clock.t_ns)

    def at(self, t_ns: Ints, values: Reals) -> Reals:
        """One of this ego's series at other times."""
        return resample(t_ns, (self.clock.t_ns, values))

    @cached_property
    def coarse(self) -> Coarse:
        """The ego at about 20 Hz."""
        rows = np.arange(0, len(self.speed), max(1, round(COARSE_S * NS / max(self.clock.period_ns, 1))))
        t_ns = self.clock.t_ns[rows]
        return Coarse(rows, Clock(t_ns, max(self.clock.max_gap_ns, 3 * int(COARSE_S * NS))), _running(self.speed[rows], t_ns))

    @cached_property
    def turned_rad(self) -> Reals:
        """How far the ego has turned since the first of its coarse samples, from the yaw rate; NotEvaluable without one."""
        if self.yaw is None:
            raise NotEvaluable("no yaw rate")
        return _running(self.yaw[self.coarse.rows], self.coarse.clock.t_ns)

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
            return known[1] if np.array_equal(known[0], t_ns) else resample(t_ns, known)
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
    clock = rate.bridging(max(int(EGO_GAP_S * NS), 3 * rate.period_ns))
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
class SkyBounds:
    """Where a condition begins: the mildest thresholds of the catalogue's rows 44 to 48."""

    sun_low_deg: tuple[float, float]
    sun_off_deg: float
    dusk_deg: float
    night_deg: float
    dark_lx: float
    rain_mmph: float
    snow_mmph: float
    warmest_c: float
    fog_m: float


def sky_bounds() -> SkyBounds:
    """The bounds that the present catalogue sets."""
    entry = {known.name: known for known in catalogue()}
    glare, night, snow = entry["low_sun_glare"], entry["night_dusk"], entry["snow"]
    return SkyBounds(
        sun_low_deg=(glare.settings["lowest_deg"], glare.settings["highest_deg"]), sun_off_deg=glare.limit("L1", "off_heading"),
        dusk_deg=night.limit("L1", "sun"), night_deg=night.limit("L2", "sun"), dark_lx=night.settings["illuminance_lx"],
        rain_mmph=entry["rain"].limit("L1", "rain"), snow_mmph=snow.limit("L1", "snow"), warmest_c=snow.settings["warmest_c"],
        fog_m=entry["fog"].limit("L1", "visibility"),
    )  # fmt: skip


@dataclass(frozen=True)
class Sky:
    """Light and weather samples; every value holds until the next sample. NaN where the drive does not say."""

    t_ns: Ints
    values: dict[str, Reals]
    bounds: SkyBounds

    NAMES = ("sun_elevation_deg", "sun_azimuth_rad", "illuminance_lx", "visibility_m", "rain_mmph", "snow_mmph")

    @property
    def known(self) -> bool:
        """Whether the drive says anything about its light and weather."""
        return len(self.t_ns) > 0

    def says(self, name: str) -> bool:
        """Whether the drive ever says this."""
        return self.known and bool(np.isfinite(self.values[name]).any())

    def at(self, t_ns: Ints, name: str) -> Reals:
        """A value at other times; the first sample also stands for the time before it."""
        if not self.known:
            return np.full(len(t_ns), np.nan)
        return self.values[name][np.maximum(np.searchsorted(self.t_ns, t_ns, side="right") - 1, 0)]

    def weather(self, t_ns: Ints) -> Ints:
        """What falls or hides the view at each time, as an index of WEATHERS: snow before rain before fog."""
        snow = (self.at(t_ns, "snow_mmph") >= self.bounds.snow_mmph) & ~(self.at(t_ns, "temperature_c") > self.bounds.warmest_c)
        rain, fog = self.at(t_ns, "rain_mmph") >= self.bounds.rain_mmph, self.at(t_ns, "visibility_m") < self.bounds.fog_m
        return np.asarray(np.select([snow, rain, fog], [3, 2, 1], 0), np.int64)

    def darkness(self, t_ns: Ints) -> Ints:
        """0 by day, 1 at dusk, 2 at night; by illuminance where the sun's height is not known."""
        sun = self.at(t_ns, "sun_elevation_deg")
        dark = (sun < self.bounds.night_deg) | (np.isnan(sun) & (self.at(t_ns, "illuminance_lx") < self.bounds.dark_lx))
        return np.asarray(np.select([dark, sun < self.bounds.dusk_deg], [2, 1], 0), np.int64)

    def sun_off_deg(self, t_ns: Ints, heading_rad: Reals) -> Reals:
        """How far the sun's azimuth is from where the ego heads, in degrees."""
        return np.asarray(np.degrees(np.abs(np.angle(np.exp(1j * (self.at(t_ns, "sun_azimuth_rad") - heading_rad))))))

    def low_sun(self, t_ns: Ints, heading_rad: Reals) -> Mask:
        """Whether a low sun stands ahead, under a clear sky."""
        sun, (lowest, highest) = self.at(t_ns, "sun_elevation_deg"), self.bounds.sun_low_deg
        ahead = self.sun_off_deg(t_ns, heading_rad) <= self.bounds.sun_off_deg
        return np.asarray((sun >= lowest) & (sun <= highest) & ahead & (self.weather(t_ns) == 0))


def _held(values: Reals) -> Reals:
    at = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), 0))
    return values[at]


def read_sky(signals: pa.Table) -> Sky:
    """The environment columns of a SIGNALS table, nulls filled forward; a temperature alone says nothing about the sky."""
    said = [name for name in Sky.NAMES if signals[name].null_count < len(signals)]
    raw = {name: column(signals, name) for name in (*said, "temperature_c")} if said else {}
    known = [np.isfinite(raw[name]) for name in said]
    rows = np.flatnonzero(np.any(known, axis=0)) if known else np.zeros(0, np.int64)
    unsaid = np.full(len(rows), np.nan)
    return Sky(
        times(signals)[rows],
        {name: _held(raw[name][rows]) if name in raw else unsaid for name in (*Sky.NAMES, "temperature_c")},
        sky_bounds(),
    )


def condition_codes(sky: Sky, t_ns: Ints, heading_rad: Reals | None) -> Ints:
    """The condition at each time as an index of CONDITION_NAMES, by the catalogue's rows 44 to 48. NotEvaluable without signals."""
    if not sky.known:
        raise NotEvaluable("the drive has no environment signals")
    dark = sky.darkness(t_ns)
    low = sky.low_sun(t_ns, heading_rad) if heading_rad is not None else np.zeros(len(t_ns), bool)
    return np.asarray(np.where((dark == 0) & low, 3, dark) * len(WEATHERS) + sky.weather(t_ns), np.int64)
