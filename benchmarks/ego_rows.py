"""Hours of 100 Hz SIGNALS rows for the benchmark of the ego-only detectors: seeded drives of an hour, with events and noise as the fleet's.

Speed is a line through knots, smoothed, so that the acceleration is its slope; turns, swerves and U-turns are pulses of the yaw rate.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.tables import conform, to_parquet

Array = NDArray[np.float64]
HZ, DRIVE_ROWS, T0_NS, STEP_NS = 100, 360_000, 1_767_225_600_000_000_000, 10_000_000
LAT_DEG, LON_DEG, EARTH_M_PER_DEG, GRAVITY = 48.0, 11.0, 111_320.0, 9.80665
# One every so many seconds on average: (kind, seconds).
EVENTS = (
    ("turn", 60), ("brake", 120), ("gas", 150), ("swerve", 300), ("evade", 600), ("u_turn", 900), ("bump", 180), ("pothole", 240),
    ("takeover", 400), ("warning", 500), ("slip", 500), ("abs", 700), ("gnss_gap", 600), ("gnss_jump", 700), ("imu_gap", 900),
)  # fmt: skip


def _moments(rng: np.random.Generator, seconds: float) -> list[tuple[float, str]]:
    """What happens when: no two events within 12 s of each other."""
    drawn = [(t, kind) for kind, every in EVENTS for t in rng.uniform(20, max(seconds - 30, 21), rng.poisson(seconds / every))]
    kept: list[tuple[float, str]] = []
    for t, kind in sorted(drawn):
        if not kept or t - kept[-1][0] >= 12.0:
            kept.append((float(t), kind))
    return kept


def _add(values: Array, at_s: float, knots_s: tuple[float, ...], heights: tuple[float, ...]) -> tuple[slice, Array]:
    """The part of a series from the first knot to the last, and the line through the knots there."""
    part = slice(max(round((at_s + knots_s[0]) * HZ), 0), min(round((at_s + knots_s[-1]) * HZ), len(values)))
    return part, np.interp(np.arange(part.start, part.stop) / HZ - at_s, knots_s, heights)


def _speed(t: Array, moments: list[tuple[float, str]], rng: np.random.Generator) -> Array:
    """Cruising between 9 and 22 m/s, with drops and rises at the events."""
    at = np.arange(0.0, t[-1] + 25, 25)
    base = np.interp(t, at, rng.uniform(9, 22, len(at)))
    lost = {"brake": (-6.5, 1.4), "evade": (-7.0, 1.5), "gas": (6.5, 2.2), "takeover": (-3.2, 1.6)}
    for at_s, kind in moments:
        if kind in lost:
            by, over = lost[kind][0] * rng.uniform(0.6, 1.3), lost[kind][1]
            part, wave = _add(base, at_s, (0.0, over, over + 3, over + 9), (0.0, by, by, 0.0))
            base[part] += wave
        if kind in ("u_turn", "turn"):
            part, dip = _add(base, at_s, (-7.0, -1.0, 6.0, 13.0), (0.0, 1.0, 1.0, 0.0))
            base[part] += dip * ((3.0 if kind == "u_turn" else 6.0) - base[part])
    window = np.hanning(41)
    return np.maximum(np.convolve(np.pad(base, 20, mode="edge"), window / window.sum(), mode="valid"), 0.0)


def _yaw(t: Array, speed: Array, moments: list[tuple[float, str]], rng: np.random.Generator) -> Array:
    rate = 0.002 * np.sin(2 * np.pi * t / 37)
    shapes: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
        "turn": ((0, 1, 4, 5), (0, 0.36, 0.36, 0)), "u_turn": ((0, 0.6, 5, 5.6), (0, 0.62, 0.62, 0)),
        "swerve": ((0, 0.4, 1.1, 1.9, 2.6, 3), (0, 1, -1, -1, 1, 0)), "evade": ((0, 0.6, 1.2, 1.8, 2.4), (0, 1, 0, -1, 0)),
    }  # fmt: skip
    for at_s, kind in moments:
        if kind in shapes:
            part, wave = _add(rate, at_s, *shapes[kind])
            size = rng.uniform(2.8, 4.2) / np.maximum(speed[part], 5.0) if kind in ("swerve", "evade") else 1.0
            rate[part] += float(rng.choice([-1, 1])) * size * wave
    return rate


def _flags(t: Array, moments: list[tuple[float, str]]) -> dict[str, Array]:
    flags = {name: np.zeros(len(t)) for name in ("engaged", "driver_override", "fcw", "aeb", "abs", "esc")}

    def up(name: str, t0: float, t1: float) -> None:
        flags[name][round(t0 * HZ) : round(t1 * HZ)] = 1.0

    for at, kind in moments:
        if kind == "takeover":
            up("engaged", at - 8, at)
            up("driver_override", at - 0.2, at + 1.0)
        if kind == "warning":
            up("fcw", at, at + 1.2)
        if kind == "abs":
            up("abs", at, at + 0.8)
        if kind == "evade":
            up("aeb", at + 0.1, at + 1.2)
    return flags


def _jolts(t: Array, moments: list[tuple[float, str]], speed: Array) -> tuple[Array, Array]:
    az, roll = np.zeros(len(t)), np.zeros(len(t))
    for at, kind in moments:
        width, peak = {"bump": (0.34, 5.0), "pothole": (0.11, -8.0)}.get(kind, (0.0, 0.0))
        first = round(at * HZ)
        for start in (first, first + round(2.8 / max(speed[first], 2.0) * HZ)) if width else ():
            wave = np.sin((2 if kind == "bump" else 1) * np.pi * np.arange(round(width * HZ)) / (width * HZ))
            az[start : start + len(wave)] += peak * wave
            roll[start : start + len(wave)] += (kind == "pothole") * 0.4 * wave
    return az, roll


def drive_table(index: int, *, rows: int = DRIVE_ROWS, seed: int = 7) -> pa.Table:
    """One drive's SIGNALS: 100 Hz motion and IMU, 10 Hz GNSS, 20 Hz vehicle; the same for the same index and seed."""
    rng = np.random.default_rng([seed, index])
    t = np.arange(rows) / HZ
    moments = _moments(rng, rows / HZ)
    speed = _speed(t, moments, rng)
    yaw, ax, draw = _yaw(t, speed, moments, rng), np.gradient(speed, 1 / HZ), rng.standard_normal((9, rows))
    az, roll = _jolts(t, moments, speed)
    heading = np.cumsum(yaw) / HZ
    north, east = (np.cumsum(speed * part(heading)) / HZ for part in (np.sin, np.cos))
    wheel, jump, gone = speed + 0.02 * draw[8], np.zeros(rows), {"imu": np.zeros(rows, bool), "gnss": np.arange(rows) % 10 != 0}
    for at, kind in moments:
        part = slice(round(at * HZ), round((at + 3.0) * HZ))
        if kind == "slip":
            wheel[part.start : part.start + 80] *= 0.82
        if kind == "gnss_jump":
            jump[part.start : part.start + 120] = 14.0 / EARTH_M_PER_DEG
        if kind in ("imu_gap", "gnss_gap"):
            gone[kind[:-4]][part] = True
    columns = {
        "speed_mps": np.maximum(speed + 0.02 * draw[0], 0.0), "ax_mps2": ax + 0.03 * draw[1], "ay_mps2": speed * yaw + 0.03 * draw[2],
        "yaw_rate_radps": yaw + 0.001 * draw[3],
    }  # fmt: skip
    imu = {
        "imu_ax_mps2": ax + 0.08 * draw[4], "imu_ay_mps2": speed * yaw + 0.08 * draw[5], "imu_az_mps2": GRAVITY + az + 0.08 * draw[6],
        "roll_rate_radps": roll + 0.004 * draw[7],
    }  # fmt: skip
    columns |= {name: np.where(gone["imu"], np.nan, values) for name, values in imu.items()}
    noise = 0.6 / EARTH_M_PER_DEG * draw[8]
    fixes = {"lat_deg": LAT_DEG + north / EARTH_M_PER_DEG + jump, "lon_deg": LON_DEG + east / EARTH_M_PER_DEG / np.cos(np.radians(LAT_DEG))}
    columns |= {name: np.where(gone["gnss"], np.nan, values + noise) for name, values in fixes.items()}
    slow = np.arange(rows) % 5 != 0
    columns |= {name: np.where(slow, np.nan, values) for name, values in {"wheel_speed_mps": wheel, **_flags(t, moments)}.items()}
    digits = {name: 8 if name.endswith("_deg") else 5 for name in columns}
    arrays = {name: pa.array(np.round(values, digits[name]), from_pandas=True) for name, values in columns.items()}
    times = T0_NS + (index * DRIVE_ROWS + np.arange(rows, dtype=np.int64)) * STEP_NS
    return conform("SIGNALS", pa.table({"drive_id": pa.array([f"drive-{index:05d}"] * rows), "t_ns": times, **arrays}))


def write_rows(folder: Path, *, rows: int) -> list[Path]:
    """Parquet parts of an hour each, `rows` in all, made in two processes; parts that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = [min(DRIVE_ROWS, rows - start) for start in range(0, rows, DRIVE_ROWS)]
    files = [folder / f"drive-{index:05d}-{count}.parquet" for index, count in enumerate(counts)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_write, files))
    return files


def _write(file: Path) -> None:
    if not file.is_file():
        _, index, count = file.stem.split("-")
        part = file.with_suffix(".part")
        part.write_bytes(to_parquet("SIGNALS", drive_table(int(index), rows=int(count))))
        part.rename(file)
