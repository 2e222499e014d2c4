"""How fast the ego-only detectors are, in how much memory: rows 1-6, 27, 28, 38, 40-43, 49 and 50 of the catalogue over 100 Hz SIGNALS.

    python -m benchmarks.mine_ego --rows 50e6            (2e6 is a quick run)

Drives of an hour are made once, the same each time, as Parquet parts. Every measurement is a process of its own with one thread:
our detectors (reading the parts, preparing the drive, all detectors), over a tenth, two fifths and all of the rows, and over all of
them in two processes; (a) one Polars hard-brake query over the same parts; (b) the same detectors as a pandas groupby loop over the
drives of a tenth. Rows a second per core are by CPU time, so that a busy machine does not count.
"""

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.ego_rows import DRIVE_ROWS, write_rows
from flywheel.mine.workers import ALONE

Measured = dict[str, Any]
CATALOGUE_ROWS = (1, 2, 3, 4, 5, 6, 27, 28, 38, 40, 41, 42, 43, 49, 50)
COLUMNS = (
    "t_ns", "speed_mps", "ax_mps2", "ay_mps2", "yaw_rate_radps", "imu_az_mps2", "roll_rate_radps", "lat_deg", "lon_deg",
    "wheel_speed_mps", "engaged", "driver_override", "fcw", "aeb", "abs", "esc",
)  # fmt: skip
TARGET_ROWS_PER_S, TARGET_MB, TARGET_PANDAS = 1.5e6, 2048, 20


def peak_mb() -> float:
    """The most memory that this process has held; unlike ru_maxrss it knows nothing of the process that started it."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def read(file: Path) -> Any:
    """One part, with the columns that the detectors use, as `flywheel.tables.read_part` reads it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(file.read_bytes())).read(columns=list(COLUMNS), use_threads=False)


def mine_file(file: Path) -> Counter[str]:
    """Events of every ego-only scenario in one part, read with the columns that these detectors use."""
    import pyarrow as pa

    from flywheel.mine.catalogue import catalogue
    from flywheel.mine.detectors import detector_of
    from flywheel.mine.prepare import Drive, DriveTables
    from flywheel.tables import SCHEMAS

    signals = read(file)
    none = pa.nulls(len(signals), pa.float64())
    for name in SCHEMAS["SIGNALS"].names:
        signals = signals if name in (*COLUMNS, "drive_id") else signals.append_column(name, none)
    row = {"drive_id": file.stem, "t0_ns": signals["t_ns"][0].as_py(), "t1_ns": signals["t_ns"][-1].as_py(), "root_group": "bench"}
    empty = {name.lower(): SCHEMAS[name].empty_table() for name in ("TRACKS", "LIGHTS", "LANES", "FRAMES")}
    drive = Drive(DriveTables(row=row, signals=signals, **empty))
    entries = [entry for entry in catalogue() if entry.row in CATALOGUE_ROWS]
    assert not [signal for entry in entries for signal in entry.signals if drive.missing(signal)]
    return Counter({entry.name: len(detector_of(entry)(drive, entry)) for entry in entries})


def ours(files: list[Path]) -> Measured:
    """All parts, one after the other."""
    found: Counter[str] = Counter()
    for file in files:
        found.update(mine_file(file))
    return {"events": dict(found)}


def only_read(files: list[Path]) -> Measured:
    """All parts read and let go: what ours and pandas both have to do first."""
    return {"read": sum(len(read(file)) for file in files), "events": {}}


def ours_in_two(files: list[Path]) -> Measured:
    """All parts, shared out to two processes."""
    found, peak = Counter[str](), 0.0
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for part, held in pool.map(_mined, files):
            found.update(part)
            peak = max(peak, held)
    return {"events": dict(found), "peak_mb": peak}


def _mined(file: Path) -> tuple[Counter[str], float]:
    return mine_file(file), peak_mb()


def polars_query(files: list[Path]) -> Measured:
    """One hard-brake query: stretches of 0.3 s at -3 m/s2 or less, begun at 3 m/s or more."""
    import polars as pl

    braking = pl.scan_parquet(files).select("drive_id", "t_ns", "speed_mps", "ax_mps2").filter(pl.col("ax_mps2") <= -3.0)
    apart = (pl.col("t_ns").diff() > 50_000_000) | (pl.col("drive_id") != pl.col("drive_id").shift())
    stretches = braking.with_columns(stretch=apart.fill_null(True).cum_sum()).group_by("stretch").agg(
        t0=pl.col("t_ns").first(), t1=pl.col("t_ns").last(), peak=pl.col("ax_mps2").min(), speed=pl.col("speed_mps").first()
    )  # fmt: skip
    found = stretches.filter((pl.col("t1") - pl.col("t0") >= 300_000_000) & (pl.col("speed") >= 3.0)).collect(engine="streaming")
    return {"events": {"hard_braking": len(found)}}


