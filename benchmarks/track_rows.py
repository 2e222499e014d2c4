"""Hours of TRACKS rows for the benchmark of the track detectors: seeded drives of five minutes on a winding three-lane road.

Everyone is drawn in road coordinates (metres along, metres to the left of the ego's lane) and put into the ego frame with sensor noise:
30 to 100 boxes a frame at 10 Hz, of cars, trucks, cyclists, walkers, parked cars, cones and what else the catalogue watches for.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.tables import SCHEMAS, conform, to_parquet

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
HZ, EGO_HZ, SECONDS, STEP_NS, T0_NS = 10, 50, 300, 100_000_000, 1_767_225_600_000_000_000
LANE_M, REACH_M = 3.5, 110.0
TABLES = ("SIGNALS", "TRACKS", "LANES", "LIGHTS")
ROWS_A_DRIVE = 168_000  # about; the file's name says it exactly
# kind: (share, class, subclass, (length, width), lane's centre to the left m, speed m/s against the ego's where negative, life s)
KINDS: dict[str, tuple[float, str, str | None, tuple[float, float], float, float, float]] = {
    "ahead": (8, "car", None, (4.5, 1.8), 0.0, -1.0, 40), "left": (14, "car", None, (4.5, 1.8), LANE_M, -1.0, 25),
    "right": (10, "truck", None, (9.0, 2.5), -LANE_M, -1.0, 25), "oncoming": (30, "car", None, (4.5, 1.8), 2 * LANE_M, -13.0, 9),
    "cutter": (3, "car", None, (4.5, 1.8), LANE_M, -1.0, 25), "parked": (25, "car", None, (4.5, 1.8), -1.7 * LANE_M, 0.0, 20),
    "walker": (25, "pedestrian", None, (0.5, 0.55), -2.6 * LANE_M, 1.3, 25), "crosser": (3, "pedestrian", None, (0.5, 0.55), -9.0, 0.0, 14),
    "cyclist": (8, "cyclist", None, (1.8, 0.6), -0.8 * LANE_M, 5.0, 20), "side": (4, "car", None, (4.5, 1.8), -30.0, 0.0, 10),
    "cone": (4, "other", "cone", (0.4, 0.4), -0.6 * LANE_M, 0.0, 20), "debris": (1, "other", "debris", (0.6, 0.6), 0.2, 0.0, 20),
    "deer": (1, "other", "animal", (1.5, 0.6), -8.0, 0.0, 12),
    "ambulance": (0.5, "truck", "emergency_vehicle", (6.0, 2.2), LANE_M, -1.0, 20),
    "wrong": (0.5, "car", None, (4.5, 1.8), LANE_M, -13.0, 9), "bus": (1, "bus", None, (12.0, 2.55), -LANE_M, -1.0, 20),
}  # fmt: skip
ACROSS = {"crosser": 1.6, "side": 9.0, "deer": 3.0}


def _road(rng: np.random.Generator, length_m: float) -> tuple[Array, Array, Array, Array]:
    """s, x, y and heading of the road's middle, a vertex a metre."""
    knots = np.arange(0, length_m + 120, 120)
    curvature = np.interp(np.arange(0, length_m), knots, rng.uniform(-0.006, 0.006, len(knots)))
    heading = np.cumsum(curvature)
    return np.arange(0, length_m), np.cumsum(np.cos(heading)), np.cumsum(np.sin(heading)), heading


