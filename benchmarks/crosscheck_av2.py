"""Our reading of Argoverse 2 sensor logs against the av2 package: python -m benchmarks.crosscheck_av2 --python /tmp/av2/bin/python

av2 0.3.6 needs torch and more, so it lives in an environment of its own; what is used of it here needs only
`uv pip install --no-deps av2==0.3.6 && uv pip install numpy pandas pyarrow scipy universal-pathlib pyproj pillow matplotlib joblib numba`
(with opencv-python-headless and rich). The package defines no scenarios: the atomic relations (near, following, turning ...) are RefAV's,
whose definitions `flywheel/mine/relations.py` follows. What the package itself defines, and what of ours answers to it:

- lane: the segment whose polygon holds the ego's rear axle | LANES.lane_id. Segments overlap in junctions; ours is the one the ego follows.
- junction: `lane_is_in_intersection` of the segments under the axle or the front bumper | LANES.in_junction, which follows the ego's own
  lane. A turn lane that overlaps a straight one outside the junction makes theirs true earlier.
- crossing: a pedestrian crossing's polygon holds the front bumper | LANES.crosswalk_m has just gone from ahead to behind. Shown: how far we
  thought the crosswalk away, one second before the bumper came onto theirs, against what the ego then drove.
- trajectory: forecasting's static, linear or non-linear (an error below 1 m plus the class's mean speed, after 3 s) | our speed of the
  track at that moment. Static tracks must be slow with us; theirs looks 3 s ahead, ours is the speed now.
- drivable area: theirs has it; our LANES of this format have no road edges yet, so row 37's road departure is not evaluable here.
"""

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.mine.prepare import Drive
from flywheel.mine.run import load_drive
from flywheel.mine.signals import column, times
from flywheel.store import open_store
from flywheel.tables import read_table

DATA = Path(os.environ.get("FLYWHEEL_REAL_DATA", "../shared/data"), "noncommercial/av2/sensor_logs")


def mined(log: Path, folder: Path) -> Drive:
    """The log as mining sees it."""
    store = open_store(folder / "root")
    shutil.copytree(log, folder / "logs" / log.name, ignore=shutil.ignore_patterns("sensors"))
    batch = land(store, folder / "logs")
    ingest_batch(store, batch)
    return Drive(load_drive(store, batch, read_table(store, "DRIVES", batch_id=batch).to_pylist()[0]))


def since_first(drive: Drive, t_ns: Any) -> Any:
    """Times since the first pose, as whole ns: ingest gives anonymous logs a clock of their own."""
    return t_ns - int(times(drive.tables.signals)[0])


def asked(python: Path, log: Path, t_ns: list[int]) -> dict[str, Any]:
    """What av2 says of the log."""
    worker = Path(__file__).with_name("av2_worker.py")
    question = json.dumps({"log": str(log.resolve()), "t_ns": t_ns})
    done = subprocess.run([python, worker], input=question, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} cannot run av2 (see the head of this file): {done.stderr[-600:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def on_the_map(drive: Drive, said: dict[str, Any]) -> list[tuple[str, int, int, str]]:
    """(question, moments, agree, note) of the map."""
    lanes = drive.tables.lanes
    rows = {int(t): row for t, row in zip(since_first(drive, times(lanes)), lanes.to_pylist(), strict=True)}
    both = [(rows[int(t)], it) for t, it in said.items() if int(t) in rows]
    lane = sum(row["lane_id"] in it["lanes"][0] for row, it in both)
    held = sum(bool(it["lanes"][0]) for _, it in both)
    same = sum(row["in_junction"] == any(it["junction"]) for row, it in both)
    early = sum(any(it["junction"]) and not row["in_junction"] for row, it in both)
    edges = drive.tables.lanes["road_left_m"].null_count < len(drive.tables.lanes)
    return [
        ("lane holds the rear axle", held, lane, f"{len(said) - len(both)} of {len(said)} moments without a lane with us"),
        ("in a junction", len(both), same, f"{early} only theirs, {len(both) - same - early} only ours"),
        ("on the drivable area", len(said), sum(it["drivable"] for it in said.values()), "theirs" if not edges else "ours has edges too"),
    ]


def crossings(drive: Drive, said: dict[str, Any]) -> list[tuple[float, float]]:
    """(our distance to the crosswalk a second before, what the ego then drove) for every time its front came onto one of theirs."""
    first = int(times(drive.tables.signals)[0])
    t = np.array(sorted(map(int, said))) + first
    on = np.array([said[str(now - first)]["on_crossing"] for now in t])
    lanes = drive.tables.lanes
    ahead, found = column(lanes, "crosswalk_m"), []
    for now in t[1:][on[1:] & ~on[:-1]]:
        k = int(np.searchsorted(times(lanes), now - 1_000_000_000))
        if k < len(ahead) and abs(int(times(lanes)[k]) - (now - 1_000_000_000)) < 2e8:
            way = np.diff(drive.ego.at(np.array([times(lanes)[k], now]), drive.ego.travelled_m))[0]
            found.append((float(ahead[k]), float(way)))
    return found


def speeds(drive: Drive, said: list[list[Any]]) -> dict[str, list[float]]:
    """Our speed of each track at the moment that av2 sorted it, by its sort."""
    tracks = drive.tables.tracks
    known = dict(
        zip(zip(tracks["track_id"].to_pylist(), since_first(drive, times(tracks)).tolist(), strict=True), _speed(drive), strict=True)
    )
    found: dict[str, list[float]] = defaultdict(list)
    for name, t_ns, kind in said:
        if (name, t_ns) in known:
            found[kind].append(float(known[name, t_ns]))
    return found


def _speed(drive: Drive) -> Any:
    return np.hypot(column(drive.tables.tracks, "vx_mps"), column(drive.tables.tracks, "vy_mps"))


def main() -> None:
    """Ingests, asks, compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="A Python that has av2.")
    args, console = parser.parse_args(), Console(width=150)
    console.print(__doc__)
    for log in sorted(DATA.iterdir()):
        with tempfile.TemporaryDirectory(prefix="flywheel-av2-") as scratch:
            drive = mined(log, Path(scratch))
            said = asked(args.python, log, since_first(drive, times(drive.tables.signals))[::10].tolist())
            shown = Table("question", "moments", "agree", "note", title=f"{log.name}: the map")
            for name, moments, agree, note in on_the_map(drive, said["map"]):
                shown.add_row(name, str(moments), str(agree), note)
            console.print(shown)
            for ahead, way in crossings(drive, said["map"]):
                console.print(f"crossing: we saw it {ahead:.1f} m ahead, the ego drove {way:.1f} m until its front was on theirs")
            kinds = Table("av2 says", "tracks x moments", "our speed: median", "95 %", "under 0.5 m/s", title=f"{log.name}: trajectories")
            for kind, values in sorted(speeds(drive, said["tracks"]).items()):
                share = f"{np.mean(np.array(values) < 0.5):.0%}"
                kinds.add_row(kind, str(len(values)), f"{np.median(values):.2f}", f"{np.quantile(values, 0.95):.2f}", share)
            console.print(kinds)


if __name__ == "__main__":
    main()
