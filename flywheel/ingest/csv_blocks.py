"""A CSV's rows in blocks of arrays, in memory that does not grow with the file; what is wrong is named with its line.

Lines are counted as if there were no empty ones, which are skipped.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Log
from flywheel.ingest.mapping import TIME_NS, CsvMapping, Rows, epoch_ns
from flywheel.ingest.quality import T_MAX_NS, T_MIN_NS

Array = NDArray[np.float64]
Times = NDArray[np.int64]
BLOCK_BYTES = 1 << 19
MAX_VALUE = 1e12
# ns and us are read as text: they are whole numbers, but some writers fall into 1.479e+18 now and then.
TIME_TYPES = {"iso": pa.timestamp("ns"), "iso_tz": pa.timestamp("ns", tz="UTC"), "ns": pa.string(), "us": pa.string()}


class Block(NamedTuple):
    """Rows of a log: int64 ns and, by SIGNALS column, values (NaN where the cell was empty). repeats: rows left out for their time."""

    t_ns: Times
    columns: dict[str, Array]
    repeats: int = 0


def blocks(log: Log, path: str, mapping: CsvMapping, header: tuple[str, ...]) -> Iterator[Block]:
    """The rows that the mapping selects, times strictly rising over all blocks; BadData says which line is wrong, and how."""
    _check_columns(mapping, header)
    line, last = mapping.skip_lines + (1 if mapping.column_names else 2), None
    for batch in _batches(log, path, mapping, header):
        block, last = _block(batch, mapping, first_line=line, last=last)
        line += len(batch)
        if len(block.t_ns) or block.repeats:
            yield block


def _check_columns(mapping: CsvMapping, header: tuple[str, ...]) -> None:
    wanted = [mapping.time.column, *(c.source for c in mapping.columns.values()), *(r.column for r in mapping.rows)]
    missing = sorted({name for name in wanted if name not in header})
    twice = sorted({name for name in wanted if header.count(name) > 1})
    if missing or twice:
        count = "not" if missing else "twice"
        raise BadData(f"the mapping names columns {missing or twice} that the file has {count}: it has {', '.join(header)[:400]}")


def _batches(log: Log, path: str, mapping: CsvMapping, header: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    types = {column.source: pa.float64() for column in mapping.columns.values()} | {rule.column: pa.string() for rule in mapping.rows}
    types[mapping.time.column] = TIME_TYPES.get(mapping.time.unit, pa.float64())
    options: dict[str, Any] = {
        "read_options": pcsv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, encoding=mapping.encoding, column_names=list(header),
            skip_rows=mapping.skip_lines + (0 if mapping.column_names else 1),
        ),
        "parse_options": pcsv.ParseOptions(delimiter=mapping.delimiter),
        "convert_options": pcsv.ConvertOptions(column_types=types, include_columns=sorted(types), null_values=[""]),
    }  # fmt: skip
    with log.stream(path) as stream:
        try:
            with pcsv.open_csv(stream, **options) as reader:
                yield from reader
        except (pa.ArrowException, UnicodeError, KeyError) as err:
            raise BadData(f"damaged CSV: {str(err)[:300]}") from err


def _block(batch: pa.RecordBatch, mapping: CsvMapping, *, first_line: int, last: int | None) -> tuple[Block, int | None]:
    lines = np.arange(first_line, first_line + len(batch))
    kept = np.ones(len(batch), bool)
    for rule in mapping.rows:
        kept &= _selected(batch[rule.column], rule)
    times = _times(batch[mapping.time.column].filter(pa.array(kept)), mapping, lines=lines[kept])
    fresh = _fresh(times, lines=lines[kept], last=last)
    columns = {}
    for target, column in mapping.columns.items():
        a, b = column.factors(target)
        columns[target] = a * _numbers(column.source, batch[column.source].filter(pa.array(kept)), lines=lines[kept])[fresh] + b
    block = Block(times[fresh], columns, repeats=int((~fresh).sum()))
    return block, int(times[-1]) if len(times) else last


def _selected(column: pa.Array, rule: Rows) -> NDArray[np.bool_]:
    found = np.zeros(len(column), bool)
    if rule.equals:
        found |= pc.is_in(column, value_set=pa.array(rule.equals, pa.string())).to_numpy(zero_copy_only=False)
    if rule.starts_with is not None:
        found |= pc.fill_null(pc.starts_with(column, rule.starts_with), False).to_numpy(zero_copy_only=False)
    return found


def _times(column: pa.Array, mapping: CsvMapping, *, lines: Times) -> Times:
    unit, zero = TIME_NS[mapping.time.unit], epoch_ns(mapping.time.epoch)
    empty = column.is_null().to_numpy(zero_copy_only=False) | (column.to_numpy(zero_copy_only=False) == "")
    if empty.any():
        raise BadData(f"line {lines[int(np.argmax(empty))]}: no time in {mapping.time.column}")
    said = _time_numbers(column, first_line=int(lines[0]) if len(lines) else 0).to_numpy(zero_copy_only=False)
    inside = (said >= (T_MIN_NS - zero) / unit) & (said < (T_MAX_NS - zero) / unit)
    if not inside.all():
        at = int(np.argmin(inside))
        text = f"{mapping.time.column} is {column[at]}, in {mapping.time.unit} of {mapping.time.epoch}"
        raise BadData(f"line {lines[at]}: {text}: that is no time of the years 2000 to 2099")
    whole = said.dtype.kind == "i"
    return np.asarray(said * unit if whole else np.round(said * unit), np.int64) + zero


def _time_numbers(column: pa.Array, *, first_line: int) -> pa.Array:
    if not pa.types.is_string(column.type):
        return column if pa.types.is_floating(column.type) else column.cast(pa.int64())
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        try:
            return column.cast(pa.float64())
        except pa.ArrowInvalid as err:
            raise BadData(f"from line {first_line} on, a time is no number: {str(err)[:200]}") from err


def _fresh(times: Times, *, lines: Times, last: int | None) -> NDArray[np.bool_]:
    """Which rows advance the clock; BadData where it goes back."""
    before = np.r_[times[:1] - 1 if last is None else last, times[:-1]]
    back = np.flatnonzero(times < before)
    if len(back):
        raise BadData(f"line {lines[back[0]]}: time goes back from {before[back[0]]} to {times[back[0]]} ns")
    return np.asarray(times > before)


def _numbers(name: str, column: pa.Array, *, lines: Times) -> Array:
    values = column.to_numpy(zero_copy_only=False)
    bad = np.flatnonzero(~(np.abs(values) < MAX_VALUE) & column.is_valid().to_numpy(zero_copy_only=False))
    if len(bad):
        raise BadData(f"line {lines[bad[0]]}: {name} is {values[bad[0]]}; a value that is not known is an empty cell")
    return np.asarray(values, np.float64)
