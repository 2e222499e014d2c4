"""Tiny CSV logs: a straight drive that brakes, in the flywheel's own words or in any others."""

from pathlib import Path

import numpy as np

T0_NS = 1_700_000_000 * 10**9
COUNT, STEP_NS = 200, 50_000_000


def speed_at(t_s: float) -> float:
    """12 m/s for four seconds, then 2 m/s2 of braking."""
    return 12.0 - 2.0 * max(t_s - 4.0, 0.0) if t_s < 9.0 else 2.0


def make_csv(folder: Path, *, name: str = "drive.csv", count: int = COUNT) -> Path:
    """A CSV with the header t_ns, speed_mps, steering_rad, lat_deg; the latitude only in every tenth row. Gives back the file."""
    rows = []
    for k in range(count):
        t_s = k * STEP_NS / 1e9
        lat = f"{48.0 + 1e-4 * t_s:.7f}" if k % 10 == 0 else ""
        rows.append(f"{T0_NS + k * STEP_NS},{speed_at(t_s):.4f},{0.01 * np.sin(t_s):.5f},{lat}")
    return write(folder / name, "t_ns,speed_mps,steering_rad,lat_deg", rows)


def write(file: Path, header: str, rows: list[str], *, encoding: str = "utf-8") -> Path:
    """A file of lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("\n".join([header, *rows, ""]).encode(encoding))
    return file


def kmh_rows(count: int = COUNT) -> list[str]:
    """`camera;seconds;km/h;wheel angle in degrees;remark`, every other row from another camera."""
    return [f"{'front' if k % 2 == 0 else 'rear'};{k * 0.05:.2f};{3.6 * speed_at(k * 0.05):.3f};5.73;naïve" for k in range(count)]


KMH_HEADER = "camera;sec;kmh;angle;remark"
KMH_MAPPING = """
kind = "csv"
vehicle_id = "van-7"
place = "depot"
licence = "own"
delimiter = ";"
encoding = "latin-1"
time = {column = "sec", unit = "s", epoch = "2023-11-14T22:13:20Z"}
[[rows]]
column = "camera"
equals = ["front"]
[columns]
speed_mps = {source = "kmh", unit = "km/h"}
steering_rad = {source = "angle", unit = "deg", scale = -1, offset = 1.0}
"""
