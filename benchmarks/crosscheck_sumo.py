"""Our surrogate measures against SUMO's own SSM device, road user by road user: python -m benchmarks.crosscheck_sumo --drives 48

The same simulated drives twice over: SUMO's device on the ego logs TTC, DRAC, MDRAC and PET from inside the simulation; we mine the
drives' logs (noisy sensors at 10 Hz, ingested as any log) and take `Drive.encounters`. The worst value of each drive and foe is compared.

What the device means by its measures (MSDevice_SSM.cpp), and where it must differ from ours:
- It measures along lanes between lane positions, from its own exact states each 0.1 s; we measure along the ego's path between boxes seen
  by noisy sensors. On one lane both are bumper to bumper, so TTC, DRAC and MDRAC agree within noise.
- A foe counts as followed or following once SUMO has its *centre* on the ego's lane; ours counts as soon as its box overlaps the ego's
  width. A cut-in is earlier with us, and its TTC may be shorter.
- A crossing foe has a TTC, DRAC and MDRAC in SUMO: a forecast of arrivals at the junction's conflict area. With us a crossing has a PET
  (and a TTC of boxes); its measures on one path do not exist. Counted as `forecast at a junction`.
- PET: SUMO's zone is where two lanes of the junction cross, ours what the two boxes truly swept; both are entered by front and left by rear
  bumpers. At right angles they are nearly one zone.
- It forgets a crossing foe 15 s after it left, and logs TTC below 30 s only (`over SUMO's limits`); we look at who is within 50 m or 4 s of
  the ego's way (`beyond our reach`). It knows the two seconds before the drive begins.
- MDRAC has a pole where TTC is the reaction time, and is infinite below: SUMO leaves those steps out and logs the largest before them
  (`no time left`). At a cut-in the first moment is the worst, so one step of 0.1 s decides a DRAC.
- People, things, parked cars and scripted cars that its traffic must not see are no vehicles to SUMO (`not SUMO's`).
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
from rich.console import Console
from rich.table import Table

from flywheel.fleet import simulate
from flywheel.fleet.make import clear_drive
from flywheel.fleet.motion import LEAD_S
from flywheel.fleet.write import write_drive
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.mine.prepare import Drive
from flywheel.mine.run import load_drive
from flywheel.store import open_store
from flywheel.tables import read_table

SETTINGS = {
    "has.ssm.device": "true", "device.ssm.measures": "TTC DRAC PET MDRAC", "device.ssm.thresholds": "30 0.01 30 0.01",
    "device.ssm.range": "120", "device.ssm.extratime": "15", "device.ssm.mdrac.prt": "1",
}  # fmt: skip
# SUMO's measure: our column, whether the largest is the worst, tolerance (absolute, relative), SUMO's limit.
PAIRS = {
    "minTTC": ("ttc_s", False, (0.1, 0.05), 30.0), "maxDRAC": ("drac_mps2", True, (0.1, 0.1), 0.01),
    "maxMDRAC": ("mdrac_mps2", True, (0.1, 0.15), 0.01), "PET": ("pet_s", False, (0.1, 0.05), 30.0),
}  # fmt: skip
COMPARABLE = {"2", "3", "17"}  # the ego follows, the ego is followed, one crossed after the other
Row = dict[str, Any]
Said = tuple[float, float, str]


@dataclass(frozen=True)
class Compared:
    """One measure of one foe: ours and SUMO's (None: not there), when each was worst in seconds of the drive, and why they differ."""

    drive: str
    foe: str
    measure: str
    ours: float | None
    sumo: float | None
    ours_at_s: float | None
    sumo_at_s: float | None
    verdict: str


def equipped(demand: Callable[[Any], str], log: Path) -> Callable[[Any], str]:
    """SUMO's route file with an SSM device on the ego that writes to `log`."""
    parameters = "".join(f'<param key="{key}" value="{value}"/>' for key, value in {**SETTINGS, "device.ssm.file": str(log)}.items())

    def with_device(plan: Any) -> str:
        text = demand(plan)
        begin = text.index(f'<vType id="{simulate.EGO}"')
        end = text.index("/>", begin)
        return f"{text[:end]}>{parameters}</vType>{text[end + 2 :]}"

    return with_device


