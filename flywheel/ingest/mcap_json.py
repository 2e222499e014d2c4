"""JSON messages of one topic to columns, many at a time; what the fast way cannot take is read one by one, to say what is wrong where."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData, BadSchema
from flywheel.ingest.quality import check_finite

Row = dict[str, Any]
# No quantity of a drive is larger in SI units, and no square of it overflows.
MAX_VALUE = 1e15
Times = NDArray[np.int64]


def check_sane(topic: str, name: str, *, times: Times, values: NDArray[np.float64]) -> None:
    """BadData naming topic, column and time of the first value that is not finite or beyond all measure."""
    if not len(values) or np.abs(values).max() <= MAX_VALUE:  # no NaN is below anything
        return
    check_finite(topic, name, times=times, values=values)
    bad = np.flatnonzero(np.abs(values) > MAX_VALUE)
    if len(bad):
        raise BadData(f"{topic}: {name} is {values[bad[0]]:g} at {times[bad[0]]} ns (and {len(bad) - 1} more): no such quantity exists")


def json_columns(topic: str, times: Times, payloads: Sequence[bytes], fields: Mapping[str, pa.DataType]) -> pa.Table:
    """One row for each of N payloads, a column for each field (null where a message has none); other fields are left aside.

    BadData names topic, field and time of what is no JSON object, of the wrong type, or not finite.
    """
    table = _at_once(payloads, fields)
    if table is None:
        return _one_by_one(topic, times, payloads, fields)
    for name, kind in fields.items():
        if pa.types.is_floating(kind):
            values = table[name].to_numpy()
            given = ~table[name].is_null().to_numpy() if table[name].null_count else slice(None)
            check_sane(topic, name, times=times[given], values=values[given])
    return table


def _at_once(payloads: Sequence[bytes], fields: Mapping[str, pa.DataType]) -> pa.Table | None:
    """None unless every payload is one flat object whose fields have these types."""
    from pyarrow import json as arrow_json

    blob = b"\n".join(payloads)
    flat = blob.count(b"{") == blob.count(b"}") == len(payloads) == blob.count(b"}\n{") + 1 and b"[" not in blob
    if not flat or blob[:1] != b"{" or blob[-1:] != b"}":
        return None
    options = arrow_json.ParseOptions(explicit_schema=pa.schema(list(fields.items())), unexpected_field_behavior="ignore")
    try:
        table = arrow_json.read_json(pa.BufferReader(blob), arrow_json.ReadOptions(use_threads=False, block_size=len(blob) + 1), options)
        table.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return table.combine_chunks() if len(table) == len(payloads) else None


def _one_by_one(topic: str, times: Times, payloads: Sequence[bytes], fields: Mapping[str, pa.DataType]) -> pa.Table:
    rows = [json_row(topic, int(t_ns), data) for t_ns, data in zip(times, payloads, strict=True)]
    return pa.table({name: _column(topic, name, kind, times=times, rows=rows) for name, kind in fields.items()})


def json_row(topic: str, t_ns: int, data: bytes) -> Row:
    """The JSON object of a message."""
    try:
        row = json.loads(data)
    except (ValueError, RecursionError) as err:
        raise BadData(f"{topic} at {t_ns} ns: not JSON: {err}") from err
    if not isinstance(row, dict):
        raise BadData(f"{topic} at {t_ns} ns: expected a JSON object, found {type(row).__name__}")
    return row


def _column(topic: str, name: str, kind: pa.DataType, *, times: Times, rows: list[Row]) -> pa.Array:
    if pa.types.is_floating(kind):
        return _numbers(topic, name, times=times, values=[row.get(name) for row in rows])
    try:
        return pa.array([row.get(name) for row in rows], kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as err:
        raise BadSchema(f"{topic}: {name} must be {kind}: {err}") from err


def _numbers(topic: str, name: str, *, times: Times, values: list[Any]) -> pa.Array:
    """Floats, null where a message has none (absent or JSON null); NaN or infinity in the log is BadData."""
    given = np.array([value is not None for value in values], bool)
    try:
        found = np.array([np.nan if value is None else float(value) for value in values], np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise BadData(f"{topic}: {name} holds something that is not a number: {err}") from err
    check_sane(topic, name, times=times[given], values=found[given])
    return pa.array(found, pa.float64(), from_pandas=True)
