"""A minute of SIGNALS with every stream that tells of the ego's motion, each with its own noise, and with defects to plant."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.tables import SCHEMAS
from tests.ingest.make_mcap import T0_NS

Array = NDArray[np.float64]
HZ, LAT_DEG, LON_DEG, EARTH_M = 100, 48.1, 11.5, 6_371_008.8
NAMES = [name for name in SCHEMAS["SIGNALS"].names if name != "drive_id"]


def smooth(seed: int, *, scale: float = 1.0) -> Callable[[Array], Array]:
    """A wave of six slow ones."""
    rng = np.random.default_rng(seed)
    hz, phase, size = rng.uniform(0.05, 0.5, 6), rng.uniform(0, 6, 6), rng.uniform(0.2, 1, 6) * scale
    return lambda t: np.asarray(sum(a * np.sin(2 * np.pi * f * t + p) for a, f, p in zip(size, hz, phase, strict=True)), float)


def signals(
    *,
    seconds: float = 60.0,
    seed: int = 0,
    amplitude: float = 1.0,
    position_delay_s: float = 0.0,
    gyro_delay_s: float = 0.0,
    **changes: Callable[[Array], Array],
) -> pa.Table:
    """A drive with varying speed and heading: state at 100 Hz, positions and fixes at 10 Hz. changes: column -> what becomes of it."""
    rng, count = np.random.default_rng(seed + 100), int(seconds * HZ)
    t, fine = np.arange(count) / HZ, np.arange(-5, seconds + 5, 0.002)
    speed, yaw_rate = smooth(seed, scale=amplitude), smooth(seed + 50, scale=0.05 * amplitude)
    heading = np.cumsum(yaw_rate(fine)) * 0.002
    way = np.cumsum((15 + speed(fine))[:, None] * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * 0.002
    place = np.stack([np.interp(t - position_delay_s, fine, way[:, k]) for k in (0, 1)], axis=1) + rng.normal(0, 0.02, (count, 2))
    slow = np.arange(count) % 10 == 0
    acceleration, turning = np.gradient(speed(t), 1 / HZ), yaw_rate(t)
    columns: dict[str, Any] = {
        "speed_mps": 15 + speed(t) + rng.normal(0, 0.03, count), "yaw_rate_radps": turning + rng.normal(0, 0.001, count),
        "ax_mps2": acceleration + rng.normal(0, 0.05, count), "ay_mps2": (15 + speed(t)) * turning + rng.normal(0, 0.05, count),
        "imu_ax_mps2": acceleration + rng.normal(0, 0.1, count), "imu_ay_mps2": (15 + speed(t)) * turning + rng.normal(0, 0.1, count),
        "imu_az_mps2": 9.81 + rng.normal(0, 0.1, count), "imu_yaw_rate_radps": yaw_rate(t - gyro_delay_s) + rng.normal(0, 0.002, count),
        "heading_rad": np.interp(t, fine, heading), "x_m": np.where(slow, place[:, 0], np.nan), "y_m": np.where(slow, place[:, 1], np.nan),
        "lat_deg": np.where(slow, LAT_DEG + np.degrees(place[:, 1] / EARTH_M), np.nan),
        "lon_deg": np.where(slow, LON_DEG + np.degrees(place[:, 0] / EARTH_M / np.cos(np.radians(LAT_DEG))), np.nan),
    }  # fmt: skip
    columns |= {name: change(columns[name]) for name, change in changes.items()}
    known = {name: pa.array(values, pa.float64(), from_pandas=True) for name, values in columns.items()}
    times = pa.array(T0_NS + np.arange(count) * (10**9 // HZ), pa.int64())
    return pa.table({name: times if name == "t_ns" else known.get(name, pa.nulls(count, pa.float64())) for name in NAMES})
