"""t-wise coverage of the operational design domain: which pairs and triples of attribute values were driven often enough.

The share of the possible tuples that at least so many drives had (NIST combinatorial coverage); what cannot be is data, in `odd.toml`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.mine.segments import Ints, Reals
from flywheel.odd import Attribute, attributes, parse, possible, written
from flywheel.types import Record

ENOUGH = {2: 20, 3: 5}
TARGET = {2: 1.0, 3: 0.9}


class Tuple(Record):
    """One tuple of attribute values: how many drives had it, and for how long."""

    values: dict[str, str]
    drives: int
    exposure_h: float

    @property
    def text(self) -> str:
        """The tuple as a stratum writes it."""
        return written(self.values)


class TWise(Record):
    """Coverage at one strength. `weighted`: the share of the hours driven that lay in tuples which are covered, over all attribute sets.

    `untold_h`: hours in which a set's values were not all known, as a mean over the sets; `against` lists tuples that were driven although
    the constraints forbid them: the data or the constraint is wrong.
    """

    strength: int
    enough: int
    target: float
    possible: int
    covered: int
    driven: int
    share: float
    weighted: float | None
    untold_h: float
    gaps: tuple[Tuple, ...]
    against: tuple[Tuple, ...]


@dataclass(frozen=True)
class Driven:
    """Each drive's hours in each stratum: a row of value codes (the last code of an attribute is unknown), drive number, hours."""

    code: Ints
    drive: Ints
    hours: Reals


def driven(exposure: pa.Table) -> Driven:
    """What was driven, by whatever scenario could be judged for longest there (EXPOSURE has a row a scenario)."""
    good = exposure.filter(pc.equal(exposure["status"], "evaluable"))
    by_scenario = good.group_by(["drive_id", "odd", "scenario"], use_threads=False).aggregate([("exposure_s", "sum")])
    rows = by_scenario.group_by(["drive_id", "odd"], use_threads=False).aggregate([("exposure_s_sum", "max")])
    rows = rows.filter(pc.greater(rows["exposure_s_sum_max"], 0))
    odds, drives = (np.asarray(rows[name].to_pylist(), str) for name in ("odd", "drive_id"))
    texts, place = np.unique(odds, return_inverse=True)
    table = np.array([[_code(a, parse(str(text))[a.name]) for a in attributes()] for text in texts], np.int64)
    hours = np.asarray(rows["exposure_s_sum_max"].to_numpy(), np.float64) / 3600
    return Driven(table.reshape(-1, len(attributes()))[place], np.unique(drives, return_inverse=True)[1], hours)


def _code(attribute: Attribute, value: str) -> int:
    return attribute.values.index(value) if value in attribute.values else len(attribute.values)


def twise(what: Driven, *, strength: int, enough: int | None = None) -> TWise:
    """Coverage of all sets of `strength` attributes; a gap is a possible tuple with fewer than `enough` drives, longest driven first."""
    least = ENOUGH[strength] if enough is None else enough
    tuples: list[Tuple] = []
    against: list[Tuple] = []
    shares, untold = [], []
    for chosen in combinations(range(len(attributes())), strength):
        cells, untold_h = _cells(what, chosen)
        tuples += [cell for cell in cells if possible(cell.values)]
        against += [cell for cell in cells if not possible(cell.values) and cell.drives]
        untold.append(untold_h)
        hours = sum(cell.exposure_h for cell in cells)
        if hours:
            shares.append(sum(cell.exposure_h for cell in cells if cell.drives >= least) / hours)
    covered = sum(cell.drives >= least for cell in tuples)
    gaps = sorted((cell for cell in tuples if cell.drives < least), key=lambda cell: (-cell.exposure_h, cell.text))
    return TWise(
        strength=strength, enough=least, target=TARGET.get(strength, 1.0), possible=len(tuples), covered=covered,
        driven=sum(cell.drives > 0 for cell in tuples), share=covered / len(tuples), untold_h=float(np.mean(untold)),
        weighted=float(np.mean(shares)) if shares else None, gaps=tuple(gaps), against=tuple(against),
    )  # fmt: skip


def _cells(what: Driven, chosen: Sequence[int]) -> tuple[list[Tuple], float]:
    """Every tuple of the chosen attributes with its drives and hours, and the hours in which one of them is unknown."""
    picked = [attributes()[k] for k in chosen]
    sizes = [len(a.values) for a in picked]
    code = what.code[:, list(chosen)]
    told = (code < np.array(sizes)).all(axis=1)
    key = np.ravel_multi_index(tuple(code[told].T), sizes) if told.any() else np.zeros(0, np.int64)
    total = int(np.prod(sizes))
    hours = np.bincount(key, weights=what.hours[told], minlength=total)
    once = np.unique(np.stack([key, what.drive[told]]), axis=1)[0]
    drives = np.bincount(once, minlength=total)
    values = product(*(a.values for a in picked))
    cells = [
        Tuple(values={a.name: v for a, v in zip(picked, row, strict=True)}, drives=int(n), exposure_h=round(float(h), 9))
        for row, n, h in zip(values, drives, hours, strict=True)
    ]
    return cells, float(what.hours[~told].sum())
