"""Our surrogate measures against commonroad-crime: python -m benchmarks.crosscheck_crime --python /tmp/crime/bin/python

commonroad-crime pins packages that the project does not, so it lives in an environment of its own:
`uv venv /tmp/crime && VIRTUAL_ENV=/tmp/crime uv pip install commonroad-crime==0.4.5` (BSD-3; 0.4.5 was used).
Scenarios: the CommonRoad files of FLYWHEEL_REAL_DATA (NGSIM; nothing of them is kept). Every motor vehicle takes its turn as the ego of our
ingest; whoever we see ahead on its path is asked about, each half second.

Two questions, two tables:
1. *Formulae.* Our functions on exactly the numbers that commonroad-crime used (its headway, its speeds along the lane) must give its
   values, which it rounds to 0.01 (0.1 s for THW).
2. *Pipeline.* What mining makes of the ingested tracks, against its values. Differences, by what commonroad-crime does:
   - HW: half the vehicles' lengths are added to both x *and* y of a position before it is projected on the lane, so what is taken off
     depends on the compass: (L1 + L2) / 2 * (cos h + sin h) on a lane of heading h. At h = -45 degrees (US101) nothing is taken off, and HW
     is the distance of centres; ours is bumper to bumper. Our ego also has one standard outline, whatever the recorded one's length.
     `as theirs` puts both back.
   - TTC: the sizes of the speeds are multiplied by the cosine of the lane's heading in the *world*, the ego's with the sign of its eastward
     speed, the other's without, so TTC grows with 1 / cos h, and on a lane to the west both seem to meet head-on; the other's acceleration
     enters as its size (braking counts as speeding up). Where accelerations differ by more than 0.1 m/s2 it is our MTTC, not our TTC.
   - Speeds: it reads a state's `velocity` as its part along x, beside a `velocity_y` that commonroad-io works out from the whole speed;
     where states hold speed, heading and acceleration (Lanker) every speed comes out longer, by sqrt(1 + sin^2 heading).
   - THW: the time after which the ego's front *was* where the other's rear is now, in steps of 0.1 s; none if the recording ends before
     that. Ours is gap / present speed; `as theirs` waits for our ego to have driven the gap.
   - ALongReq: -DRAC plus the other's acceleration, with both of the above.
   - Both must be in one lanelet for it; for us the path decides.
   - PET needs an intersection element in the scenario: these two have none, so it gives none. RSS says "coming soon".
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from flywheel.ego import FRONT_M
from flywheel.ingest import commonroad
from flywheel.ingest.commonroad_xml import Obstacle
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.mine.measures import drac, mttc, thw, ttc
from flywheel.mine.prepare import Drive
from flywheel.mine.run import load_drive
from flywheel.mine.signals import Ego
from flywheel.store import open_store
from flywheel.tables import read_table

DATA = Path(os.environ.get("FLYWHEEL_REAL_DATA", "../shared/data"), "commonroad_ngsim")
EVERY = 5
AXLE_TO_FRONT = 0.79  # of a vehicle's length: ingest puts the rear axle 0.29 of it behind the middle
Row = dict[str, Any]


def egos(file: Path) -> list[str]:
    """The motor vehicles of a scenario that move for a second or more."""
    seen: list[Obstacle] = []
    original = commonroad.stand_in

    def spy(found: list[Obstacle]) -> Obstacle:
        seen.extend(found)
        return original(found)

    with patch.object(commonroad, "stand_in", spy), tempfile.TemporaryDirectory() as scratch:
        list(drives(file, Path(scratch)))
    moving = {one.name for one in seen if one.role == "dynamic" and one.kind in commonroad.MOTOR and len(one.steps) > 10}
    return sorted(moving, key=int)


def drives(file: Path, folder: Path) -> Iterator[Drive]:
    """The scenario as mining sees it."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / file.name).write_bytes(file.read_bytes())
    store = open_store(folder / "root")
    batch = land(store, logs)
    ingest_batch(store, batch)
    for row in read_table(store, "DRIVES", batch_id=batch).to_pylist():
        yield Drive(load_drive(store, batch, row))


def ours(file: Path, ego: str) -> list[Row]:
    """Who is ahead on the path of one vehicle, each half second, with our measures."""

    def chosen(found: list[Obstacle]) -> Obstacle:
        return next(one for one in found if one.name == ego)

    rows: list[Row] = []
    with patch.object(commonroad, "stand_in", chosen), tempfile.TemporaryDirectory() as scratch:
        for drive in drives(file, Path(scratch)):
            objects = drive.objects
            step = np.round((objects.clock.t_ns - drive.t0_ns) / 1e8).astype(int)[objects.frame]
            for at in np.flatnonzero(objects.in_path & (step % EVERY == 0)):
                speed, its = float(objects.speed[objects.frame[at]]), float(objects.along_mps[at])
                gap = float(objects.gap_m[at])
                now = objects.clock.t_ns[objects.frame[at]]
                rows.append({"ego": int(ego), "other": int(objects.names[objects.track[at]]), "step": int(step[at]), "gap": gap,
                             "speed": speed, "closing": speed - its, "way": partial(_driven_in_s, drive.ego, int(now))})  # fmt: skip
    return rows