def patiently(run: Callable[..., Any]) -> Callable[..., Any]:
    """SUMO is waited for at the end of a run, so that the device's log is whole."""

    def run_and_wait(link: Any, plan: Any) -> Any:
        close = link.close
        link.close = lambda wait: close(wait=True)
        return run(link, plan)

    return run_and_wait


def unlimited(insert: Callable[..., None]) -> Callable[..., None]:
    """The ego and the scripted cars may be as fast as the script says: SUMO caps what it moves by hand at the lane's limit otherwise."""

    def insert_and_free(link: Any, plan: Any) -> None:
        insert(link, plan)
        for name in (simulate.EGO, *(actor.actor_id for actor in plan.actors if simulate._is_traffic(actor))):
            link.vehicle.setSpeedFactor(name, 5.0)

    return insert_and_free


def simulated(*, seed: int, index: int, folder: Path) -> tuple[Path, set[str]]:
    """Writes a drive's MCAP log into the folder; SUMO's log of it, and the scripted actors that SUMO does not see."""
    log = folder / "ssm" / f"drive-{index:04d}.xml"
    for part in (log.parent, folder / "logs"):
        part.mkdir(parents=True, exist_ok=True)
    changes: dict[str, Any] = {
        "demand": equipped(simulate.demand, log),
        "_run": patiently(simulate._run),
        "_insert": unlimited(simulate._insert),
    }
    with patch.multiple(simulate, **changes):
        drive = clear_drive(seed=seed, index=index)
    write_drive(drive, folder / "logs", camera=None)
    return log, {actor.actor_id for actor in drive.plan.actors if not simulate._is_traffic(actor)}


def worst_by_sumo(log: Path) -> dict[tuple[str, str], Said]:
    """(value, seconds of the drive, encounter type) by foe and measure; what is comparable goes before what is not."""
    zero = simulate.SETTLE_S + LEAD_S + simulate.STEP_S
    found: dict[tuple[str, str], list[Said]] = {}
    for conflict in ElementTree.parse(log).iter("conflict"):
        for part in conflict:
            if part.tag in PAIRS and part.attrib["value"] != "NA":
                said = (float(part.attrib["value"]), float(part.attrib["time"]) - zero, part.attrib["type"])
                found.setdefault((conflict.attrib["foe"], part.tag), []).append(said)
    return {key: min(said, key=lambda one: (one[2] not in COMPARABLE, _rank(key[1], one[0]))) for key, said in found.items()}


def _rank(measure: str, value: float) -> float:
    return -value if PAIRS[measure][1] else value


def mined(folder: Path) -> Iterator[tuple[str, int, list[Row]]]:
    """(log's stem, start in ns, encounters) of every drive whose log lies in the folder."""
    store = open_store(folder / "root")
    batch = land(store, folder / "logs")
    ingest_batch(store, batch)
    for row in read_table(store, "DRIVES", batch_id=batch).to_pylist():
        drive = Drive(load_drive(store, batch, row))
        yield Path(row["source_name"]).stem, drive.t0_ns, drive.encounters.to_pylist()


def compared(stem: str, t0_ns: int, rows: list[Row], sumo: dict[tuple[str, str], Said], unseen: set[str]) -> Iterator[Compared]:
    """Every measure that either side has of a foe in one drive."""
    for foe in sorted({row["track_id"] for row in rows} | {foe for foe, _ in sumo}):
        met = [row for row in rows if row["track_id"] == foe]
        for measure, (column, *_) in PAIRS.items():
            own = [(row[column], (row[f"t_{column.rpartition('_')[0]}_ns"] - t0_ns) / 1e9) for row in met if row[column] is not None]
            ours = min(own, key=lambda one: _rank(measure, one[0])) if own else None
            theirs = sumo.get((foe, measure))
            if ours or theirs:
                spans = [((row["t0_ns"] - t0_ns) / 1e9, (row["t1_ns"] - t0_ns) / 1e9) for row in met]
                foreign = foe in unseen or foe.startswith("parked") or any(row["cls"] == "pedestrian" for row in met)
                why = verdict(measure, ours, theirs, spans=spans, foreign=foreign)
                yield Compared(stem, foe, measure, *_split(ours, theirs), why)


