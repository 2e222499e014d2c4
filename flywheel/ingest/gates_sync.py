"""Streams that measure the same motion, held against each other: the delay between them, their scale and their sign.

The delay is where the normalised cross-correlation is largest, to a part of a sample by a parabola through its peak (C. Knapp and
G. Carter, IEEE Trans. ASSP 24 (1976) 320). Its error is the least one that the noise left over allows (the Cramer-Rao bound; A. Quazi,
IEEE Trans. ASSP 29 (1981) 527): sqrt((1 - r^2) / (r^2 n)) / b, with r the correlation, n the independent samples and b the root mean
square of the signal's derivative over its own.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from flywheel.ingest.drive import Finding
from flywheel.ingest.gates_motion import metres
from flywheel.ingest.gates_parts import Array, Series, Times, point_series, series

MAX_LAG_S, SLOW_S, MIN_S = 1.0, 4.0, 10.0
MIN_STEP_S, MAX_STEP_S, MAX_HOLE_S = 0.01, 0.25, 1.5
BASELINE_S, INDEPENDENT_S = 0.2, 0.2
MIN_CORRELATION, SURE_CORRELATION = 0.7, 0.85
MIN_DELAY_S, SIGMAS, MAX_ERROR_S = 0.05, 4.0, 0.05
# What a quantity is multiplied by when its unit is read wrongly.
UNITS = {
    3.6: "km/h read as m/s", 2.237: "mph read as m/s", 57.3: "degrees read as radians", 9.81: "is one of them in g",
}  # fmt: skip
UNIT_TOLERANCE, MAX_RATIO = 0.08, 2.0

Source = Callable[[pa.Table], Series]


class Pair(NamedTuple):
    """Two ways to know one motion: names, where they come from, and the least spread (its unit's) at which they can be compared.

    columns: what must have been recorded, not derived, for the pair to say something of the clocks.
    """

    first: str
    second: str
    first_of: Source
    second_of: Source
    least: float
    columns: tuple[str, ...] = ()


class Agreement(NamedTuple):
    """How the second stream of a pair follows the first: its delay and error in seconds, the correlation there, and the ratio of scales."""

    first: str
    second: str
    delay_s: float
    error_s: float
    correlation: float
    ratio: float
    windows: int = 1


def _column(name: str) -> Source:
    return lambda table: series(table, name)


def slope_at(times: Times, values: Array) -> tuple[Times, Array]:
    """Central differences over at least BASELINE_S at the middle of it: no delay. Values (N, d); none across a hole."""
    t_s = (times - times[0]) / 1e9 if len(times) else np.empty(0)
    after = np.searchsorted(t_s, t_s + BASELINE_S - 1e-9)
    before = np.flatnonzero(after < len(t_s))
    step = t_s[after[before]] - t_s[before]
    before, step = before[step <= MAX_HOLE_S], step[step <= MAX_HOLE_S]
    middle = times[before] + (times[after[before]] - times[before]) // 2
    return middle, (values[after[before]] - values[before]) / step[:, None]


def _path_speed(x: str, y: str) -> Source:
    def speed(table: pa.Table) -> Series:
        times, places = point_series(table, x, y)
        at, velocity = slope_at(times, metres(*places.T) if x == "lat_deg" else places)
        return Series(at, np.linalg.norm(velocity, axis=1))

    return speed


def _rate(name: str, *, turning: bool = False) -> Source:
    def rate(table: pa.Table) -> Series:
        samples = series(table, name)
        values = np.unwrap(samples.values) if turning else samples.values
        at, slopes = slope_at(samples.t_ns, values[:, None])
        return Series(at, slopes[:, 0])

    return rate


def _centripetal(table: pa.Table) -> Series:
    times, values = point_series(table, "speed_mps", "yaw_rate_radps")
    return Series(times, values[:, 0] * values[:, 1])


def _speed(table: pa.Table) -> Series:
    samples = series(table, "speed_mps")
    return Series(samples.t_ns, np.abs(samples.values))


PAIRS = (
    Pair("speed_mps", "the speed along x_m, y_m", _speed, _path_speed("x_m", "y_m"), 0.2, ("speed_mps", "x_m")),
    Pair("speed_mps", "the speed along lat_deg, lon_deg", _speed, _path_speed("lat_deg", "lon_deg"), 0.5, ("speed_mps",)),
    Pair(
        "the derivative of heading_rad",
        "yaw_rate_radps",
        _rate("heading_rad", turning=True),
        _column("yaw_rate_radps"),
        0.02,
        ("heading_rad", "yaw_rate_radps"),
    ),
    Pair("yaw_rate_radps", "imu_yaw_rate_radps", _column("yaw_rate_radps"), _column("imu_yaw_rate_radps"), 0.02, ("yaw_rate_radps",)),
    Pair("the derivative of speed_mps", "ax_mps2", _rate("speed_mps"), _column("ax_mps2"), 0.3, ("speed_mps", "ax_mps2")),
    Pair("ax_mps2", "imu_ax_mps2", _column("ax_mps2"), _column("imu_ax_mps2"), 0.3, ("ax_mps2",)),
    Pair("speed_mps x yaw_rate_radps", "ay_mps2", _centripetal, _column("ay_mps2"), 0.3, ("speed_mps", "yaw_rate_radps", "ay_mps2")),
    Pair("ay_mps2", "imu_ay_mps2", _column("ay_mps2"), _column("imu_ay_mps2"), 0.3, ("ay_mps2",)),
)


def agreements(table: pa.Table) -> list[Agreement]:
    """What can be said of each pair from one window of SIGNALS."""
    return [found for pair in PAIRS if (found := agreement(pair, pair.first_of(table), pair.second_of(table)))]


def independent(found: Iterable[Agreement], derived: Collection[str]) -> list[Agreement]:
    """Agreements of streams that were both recorded (not worked out from each other), known to MAX_ERROR_S: evidence of the clocks."""
    worked_out = {(pair.first, pair.second) for pair in PAIRS if any(name in derived for name in pair.columns)}
    return [one for one in found if (one.first, one.second) not in worked_out and one.error_s <= MAX_ERROR_S]


def agreement(pair: Pair, first: Series, second: Series) -> Agreement | None:
    """How the second series follows the first; None where they move too little, share too little time, or do not go together."""
    laid = _on_one_grid(first, second)
    if laid is None:
        return None
    step_s, a, b, period_s = laid
    reach = round(MAX_LAG_S / step_s)
    core = a[reach:-reach]
    quiet, lively = sorted((float(core.std()), float(b.std())))
    if lively < pair.least or quiet < pair.least / max(UNITS):
        return None
    squares = np.r_[0.0, np.cumsum(b**2)]
    power = np.sqrt(np.maximum(squares[len(core) :] - squares[: len(b) - len(core) + 1], 0.0))
    correlation = np.correlate(b, core, "valid") / np.maximum(power * np.linalg.norm(core), 1e-12)
    best = int(np.argmax(np.abs(correlation)))
    if abs(correlation[best]) < MIN_CORRELATION or best in (0, len(correlation) - 1):
        return None
    delay_s = (best - reach + _vertex(np.abs(correlation[best - 1 : best + 2]))) * step_s
    r = float(correlation[best])
    scale = float(np.std(b[best : best + len(core)]) / core.std())
    return Agreement(pair.first, pair.second, delay_s, _error_s(core, step_s, r, period_s), r, scale)


def _on_one_grid(first: Series, second: Series) -> tuple[float, Array, Array, float] | None:
    """Both series on one grid without their slow parts, its step, and the longer of their periods; None if they share too little time."""
    if min(len(first.t_ns), len(second.t_ns)) < 8:
        return None
    low, high = max(first.t_ns[0], second.t_ns[0]), min(first.t_ns[-1], second.t_ns[-1])
    periods = [float(np.median(np.diff(s.t_ns))) / 1e9 for s in (first, second)]
    holes = max(float(np.diff(s.t_ns[(s.t_ns >= low) & (s.t_ns <= high)]).max(initial=0)) / 1e9 for s in (first, second))
    if (high - low) / 1e9 < MIN_S or holes > MAX_HOLE_S or min(periods) <= 0:
        return None
    step_s = float(np.clip(min(periods), MIN_STEP_S, MAX_STEP_S))
    grid = np.arange(0, (high - low) / 1e9, step_s)
    a, b = (_quick(np.interp(grid, (s.t_ns - low) / 1e9, s.values), round(SLOW_S / step_s)) for s in (first, second))
    return step_s, a, b, max(periods)


def _quick(values: Array, width: int) -> Array:
    """The values less their running mean: slow drifts say nothing of a delay."""
    sums = np.r_[0.0, np.cumsum(values)]
    low, high = np.arange(len(values)) - width // 2, np.arange(len(values)) + width // 2 + 1
    low, high = np.maximum(low, 0), np.minimum(high, len(values))
    return np.asarray(values - (sums[high] - sums[low]) / (high - low))


def _vertex(three: Array) -> float:
    """Where the parabola through three neighbours has its top, from -0.5 to 0.5 steps from the middle one."""
    bend = three[0] - 2 * three[1] + three[2]
    return float(np.clip(0.5 * (three[0] - three[2]) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _error_s(values: Array, step_s: float, r: float, period_s: float) -> float:
    """The delay's standard error, and what the grid's step hides."""
    independent = len(values) * step_s / max(period_s, INDEPENDENT_S)
    energy = max(float(np.mean(values**2)), 1e-12)
    bandwidth = float(np.sqrt(np.mean(np.gradient(values, step_s) ** 2) / energy))
    noise = float(np.sqrt(np.clip(1 - r**2, 1e-6, 1) / (r**2 * max(independent, 1.0)))) / max(bandwidth, 1e-9)
    return float(np.hypot(noise, step_s / np.sqrt(12)))


def combined(found: Iterable[Agreement]) -> list[Agreement]:
    """One agreement for each pair: medians over the windows, the error from the windows' errors or their spread, whichever is larger."""
    pairs: dict[tuple[str, str], list[Agreement]] = defaultdict(list)
    for one in found:
        pairs[one.first, one.second].append(one)
    return [_median(group) for _, group in sorted(pairs.items())]


def _median(group: list[Agreement]) -> Agreement:
    delays, errors, correlations, ratios = np.array([one[2:6] for one in group]).T
    delay = float(np.median(delays))
    spread = 1.4826 * float(np.median(np.abs(delays - delay)))
    error = max(float(np.median(errors)), spread) / float(np.sqrt(len(group)))
    return Agreement(*group[0][:2], delay, float(error), float(np.median(correlations)), float(np.median(ratios)), len(group))


def sync_findings(found: Iterable[Agreement]) -> list[Finding]:
    """Delays that are certain and matter, units that were read wrongly, signs that are turned round."""
    said = [(_delay(one), _unit(one)) for one in found]
    return [finding for both in said for finding in both if finding]


def _delay(one: Agreement) -> Finding | None:
    if abs(one.delay_s) < max(MIN_DELAY_S, SIGMAS * one.error_s):
        return None
    late = "lags" if one.delay_s > 0 else "leads"
    text = f"{one.second} {late} {one.first} by {abs(one.delay_s) * 1e3:.0f} ms (error {one.error_s * 1e3:.0f} ms, r {one.correlation:.2f})"
    return Finding(severity="warning", gate="sync", message=text)


def _unit(one: Agreement) -> Finding | None:
    if abs(one.correlation) < SURE_CORRELATION:
        return None
    if one.correlation < 0:
        text = f"{one.second} moves against {one.first} (r {one.correlation:.2f}): is an axis or a sign turned round?"
        return Finding(severity="warning", gate="kinematics", message=text)
    if 1 / MAX_RATIO < one.ratio < MAX_RATIO:
        return None
    times = max(one.ratio, 1 / one.ratio)
    unit = next((f": {text}?" for factor, text in UNITS.items() if abs(times / factor - 1) < UNIT_TOLERANCE), "")
    larger, smaller = (one.second, one.first) if one.ratio > 1 else (one.first, one.second)
    return Finding(severity="warning", gate="units", message=f"{larger} changes {times:.3g} times as much as {smaller}{unit}")
