"""Recall, precision and boundaries of mining against planted truth: python -m benchmarks.mining_truth --seeds 9001 --drives 500

Each seed is a fleet of its own: made, landed, ingested, mined and scored by the library that `flywheel` calls. Recall is wanted at
0.98 for level 2 and above and 0.95 for level 1, precision at 0.95, medians of boundary errors under 0.2 s, no near miss reported.
Events of which sensor noise decides (within 7 % of a threshold) are counted apart, as borderline.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from flywheel.fleet.make import make_fleet
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.mine.run import mine_batch
from flywheel.mine.score import MiningScore, ScenarioScore, score_mining
from flywheel.store import open_store

WANTED = {"recall L1": 0.95, "recall L2+": 0.98, "precision": 0.95}
COLUMNS = (
    "scenario", "planted", "L2+", "found", "matched", *WANTED, "levels right", "borderline", "of them found",
    "near misses", "reported", "t0 s", "t1 s", "short of",
)  # fmt: skip


def scored(*, seed: int, drives: int, folder: Path) -> MiningScore:
    """The score of one fleet, which is kept in the folder."""
    make_fleet(folder / f"fleet-{seed}", drives=drives, seed=seed, camera=False)
    store = open_store(folder / f"root-{seed}")
    batch = land(store, folder / f"fleet-{seed}")
    ingest_batch(store, batch)
    mine_batch(store, batch)
    return score_mining(store, folder / f"fleet-{seed}" / "truth.json")


def ratio(part: int, whole: int) -> float | None:
    """None without a denominator."""
    return part / whole if whole else None


def summed(rows: list[ScenarioScore], name: str) -> list[str]:
    """One line of the table: counts over all rows, ratios of the sums, medians of the medians."""
    planted, planted_l1, matched, matched_l1, found, right, faint, faint_found, near, hits = (
        sum(getattr(row, field) for row in rows)
        for field in (
            "planted", "planted_l1", "matched", "matched_l1", "found", "levels_right", "borderline", "borderline_found",
            "near_misses", "near_miss_hits",
        )
    )  # fmt: skip
    ratios = {
        "recall L1": ratio(matched_l1, planted_l1), "recall L2+": ratio(matched - matched_l1, planted - planted_l1),
        "precision": ratio(matched, found),
    }  # fmt: skip
    errors = [[e for row in rows if (e := getattr(row, field)) is not None] for field in ("onset_error_s", "end_error_s")]
    bounds = [median(values) if values else None for values in errors]
    short = [what for what, value in ratios.items() if value is not None and value < WANTED[what]]
    short += [what for what, value in zip(("t0", "t1"), bounds, strict=True) if value is not None and value >= 0.2]
    short += ["near miss"] * bool(hits) + ["nothing planted"] * (planted == 0)
    said = [planted, planted - planted_l1, found, matched, *ratios.values(), right, faint, faint_found, near, hits, *bounds]
    return [name, *("" if v is None else f"{v:.3f}" if isinstance(v, float) else str(v) for v in said), ", ".join(short)]


def main() -> None:
    """Prints one table over all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[9001])
    parser.add_argument("--drives", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="keeps fleets and roots here")
    given = parser.parse_args()
    rows: dict[str, list[ScenarioScore]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as made:
        for seed in given.seeds:
            for row in scored(seed=seed, drives=given.drives, folder=given.folder or Path(made)).scenarios:
                rows[row.scenario].append(row)
    table = Table(*COLUMNS, title=f"mining against planted truth: seeds {given.seeds}, {given.drives} drives each")
    for name, found in rows.items():
        table.add_row(*summed(found, name))
    table.add_row(*summed([row for found in rows.values() for row in found], "all"))
    Console(width=220).print(table)


if __name__ == "__main__":
    main()