def in_pandas(files: list[Path]) -> Measured:
    """The detectors in pandas."""
    import pandas as pd

    from benchmarks.ego_pandas import detect

    return {"events": detect(pd.concat([pd.read_parquet(file, columns=["drive_id", *COLUMNS]) for file in files]))}


WAYS: dict[str, Callable[[list[Path]], Measured]] = {
    "ours": ours,
    "two": ours_in_two,
    "read": only_read,
    "polars": polars_query,
    "pandas": in_pandas,
}


def _ready() -> None:
    """What is imported and read once a process."""
    importlib.import_module("polars")
    importlib.import_module("benchmarks.ego_pandas")
    importlib.import_module("flywheel.mine.detectors").detectors()
    importlib.import_module("flywheel.mine.catalogue").catalogue()


def measured(way: str, files: list[Path]) -> Measured:
    """Seconds, CPU seconds and the largest process's memory of one way, in this process; imports are not counted."""
    _ready()
    start, own = time.perf_counter(), resource.RUSAGE_SELF
    before = resource.getrusage(own)
    found = WAYS[way](files)
    used = [resource.getrusage(who) for who in (own, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(u.ru_utime + u.ru_stime for u in used) - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "cpu_s": cpu_s, "peak_mb": peak_mb()} | found


def apart(way: str, files: list[Path], *, rows: int) -> Measured:
    """One way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mine_ego", "--way", way, *map(str, files)]
    done = subprocess.run(command, env=os.environ | ALONE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr.strip()[-2000:]}")
    return {"rows": rows} | json.loads(done.stdout.splitlines()[-1])


def _parts(files: list[Path], rows: int) -> tuple[list[Path], int]:
    """The first parts that hold about so many rows, at least one, and how many they hold."""
    chosen = files[: max(1, round(rows / DRIVE_ROWS))]
    return chosen, sum(int(file.stem.split("-")[-1]) for file in chosen)


def report(results: dict[str, Measured]) -> None:
    """The tables: speed and memory of every way, then events, then what was aimed at."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="ego-only detectors over 100 Hz SIGNALS, one thread a process")
    for column in ("way", "rows", "hours", "seconds", "CPU s", "M rows/s", "M rows/s per core", "peak MB"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, row in results.items():
        speeds = [f"{row['rows'] / row[key] / 1e6:.3f}" for key in ("seconds", "cpu_s")]
        hours, spent = f"{row['rows'] / 360_000:.1f}", [f"{row[key]:.1f}" for key in ("seconds", "cpu_s")]
        table.add_row(name, f"{row['rows']:,}", hours, *spent, *speeds, f"{row['peak_mb']:.0f}")
    console = Console(width=150)
    console.print(table)
    whole, small = results["ours, all"], results["ours, a tenth"]
    found = Table("scenario", "events, all", "events, a tenth", "pandas, a tenth", title="events (pandas: same drives, same definitions)")
    for name in whole["events"]:
        found.add_row(name, *(str(row["events"].get(name, "")) for row in (whole, small, results["(b) pandas, a tenth"])))
    console.print(found)
    per_row = {name: row["cpu_s"] / row["rows"] for name, row in results.items()}
    own, pandas, reading = per_row["ours, all"], per_row["(b) pandas, a tenth"], per_row["reading alone"]
    console.print(f"rows/s per core: {1 / own:,.0f} (aim {TARGET_ROWS_PER_S:,.0f}); peak {whole['peak_mb']:.0f} MB (aim {TARGET_MB})")
    console.print(f"one Polars hard-brake query takes 1/{own / per_row['(a) Polars query']:.1f} of our time a row")
    alone = (pandas - reading) / (own - reading)
    console.print(f"the detectors alone: pandas takes {alone:.1f} times our time a row (aim {TARGET_PANDAS});")
    console.print(f"with the reading of Parquet, which both have to do, {pandas / own:.1f} times")
    two = results["ours, all, 2 processes"]
    console.print(f"two processes: {whole['seconds'] / two['seconds']:.2f} times as fast as one, on {os.cpu_count()} cores")


def main() -> None:
    """Makes the rows and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=50e6)
    parser.add_argument("--folder", type=Path, help="where the rows lie (kept for the next run); a temporary folder by default")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("files", type=Path, nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measured(given.way, given.files)))
        return
    with tempfile.TemporaryDirectory(prefix="mine-ego-") as scratch:
        files = write_rows(given.folder or Path(scratch), rows=int(given.rows))
        results = {}
        for name, way, share in (
            ("ours, one drive", "ours", 0.0), ("ours, a tenth", "ours", 0.1), ("ours, two fifths", "ours", 0.4), ("ours, all", "ours", 1.0),
            ("ours, all, 2 processes", "two", 1.0),
            ("reading alone", "read", 1.0), ("(a) Polars query", "polars", 1.0), ("(b) pandas, a tenth", "pandas", 0.1),
        ):  # fmt: skip
            chosen, rows = _parts(files, int(share * given.rows))
            results[name] = apart(way, chosen, rows=rows)
        report(results)


if __name__ == "__main__":
    main()
