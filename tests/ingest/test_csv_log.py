"""CSV logs: built-in and declared mappings, units, selection, damage named by row, and the same result however the file is cut."""

import os
from pathlib import Path

import numpy as np
import pytest

from flywheel.errors import BadData
from flywheel.ingest import csv_blocks, mapping
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table
from tests.ingest import make_csv as made

REAL = Path(os.environ.get("FLYWHEEL_REAL_DATA", Path(__file__).parents[2] / "../shared/data"), "udacity_signals")


def ingest(folder: Path, logs: Path) -> tuple[DiskStore, IngestReport]:
    """A fresh store and what became of the logs."""
    store = DiskStore(folder / "root")
    return store, ingest_batch(store, land(store, logs))


def test_our_own_header_needs_no_mapping(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, made.make_csv(tmp_path / "logs"))
    assert report.quarantined == ()
    assert {w.gate for w in report.warnings} == {"origin"}
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["source_format"], drive["clock"], drive["derived"], drive["day"]) == ("csv", "utc", ["ax_mps2"], "2023-11-14")
    signals = read_table(store, "SIGNALS").to_pandas()
    assert len(signals) == made.COUNT
    assert signals.lat_deg.notna().sum() == made.COUNT // 10
    t_s = (signals.t_ns - made.T0_NS).to_numpy() / 1e9
    steady = (t_s < 3.4) | ((t_s > 4.6) & (t_s < 8.4))
    assert signals.ax_mps2[steady].to_numpy() == pytest.approx(np.where(t_s[steady] < 4, 0.0, -2.0), abs=1e-6)
    assert read_table(store, "SENSORS").to_pylist()[0]["samples"] == made.COUNT


def test_a_mapping_beside_the_log_says_units_rows_delimiter_and_epoch(tmp_path: Path) -> None:
    made.write(tmp_path / "logs/van.txt", made.KMH_HEADER, made.kmh_rows(), encoding="latin-1")
    (tmp_path / "logs/mapping.toml").write_text(made.KMH_MAPPING)
    store, report = ingest(tmp_path, tmp_path / "logs")
    assert report.quarantined == ()
    assert [w.message for w in report.warnings] == ["columns that the mapping does not name were left in landing: remark"]
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["root_group"], drive["licence"], drive["t0_ns"]) == ("van-7|2023-11-14|depot", "own", made.T0_NS)
    signals = read_table(store, "SIGNALS").to_pandas()
    assert len(signals) == made.COUNT // 2
    t_s = (signals.t_ns - made.T0_NS).to_numpy() / 1e9
    assert signals.speed_mps.to_numpy() == pytest.approx([made.speed_at(t) for t in t_s], abs=1e-3)
    assert signals.steering_rad.to_numpy() == pytest.approx(np.radians(np.full(len(t_s), 1.0 - 5.73)))


def test_the_logs_own_mapping_wins_over_the_folders_and_over_the_built_in_one(tmp_path: Path) -> None:
    made.make_csv(tmp_path / "logs", name="a.csv")
    made.make_csv(tmp_path / "logs", name="b.csv", count=100)
    text = 'kind="csv"\nvehicle_id="{}"\nplace="p"\ntime={{column="t_ns", unit="ns"}}\ncolumns.speed_mps={{source="speed_mps"}}'
    (tmp_path / "logs/mapping.toml").write_text(text.format("folder"))
    (tmp_path / "logs/a.mapping.toml").write_text(text.format("own"))
    store, report = ingest(tmp_path, tmp_path / "logs")
    assert report.quarantined == ()
    drives = {drive["source_name"]: drive["vehicle_id"] for drive in read_table(store, "DRIVES").to_pylist()}
    assert drives == {"a.csv": "own", "b.csv": "folder"}


def test_a_csv_without_a_mapping_is_quarantined_with_one_to_edit_that_then_works(tmp_path: Path) -> None:
    rows = [f"{1_700_000_000 + k / 10:.1f},{10 + k / 100:.2f},x" for k in range(100)]
    made.write(tmp_path / "logs/gps.csv", "time_s,speed_ms,note", rows)
    _, report = ingest(tmp_path, tmp_path / "logs")
    reason = report.quarantined[0].reason
    assert "time_s, speed_ms, note" in reason
    (tmp_path / "logs/mapping.toml").write_text(reason.split("land again:\n")[1])
    store, again = ingest(tmp_path / "again", tmp_path / "logs")
    assert again.quarantined == ()
    assert read_table(store, "SIGNALS").num_rows == 100
    assert read_table(store, "DRIVES").to_pylist()[0]["vehicle_id"] == "EDIT"


def test_the_same_rows_come_out_however_the_file_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made.make_csv(tmp_path / "logs")
    whole, _ = ingest(tmp_path / "whole", file)
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 400)
    cut, report = ingest(tmp_path / "cut", file)
    assert report.quarantined == ()
    a, b = (read_table(store, "SIGNALS").to_pandas() for store in (whole, cut))
    assert (a.t_ns == b.t_ns).all()
    assert b.ax_mps2.to_numpy() == pytest.approx(a.ax_mps2.to_numpy(), abs=1e-9)
    assert read_table(cut, "SENSORS").to_pylist()[0]["samples"] == made.COUNT


