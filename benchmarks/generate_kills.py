"""kill -9 while a plan is drawn: `python -m benchmarks.generate_kills --requests 500 --kills 8`.

One root is drawn undisturbed. Another with the same drives and the same plan is killed, again and again, each time a seeded random moment
after a seeded random number of requests was recorded, and then run to its end. Every draw is written down as it begins. Counted: requests
recorded more than once, requests drawn again after they had been recorded, draws lost in flight (a chunk whose part was not written yet),
and whether plan, rows and pictures are those of the undisturbed root. Exit status 1 unless all of it holds.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flywheel.generate.plan import Plan, pinned_plan, plan_batch
from flywheel.generate.protocol import GenerateInput, GeneratorInfo, Output
from flywheel.generate.run import CHUNK, run_plan
from flywheel.store import media_key, open_store
from flywheel.tables import list_parts, read_table
from flywheel.types import sha256_hex
from generators.perturb import PerturbGenerator

PAUSE_S = 0.3
DRIVES_EACH = 30  # requests that one hand-made drive gives, at most
NOT_COMPARED = ("run_seconds",)


class Kill(NamedTuple):
    """One kill: how many requests were recorded by then, and how many draws had begun."""

    recorded: int
    drawn: int


class Tally(NamedTuple):
    """What the kills did, over the whole plan."""

    requests: int
    kills: int
    in_the_middle: int
    recorded: int
    recorded_twice: int
    drawn_after_recorded: int
    lost_in_flight: int
    same_plan: bool
    same_rows: bool
    same_pictures: bool

    @property
    def holds(self) -> bool:
        """Whether nothing was done twice and nothing differs."""
        once = self.recorded == self.requests and not self.recorded_twice and not self.drawn_after_recorded
        return once and self.same_plan and self.same_rows and self.same_pictures


class Noted:
    """The classical baseline, with every draw's seed (one for each request) written to a file before it begins."""

    def __init__(self, file: Path) -> None:
        self._inner, self._file = PerturbGenerator(), file

    @property
    def info(self) -> GeneratorInfo:
        """Its own: who counts does not draw."""
        return self._inner.info

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        """What the baseline draws."""
        with self._file.open("a") as file:
            file.writelines(f"{item.seed}\n" for item in batch)
        return self._inner.generate(batch)


