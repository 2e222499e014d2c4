"""Spoils arrays and tables: NumPy files, plain pickles, Parquet, Feather and SQLite, each written anew with something wrong in it."""

import io
import pickle
import random
import sqlite3
from contextlib import closing, suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as arrow_feather
import pyarrow.parquet as pq

YEAR_NS = 31_557_600 * 10**9
Rng = random.Random


def _array(values: np.ndarray[Any, Any], rng: Rng, what: str) -> np.ndarray[Any, Any]:
    """The same array with wrong numbers, order, rows or type."""
    values = values.copy()
    if values.ndim == 0 or not values.size:
        return np.array([values, values])
    at = rng.randrange(len(values))
    if what == "nan" and values.dtype.kind in "fiu":
        odd = (
            (np.nan, np.inf, -np.inf, 1e38, -1e300)
            if values.dtype.kind == "f"
            else (np.iinfo(values.dtype).max, np.iinfo(values.dtype).min)
        )
        flat = values.reshape(-1)
        flat[rng.sample(range(flat.size), min(flat.size, rng.choice((1, 3, flat.size))))] = np.array(rng.choice(odd)).astype(values.dtype)
        return values
    if what == "clock":
        jump = [
            values[::-1],
            np.roll(values, at, axis=0),
            values[np.argsort([rng.random() for _ in values])],
            np.repeat(values[:1], len(values), axis=0),
        ]
        if values.dtype.kind in "fi":
            jump += [np.concatenate([values[:at], values[at:] + np.array(k).astype(values.dtype)]) for k in (3e8, -3e8, 100)]
        return rng.choice(jump)
    if what == "double":
        return np.concatenate([values[: at + 1], values[at:]])
    return rng.choice(
        [
            values[:at],
            values.astype("S8"),
            values.astype(str),
            values[None],
            values.reshape(-1),
            values.astype(np.complex64, casting="unsafe"),
        ]
    )


def npy(data: bytes, rng: Rng, what: str) -> bytes:
    values = np.load(io.BytesIO(data), allow_pickle=False)
    sink = io.BytesIO()
    try:
        np.save(sink, _array(values, rng, what), allow_pickle=False)
    except (ValueError, TypeError):  # words have no complex twin
        np.save(sink, values[: len(values) // 2])
    return sink.getvalue()


def plain_pickle(data: bytes, rng: Rng, what: str) -> bytes:
    """Plain dicts of arrays are opened (they are our own seeds); of other pickles some eight bytes change."""
    if b"pandas" in data:
        at = rng.randrange(len(data))
        return (
            data[:at] + rng.choice((b"\x00\x00\x00\x00\x00\x00\xf8\x7f", b"\x00\x00\x00\x00\x00\x00\xf0\xff", b"XXXXXXXX")) + data[at + 8 :]
        )
    value = pickle.loads(data)  # noqa: S301 a seed that this repository's own code wrote
    holders = [place for place in _holders(value) if place]
    place = rng.choice(holders)
    key = rng.choice(sorted(place, key=str))
    if isinstance(place[key], np.ndarray) and what != "schema":
        place[key] = _array(place[key], rng, what)
    elif what == "schema":
        place[rng.choice((key, f"{key}_"))] = rng.choice((place.pop(key), None, [], "x", {"x": 1}, np.zeros((2, 2)), -1))
    else:
        place[key] = rng.choice((float("nan"), float("inf"), 10**30, -1, None, [1, "x"], np.array([np.nan, 1.0])))
    return pickle.dumps(value, protocol=4)


def _holders(value: Any) -> list[dict[Any, Any]]:
    inner = list(value.values())[:20] if isinstance(value, dict) else []
    return ([value] if isinstance(value, dict) else []) + [place for item in inner for place in _holders(item)]


def _table(table: pa.Table, rng: Rng, what: str) -> pa.Table:
    name = rng.choice(table.column_names)
    timed = [n for n in table.column_names if "time" in n.lower() or n.lower() in ("t", "ts", "timestep")]
    if what == "clock":
        name = rng.choice(timed or table.column_names)
    at, column = table.column_names.index(name), table[name].combine_chunks()
    if what == "double":
        return pa.concat_tables([table, table.slice(0, rng.randrange(len(table) + 1))])
    if what == "schema":
        new = rng.choice((table.drop_columns([name]), table.rename_columns([f"{n}_" if n == name else n for n in table.column_names])))
        odd = (pa.array([str(v) for v in column.to_pylist()]), pa.nulls(len(table), pa.float32()), pa.array([[1]] * len(table)))
        return rng.choice((new, table.set_column(at, name, rng.choice(odd)), table.slice(0, 0), table.append_column(name, column)))
    try:
        values = _array(column.to_numpy(zero_copy_only=False), rng, what)
        return table.set_column(at, name, pa.array(values, column.type) if what == "clock" else pa.array(values))
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return table.take(pa.array(rng.sample(range(len(table)), len(table))))


def parquet(data: bytes, rng: Rng, what: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(_table(pq.read_table(io.BytesIO(data)), rng, what), sink, compression=rng.choice(("none", "snappy", "zstd")))
    return sink.getvalue()


def feather(data: bytes, rng: Rng, what: str) -> bytes:
    sink = io.BytesIO()
    arrow_feather.write_feather(
        _table(arrow_feather.read_table(io.BytesIO(data)), rng, what), sink, compression=rng.choice(("uncompressed", "zstd", "lz4"))
    )
    return sink.getvalue()


ENDLESS = (
    'CREATE VIEW "{table}" AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) '
    "SELECT x AS id, x AS topic_id, x AS timestamp, x AS data, x AS name, x AS type FROM c"
)


def sqlite(data: bytes, rng: Rng, what: str) -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as base:
        base.deserialize(data)
        table = rng.choice([name for (name,) in base.execute("SELECT name FROM sqlite_master WHERE type='table'")])
        columns = [row[1] for row in base.execute(f'PRAGMA table_info("{table}")')]
        for statement in _statements(table, columns, rng, what):
            with suppress(sqlite3.Error):  # a column may not be null, a table not be dropped: the next try draws something else
                base.execute(statement)
        return base.serialize()


def _statements(table: str, columns: list[str], rng: Rng, what: str) -> list[str]:
    column = rng.choice([c for c in columns if "time" in c] or columns) if what == "clock" else rng.choice(columns)
    if what == "nan":
        odd = (
            "NULL",
            "9e999",
            "-9223372036854775808",
            "'x'",
            "zeroblob(100)",
            "x'ff00'",
            "''",
            "9223372036854775807",
            "zeroblob(200000)",
        )
        return [f'UPDATE "{table}" SET "{column}" = {rng.choice(odd)} WHERE rowid % {rng.choice((1, 2, 7))} = 0']
    if what == "clock":
        new = (f"-{column}", f"{column} + {YEAR_NS} * (rowid % 2)", "5", f"{column} / 1000")
        return [f'UPDATE "{table}" SET "{column}" = {rng.choice(new)}']
    if what == "double":
        shifted = ", ".join(f"{c} + 100000" if k == 0 else c for k, c in enumerate(columns))
        return [f'INSERT OR REPLACE INTO "{table}" SELECT {shifted} FROM "{table}"']
    rename = f'ALTER TABLE "{table}" RENAME TO real_one'
    return rng.choice(
        (
            [rename],
            [f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO unknown'],
            [f'DROP TABLE "{table}"'],
            [rename, ENDLESS.format(table=table)],
        )
    )
