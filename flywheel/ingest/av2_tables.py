"""Columns of Argoverse 2's feather and parquet files, as arrays without gaps."""

import io
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.arrow_guard import unpacked_bytes
from flywheel.ingest.drive import Log
from flywheel.ingest.scenes import check_numbers

Array = NDArray[np.float64]
Kind = Literal["time", "number", "text"]
Columns = dict[str, NDArray[Any]]

MAX_BYTES, MAX_UNPACKED = 1 << 26, 1 << 28
MAX_ROWS, MAX_TEXT = 1_000_000, 200
DAMAGE = (pa.ArrowException, OSError, MemoryError, ValueError, KeyError, OverflowError)
QUATERNION, PLACE = ("qw", "qx", "qy", "qz"), ("tx_m", "ty_m", "tz_m")
TYPES: Mapping[Kind, pa.DataType] = {"time": pa.int64(), "number": pa.float64(), "text": pa.string()}


def feather_columns(log: Log, path: str, wanted: Mapping[str, Kind]) -> Columns:
    """The wanted columns of a feather file; BadData if it is damaged, lacks one, or a value is missing or not finite."""
    return _columns(path, log.read(path, limit=MAX_BYTES), wanted, read=_feather)


def parquet_columns(log: Log, path: str, wanted: Mapping[str, Kind]) -> Columns:
    """The wanted columns of a parquet file; BadData as above."""
    return _columns(path, log.read(path, limit=MAX_BYTES), wanted, read=lambda data: read_parquet(data, wanted))


def _feather(data: bytes) -> pa.Table:
    said = unpacked_bytes(data)
    if said > MAX_UNPACKED:
        raise BadData(f"unpacks to {said} bytes, more than the {MAX_UNPACKED} read here")
    return pa.ipc.open_file(io.BytesIO(data)).read_all()


def read_parquet(data: bytes, wanted: Mapping[str, Kind]) -> pa.Table:
    """The wanted columns there are, texts as references to their distinct values, however often these are repeated."""
    file = pq.ParquetFile(io.BytesIO(data), read_dictionary=[name for name, kind in wanted.items() if kind == "text"])
    # A row group's own sum; asking for a column's ends the process where its statistics are damaged (pyarrow 25).
    said = sum(file.metadata.row_group(k).total_byte_size for k in range(file.metadata.num_row_groups))
    if file.metadata.num_rows > MAX_ROWS or said > MAX_UNPACKED:
        raise BadData(f"declares {file.metadata.num_rows} rows of {said} bytes, more than are read here")
    return file.read(columns=[name for name in wanted if name in file.schema_arrow.names], use_threads=False)


def _columns(path: str, data: bytes, wanted: Mapping[str, Kind], *, read: Any) -> Columns:
    try:
        table = read(data)
        table.validate(full=True)
    except BadData as err:
        raise BadData(f"{path}: {err}") from err
    except DAMAGE as err:
        raise BadData(f"{path}: damaged: {str(err)[:300]}") from err
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise BadData(f"{path}: no columns {missing}")
    twice = [name for name in wanted if table.column_names.count(name) > 1]
    if twice:
        raise BadData(f"{path}: columns {twice} appear more than once")
    if len(table) > MAX_ROWS:
        raise BadData(f"{path}: {len(table)} rows, more than the {MAX_ROWS} read here")
    return {name: _column(path, name, table[name], kind) for name, kind in wanted.items()}


def _column(path: str, name: str, column: pa.ChunkedArray, kind: Kind) -> NDArray[Any]:
    if column.null_count:
        raise BadData(f"{path}: {column.null_count} values of {name} are missing")
    try:
        values = _texts(column) if kind == "text" else np.asarray(column.cast(TYPES[kind]).to_numpy())
    except (pa.ArrowException, ValueError) as err:
        raise BadData(f"{path}: {name} is {column.type}, expected {TYPES[kind]}: {str(err)[:200]}") from err
    if kind == "number":
        check_numbers(f"{path}: {name}", values)
    return values


def _texts(column: pa.ChunkedArray) -> NDArray[Any]:
    """The texts as objects, each distinct one once; BadData for one that is longer than any name."""
    whole = column.combine_chunks()
    packed = whole if pa.types.is_dictionary(column.type) else whole.cast(pa.string()).dictionary_encode()
    values = packed.dictionary.cast(pa.string())
    if len(values) and pc.max(pc.binary_length(values)).as_py() > MAX_TEXT:
        raise BadData(f"holds texts of more than {MAX_TEXT} bytes")
    return np.asarray(np.array([*values.to_pylist(), None], object)[:-1][packed.indices.to_numpy(zero_copy_only=False)])


def numbers(*names: str) -> dict[str, Kind]:
    """The names as columns of numbers."""
    return dict.fromkeys(names, "number")


def stacked(columns: Columns, names: tuple[str, ...]) -> Array:
    """(N, len(names)) of number columns."""
    return np.stack([columns[name] for name in names], axis=1)


def unit_quaternions(path: str, columns: Columns) -> Array:
    """(N, 4) unit quaternions w x y z; BadData if one is not of unit length."""
    turns = stacked(columns, QUATERNION)
    lengths = np.linalg.norm(turns, axis=1)
    if len(turns) and np.abs(lengths - 1).max() > 1e-3:
        raise BadData(f"{path}: row {int(np.argmax(np.abs(lengths - 1)))} holds no unit quaternion")
    return np.asarray(turns / lengths[:, None])
