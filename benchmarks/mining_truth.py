"""Recall and precision of mining against planted truth, on fleets of given seeds: python -m benchmarks.mining_truth --seeds 101 102 103

Each seed is a fleet of its own: made, landed, ingested, mined and scored through the library that `flywheel` calls.
Seeds 1-9 were used while the detectors were written; 101, 102 and 103 never were.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flywheel.fleet.make import make_fleet
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.mine.run import mine_batch
from flywheel.mine.score import MiningScore, score_mining
from flywheel.store import open_store


def scored(*, seed: int, drives: int, folder: Path) -> MiningScore:
    """The score of one fleet."""
    make_fleet(folder / "fleet", drives=drives, seed=seed, camera=False)
    store = open_store(folder / "root")
    batch = land(store, folder / "fleet")
    ingest_batch(store, batch)
    mine_batch(store, batch)
    return score_mining(store, folder / "fleet" / "truth.json")


def main() -> None:
    """Prints one table a seed and one over all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--drives", type=int, default=36)
    given = parser.parse_args()
    total: dict[str, Counter[str]] = {}
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            score = scored(seed=seed, drives=given.drives, folder=Path(folder))
        for row in score.scenarios:
            counts = {"planted": row.planted, "found": row.found, "matched": row.matched, "near miss hits": row.near_miss_hits}
            total.setdefault(row.scenario, Counter()).update(counts)
            total.setdefault(f"seed {seed}", Counter()).update(counts)
    table = Table(title=f"mining against planted truth: seeds {given.seeds}, {given.drives} drives each")
    for column in ("scenario", "planted", "found", "matched", "recall", "precision", "near miss hits"):
        table.add_column(column)
    for name, counts in total.items():
        recall = counts["matched"] / counts["planted"] if counts["planted"] else float("nan")
        precision = counts["matched"] / counts["found"] if counts["found"] else float("nan")
        cells = (counts["planted"], counts["found"], counts["matched"], f"{recall:.3f}", f"{precision:.3f}", counts["near miss hits"])
        table.add_row(name, *map(str, cells))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
