"""Makes a sample fleet: one MCAP log a drive, and what truly happened in `truth.json`, which is written last."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from flywheel.errors import BadData
from flywheel.fleet.drive import Drive, drive_of, instants, world
from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.scene import Camera, Instant, World
from flywheel.fleet.truth import graded_truth, is_clear
from flywheel.fleet.workers import run_jobs
from flywheel.types import Condition, Record

TRUTH, PARTS, ATTEMPTS = "truth.json", ".parts", 12


@dataclass(frozen=True)
class DriveScenes:
    """What a camera could see on one drive: the still world and its moments at 10 Hz."""

    stem: str
    vehicle_id: str
    place: str
    day: str
    kind: str
    condition: Condition
    world: World
    instants: list[Instant]


class FleetReport(Record):
    """What was made: counts of planted and incidental events by scenario, of near misses, and sizes."""

    out: str
    seed: int
    drives: int
    files: int
    bytes: int
    events: dict[str, int]
    near_misses: dict[str, int]
    root_groups: int
    seconds: float


def clear_drive(*, seed: int, index: int) -> Drive:
    """The first draw of a drive whose planted event is clear of its thresholds by a margin; BadData if none is."""
    for attempt in range(ATTEMPTS):
        drive = drive_of(seed=seed, index=index, attempt=attempt)
        if is_clear(drive):
            return drive
    raise BadData(f"no clear script for drive {index} of seed {seed} in {ATTEMPTS} draws. Choose another seed")


def drive_scenes(*, seed: int, index: int, drives: int) -> DriveScenes:
    """The scenes of one drive of a fleet, as `make_fleet` draws them; ValueError for an index outside the fleet."""
    if not 0 <= index < drives:
        raise ValueError(f"drive {index} is not one of {drives}")
    drive = clear_drive(seed=seed, index=index)
    slot, plan = drive.slot, drive.plan
    return DriveScenes(drive.stem, slot.vehicle_id, plan.place.name, slot.day, plan.kind, plan.condition, world(drive), instants(drive))


def make_drive(out: Path, *, seed: int, index: int, camera: bool) -> dict[str, Any]:
    """Writes one drive's log, then its part of the truth, and gives that part; a part that is there already is kept."""
    from flywheel.fleet.write import write_drive

    part = out / PARTS / f"{index:04d}-{seed}-{'camera' if camera else 'plain'}.json"
    if part.is_file():
        return dict(json.loads(part.read_text()))
    drive = clear_drive(seed=seed, index=index)
    write_drive(drive, out, camera=Camera() if camera else None)
    found = _part(drive)
    _write(part, found)
    return found


def _part(drive: Drive) -> dict[str, Any]:
    slot, plan = drive.slot, drive.plan
    who = {
        "drive": drive.stem, "vehicle_id": slot.vehicle_id, "place": drive.place.name, "day": slot.day,
        "condition": plan.condition.name, "kind": plan.kind,
    }  # fmt: skip
    truth = [(e.model_dump(include={"scenario", "level", "actors"}, mode="json"), e) for e in graded_truth(drive)]
    events = [said | _when(drive, e.start, e.end) for said, e in truth if not e.borderline]
    doubtful = [said | _when(drive, e.start, e.end) for said, e in truth if e.borderline]
    near = [{"scenario": n.scenario, "why": n.why, **_when(drive, round(n.t0_s * RATE_HZ), round(n.t1_s * RATE_HZ))} for n in plan.near]
    return {"drive": who, "events": events, "borderline": doubtful, "near_misses": near}


def _when(drive: Drive, start: int, end: int) -> dict[str, Any]:
    return {"drive": drive.stem, "t0_ns": drive.t_ns(start), "t1_ns": drive.t_ns(end)}


def _write(path: Path, value: Any) -> None:
    """JSON that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    part.replace(path)


def _refuse_another(out: Path, *, drives: int, seed: int, camera: bool) -> None:
    """BadData when the folder holds a fleet that this one would not contain."""
    path = out / TRUTH
    if not path.is_file():
        return
    there = json.loads(path.read_text())
    if there["seed"] != seed or there["camera"] != camera or len(there["drives"]) > drives:
        found = f"seed {there['seed']}, {len(there['drives'])} drives, camera {there['camera']}"
        raise BadData(f"{out} already holds another fleet ({found}). Choose another folder or remove it")


def make_fleet(out: Path, *, drives: int, seed: int, camera: bool = True, workers: int | None = None) -> FleetReport:
    """Writes `<stem>.mcap` per drive and `truth.json` last; the same seed gives the same bytes, in a longer fleet too.

    Drives are made in `workers` processes (by default one a core, 4 at most). A run that was killed goes on where it stopped;
    a fleet that is there already is left as it is.
    Raises BadData when `out` holds another fleet, ValueError for fewer than one drive.
    """
    if drives < 1:
        raise ValueError("a fleet needs at least one drive")
    start, out = monotonic(), Path(out)
    _refuse_another(out, drives=drives, seed=seed, camera=camera)
    if truth := _finished(out, drives=drives):
        return _report(out, truth, start=start)
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    count = min(workers or min(len(os.sched_getaffinity(0)), 4), drives)
    parts = run_jobs(out, indices=range(drives), seed=seed, camera=camera, workers=count)
    return _finish(out, parts, seed=seed, camera=camera, start=start)


def _finished(out: Path, *, drives: int) -> dict[str, Any] | None:
    """The truth of a fleet of this length that is there already, whole; None otherwise."""
    if not (out / TRUTH).is_file():
        return None
    truth: dict[str, Any] = json.loads((out / TRUTH).read_text())
    whole = len(truth["drives"]) == drives and all(file.is_file() for file in _files(out, truth))
    return truth if whole else None


def _files(out: Path, truth: dict[str, Any]) -> list[Path]:
    return [out / f"{drive['drive']}.mcap" for drive in truth["drives"]]


def _finish(out: Path, parts: Iterable[dict[str, Any]], *, seed: int, camera: bool, start: float) -> FleetReport:
    rows = list(parts)
    truth: dict[str, Any] = {
        "seed": seed, "camera": camera, "drives": [row["drive"] for row in rows],
        **{kind: [event for row in rows for event in row[kind]] for kind in ("events", "borderline", "near_misses")},
    }  # fmt: skip
    _write(out / TRUTH, truth)
    for part in (out / PARTS).iterdir():
        part.unlink()
    (out / PARTS).rmdir()
    return _report(out, truth, start=start)


def _report(out: Path, truth: dict[str, Any], *, start: float) -> FleetReport:
    files = _files(out, truth)
    return FleetReport(
        out=str(out), seed=truth["seed"], drives=len(files), files=len(files), bytes=sum(path.stat().st_size for path in files),
        events=_counts(truth["events"]), near_misses=_counts(truth["near_misses"]),
        root_groups=len({(d["vehicle_id"], d["day"], d["place"]) for d in truth["drives"]}), seconds=round(monotonic() - start, 3),
    )  # fmt: skip


def _counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    return dict(sorted(Counter(row["scenario"] for row in rows).items()))
