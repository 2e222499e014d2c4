"""Hostile logs by the thousand: no crash, no hang, no memory past a limit, no file outside the root; each is a drive or has a reason.

`python -m benchmarks.ingest_hostile --inputs 10000 --seed S` prints what became of them, per format and per mutation, and what is wrong.
Exit code 1 if anything but a drive or a reason came of any.
"""

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from flywheel import show
from tests.adversarial.mutate import spoiled
from tests.adversarial.run import FATES, GOOD, LIMIT_BYTES, LIMIT_S, Case, Result, cases, run, tally
from tests.adversarial.seeds import seeds


def main() -> None:
    """Runs, prints, and exits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--logs", nargs="*", help="only these seeds")
    parser.add_argument("--mutations", nargs="*", help="only these mutations")
    parser.add_argument("--write", nargs=2, metavar=("LOG/MUTATION/NUMBER", "DIR"), help="write one hostile log to a folder and stop")
    parser.add_argument("--show", type=int, default=30, help="how many findings to print")
    said = parser.parse_args()
    if said.write:
        write_case(said.write[0], Path(said.write[1]), seed=said.seed)
        return
    wanted = cases(said.inputs, seed=said.seed, logs=said.logs, mutations=said.mutations)
    began = time.monotonic()
    found = []
    for result in tqdm(run(wanted, workers=said.workers), total=len(wanted), desc="hostile logs", unit="log", disable=None):
        found.append(result)
        if result.fate not in GOOD:
            print(f"{result.fate}: {name_of(result.case)}: {result.why[:160]!r}", file=sys.stderr, flush=True)
    report(found, seconds=time.monotonic() - began, shown=said.show)
    sys.exit(any(result.fate not in GOOD for result in found))


def write_case(name: str, folder: Path, *, seed: int) -> None:
    """Writes one hostile log, to look at what it does."""
    log, mutation, number = name.split("/")
    for path, data in spoiled(seeds()[log], mutation, seed=seed, number=int(number)).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def report(found: list[Result], *, seconds: float, shown: int) -> None:
    """Prints the tallies, then each finding once with the case that shows it."""
    show.emit_rows(tally(found, by="mutation"), title="by mutation", as_json=False)
    show.emit_rows(tally(found, by="log"), title="by log", as_json=False)
    total = {fate: sum(result.fate == fate for result in found) for fate in FATES}
    limits = f"limits {LIMIT_S:g} s and {LIMIT_BYTES >> 20} MiB a log"
    lines = {"inputs": len(found), "seconds": round(seconds, 1), "a second": round(len(found) / seconds, 1), **total, "limits": limits}
    show.emit_rows([{"what": what, "value": value} for what, value in lines.items()], title="in all", as_json=False)
    first: dict[tuple[str, str, str], Result] = {}
    for result in found:
        if result.fate not in GOOD:
            first.setdefault((result.case.log, result.fate, result.why[:60]), result)
    rows = [{"fate": r.fate, "case": name_of(r.case), "why": r.why[:400]} for r in first.values()]
    show.emit_rows(rows[:shown], title=f"findings ({len(rows)} kinds)", as_json=False)


def name_of(case: Case) -> str:
    """What `--write` takes."""
    return f"{case.log}/{case.mutation}/{case.number}"


if __name__ == "__main__":
    main()
