"""The first and last metres of a route stay out of the root, whatever table or picture they are in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flywheel.errors import BadData
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.ingest.trim import POLICY_KEY, ByPlace, BySpeed, Ends, TrimPolicy
from flywheel.store import DiskStore, media_key
from flywheel.tables import read_table
from flywheel.types import canonical_json
from tests.ingest.make_mcap import T0_NS, make_mcap
from tests.ingest.make_pandaset import make_sequence

SECOND = 10**9


def ingest(root: Path, logs: Path, **policy: Any) -> tuple[DiskStore, IngestReport]:
    """The root after ingesting logs under a policy (none if nothing is said)."""
    store = DiskStore(root)
    if policy:
        store.put(POLICY_KEY, canonical_json(policy))
    return store, ingest_batch(store, land(store, logs))


def rgb_times(store: DiskStore, name: str) -> np.ndarray[Any, Any]:
    """The times of a table's rows, of rgb frames alone in FRAMES."""
    return np.array([row["t_ns"] for row in read_table(store, name).to_pylist() if row.get("kind", "rgb") == "rgb"])


def test_rows_and_pictures_of_the_first_and_last_metres_never_reach_the_root(tmp_path: Path) -> None:
    log = make_mcap(tmp_path / "a.mcap", seconds=6.0, speed_mps=10.0)
    free, _ = ingest(tmp_path / "free", log)
    store, report = ingest(tmp_path / "root", log, trim_start_m=20, trim_end_m=15)
    assert report.drives == 1
    first, last = T0_NS + 2 * SECOND, T0_NS + int(4.5 * SECOND)
    for name in ("SIGNALS", "TRACKS", "LIGHTS", "LANES", "FRAMES"):
        # The depth maps of this log are all equal: none may stay, because the same bytes were seen in the first metres.
        kept, all_times = (rgb_times(root, name) for root in (store, free))
        assert kept.min() >= first, name
        assert kept.max() <= last, name
        assert len(kept) == ((all_times >= first) & (all_times <= last)).sum(), name
    sensors = read_table(store, "SENSORS")
    assert len(sensors) == 0 or (min(sensors["t0_ns"].to_pylist()) >= first and max(sensors["t1_ns"].to_pylist()) <= last)
    shown = {media_key(row["media_sha256"], row["ext"]) for row in read_table(store, "FRAMES").to_pylist()}
    assert set(store.list("media/")) == shown
    assert len(free.list("media/")) > len(shown) > 20
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert drive["policy_sha256"] == TrimPolicy(trim_start_m=20, trim_end_m=15).digest
    assert drive["trimmed_m"] == pytest.approx(35, abs=0.3)
    assert drive["distance_m"] == pytest.approx(25, abs=0.3)
    assert "trim" in {row["gate"] for row in read_table(store, "FINDINGS").to_pylist()}


def test_kept_places_do_not_tell_where_the_drive_began(tmp_path: Path) -> None:
    store, _ = ingest(tmp_path / "root", make_mcap(tmp_path / "a.mcap", seconds=6.0), trim_start_m=20, trim_end_m=15)
    assert read_table(store, "SIGNALS")["x_m"].to_pylist()[0] == 0.0


def test_a_policy_reaches_every_format_and_the_drive_keeps_its_id(tmp_path: Path) -> None:
    free, _ = ingest(tmp_path / "free", make_sequence(tmp_path / "seq"))
    store, report = ingest(tmp_path / "root", tmp_path / "seq", trim_start_m=0, trim_end_m=0.2)
    assert report.quarantined == ()
    assert read_table(store, "DRIVES")["drive_id"] == read_table(free, "DRIVES")["drive_id"]
    assert len(read_table(store, "FRAMES")) < len(read_table(free, "FRAMES"))


@pytest.mark.parametrize(("seconds", "start_m", "end_m"), [(2.0, 20.0, 0.0), (2.0, 0.0, 20.5), (3.0, 15.0, 15.0)])
def test_a_drive_shorter_than_the_trim_is_quarantined_with_that_reason(
    tmp_path: Path, seconds: float, start_m: float, end_m: float
) -> None:
    log = make_mcap(tmp_path / "a.mcap", seconds=seconds)
    store, report = ingest(tmp_path / "root", log, trim_start_m=start_m, trim_end_m=end_m)
    assert report.drives == 0
    assert "nothing of this drive may be kept" in report.quarantined[0].reason
    assert [key for key in store.list() if key.startswith(("tables/", "media/"))] == []


