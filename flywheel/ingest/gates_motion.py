"""Gates on the ego's motion: jumps that no car can make, fixes that leap, signals that are stuck. Pure functions of a window of SIGNALS."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from flywheel.ingest.gates_parts import Array, Defect, Series, Times, Window, point_series, series
from flywheel.ingest.whereabouts import EARTH_RADIUS_M

# A change is measured over a baseline of at least BASELINE_S, so that one noisy sample at 100 Hz is no jump.
BASELINE_S, MAX_STEP_S = 0.2, 1.0
MOVING_MPS, STUCK_S, STUCK_SAMPLES = 3.0, 5.0, 20
TOP_SPEED_MPS = 70.0
POSE_NOISE_M, FIX_NOISE_M = 2.0, 15.0
# Over so long a hop, positions and speed may tell ways that differ by a share of the way and twice the noise.
HOP_S, PACE_SHARE = 2.0, 0.3


class Steepest(NamedTuple):
    """The most a quantity can change in a second, and how to call it. Full braking is 10 m/s2; an airbag fires in a crash of 300 m/s2."""

    column: str
    limit: float
    unit: str


STEEPEST = (
    Steepest("speed_mps", 20.0, "m/s2"),
    Steepest("ax_mps2", 80.0, "m/s3"),
    Steepest("ay_mps2", 80.0, "m/s3"),
    Steepest("yaw_rate_radps", 15.0, "rad/s2"),
    Steepest("heading_rad", 3.0, "rad/s"),
)
# Noise never lets these stand still exactly (unless all of them do from the start: a log without noise); the pairs do not while the ego
# moves.
NOISY = ("imu_ax_mps2", "imu_ay_mps2", "imu_az_mps2", "imu_yaw_rate_radps")
PLACES = (("x_m", "y_m"), ("lat_deg", "lon_deg"))


def motion_gate(window: Window, *, derived: Collection[str] = ()) -> list[Defect]:
    """All gates on one window of SIGNALS. `derived` columns were not recorded: positions among them come from GNSS and are as noisy."""
    gates = (jumps, fix_jumps, stuck_places, stuck_speed, no_place)
    slack_m = FIX_NOISE_M if "x_m" in derived else POSE_NOISE_M
    return [
        *position_jumps(window, slack_m=slack_m),
        *pace(window, slack_m=slack_m),
        *(defect for gate in gates for defect in gate(window)),
    ]


def slopes(samples: Series) -> tuple[Times, Array]:
    """The time and rate of change from each sample to the first one at least BASELINE_S later; none across a gap above MAX_STEP_S."""
    t_s = samples.t_s
    after = np.searchsorted(t_s, t_s + BASELINE_S - 1e-9)
    before = np.flatnonzero(after < len(t_s))
    after = after[before]
    step = t_s[after] - t_s[before]
    fits = step <= MAX_STEP_S + 1e-9
    rate = (samples.values[after] - samples.values[before])[fits] / step[fits]
    return samples.t_ns[after[fits]], rate


def jumps(window: Window) -> list[Defect]:
    """Speed, acceleration, yaw rate or heading that changes faster than a car can."""
    found = []
    for name, limit, unit in STEEPEST:
        samples = series(window.table, name)
        values = np.unwrap(samples.values) if name == "heading_rad" else samples.values
        at, rate = slopes(Series(samples.t_ns, values))
        found += _over(window, at, np.abs(rate), limit, gate="kinematics", what=f"{name} changes faster than {limit:g} {unit}", unit=unit)
    return found


def _over(window: Window, at: Times, values: Array, limit: float, *, gate: str, what: str, unit: str) -> list[Defect]:
    """A defect for values above the limit at times that no window before has seen."""
    bad = np.flatnonzero((values > limit) & (at > window.since_ns))
    if not len(bad):
        return []
    worst = bad[int(np.argmax(values[bad]))]
    return [Defect(gate, what, len(bad), float(values[worst]), unit, int(at[worst]))]


def metres(lat_deg: Array, lon_deg: Array) -> Array:
    """(N, 2) metres east and north of the first fix, on a sphere: right to 0.3 % over the few kilometres of a window."""
    if not len(lat_deg):
        return np.empty((0, 2))
    lat, lon = np.radians(lat_deg), np.radians(lon_deg)
    return EARTH_RADIUS_M * np.stack([(lon - lon[0]) * np.cos(lat[0]), lat - lat[0]], axis=1)


def _excess(window: Window, times: Times, points: Array, *, slack_m: float) -> tuple[Times, Array]:
    """How much further each point lies from the one before than the ego's speed explains (or any car's, where it is not known)."""
    speed = series(window.table, "speed_mps")
    step_s = np.diff(times) / 1e9
    if len(speed.t_ns):
        near = np.abs(np.interp(times, speed.t_ns, np.abs(speed.values)))
        allowed = 1.5 * np.maximum(near[1:], near[:-1]) * step_s + 2.0 * step_s
    else:
        allowed = TOP_SPEED_MPS * step_s
    return times[1:], np.linalg.norm(np.diff(points, axis=0), axis=1) - allowed - slack_m


def position_jumps(window: Window, *, slack_m: float) -> list[Defect]:
    """x_m, y_m that leap by more than speed and time explain."""
    times, points = point_series(window.table, "x_m", "y_m")
    at, excess = _excess(window, times, points, slack_m=slack_m)
    return _over(window, at, excess, 0.0, gate="pose_jump", what="x_m, y_m leap further than the speed explains", unit="m")


def pace(window: Window, *, slack_m: float) -> list[Defect]:
    """x_m, y_m that go another way than the speed says: a pose that stands or lags while the ego drives, or the other way round."""
    times, points = point_series(window.table, "x_m", "y_m")
    speed = series(window.table, "speed_mps")
    if len(speed.t_ns) < 2 or len(times) < 2:
        return []
    gone = np.concatenate([[0.0], np.cumsum(np.diff(speed.t_s) * np.abs(speed.values[1:] + speed.values[:-1]) / 2)])
    ends = np.searchsorted(times, times + int(HOP_S * 1e9))
    begins = np.flatnonzero(ends < len(times))
    ends = ends[begins]
    begun, ended = (np.searchsorted(speed.t_ns, times[at]) for at in (begins, ends))
    told = (ended - begun >= 3) & (times[ends] - times[begins] <= 2 * HOP_S * 1e9) & (ended < len(gone)) & (begun > 0)
    begins, ends = begins[told], ends[told]
    way = np.interp(times[ends], speed.t_ns, gone) - np.interp(times[begins], speed.t_ns, gone)
    off = np.abs(np.linalg.norm(points[ends] - points[begins], axis=1) - way) - PACE_SHARE * way - 2 * slack_m
    return _over(window, times[ends], off, 0.0, gate="pace", what="x_m, y_m go another way than the speed says", unit="m")


def fix_jumps(window: Window) -> list[Defect]:
    """GNSS fixes that leap by more than speed, time and the noise of a fix explain."""
    times, fixes = point_series(window.table, "lat_deg", "lon_deg")
    at, excess = _excess(window, times, metres(fixes[:, 0], fixes[:, 1]), slack_m=FIX_NOISE_M)
    return _over(window, at, excess, 0.0, gate="gnss_jump", what="GNSS fixes leap further than the speed explains", unit="m")


def no_place(window: Window) -> list[Defect]:
    """Fixes at latitude and longitude zero: what a receiver says that has none."""
    times, fixes = point_series(window.table, "lat_deg", "lon_deg")
    null = (np.abs(fixes) < 1e-9).all(axis=1)
    return _over(window, times, null.astype(float), 0.5, gate="gnss_null", what="a fix lies at latitude and longitude 0", unit="fixes")


def held(times: Times, values: Array, *, since_ns: int) -> list[tuple[int, int]]:
    """First and last index of every run of equal rows of (N, d) values that is long enough to be stuck and ends after since_ns."""
    if not len(values):
        return []
    last = np.flatnonzero(np.r_[(np.diff(values, axis=0) != 0).any(axis=1), True])
    first = np.r_[0, last[:-1] + 1]
    stuck = (last - first + 1 >= STUCK_SAMPLES) & (times[last] - times[first] >= STUCK_S * 1e9) & (times[last] > since_ns)
    return list(zip(first[stuck].tolist(), last[stuck].tolist(), strict=True))


def stuck_places(window: Window) -> list[Defect]:
    """IMU axes that repeat one value exactly, and positions that stay while the ego moves, for STUCK_S and longer."""
    found = []
    noisy = any(len(set(series(window.table, name).values.tolist())) > 1 for name in NOISY)
    for names in (*((name,) for name in NOISY if noisy), *PLACES):
        times, values = point_series(window.table, *names)
        moved = [(a, b) for a, b in held(times, values, since_ns=window.since_ns) if _moves(window, int(times[a]), int(times[b]))]
        found += [Defect("stuck", f"{', '.join(names)} stuck while the ego moves", 1, (times[b] - times[a]) / 1e9, "s", int(times[a]))
                  for a, b in moved]  # fmt: skip
    return found


def _moves(window: Window, low_ns: int, high_ns: int) -> bool:
    speed = series(window.table, "speed_mps")
    inside = (speed.t_ns >= low_ns) & (speed.t_ns <= high_ns)
    return bool(inside.any() and np.abs(speed.values[inside]).min() > MOVING_MPS)


def stuck_speed(window: Window) -> list[Defect]:
    """A speed that repeats one value exactly while the positions speak of another one."""
    times, speed = point_series(window.table, "speed_mps")
    found = []
    for a, b in held(times, speed, since_ns=window.since_ns):
        seconds = (times[b] - times[a]) / 1e9
        told = [rate for names in PLACES if (rate := _moved_at(window, names, int(times[a]), int(times[b]))) is not None]
        if told and min(abs(rate - abs(speed[a, 0])) for rate in told) > MOVING_MPS:
            found.append(Defect("stuck", "speed_mps stuck while the positions tell another speed", 1, seconds, "s", int(times[a])))
    return found


def _moved_at(window: Window, names: tuple[str, str], low_ns: int, high_ns: int) -> float | None:
    """The mean speed that positions tell between two times; None without them."""
    times, values = point_series(window.table, *names)
    inside = (times >= low_ns) & (times <= high_ns)
    if inside.sum() < 2:
        return None
    points = metres(*values[inside].T) if names[0] == "lat_deg" else values[inside]
    # Ten hops at most: the noise of many short ones would add up to a way.
    at = np.unique(np.linspace(0, len(points) - 1, 11).astype(int))
    way = float(np.linalg.norm(np.diff(points[at], axis=0), axis=1).sum())
    return way / (float(times[inside][-1] - times[inside][0]) / 1e9)
