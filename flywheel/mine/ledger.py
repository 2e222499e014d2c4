"""The ledger's real side as a table: what planning reads of coverage. Synthetic counts stay out of it."""

from flywheel.mine.coverage import ENOUGH, CoverageCell, coverage
from flywheel.mine.evidence import CONDITION, read_exposure
from flywheel.store import Store
from flywheel.tables import rewrite_table, rows_table

SAME = ("scenario", "condition", "severity", "possible", "encounters", "real_events", "vehicles", "days")
RATES = ("rate_per_h", "upper_per_h", "rarity", "dispersion")


def put_ledger(store: Store, *, enough: int = ENOUGH) -> int:
    """Writes COVERAGE over all batches, unless it is there already; gives back its rows: each scenario by condition, and over all."""
    exposure = read_exposure(store)
    cells = [cell for by in ((CONDITION,), ()) for cell in coverage(store, by=by, enough=enough, exposure=exposure)]
    rewrite_table(store, "COVERAGE", rows_table("COVERAGE", [_row(cell, enough) for cell in cells]), part="ledger")
    return len(cells)


def _row(cell: CoverageCell, enough: int) -> dict[str, object]:
    return {name: getattr(cell, name) for name in (*SAME, *RATES)} | {
        "exposure_s": cell.exposure_h * 3600, "exposure_m": cell.exposure_km * 1000, "enough": enough,
    }  # fmt: skip
