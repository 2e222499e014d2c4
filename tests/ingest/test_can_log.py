"""Raw CAN logs: candump, ASC and BLF decoded to one and the same drive; clocks, windows, and damage named."""

import struct
import zlib
from pathlib import Path

import can
import numpy as np
import pytest

from flywheel.ingest import can_frames, can_signals
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table
from tests.ingest import make_can as made
from tests.ingest import make_comma2k19
from tests.ingest.make_csv import speed_at

COUNT = made.SECONDS * made.RATE_HZ


def ingest(folder: Path, logs: Path) -> tuple[DiskStore, IngestReport]:
    """A fresh store and what became of the logs."""
    store = DiskStore(folder / "root")
    return store, ingest_batch(store, land(store, logs))


@pytest.mark.parametrize("kind", ["candump", "asc", "blf"])
def test_every_kind_gives_the_same_signals(tmp_path: Path, kind: str) -> None:
    folder = made.make_can(tmp_path / "logs", kind=kind)
    if kind != "candump":
        (folder / "mapping.toml").write_text(made.MAPPING.replace('place = "depot"', 'place = "depot"\nutc_offset_h = 0'))
    store, report = ingest(tmp_path, folder)
    assert report.quarantined == ()
    assert report.warnings == ()
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["source_format"], drive["vehicle_id"], drive["clock"], drive["derived"]) == ("can", "van-7", "utc", ["ax_mps2"])
    signals = read_table(store, "SIGNALS").to_pandas()
    seen = signals.dropna(subset=["speed_mps"])
    assert len(seen) == COUNT
    t_s = ((seen.t_ns - seen.t_ns.iloc[0]) / 1e9).to_numpy()
    assert seen.speed_mps.to_numpy() == pytest.approx([speed_at(t) for t in t_s], abs=0.02)
    steady = (t_s > 5) & (t_s < 8)
    assert seen.ax_mps2[steady].to_numpy() == pytest.approx(np.full(steady.sum(), -2.0), abs=0.05)
    assert signals.steering_rad.dropna().to_numpy() == pytest.approx(np.radians(np.full(COUNT // 2, -3.0)))
    samples = {row["sensor"].rsplit("/", 1)[1]: row["samples"] for row in read_table(store, "SENSORS").to_pylist()}
    assert samples == {"100": COUNT, "18fef100": COUNT // 2, "7ff": COUNT // 2}


def test_a_candump_says_utc_and_an_asc_or_blf_only_a_date(tmp_path: Path) -> None:
    store, _ = ingest(tmp_path / "a", made.make_can(tmp_path / "a/logs"))
    assert read_table(store, "SIGNALS")["t_ns"][0].as_py() == int(made.T0_S) * 10**9
    store, report = ingest(tmp_path / "b", made.make_can(tmp_path / "b/logs", kind="blf"))
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["clock"], drive["clock_error_ns"], drive["t0_ns"]) == ("local", 14 * 3600 * 10**9, int(made.T0_S) * 10**9)
    assert "utc_offset_h" in next(w.message for w in report.warnings if w.gate == "clock")


def test_a_log_that_counts_from_its_start_is_relative_unless_the_mapping_knows_better(tmp_path: Path) -> None:
    folder = made.make_can(tmp_path / "logs", start_s=5.0)
    store, report = ingest(tmp_path / "a", folder)
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["clock"], drive["day"], {w.gate for w in report.warnings}) == ("relative", "2000-01-01", {"clock"})
    (folder / "mapping.toml").write_text(made.MAPPING.replace('place = "depot"', 'place = "d"\nepoch = "2024-05-06T07:08:00+02:00"'))
    store, report = ingest(tmp_path / "b", folder)
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["clock"], drive["t0_ns"], report.warnings) == ("utc", 1_714_972_085 * 10**9, ())


def test_windows_change_no_row_and_hold_no_more_than_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made.make_can(tmp_path / "logs", seconds=30)
    whole, _ = ingest(tmp_path / "whole", folder)
    monkeypatch.setattr(can_signals, "WINDOW_NS", 2 * 10**9)
    most: list[int] = []
    monkeypatch.setattr(can_signals, "signals_table", lambda s, make=can_signals.signals_table: (most.append(len(s[0].times)), make(s))[1])
    cut, report = ingest(tmp_path / "cut", folder)
    assert report.quarantined == ()
    assert len(most) > 10
    assert max(most) < 4 * made.RATE_HZ + 5
    a, b = (read_table(store, "SIGNALS").to_pandas() for store in (whole, cut))
    assert len(a) == len(b)
    np.testing.assert_allclose(b.fillna(-99).drop(columns="drive_id"), a.fillna(-99).drop(columns="drive_id"), atol=1e-9)


def test_without_database_or_mapping_the_reason_says_what_to_do(tmp_path: Path) -> None:
    folder = made.make_can(tmp_path / "logs", sidecars=False)
    _, report = ingest(tmp_path / "a", folder)
    assert "put a .dbc file" in report.quarantined[0].reason
    (folder / "car.dbc").write_text(made.DBC)
    _, report = ingest(tmp_path / "b", folder)
    reason = report.quarantined[0].reason
    assert 'message = "MOTION", signal = "SPEED"' in reason
    (folder / "mapping.toml").write_text(reason.split("land again:\n")[1])
    _, report = ingest(tmp_path / "c", folder)
    assert report.quarantined == ()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (("mapping.toml", "SPEED", "VELOCITY"), "no signal 'VELOCITY'"),
        (("mapping.toml", '"can"', '"csv"'), "mapping.toml"),
        (("car.dbc", "BO_ 256", "BO_ what"), "not a CAN database"),
        (("drive.log", "#", "@"), "no known log format"),
        (("drive.log", "(1700000005.000000)", "(1700000001.000000)"), "time goes back"),
        (("drive.log", "(1700000005.000000)", "(what)"), "damaged candump"),
        (("drive.log", "(1700000005.000000)", "(nan)"), "no time"),
        (("drive.log", "(1700000005.000000)", "(9e99)"), "no time"),
        (("drive.log", "(1700000005.000000) can0 100#", "(1700000005.000000) can0 100#" + "A" * 20_000), "longer than"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, spoil: tuple[str, str, str], words: str) -> None:
    folder = made.make_can(tmp_path / "logs")
    text = (folder / spoil[0]).read_text()
    assert spoil[1] in text
    (folder / spoil[0]).write_text(text.replace(spoil[1], spoil[2]))
    _, report = ingest(tmp_path, folder)
    assert report.drives == 0
    assert {q.kind for q in report.quarantined} == {"BadData"}
    assert words in report.quarantined[0].reason


def test_frames_that_do_not_fit_their_message_are_counted(tmp_path: Path) -> None:
    folder = made.make_can(tmp_path / "logs")
    short = "(1700000002.000000) can0 100#01 R\n(1700000002.000001) can0 100#"
    text = (folder / "drive.log").read_text().replace("(1700000002.000000) can0 100#", short)
    (folder / "drive.log").write_text(text)
    store, report = ingest(tmp_path, folder)
    assert "MOTION (1)" in next(w.message for w in report.warnings if w.gate == "decode")
    assert read_table(store, "SIGNALS").to_pandas().speed_mps.notna().sum() == COUNT


def test_a_float_signal_that_is_no_number_is_counted_not_stored(tmp_path: Path) -> None:
    folder = made.make_can(tmp_path / "logs")
    (folder / "car.dbc").write_text(
        made.DBC.replace("SG_ ANGLE : 7|16@0- (0.1,0)", "SG_ ANGLE : 0|32@1- (1,0)") + "SIG_VALTYPE_ 2566844672 ANGLE : 1;\n"
    )
    lines = (folder / "drive.log").read_text().replace("18FEF100#FFE20000", "18FEF100#0000803F").splitlines()
    at = next(k for k, line in enumerate(lines) if "18FEF100" in line)
    lines[at] = lines[at].replace("0000803F", "0000807F")
    (folder / "drive.log").write_text("\n".join(lines) + "\n")
    store, report = ingest(tmp_path, folder)
    assert "STEERING (1)" in next(w.message for w in report.warnings if w.gate == "decode")
    assert read_table(store, "SIGNALS").to_pandas().steering_rad.dropna().to_numpy() == pytest.approx(np.radians(np.ones(COUNT // 2 - 1)))


def test_asc_dates_and_bases_are_read_and_deltas_refused() -> None:
    head = b"date Mon Sep 30 03:06:13.191 pm 2024\nbase hex  timestamps absolute\n"
    assert can_frames.zero_s("asc", head) == 1_727_708_773.191
    assert can_frames.zero_s("asc", "date Di Mär 5 15:06:13 2024\n".encode()) == 1_709_651_173
    assert can_frames.zero_s("asc", b"base hex timestamps absolute\n") is None
    with pytest.raises(can_frames.BadData, match="absolute"):
        can_frames.zero_s("asc", head.replace(b"absolute", b"relative"))


def blf(*containers: bytes, method: int = 2) -> bytes:
    """A BLF of containers with these contents."""
    head = struct.pack("<4sL", b"LOGG", 144) + bytes(136)
    bodies = [struct.pack("<H6xL4x", method, len(c)) + (zlib.compress(c) if method == 2 else c) for c in containers]
    return head + b"".join(struct.pack("<4sHHLL", b"LOBJ", 16, 1, 16 + len(b), 10) + b + bytes((16 + len(b)) % 4) for b in bodies)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (blf(struct.pack("<4sHHLL", b"LOBJ", 16, 1, 0, 115) + bytes(64)), "declares 0 bytes"),
        (blf(bytes(1 << 25)), "unpacks to more"),
        (blf(b"", method=7), "compression 7"),
        (blf(b"x" * 64)[:-20], "cut off"),
        (blf()[:100], "cut off"),
        (blf() + b"LOBJ" + bytes(12), "where an object should begin"),
        (blf() + struct.pack("<4sHHLL", b"LOBJ", 16, 1, 1 << 31, 10), "where an object should begin"),
        (blf(), "no data frames"),
    ],
)  # fmt: skip
def test_hostile_blfs_end_with_a_reason(tmp_path: Path, data: bytes, words: str) -> None:
    folder = made.make_can(tmp_path / "logs", kind="blf")
    (folder / "drive.blf").write_bytes(data)
    _, report = ingest(tmp_path, folder)
    assert report.quarantined[0].kind == "BadData"
    assert words in report.quarantined[0].reason


def test_objects_that_go_on_in_the_next_container_are_read_whole(tmp_path: Path) -> None:
    folder = made.make_can(tmp_path / "logs", kind="blf")
    with (folder / "drive.blf").open("rb") as stream:
        pieces = list(can_frames.safe_blf(stream))
    inside = b"".join(piece[32:] for piece in pieces[1:])
    (folder / "drive.blf").write_bytes(blf(*(inside[k : k + 1000] for k in range(0, len(inside), 1000))))
    _, report = ingest(tmp_path, folder)
    assert report.quarantined == ()
    assert len(list(can.BLFReader(str(folder / "drive.blf")))) == 2 * COUNT


def test_a_comma2k19_segment_with_a_database_beside_it_is_decoded_too(tmp_path: Path) -> None:
    folder = make_comma2k19.make_comma2k19(tmp_path / "logs")
    (folder / "toyota.dbc").write_text('VERSION ""\nBU_: A\nBO_ 608 BRAKING: 8 A\n SG_ PEDAL : 0|8@1+ (0.5,0) [0|100] "%" A\n')
    text = 'kind = "can"\nvehicle_id = "rav4"\nplace = "p"\nsignals.brake = {message = "BRAKING", signal = "PEDAL", unit = "%"}'
    (folder / "mapping.toml").write_text(text)
    store, report = ingest(tmp_path, folder)
    assert report.quarantined == ()
    brake = read_table(store, "SIGNALS").to_pandas().dropna(subset=["brake"])
    assert brake.brake.to_numpy() == pytest.approx([k % 200 / 200 for k in range(make_comma2k19.RAW)])
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["vehicle_id"], drive["place"]) == ("rav4", "p")