def _smooth(values: Array, window: int) -> Array:
    shape = np.hanning(window)
    return np.convolve(np.pad(values, window // 2, mode="edge"), shape / shape.sum(), mode="valid")


def _ego(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Speed, metres along and metres to the left of the road's middle at EGO_HZ, with hard stops and lane changes."""
    t = np.arange(SECONDS * EGO_HZ) / EGO_HZ
    knots = np.arange(0, SECONDS + 12, 12)
    speed = np.interp(t, knots, rng.choice([1.0, 8.0, 12.0, 16.0], len(knots), p=[0.1, 0.3, 0.4, 0.2]))
    lanes = np.repeat(rng.choice([0.0, 0.0, 0.0, LANE_M], SECONDS // 30 + 1), 30 * EGO_HZ)[: len(t)]
    speed = np.maximum(_smooth(speed, 3 * EGO_HZ + 1), 0.0)
    return speed, 250.0 + np.cumsum(speed) / EGO_HZ, _smooth(lanes, 5 * EGO_HZ + 1)


def _course(kind: str, rng: np.random.Generator, speed: Array, way: Array) -> tuple[Array, Array, Array, Array]:
    """Metres along, to the left, and the speeds so of one road user over its frames; `speed` and `way` are the ego's at these."""
    *_, side_m, fast, _ = KINDS[kind]
    t = np.arange(len(way)) / HZ
    along = np.full(len(t), fast) if fast >= 0 else np.maximum(speed[0] + 2.0 * np.sin(t / rng.uniform(3, 9) + rng.uniform(0, 6)), 0.0)
    along = np.full(len(t), fast) if kind in ("oncoming", "wrong") else along
    left = side_m + rng.normal(0, 0.15) + np.zeros(len(t))
    begin = {"ahead": rng.uniform(12, 60), "oncoming": 110.0, "wrong": 110.0, "cutter": rng.uniform(8, 25)}.get(kind, rng.uniform(-30, 105))
    if kind == "ahead":
        along = np.maximum(along + np.interp(t, [8, 9.5, 14, 18], [0, rng.uniform(-7, 0), -3, 0]), 0.0)
    if kind == "cutter":
        left = np.interp(t, [5, 8], [left[0], 0.0])
    if kind in ACROSS:
        begin, left = rng.uniform(25, 70), left + ACROSS[kind] * np.maximum(t - rng.uniform(0, 3), 0)
    return way[0] + begin + np.cumsum(along) / HZ, left, along, np.gradient(left, 1 / HZ) if len(t) > 1 else 0 * t


def _tracks(rng: np.random.Generator, ego: tuple[Array, Array, Array], road: tuple[Array, Array, Array, Array]) -> pa.Table:
    every = EGO_HZ // HZ
    speed, way, left = (part[::every] for part in ego)
    s, x, y, heading = road
    frames = len(way)
    names = list(KINDS)
    life = np.array([kind[6] for kind in KINDS.values()])
    share = np.array([kind[0] for kind in KINDS.values()])
    born = rng.poisson(share * rng.uniform(0.4, 0.75) * SECONDS / life)
    parts: list[dict[str, Any]] = []
    for kind, count in zip(names, born, strict=True):
        for number in range(count):
            first = int(rng.integers(0, frames - 5))
            last = min(frames, first + max(5, round(KINDS[kind][6] * rng.uniform(0.5, 1.5) * HZ)))
            at = np.arange(first, last)
            parts.append({"at": at, "name": f"{kind}.{number}", "kind": kind, "course": _course(kind, rng, speed[at], way[at])})
    at = np.concatenate([part["at"] for part in parts])
    size = [len(part["at"]) for part in parts]
    along, side, fast, across = (np.concatenate([part["course"][i] for part in parts]) for i in range(4))

    def each(pick: Any) -> Any:
        return np.repeat(np.array([pick(part) for part in parts]), size)

    turn, own = np.interp(along, s, heading), np.interp(way[at], s, heading)
    wx, wy = np.interp(along, s, x) - side * np.sin(turn), np.interp(along, s, y) + side * np.cos(turn)
    ex, ey = np.interp(way[at], s, x) - left[at] * np.sin(own), np.interp(way[at], s, y) + left[at] * np.cos(own)
    c, sn, noise = np.cos(own), np.sin(own), rng.normal(0, 1, (6, len(at)))
    vx, vy = fast * np.cos(turn - own) - across * np.sin(turn - own), fast * np.sin(turn - own) + across * np.cos(turn - own)
    moves = np.hypot(fast, across) > 0.1
    back = fast < -0.1
    facing = turn - own + np.where(moves, np.arctan2(across, np.abs(fast)), 0.0) + np.pi * back
    columns = {
        "t_ns": T0_NS + at * STEP_NS, "track_id": each(lambda p: p["name"]), "cls": each(lambda p: KINDS[p["kind"]][1]),
        "x_m": (wx - ex) * c + (wy - ey) * sn + 0.06 * noise[0], "y_m": (wy - ey) * c - (wx - ex) * sn + 0.06 * noise[1],
        "z_m": np.full(len(at), 0.8), "heading_rad": facing + 0.01 * noise[2], "length_m": each(lambda p: KINDS[p["kind"]][3][0]),
        "width_m": each(lambda p: KINDS[p["kind"]][3][1]), "height_m": np.full(len(at), 1.5),
        "vx_mps": vx + 0.1 * noise[3], "vy_mps": vy + 0.1 * noise[4],
        "subclass": pa.array(each(lambda p: KINDS[p["kind"]][2] or ""), pa.string()),
        "flashing": each(lambda p: p["kind"] == "ambulance"),
    }  # fmt: skip
    seen = np.hypot(columns["x_m"], columns["y_m"]) < REACH_M
    table = pa.table(columns).filter(pa.array(seen))
    at_empty = pa.compute.equal(table["subclass"], "")
    plain = pa.compute.if_else(at_empty, pa.scalar(None, pa.string()), table["subclass"])
    return table.set_column(table.column_names.index("subclass"), "subclass", plain).append_column(
        "visible", pa.array(np.ones(len(table), bool))
    )


def drive_tables(index: int, *, seed: int = 7) -> dict[str, pa.Table]:
    """One drive's SIGNALS, TRACKS, LANES and LIGHTS; the same for the same index and seed."""
    rng = np.random.default_rng([seed, index])
    ego = _ego(rng)
    speed, way, left = ego
    road = _road(rng, float(way[-1]) + 400)
    s, x, y, heading = road
    t_ns = T0_NS + np.arange(len(way), dtype=np.int64) * (1_000_000_000 // EGO_HZ)
    turn = np.interp(way, s, heading)
    sideways = np.gradient(left, 1 / EGO_HZ)
    facing = turn + np.arctan2(sideways, np.maximum(speed, 2.0))
    yaw = np.gradient(facing, 1 / EGO_HZ)
    px, py = np.interp(way, s, x) - left * np.sin(turn), np.interp(way, s, y) + left * np.cos(turn)
    signals = {
        "t_ns": t_ns, "speed_mps": speed, "ax_mps2": np.gradient(speed, 1 / EGO_HZ), "ay_mps2": speed * yaw, "yaw_rate_radps": yaw,
        "x_m": px, "y_m": py, "heading_rad": facing, "illuminance_lx": np.full(len(way), 5.0 if index % 3 == 0 else 9000.0),
    }  # fmt: skip
    every = EGO_HZ // HZ
    lane = np.floor(left[::every] / LANE_M + 0.5).astype(np.int32)
    count, next_m = len(lane), 400.0 - (way[::every] % 400.0)
    lanes = {
        "t_ns": t_ns[::every], "lane_id": np.array(["lane"] * count), "lane_index": lane + 1, "offset_m": left[::every] - lane * LANE_M,
        "width_m": np.full(count, LANE_M), "curvature_1pm": np.interp(way[::every], s, np.gradient(heading)),
        "in_junction": next_m > 385.0, "junction_m": next_m, "stop_line_m": next_m - 4.0, "crosswalk_m": next_m - 2.0,
        "lanes": np.full(count, 3, np.int32), "lane_ends_m": np.where(way[::every] % 900 > 700, 900 - way[::every] % 900, np.nan),
        "road_left_m": 9.0 - left[::every], "road_right_m": 6.0 + left[::every], "control": np.array(["light"] * count),
    }  # fmt: skip
    phase = np.array(["green", "yellow", "red"])[np.searchsorted([20, 23], np.arange(count) / HZ % 45)]
    lights = {"t_ns": t_ns[::every], "light_id": np.array(["light"] * count), "state": phase, "stop_line_m": next_m - 4.0}
    found = {"SIGNALS": pa.table(signals), "TRACKS": _tracks(rng, ego, road), "LANES": pa.table(lanes), "LIGHTS": pa.table(lights)}
    return {name: conform(name, _named(name, table, index)) for name, table in found.items()}


def _named(name: str, table: pa.Table, index: int) -> pa.Table:
    for column in ("lane_ends_m",) if name == "LANES" else ():
        table = table.set_column(table.column_names.index(column), column, pa.array(table[column].to_numpy(), from_pandas=True))
    return table.append_column("drive_id", pa.array([f"drive-{index:05d}"] * len(table)))


def write_rows(folder: Path, *, rows: int) -> list[Path]:
    """Folders of one drive's parts, about `rows` TRACKS rows in all (a name ends in its rows), made in two processes."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        count = max(1, round(rows / ROWS_A_DRIVE))
        return list(pool.map(_write, [folder] * count, range(count)))


def _write(folder: Path, index: int) -> Path:
    there = sorted(folder.glob(f"drive-{index:05d}-*[0-9]"))
    if there:
        return there[0]
    tables = drive_tables(index)
    part = folder / f"drive-{index:05d}.part"
    part.mkdir(exist_ok=True)
    for name, table in tables.items():
        (part / f"{name}.parquet").write_bytes(to_parquet(name, table))
    return part.rename(folder / f"drive-{index:05d}-{len(tables['TRACKS'])}")


def rows_of(folder: Path) -> int:
    """How many TRACKS rows a drive's folder holds."""
    return int(folder.name.split("-")[-1])


assert set(TABLES) <= set(SCHEMAS)
