"""What could have been seen of each scenario in one drive: seconds, metres and encounters by condition and ODD stratum."""

from collections import Counter
from typing import Any

import numpy as np

from flywheel.mine.catalogue import Scenario
from flywheel.mine.detectors import seen as seen_of
from flywheel.mine.odd import encounters, strata
from flywheel.mine.prepare import GRID_NS, Drive
from flywheel.mine.segments import NS
from flywheel.mine.signals import CONDITION_NAMES
from flywheel.odd import bins_sha256

Row = dict[str, Any]
STEP_S = GRID_NS / NS


class Exposures:
    """The (condition, stratum) cells of one drive, worked out once for all scenarios."""

    def __init__(self, drive: Drive, source: str) -> None:
        """`source` says where the condition comes from: environment, luma or assumed."""
        self.drive, self.source, self.strata = drive, source, strata(drive)
        count = len(self.strata.names)
        keys, self._cell = np.unique(drive.grid_conditions * count + self.strata.code, return_inverse=True)
        self._cells = [(CONDITION_NAMES[key // count], self.strata.names[key % count]) for key in keys]
        self._met = encounters(drive)

    def rows(self, entry: Scenario, found: list[Row] | str) -> list[Row]:
        """EXPOSURE rows of one scenario, a row a cell; `found` holds its EVENTS rows, or why it cannot be evaluated."""
        blind = isinstance(found, str)
        seen = np.zeros(len(self._cell), bool) if isinstance(found, str) else seen_of(self.drive, entry)
        counts = Counter((row["condition"], row["odd"]) for row in ([] if isinstance(found, str) else found))
        base = {"drive_id": self.drive.drive_id, "scenario": entry.name, "root_group": self.drive.tables.row["root_group"],
                "params_sha256": entry.digest, "odd_sha256": bins_sha256(), "condition_source": self.source,
                "reason": found if blind else None,
                "status": "not_evaluable" if blind else "evaluable"}  # fmt: skip
        amounts = self._amounts(seen) | {cell: self._amount(0, 0.0, 0) for cell in counts if cell not in self._cells}
        return [
            {**base, "condition": cell[0], "odd": cell[1], "events": counts[cell], **amount} for cell, amount in sorted(amounts.items())
        ]

    def _amounts(self, seen: np.ndarray) -> dict[tuple[str, str], Row]:
        cells = len(self._cells)
        steps = np.bincount(self._cell[seen], minlength=cells)
        metres = np.bincount(self._cell[seen], weights=self.drive.grid_speed[seen], minlength=cells) * STEP_S
        met = np.zeros(cells, np.int64) if self._met is None else np.bincount(self._cell[self._met[seen[self._met]]], minlength=cells)
        return {cell: self._amount(int(n), float(m), int(k)) for cell, n, m, k in zip(self._cells, steps, metres, met, strict=True)}

    def _amount(self, steps: int, metres: float, met: int) -> Row:
        return {
            "exposure_s": round(steps * STEP_S, 3),
            "exposure_m": round(metres, 3),
            "encounters": None if self._met is None else met,
        }
