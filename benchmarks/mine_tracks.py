"""How fast the track detectors are, in how much memory: every scenario of the catalogue that needs tracks, over 10 Hz TRACKS.

    python -m benchmarks.mine_tracks --rows 20e6            (1e6 is a quick run)

Drives of five minutes with 30 to 100 boxes a frame, a map and lights are made once, the same each time, as Parquet parts. Every
measurement is a process of its own with one thread: our detectors (reading the parts, preparing the drive, every detector), over a tenth,
two fifths and all of the rows, over all of them in two processes, and with the encounters on top; and ten of the detectors as a pandas
groupby loop over one drive (`track_pandas.py` says which and how), against ours for the same ten. Rows are TRACKS rows; rows a second a
core are by CPU time, so that a busy machine does not count.
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
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.mine_ego import peak_mb
from benchmarks.track_rows import ROWS_A_DRIVE, rows_of, write_rows
from flywheel.mine.workers import ALONE

Measured = dict[str, Any]
TARGET_MB = 2048


def drive_of(folder: Path) -> Any:
    """A drive's parts, ready to be mined, read as mining reads them."""
    import pyarrow.parquet as pq

    from flywheel.mine.prepare import Drive, DriveTables
    from flywheel.tables import SCHEMAS

    def read(name: str) -> Any:
        wanted = [column for column in SCHEMAS[name].names if column not in ("drive_id", "z_m")]
        return pq.ParquetFile(folder / f"{name}.parquet").read(columns=wanted, use_threads=False)

    tables = {name.lower(): read(name) for name in ("SIGNALS", "TRACKS", "LIGHTS", "LANES")}
    t_ns = tables["signals"]["t_ns"]
    row = {"drive_id": folder.name, "t0_ns": t_ns[0].as_py(), "t1_ns": t_ns[-1].as_py(), "root_group": "bench"}
    return Drive(DriveTables(row=row, frames=SCHEMAS["FRAMES"].empty_table(), **tables))


def mine_drive(folder: Path, *, only: tuple[str, ...] = (), encounters: bool = False) -> Counter[str]:
    """Events of every scenario that needs tracks (or of some of them) in one drive."""
    from flywheel.mine.catalogue import catalogue
    from flywheel.mine.detectors import detector_of

    drive = drive_of(folder)
    entries = [entry for entry in catalogue() if "tracks" in entry.signals and (not only or entry.name in only)]
    assert not [signal for entry in entries for signal in entry.signals if drive.missing(signal)]
    found = Counter({entry.name: len(detector_of(entry)(drive, entry)) for entry in entries})
    if encounters:
        found["encounters"] = len(drive.encounters)
    return found


def ours(folders: list[Path], **how: Any) -> Measured:
    """All drives, one after the other."""
    found: Counter[str] = Counter()
    for folder in folders:
        found.update(mine_drive(folder, **how))
    return {"events": dict(found)}


def ours_in_two(folders: list[Path]) -> Measured:
    """All drives, shared out to two processes."""
    found, peak = Counter[str](), 0.0
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        for part, held in pool.map(_mined, folders):
            found.update(part)
            peak = max(peak, held)
    return {"events": dict(found), "peak_mb": peak}


def _mined(folder: Path) -> tuple[Counter[str], float]:
    return mine_drive(folder), peak_mb()


def in_pandas(folders: list[Path]) -> Measured:
    """Ten of the detectors in pandas."""
    import pandas as pd

    from benchmarks.track_pandas import detect

    found: Counter[str] = Counter()
    for folder in folders:
        found.update(detect(*(pd.read_parquet(folder / f"{name}.parquet") for name in ("SIGNALS", "TRACKS", "LANES"))))
    return {"events": dict(found)}


def the_same_ten(folders: list[Path]) -> Measured:
    """Our own of the detectors that the pandas loop has."""
    from benchmarks.track_pandas import DETECTORS

    return ours(folders, only=tuple(DETECTORS))


WAYS: dict[str, Callable[[list[Path]], Measured]] = {
    "ours": ours, "met": partial(ours, encounters=True), "two": ours_in_two, "ten": the_same_ten, "pandas": in_pandas
}  # fmt: skip