def _split(ours: tuple[float, float] | None, theirs: Said | None) -> tuple[float | None, float | None, float | None, float | None]:
    return ours and ours[0], theirs and theirs[0], ours and ours[1], theirs and theirs[1]


def verdict(measure: str, ours: tuple[float, float] | None, theirs: Said | None, *, spans: list[tuple[float, float]], foreign: bool) -> str:
    """Whether both agree, or the class of their difference (see the head of this file)."""
    _, largest, (absolute, relative), limit = PAIRS[measure]
    if theirs and theirs[2] not in COMPARABLE:
        return "forecast at a junction"
    if ours and theirs and abs(ours[0] - theirs[0]) <= absolute + relative * abs(theirs[0]):
        return "agree"
    if ours and theirs and np.isinf(ours[0]):
        return "no time left"
    if theirs and theirs[1] < 0:
        return "before the drive"
    if theirs and not any(since - 0.2 <= theirs[1] <= until + 0.2 for since, until in spans):
        return "beyond our reach"
    if ours and not theirs:
        beyond = ours[0] < limit if largest else ours[0] > limit
        return "not SUMO's" if foreign else "over SUMO's limits" if beyond else "ours only"
    return "differ" if ours else "SUMO only"


def summary(rows: list[Compared]) -> Table:
    """Agreement and classes of difference by measure."""
    classes = sorted({row.verdict for row in rows} - {"agree", "differ"})
    table = Table("measure", "both", "agree", "differ", "median |d|", "95 % |d|", "largest |d|", "median |dt| s", *classes)
    for measure in PAIRS:
        mine = [row for row in rows if row.measure == measure]
        both = [row for row in mine if row.verdict in ("agree", "differ")]
        count = Counter(row.verdict for row in mine)
        apart = [abs(row.ours - row.sumo) for row in both if row.ours is not None and row.sumo is not None]
        late = [abs(row.ours_at_s - row.sumo_at_s) for row in both if row.ours_at_s is not None and row.sumo_at_s is not None]
        figures = [f"{np.quantile(apart, q):.3f}" if apart else "" for q in (0.5, 0.95, 1.0)]
        when = f"{np.median(late):.2f}" if late else ""
        table.add_row(measure, str(len(both)), str(count["agree"]), str(count["differ"]), *figures, when, *(str(count[c]) for c in classes))
    return table


def differences(rows: list[Compared]) -> Table:
    """Whatever is not explained by what either side can see."""
    table = Table("drive", "foe", "measure", "ours", "at s", "SUMO", "at s", "verdict")
    for row in rows:
        if row.verdict in ("differ", "ours only", "SUMO only", "beyond our reach"):
            numbers = (row.ours, row.ours_at_s, row.sumo, row.sumo_at_s)
            table.add_row(row.drive, row.foe, row.measure, *("" if value is None else f"{value:.2f}" for value in numbers), row.verdict)
    return table


def main() -> None:
    """Simulates, mines and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drives", type=int, default=48)
    parser.add_argument("--seed", type=int, default=71)
    args, console = parser.parse_args(), Console(width=170)
    with tempfile.TemporaryDirectory(prefix="flywheel-ssm-") as scratch:
        folder = Path(scratch)
        logs = {log.stem: (log, unseen) for log, unseen in (simulated(seed=args.seed, index=i, folder=folder) for i in range(args.drives))}
        rows = [
            row for stem, t0_ns, met in mined(folder) for row in compared(stem, t0_ns, met, worst_by_sumo(logs[stem][0]), logs[stem][1])
        ]
    console.print(__doc__)
    console.print(f"{args.drives} drives of seed {args.seed}; SUMO {SETTINGS['device.ssm.thresholds']=}")
    console.print(summary(rows))
    console.print(differences(rows))


if __name__ == "__main__":
    main()