def _driven_in_s(ego: Ego, now_ns: int, way_m: float) -> float:
    """How long the ego took for a way from now on, s in whole steps of 0.1 s; infinite if it never did."""
    begin = float(ego.at(np.array([now_ns]), ego.travelled_m)[0])
    at = int(np.searchsorted(ego.travelled_m, begin + way_m, side="right"))
    return float(np.ceil((ego.clock.t_ns[at] - now_ns) / 1e8 - 0.01) / 10) if at < len(ego.travelled_m) else np.inf


def theirs(python: Path, file: Path, rows: list[Row]) -> dict[tuple[int, int, int], Row]:
    """What commonroad-crime says of the same moments."""
    asked = {"file": str(file.resolve()), "asked": [[row["ego"], row["other"], row["step"]] for row in rows]}
    worker = Path(__file__).with_name("crime_worker.py")
    done = subprocess.run([python, worker], input=json.dumps(asked), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{python} cannot run commonroad-crime (see the head of this file): {done.stderr[-600:]}")
    return {(row["ego"], row["other"], row["step"]): row for row in json.loads(done.stdout[done.stdout.index("[") :])}


def formulae(said: Row) -> Iterator[tuple[str, float, float]]:
    """(measure, our function on its numbers, its value); a headway that it knows without a time to collision is an infinite one."""
    if said.get("HW") is None or None in said["lane"]:
        return
    v, a, w, b = (np.array(said[who][part]) for who in ("own", "its") for part in ("velocity", "acceleration"))
    here, there = np.cos(said["lane"])
    speed, other, rise = np.hypot(*v) * here, np.hypot(*w) * there, np.hypot(*b) * there
    closing, closing_rise = np.sign(v[0]) * speed - other, np.sign(a[0]) * np.hypot(*a) * here - rise
    plain = closing > 0 and abs(closing_rise) <= 0.1
    yield "TTC s", float(ttc(said["HW"], closing) if plain else mttc(said["HW"], closing, closing_rise)), _or_inf(said["TTC"])
    if said["ALongReq"] is not None and said["HW"] > 0:
        yield "ALongReq m/s2", min(rise - float(drac(said["HW"], abs(speed - other))), 0.0), said["ALongReq"]


def _or_inf(value: float | None) -> float:
    return np.inf if value is None else value


def pipeline(row: Row, said: Row) -> Iterator[tuple[str, float, float]]:
    """(measure, ours, its) of the mined tracks where it has a value."""
    if said.get("HW") is None or None in said["lane"]:
        return
    own, its = said["own"], said["its"]
    here = said["lane"][0]
    middles = row["gap"] + FRONT_M - (AXLE_TO_FRONT - 0.5) * own["length"] + its["length"] / 2
    yield "HW m", row["gap"], said["HW"]
    yield "HW m, as theirs", middles - (own["length"] + its["length"]) / 2 * (np.cos(here) + np.sin(here)), said["HW"]
    if said["THW"] is not None:
        yield "THW s", float(thw(row["gap"], row["speed"])), said["THW"]
        yield "THW s, as theirs", row["way"](row["gap"] + FRONT_M - AXLE_TO_FRONT * own["length"]), said["THW"]
    if said["TTC"] is not None and row["closing"] > 0:
        yield "TTC s", float(ttc(row["gap"], row["closing"])), said["TTC"]
    yield "speed m/s", row["speed"], float(np.hypot(*own["velocity"]))
    yield "closing m/s", row["closing"], float(np.hypot(*own["velocity"]) - np.hypot(*its["velocity"]))


def table(title: str, found: list[tuple[str, float, float]]) -> Table:
    """Counts and differences by measure."""
    shown = Table("measure", "values", "median |d|", "95 % |d|", "largest |d|", title=title)
    for name in dict.fromkeys(one[0] for one in found):
        apart = np.array([0.0 if a == b else abs(a - b) for measure, a, b in found if measure == name])
        shown.add_row(name, str(len(apart)), *(f"{np.quantile(apart, q, method='lower'):.3f}" for q in (0.5, 0.95, 1.0)))
    return shown


def main() -> None:
    """Ingests, asks, compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="A Python that has commonroad-crime.")
    args, console = parser.parse_args(), Console(width=150)
    console.print(__doc__)
    for file in sorted(DATA.glob("*.xml")):
        rows = [row for ego in egos(file) for row in ours(file, ego)]
        said = theirs(args.python, file, rows)
        pairs = [(row, said[row["ego"], row["other"], row["step"]]) for row in rows]
        errors = sum("error" in it for _, it in pairs)
        silent = sum("error" not in it and it.get("HW") is None for _, it in pairs)
        console.print(f"{file.stem}: {len(rows)} moments; commonroad-crime fails on {errors}, sees no headway in {silent}")
        console.print(table("formulae: our functions on its numbers", [one for _, it in pairs for one in formulae(it)]))
        console.print(table("pipeline: mined tracks against its values", [one for row, it in pairs for one in pipeline(row, it)]))


if __name__ == "__main__":
    main()