def measured(way: str, folders: list[Path]) -> Measured:
    """Seconds, CPU seconds and the largest process's memory of one way, in this process; imports are not counted."""
    importlib.import_module("benchmarks.track_pandas")
    importlib.import_module("flywheel.mine.encounters")
    importlib.import_module("flywheel.mine.detectors").detectors()
    importlib.import_module("flywheel.mine.catalogue").catalogue()
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    found = WAYS[way](folders)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(u.ru_utime + u.ru_stime for u in used) - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "cpu_s": cpu_s, "peak_mb": peak_mb()} | found


def apart(way: str, folders: list[Path]) -> Measured:
    """One way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.mine_tracks", "--way", way, *map(str, folders)]
    done = subprocess.run(command, env=os.environ | ALONE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr.strip()[-2000:]}")
    return {"rows": sum(map(rows_of, folders))} | json.loads(done.stdout.splitlines()[-1])


def report(results: dict[str, Measured]) -> None:
    """The tables: speed and memory of every way, then events."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="track detectors over 10 Hz TRACKS, one thread a process")
    for column in ("way", "rows", "seconds", "CPU s", "k rows/s", "k rows/s per core", "peak MB"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for name, row in results.items():
        speeds = [f"{row['rows'] / row[key] / 1e3:.0f}" for key in ("seconds", "cpu_s")]
        spent = [f"{row[key]:.1f}" for key in ("seconds", "cpu_s")]
        table.add_row(name, f"{row['rows']:,}", *spent, *speeds, f"{row['peak_mb']:.0f}")
    console = Console(width=150)
    console.print(table)
    whole, one, loop = results["ours, all"], results["ours, one drive, the same ten"], results["pandas loop, one drive, ten detectors"]
    found = Table("scenario", "events, all", "ours, one drive", "pandas, one drive", title="events (pandas: simpler, see track_pandas.py)")
    for name in whole["events"]:
        found.add_row(name, *(str(row["events"].get(name, "")) for row in (whole, one, loop)))
    console.print(found)
    per_row = {name: row["cpu_s"] / row["rows"] for name, row in results.items()}
    ratio = loop["cpu_s"] / loop["rows"] / (one["cpu_s"] / one["rows"])
    speed = f"{1 / per_row['ours, all']:,.0f}"
    console.print(f"rows/s per core, {len(whole['events'])} detectors: {speed}; peak {whole['peak_mb']:.0f} MB (aim {TARGET_MB})")
    console.print(f"a row of all costs {per_row['ours, all'] / per_row['ours, a tenth']:.2f} times a row of a tenth")
    console.print(f"the pandas loop takes {ratio:.1f} times our time for the same ten detectors on one drive of {one['rows']:,} rows")
    two = results["ours, all, 2 processes"]
    console.print(f"two processes: {whole['seconds'] / two['seconds']:.2f} times as fast as one, on {os.cpu_count()} cores")


def main() -> None:
    """Makes the rows and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=20e6)
    parser.add_argument("--folder", type=Path, help="where the rows lie (kept for the next run); a temporary folder by default")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("folders", type=Path, nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(measured(given.way, given.folders)))
        return
    with tempfile.TemporaryDirectory(prefix="mine-tracks-") as scratch:
        drives = write_rows(given.folder or Path(scratch), rows=int(given.rows))
        results = {}
        for name, way, share in (
            ("ours, a tenth", "ours", 0.1), ("ours, two fifths", "ours", 0.4), ("ours, all", "ours", 1.0),
            ("ours, all, 2 processes", "two", 1.0), ("ours and the encounters, a tenth", "met", 0.1),
            ("ours, one drive, the same ten", "ten", 0.0), ("pandas loop, one drive, ten detectors", "pandas", 0.0),
        ):  # fmt: skip
            results[name] = apart(way, drives[: max(1, round(share * given.rows / ROWS_A_DRIVE))])
        report(results)


if __name__ == "__main__":
    main()
