import subprocess
import sys

import pyarrow as pa
import pytest

from flywheel.errors import BadSchema
from flywheel.store import open_store
from flywheel.tables import SCHEMAS, SORT_KEYS, read_table, rows_table, table_key, to_parquet, write_table

LIGHT = {"drive_id": "d", "t_ns": 2, "light_id": "x", "state": "red"}


def test_every_schema_sorts_by_its_own_columns():
    assert set(SORT_KEYS) == set(SCHEMAS)
    for name, keys in SORT_KEYS.items():
        assert set(keys) <= set(SCHEMAS[name].names)


def test_rows_are_sorted_typed_and_come_back(tmp_path):
    store = open_store(tmp_path)
    table = rows_table("LIGHTS", [LIGHT, {**LIGHT, "t_ns": 1, "stop_line_m": 4.0}])
    write_table(store, "LIGHTS", table, batch_id="b", part="d")
    back = read_table(store, "LIGHTS", batch_id="b")
    assert back["t_ns"].to_pylist() == [1, 2]
    assert back["stop_line_m"].to_pylist() == [4.0, None]
    assert back.schema.equals(SCHEMAS["LIGHTS"])


def test_equal_tables_give_equal_bytes_whatever_the_row_order():
    rows = [LIGHT, {**LIGHT, "t_ns": 1}]
    assert to_parquet("LIGHTS", rows_table("LIGHTS", rows)) == to_parquet("LIGHTS", rows_table("LIGHTS", rows[::-1]))


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({**LIGHT, "colour": "red"}, "colour"),
        ({k: v for k, v in LIGHT.items() if k != "state"}, "state"),
        ({**LIGHT, "t_ns": "soon"}, "LIGHTS"),
    ],
)
def test_a_wrong_row_names_what_is_wrong(row, word):
    with pytest.raises(BadSchema, match=word):
        rows_table("LIGHTS", [row])


def test_a_foreign_parquet_file_is_refused(tmp_path):
    import pyarrow.parquet as pq

    key = table_key("LIGHTS", batch_id="b", part="d")
    (tmp_path / key).parent.mkdir(parents=True)
    pq.write_table(pa.table({"t_ns": [1]}), tmp_path / key)
    with pytest.raises(BadSchema, match="expected LIGHTS"):
        read_table(open_store(tmp_path), "LIGHTS")


def test_a_missing_table_is_empty_with_its_schema(tmp_path):
    assert read_table(open_store(tmp_path), "EVENTS").schema.names == SCHEMAS["EVENTS"].names


def test_reading_a_part_leaves_no_threads_behind(tmp_path):
    """Arrow's threads that outlive a read can abort the interpreter at its end: `terminate called without an active exception`."""
    key = write_table(open_store(tmp_path), "LIGHTS", rows_table("LIGHTS", [LIGHT]), batch_id="b", part="d")
    code = (
        "import os, sys\nfrom flywheel.store import open_store\nfrom flywheel.tables import read_part\n"
        "threads = lambda: len(os.listdir('/proc/self/task'))\nbefore = threads()\n"
        f"read_part(open_store(sys.argv[1]), {key!r}, columns=['t_ns'])\nsys.exit(threads() - before)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 0
