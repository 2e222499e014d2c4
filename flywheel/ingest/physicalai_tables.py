"""Parquet tables of the PhysicalAI dataset, as arrays: bounded, and every damage a BadData that names the file."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flywheel.errors import BadData

Array = NDArray[np.float64]
MAX_ROWS, MAX_UNPACKED_BYTES = 5_000_000, 1 << 30
MAX_VALUE = 1e7


def parquet(where: str, data: bytes, *, columns: tuple[str, ...]) -> pa.Table:
    """Those of the columns that the file has; BadData if it is damaged or declares more than any clip holds."""
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        groups = [file.metadata.row_group(k) for k in range(file.metadata.num_row_groups)]
        size = sum(group.column(c).total_uncompressed_size for group in groups for c in range(group.num_columns))
        if file.metadata.num_rows > MAX_ROWS or size > MAX_UNPACKED_BYTES:
            raise BadData(f"{where}: declares {file.metadata.num_rows} rows of {size} bytes")
        table = file.read(columns=[name for name in columns if name in file.schema_arrow.names], use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError, MemoryError, ValueError, KeyError) as err:
        raise BadData(f"{where}: damaged: {str(err)[:300]}") from err
    return table


def numbers(where: str, table: pa.Table, names: tuple[str, ...]) -> dict[str, Array]:
    """Columns as finite float64; BadData for one that is missing, empty in places, or no number."""
    return {name: _finite(where, name, _cast(where, table, name, pa.float64())) for name in names}


def times_us(where: str, table: pa.Table, name: str) -> NDArray[np.int64]:
    """A column of whole microseconds."""
    return np.asarray(_cast(where, table, name, pa.int64()), np.int64)


def texts(where: str, table: pa.Table, name: str) -> list[str]:
    """A column as text."""
    return [str(value) for value in _cast(where, table, name, pa.string())]


def _cast(where: str, table: pa.Table, name: str, kind: pa.DataType) -> NDArray[Any]:
    if table.column_names.count(name) != 1:
        raise BadData(f"{where}: {table.column_names.count(name) or 'no'} column {name}, expected one")
    column = table[name]
    if column.null_count:
        raise BadData(f"{where}: {column.null_count} values of {name} are missing")
    try:
        return np.asarray(column.cast(kind).to_numpy())
    except (pa.ArrowException, ValueError) as err:
        raise BadData(f"{where}: {name} is {column.type}, expected {kind}: {str(err)[:200]}") from err


def _finite(where: str, name: str, values: NDArray[Any]) -> Array:
    bad = np.flatnonzero(~(np.abs(values) < MAX_VALUE))
    if len(bad):
        raise BadData(f"{where}: {name} is {values[bad[0]]} in row {bad[0]} (and {len(bad) - 1} more): no metres, nor metres a second")
    return np.asarray(values, np.float64)


def rows_of(table: pa.Table, clip: str) -> list[dict[str, Any]]:
    """The rows of a clip in a table of many, whose index (`clip_id`) pandas stored as a column."""
    key = next((name for name in ("clip_id", "__index_level_0__") if name in table.column_names), None)
    if key is None:
        return []
    mine = np.array([str(value) == clip for value in table[key].to_pylist()], bool)
    return list(table.filter(pa.array(mine)).to_pylist())
