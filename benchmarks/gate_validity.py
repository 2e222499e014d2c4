"""Do the gates keep bad pictures out and let good ones in: python -m benchmarks.gate_validity --scenes DIR --seeds 68-74

Plants at least 180 of each kind of bad picture and 1,000 true renders of the target condition, on drives that no threshold and no
network has seen, and prints what became of them: by kind, and which gates said no. Exits 1 where a kind misses its target.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gate_calibrate import ALL
from benchmarks.gate_plants import BAD, GOOD
from benchmarks.gate_rows import Row, keep, rows_of
from flywheel.gate_limits import judged, read_limits
from generators.dump_scenes import numbers

WANTED_BAD, WANTED_GOOD = 0.98, 0.92


def failed(row: Row, floors: Mapping[str, float]) -> list[str]:
    """The gates that say no to a picture."""
    return [found.gate for found in judged(row, floors=floors) if not found.passed]


def show(rows: Sequence[Row], floors: Mapping[str, float]) -> bool:
    """Prints the confusion table; gives back whether every kind reaches its target."""
    kinds: dict[str, list[list[str]]] = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(failed(row, floors))
    print(f"{'kind':16} {'n':>5} {'accepted':>9} {'rejected':>9}   rejected by (alone)" + "".join(f" {gate:>14}" for gate in floors))
    fine = True
    for kind in (GOOD, *BAD):
        found = kinds[kind]
        turned = sum(bool(gates) for gates in found)
        share = turned / max(len(found), 1)
        reached = len(found) > 0 and (share >= WANTED_BAD if kind in BAD else 1 - share >= WANTED_GOOD)
        fine &= reached
        by = ((sum(gate in gates for gates in found), sum(gates == [gate] for gates in found)) for gate in floors)
        line = "".join(f" {f'{100 * n / max(len(found), 1):5.1f}% ({alone})':>14}" for n, alone in by)
        print(f"{kind:16} {len(found):5} {1 - share:9.1%} {share:9.1%} {'' if reached else 'MISSED':21}{line}")
    print(
        f"wanted: at least {WANTED_BAD:.0%} of each bad kind rejected, at least {WANTED_GOOD:.0%} of the good accepted; "
        f"floors: {dict(floors)}"
    )
    return fine


def misses(rows: Sequence[Row], floors: Mapping[str, float], *, most: int = 6) -> None:
    """Prints how the bad pictures that were let in were made."""
    for kind in BAD:
        let_in = [row["detail"] for row in rows if row["kind"] == kind and not failed(row, floors)]
        if let_in:
            print(f"let in, {kind}: {len(let_in)}, for example {'; '.join(let_in[:most])}")


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--seeds", type=numbers, default=numbers("68-74"))
    parser.add_argument("--each", type=int, default=10, help="instants of each drive")
    parser.add_argument("--goods", type=int, default=5, help="true renders of each instant")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--rows", type=Path, help="keep every score here (JSON lines), or take them from here if they are there")
    given = parser.parse_args()
    if given.rows and given.rows.is_file():
        rows = [json.loads(line) for line in given.rows.read_text().splitlines()]
    else:
        rows = list(rows_of(given.scenes, given.seeds, each=given.each, goods=given.goods, bads=True, workers=given.workers))
        keep(rows, given.rows)
    held = read_limits().gates
    floors = {gate: held[gate].floor for gate in ALL}
    fine = show(rows, floors)
    misses(rows, floors)
    raise SystemExit(0 if fine else 1)


if __name__ == "__main__":
    main()