def test_without_speed_or_position_a_trim_cannot_be_done(tmp_path: Path) -> None:
    def without(topic: str, t_ns: int, item: Any) -> Any:
        blind = ("speed_mps", "x_m", "y_m")
        return None if topic == "/gnss" else {k: v for k, v in item.items() if k not in blind} if topic == "/ego/state" else item

    log = make_mcap(tmp_path / "a.mcap", change=without)
    _, report = ingest(tmp_path / "root", log, trim_start_m=1, trim_end_m=1)
    assert "neither speed nor position" in report.quarantined[0].reason


@pytest.mark.parametrize("wrong", [b"{", b'{"trim_start": 200}', b'{"trim_start_m": -1}', b'{"trim_end_m": "far"}', b"[]"])
def test_nothing_is_ingested_under_a_policy_that_cannot_be_read(tmp_path: Path, wrong: bytes) -> None:
    store = DiskStore(tmp_path / "root")
    store.put(POLICY_KEY, wrong)
    batch_id = land(store, make_mcap(tmp_path / "a.mcap"))
    with pytest.raises(BadData, match="is not a policy"):
        ingest_batch(store, batch_id)
    assert store.list("tables/") == []


def test_a_change_of_policy_is_told(tmp_path: Path) -> None:
    log = make_mcap(tmp_path / "a.mcap", seconds=4.0)
    _, first = ingest(tmp_path / "root", log)
    _, again = ingest(tmp_path / "root", log, trim_start_m=5, trim_end_m=5)
    assert "policy" not in {w.gate for w in first.warnings}
    assert [w.gate for w in again.warnings] == ["policy"]
    assert again.skipped == 1


def ends(times: list[float], driven: list[float], *, start: float, end: float, pieces: int = 1) -> tuple[int, int, float]:
    """The window of a drive given as (seconds, metres driven by then)."""
    found = Ends(TrimPolicy(trim_start_m=start, trim_end_m=end))
    for t, m in zip(np.array_split(np.array(times) * SECOND, pieces), np.array_split(np.array(driven), pieces), strict=True):
        found.see(t.astype(np.int64), m)
    return found.kept()


@pytest.mark.parametrize("pieces", [1, 2, 5, 11])
def test_the_window_is_the_same_however_the_drive_comes_in_pieces(pieces: int) -> None:
    times = [float(k) for k in range(101)]
    t0, t1, kept = ends(times, times, start=20, end=30, pieces=pieces)
    assert (t0, t1, kept) == (20 * SECOND, 70 * SECOND, 50)


def test_waiting_at_the_border_of_the_last_metres_counts_as_the_last_metres() -> None:
    driven = [float(min(k, 50)) if k < 80 else float(k - 30) for k in range(111)]
    assert ends([float(k) for k in range(111)], driven, start=0, end=30)[1] == 50 * SECOND


def test_a_long_wait_holds_no_memory() -> None:
    found = Ends(TrimPolicy(trim_end_m=5))
    for hour in range(50):
        found.see(np.arange(hour * 1000, (hour + 1) * 1000), np.full(1000, 10.0))
    assert sum(len(times) for times, _ in found.tail) <= 2


def test_noise_creep_holes_and_jumps_add_no_metres() -> None:
    times = np.arange(0, 100 * SECOND, SECOND // 10)
    rng = np.random.default_rng(1)
    assert BySpeed().see(times, rng.normal(0, 0.05, (len(times), 1)))[-1] < 1
    assert ByPlace(geographic=False).see(times, rng.normal(0, 0.1, (len(times), 2)))[-1] < 3
    assert BySpeed().see(np.array([0, 60]) * SECOND, np.array([[20.0], [20.0]]))[-1] == 0
    assert ByPlace(geographic=True).see(np.array([0, 1, 2]) * SECOND, np.array([[48.0, 11.0], [49.0, 11.0], [49.0001, 11.0]]))[-1] < 12
    straight = np.stack([np.full(len(times), 48.0), 11.0 + np.arange(len(times)) * 1e-5], axis=1)
    assert ByPlace(geographic=True).see(times, straight)[-1] == pytest.approx(743.3, rel=0.01)
