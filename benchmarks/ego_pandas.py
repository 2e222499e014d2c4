"""The ego-only detectors as one would write them in pandas, a drive_id group at a time: the yardstick of benchmarks.mine_ego.

Same definitions, thresholds, hysteresis and merging as the catalogue's; stretches by the usual shift-and-cumsum groups, Series methods
for everything else. Only counts of events are given back.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.signal import savgol_filter

Span = tuple[int, int]
S = 1_000_000_000


def smooth(values: pd.Series) -> pd.Series:
    """2 Hz zero-phase Gaussian low-pass at 100 Hz."""
    return values.interpolate().rolling(55, win_type="gaussian", center=True, min_periods=1).mean(std=6.627)


def runs(mask: pd.Series) -> list[Span]:
    """First and last index of each stretch of true."""
    number = (mask != mask.shift()).cumsum()
    return [(int(part.index[0]), int(part.index[-1])) for _, part in mask[mask].groupby(number[mask])]


def events(enter: pd.Series, hold: pd.Series, t: pd.Series, *, min_s: float, merge_s: float = 2.0) -> list[Span]:
    """Stretches that begin with `enter`, last while `hold` does, join within 2 s and hold `enter` for long enough somewhere."""
    step = t.diff().median()
    proofs = [a for a, b in runs(enter) if t[b] - t[a] + step >= min_s * S]
    found: list[Span] = []
    for a, b in runs(enter | hold):
        inside = enter.loc[a:b]
        if not inside.any() or not any(a <= proof <= b for proof in proofs):
            continue
        start = int(inside.idxmax())
        if found and t[start] - t[found[-1][1]] - step < merge_s * S:
            found[-1] = (found[-1][0], b)
        else:
            found.append((start, b))
    return found


def above(values: pd.Series, limits: tuple[float, ...], t: pd.Series, *, min_s: float) -> list[Span]:
    """Events at or above the mildest limit; the harder ones are worked out too, for the levels."""
    graded = [events(values >= limit, values >= 0.6 * limits[0], t, min_s=min_s) for limit in limits]
    return graded[0]


def slope(values: pd.Series) -> pd.Series:
    """Savitzky-Golay slope over 0.8 s, by scipy."""
    return pd.Series(savgol_filter(values, 81, 1, deriv=1, delta=0.01, mode="nearest"), index=values.index)


def swerves(ay: pd.Series, heading: pd.Series, speed: pd.Series, t: pd.Series) -> int:
    """Reversals and heading excursions that are neither turns nor lane changes."""
    sides = sorted([(*run, 1) for run in runs(ay >= 2.5)] + [(*run, -1) for run in runs(ay <= -2.5)])
    enter = pd.Series(False, index=ay.index)
    for one, other in pairwise(sides):
        if one[2] != other[2] and t[other[0]] - t[one[1]] <= 2 * S:
            enter[one[0]] = enter[other[0]] = True
    before, after = heading - heading.shift(150), heading - heading.shift(-150)
    off = np.degrees(pd.concat([before.abs(), after.abs()], axis=1).min(axis=1).where(before * after > 0, 0.0)).where(speed >= 5, 0.0)
    spans = events(
        enter | (off >= 4), (ay.abs() >= 1.5) & enter.rolling(200, center=True, min_periods=1).max().gt(0) | (off >= 2.4), t, min_s=0
    )
    return sum(_swerves(heading.loc[a - 150 : b + 150], speed.loc[a - 150 : b + 150]) for a, b in spans if t[b] - t[a] >= 0.5 * S)


def _swerves(heading: pd.Series, speed: pd.Series) -> bool:
    turned = heading.iloc[-1] - heading.iloc[0]
    bent = heading - heading.iloc[0] - turned * np.linspace(0, 1, len(heading))
    side = (speed * np.sin(bent)).cumsum() / 100
    return bool(abs(turned) < np.radians(10) and abs(side.iloc[-1]) < 1.5 and side.abs().max() >= 0.5)


def u_turns(yaw: pd.Series, heading: pd.Series, speed: pd.Series, t: pd.Series) -> int:
    """Half circles to one side."""
    found = 0
    for side in (yaw, -yaw):
        for a, b in events(side >= 0.1, side >= 0.06, t, min_s=1.0):
            turned = abs(heading[b] - heading[a])
            found += turned >= np.radians(150) and t[b] - t[a] <= 20 * S and speed.loc[a:b].sum() / 100 <= 15 * turned
    return int(found)


def adaptations(ax: pd.Series, ay: pd.Series, yaw: pd.Series, speed: pd.Series, t: pd.Series) -> int:
    """Gentle slowing, then a bend."""
    bends, found = runs((speed >= 3) & (yaw.abs() >= speed / 200)), 0
    for a, b in events(ax <= -0.5, ax <= -0.3, t, min_s=0.0, merge_s=0.0):
        near = [(c, d) for c, d in bends if t[a] <= t[c] <= t[b] + 5 * S]
        if t[b] - t[a] >= 2 * S and -2.0 <= ax.loc[a:b].mean() <= -0.5 and near:
            found += 1.5 <= max(ay.loc[c:d].abs().max() for c, d in near) <= 3.0
    return found


def silences(t: pd.Series, *, least_s: float) -> list[tuple[int, int]]:
    """(before, after) of each gap, joined within 2 s."""
    steps = t.diff()
    found: list[tuple[int, int]] = []
    for i in np.flatnonzero((steps >= least_s * S) & (steps > 3 * steps.median())):
        if found and t.iloc[i - 1] - found[-1][1] < 2 * S:
            found[-1] = (found[-1][0], int(t.iloc[i]))
        else:
            found.append((int(t.iloc[i - 1]), int(t.iloc[i])))
    return found


def takeovers(flags: pd.DataFrame, ax: pd.Series, ay: pd.Series, t: pd.Series) -> int:
    """Switching off or overriding, with a change of acceleration within 5 s."""
    engaged, driver = flags["engaged"] >= 0.5, flags["driver_override"] >= 0.5
    off = [i for i in flags.index[~engaged & engaged.shift(fill_value=False)] if driver.loc[i - 100 : i + 100].any()]
    over, last, found = list(flags.index[driver & ~driver.shift(fill_value=True) & engaged]), -np.inf, 0
    for i in sorted({*off, *over}):
        change = max((part.loc[i : i + 499] - part[i]).abs().max() for part in (ax, ay))
        found += change >= 1.0 and t[i] - last >= 2 * S
        last = t[i]
    return found


def vehicle(drive: pd.DataFrame, ax: pd.Series, ay: pd.Series, way: pd.Series) -> Iterator[tuple[str, int]]:
    """What the vehicle says of itself."""
    t, flags = drive["t_ns"], drive[drive["engaged"].notna()]
    yield "disengagement", takeovers(flags, ax, ay, t)
    up = flags[["fcw", "aeb", "esc"]].max(axis=1) >= 0.5
    yield "assist_intervention", len(events(up, up, flags["t_ns"], min_s=0.1))
    streams = {"ego": "speed_mps", "imu": "imu_az_mps2", "gnss": "lat_deg"}
    yield "sensor_dropout", sum(len(silences(t[drive[name].notna()], least_s=0.5)) for name in streams.values())
    fixes = drive[drive["lat_deg"].notna()]
    east, north = fixes["lon_deg"].diff() * np.cos(np.radians(fixes["lat_deg"])), fixes["lat_deg"].diff()
    jumped = np.hypot(east, north) * 111_195 - way[fixes.index].diff() >= 5
    lost = fixes["t_ns"].diff() >= 2 * S
    yield "gnss_loss", len(events(jumped | lost, jumped | lost, fixes["t_ns"], min_s=0.0))
    az = drive["imu_az_mps2"].dropna()
    jolt = (az - az.median()).abs()
    yield "speed_bump_pothole", len(events(jolt >= 2.5, jolt >= 1.5, t[az.index], min_s=0.05))
    faster = flags[["speed_mps", "wheel_speed_mps"]].max(axis=1)
    slip = ((flags["wheel_speed_mps"] - flags["speed_mps"]).abs() / faster).where(faster >= 3, 0.0)
    held = (slip >= 0.1) | (flags[["abs", "esc"]].max(axis=1) >= 0.5)
    yield "low_grip_slip", len(events(held, held | (slip >= 0.06), flags["t_ns"], min_s=0.2))


def motion(drive: pd.DataFrame, ax: pd.Series, ay: pd.Series, yaw: pd.Series, heading: pd.Series) -> Iterator[tuple[str, int]]:
    """How the ego moves."""
    t, speed = drive["t_ns"], drive["speed_mps"]
    braking = above(-ax, (3.0, 4.05, 6.4), t, min_s=0.3)
    yield "hard_braking", sum(speed[a] >= 3.0 for a, _ in braking)
    yield "hard_acceleration", len(above(ax, (2.4, 3.4), t, min_s=0.5))
    yield "hard_cornering", len(above(ay.abs(), (3.0, 4.89, 7.4), t, min_s=0.5))
    along, across = slope(ax), slope(ay)
    bounds = pd.concat([along.abs() / 4.13, np.hypot(along, across) / 8.37], axis=1).max(axis=1).where(speed >= 1, 0.0)
    yield "high_jerk", len(above(bounds, (1.0,), t, min_s=0.2))
    yield "swerve", swerves(ay, heading, speed, t)
    share = pd.concat([np.hypot(ax, ay) / 5, -ax / 2, ay.abs() / 2], axis=1).min(axis=1)
    yield "brake_steer_evasion", len(above(share, (1.0,), t, min_s=0.3))
    yield "curve_speed_excess", len(above((yaw * speed).abs().where(speed >= 3, 0.0), (3.0, 4.9), t, min_s=0.5))
    yield "curve_speed_adaptation", adaptations(ax, ay, yaw, speed, t)
    yield "u_turn", u_turns(yaw, heading, speed, t)


def detect(signals: pd.DataFrame) -> dict[str, int]:
    """Events of every scenario over all drives of a SIGNALS frame."""
    found: dict[str, int] = {}
    for _, group in signals.groupby("drive_id"):
        drive = group.reset_index(drop=True)
        ax, ay, yaw = (smooth(drive[name]) for name in ("ax_mps2", "ay_mps2", "yaw_rate_radps"))
        heading, way = yaw.cumsum() / 100, drive["speed_mps"].cumsum() / 100
        for name, count in (*motion(drive, ax, ay, yaw, heading), *vehicle(drive, ax, ay, way)):
            found[name] = found.get(name, 0) + int(count)
    return found