def make_root(root: Path, *, requests: int) -> str:
    """A root of small drives that were planned for so many requests; its batch."""
    from tests.generate.generate_drives import BATCH, STEP, T0, event, put_drive

    store = open_store(root)
    for k in range(-(-requests // DRIVES_EACH)):
        kinds = (("cut_in", "L1", 4), ("hard_braking", "L3", 8), ("low_ttc", "L2", 6))
        events = [event(10 * k + n, f"drive-{k:03}", name, level, T0 + at * STEP) for n, (name, level, at) in enumerate(kinds)]
        put_drive(store, f"drive-{k:03}", events, seed=k)
    plan = plan_batch(store, BATCH, generator=PerturbGenerator().info, budget=requests, per_event=4)
    assert len(plan.requests) == requests, f"{len(plan.requests)} of {requests} requests planned"
    return BATCH


def draw(root: Path, batch: str, log: Path) -> None:
    """Runs the batch's plan to its end, in this process."""
    store = open_store(root)
    plan = pinned_plan(store, batch)
    assert plan is not None
    run_plan(store, plan, Noted(log), workers=2)


def command(root: Path, batch: str, log: Path) -> list[str]:
    """A process that does `draw`."""
    return [sys.executable, "-m", "benchmarks.generate_kills", "--draw", str(root), batch, str(log)]


def recorded(root: Path) -> list[dict[str, Any]]:
    """The VARIATIONS rows of a root, by id."""
    rows = read_table(open_store(root), "VARIATIONS").to_pylist()
    return sorted(rows, key=lambda row: row["variation_id"])


def draws(log: Path) -> list[int]:
    """The seeds drawn so far, in order."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def kill_at(root: Path, batch: str, log: Path, *, after: int, pause_s: float) -> Kill | None:
    """Starts a run and kills it a little after so many requests are recorded; None if it had ended by then."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process, store = subprocess.Popen(command(root, batch, log), start_new_session=True, **quiet), open_store(root)
    while process.poll() is None and CHUNK * len(list_parts(store, "VARIATIONS")) < after:
        time.sleep(0.02)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=pause_s)
        return None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return Kill(len(recorded(root)), len(draws(log)))


def run(folder: Path, *, requests: int, kills: int, seed: int) -> Tally:
    """Kills a run and finishes it, beside an undisturbed one; every kill is printed as it happens."""
    calm, killed, log = folder / "calm", folder / "killed", folder / "draws.txt"
    batch = make_root(calm, requests=requests)
    make_root(killed, requests=requests)
    began = time.monotonic()
    subprocess.run(command(calm, batch, folder / "calm.txt"), check=True)  # a process like the killed ones: as many threads
    print(f"undisturbed: {requests} requests in {time.monotonic() - began:.1f} s", flush=True)
    moments, found, again = random.Random(seed), list[Kill](), 0
    for number, after in enumerate(sorted(moments.randrange(requests) for _ in range(kills)), 1):
        done = {row["seed"] for row in recorded(killed)}
        begun = len(draws(log))
        kill = kill_at(killed, batch, log, after=after, pause_s=moments.uniform(0.0, PAUSE_S))
        again += sum(one in done for one in draws(log)[begun:])
        found += [kill] if kill else []
        said = f"{kill.recorded:4} of {requests} recorded, {kill.drawn} draws begun" if kill else "the run had ended"
        print(f"kill {number:2}  after {after:4}  {said}", flush=True)
    done, begun = {row["seed"] for row in recorded(killed)}, len(draws(log))
    subprocess.run(command(killed, batch, log), check=True)
    again += sum(one in done for one in draws(log)[begun:])
    return tally(calm, killed, batch, log, kills=found, again=again)


def tally(calm: Path, killed: Path, batch: str, log: Path, *, kills: Sequence[Kill], again: int) -> Tally:
    """The counts, and the comparison with the undisturbed root."""
    rows, wanted = recorded(killed), recorded(calm)
    counts = Counter(row["variation_id"] for row in rows)
    plans = [_plan(root, batch) for root in (calm, killed)]
    return Tally(
        requests=len(plans[0].requests), kills=len(kills), in_the_middle=sum(kill.recorded < len(plans[0].requests) for kill in kills),
        recorded=len(counts), recorded_twice=sum(n > 1 for n in counts.values()),
        drawn_after_recorded=again, lost_in_flight=len(draws(log)) - len(set(draws(log))),
        same_plan=plans[0] == plans[1], same_rows=_compared(rows) == _compared(wanted),
        same_pictures=all(_is_itself(killed, row) for row in rows),
    )  # fmt: skip


def _plan(root: Path, batch: str) -> Plan:
    plan = pinned_plan(open_store(root), batch)
    assert plan is not None
    return plan


def _compared(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in NOT_COMPARED} for row in rows]


def _is_itself(root: Path, row: dict[str, Any]) -> bool:
    """Whether the picture is there and has the hash that its row says (which `same_rows` compares with the undisturbed root's)."""
    key = media_key(row["output_sha256"], row["output_ext"])
    store = open_store(root)
    return store.exists(key) and sha256_hex(store.get(key)) == row["output_sha256"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--draw", nargs=3, metavar=("ROOT", "BATCH", "LOG"), help="only draw a root's plan; what this benchmark kills")
    args = parser.parse_args()
    if args.draw:
        draw(Path(args.draw[0]), args.draw[1], Path(args.draw[2]))
        return
    with tempfile.TemporaryDirectory(prefix="generate-kills-") as folder:
        found = run(Path(folder), requests=args.requests, kills=args.kills, seed=args.seed)
    print(json.dumps(found._asdict(), indent=2))
    sys.exit(0 if found.holds else 1)


if __name__ == "__main__":
    main()