def test_a_clock_without_date_and_rows_of_one_time_are_said(tmp_path: Path) -> None:
    made.write(tmp_path / "logs/a.csv", "t,v", [f"{k // 2 / 10},{10}" for k in range(100)])
    text = 'kind="csv"\nvehicle_id="v"\nplace="p"\ntime={column="t", unit="s", epoch="relative"}\ncolumns.speed_mps={source="v"}'
    (tmp_path / "logs/mapping.toml").write_text(text)
    store, report = ingest(tmp_path, tmp_path / "logs")
    assert {w.gate: w.message[:9] for w in report.warnings} == {"clock": "the log h", "repeats": "50 rows r"}
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["clock"], drive["day"], drive["signal_rows"]) == ("relative", "2000-01-01", 50)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("1700000000500000001,1", "Row #12: Expected 4 columns, got 2"),
        ("1700000000500000001,1,2,3,4", "Row #12: Expected 4 columns, got 5"),
        ("1700000000500000001,nan,0,", "line 12: speed_mps is nan"),
        ("1700000000500000001,-inf,0,", "line 12: speed_mps is -inf"),
        ("1700000000500000001,fast,0,", "fast"),
        ("1700000000500000001,\udcff,0,", "damaged CSV"),
        ("1700000000500000001,\udcff", "Row #12: Expected 4 columns, got 2"),
        ("1600000001000000000,1,0,", "line 12: time goes back"),
        ("1700000001,1,0,", "no time of the years 2000 to 2099"),
        ("99999999999999999999999,1,0,", "no time of the years 2000 to 2099"),
        ("yesterday,1,0,", "yesterday"),
        (",1,0,", "line 12: no time"),
        ('"1700000000500000001,1,0,', "Expected 4 columns, got 1"),
        ("1700000000500000001,1000,0,", "speed_mps reaches 1000"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    file = made.make_csv(tmp_path / "logs")
    lines = file.read_text().split("\n")
    lines[11] = line
    file.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    _, report = ingest(tmp_path, file)
    assert report.drives == 0
    assert report.quarantined[0].kind == "BadData"
    assert words in report.quarantined[0].reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"t_ns,speed_mps\n", "no rows"),
        (b"t_ns,speed_mps\n1," + b"1" * (3 << 20), "CSV"),
        (b"t_ns,speed_mps,speed_mps\n1700000000000000000,1,1\n", "no mapping"),
        (b"a," * 3000 + b"b\n", "columns; at most"),
        (b"", "no known log format"),
    ],
)  # fmt: skip
def test_files_that_hold_no_drive(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.csv").write_bytes(data)
    _, report = ingest(tmp_path, tmp_path / "logs")
    assert report.quarantined[0].kind == "BadData"
    assert words in report.quarantined[0].reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind = [", "not TOML"),
        ("kind = 'xml'", "kind"),
        ("kind = 'csv'", "vehicle_id: Field required"),
        ("x = " + "[" * 5000, "not TOML"),
        (made.KMH_MAPPING.replace("speed_mps", "speed"), "no column of SIGNALS"),
        (made.KMH_MAPPING.replace('"km/h"', '"deg"'), "'deg' is not one of m/s, km/h"),
        (made.KMH_MAPPING.replace('"s", epoch', '"s", typo = 1, epoch'), "typo"),
        (made.KMH_MAPPING.replace("2023-11-14T22:13:20Z", "once"), "epoch"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_says_which_field(text: str, words: str) -> None:
    with pytest.raises(BadData, match=r"m\.toml") as caught:
        mapping.parse(text.encode(), where="m.toml")
    assert words in str(caught.value)


def test_a_mapping_for_other_columns_says_what_there_is(tmp_path: Path) -> None:
    made.write(tmp_path / "logs/van.csv", "a;b", ["1;2"])
    (tmp_path / "logs/mapping.toml").write_text(made.KMH_MAPPING)
    _, report = ingest(tmp_path, tmp_path / "logs")
    assert "it has a, b" in report.quarantined[0].reason


def test_every_built_in_mapping_is_for_its_own_header() -> None:
    for name, found in mapping.built_in().items():
        assert [n for n, other in mapping.built_in().items() if other.fits(found.header)] == [name]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recording at {REAL}: set FLYWHEEL_REAL_DATA")
def test_the_real_drives(tmp_path: Path) -> None:
    store, report = ingest(tmp_path, REAL)
    assert (report.quarantined, report.warnings) == ((), ())
    drives = {drive["source_name"]: drive for drive in read_table(store, "DRIVES").to_pylist()}
    assert [round(drives[f"train_round2_part{k}.txt"]["duration_s"]) for k in (3, 5)] == [99, 370]
    assert [drives[f"train_round2_part{k}.txt"]["signal_rows"] for k in (3, 5)] == [1974, 7402]
    rates = [row["rate_hz"] for row in read_table(store, "SENSORS").to_pylist()]
    assert rates == pytest.approx([20, 20], abs=0.1)
    signals = read_table(store, "SIGNALS").to_pandas()
    assert signals.ax_mps2.min() == pytest.approx(-3.4, abs=0.1), "the README's strongest braking"
