"""Clocks: rates, jitter, gaps, order, overlap and offsets in bounded memory; delays between streams that measure one motion."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from flywheel.ingest.clocks import Clocks, clock_of, overlap_gate
from flywheel.ingest.drive import Beats
from flywheel.ingest.gates_sync import agreements, combined, independent, sync_findings
from tests.ingest.make_mcap import MS, T0_NS
from tests.ingest.make_signals import signals, smooth

Times = NDArray[np.int64]
SECOND = 10**9


def regular(count: int, *, hz: float = 100.0) -> Times:
    return T0_NS + np.round(np.arange(count) * 1e9 / hz).astype(np.int64)


def row(times: Times, stamps: Times | None = None, *, pieces: int = 1) -> dict[str, object]:
    clocks = Clocks()
    parts = np.array_split(times, pieces)
    stamp_parts = [None] * pieces if stamps is None else np.array_split(stamps, pieces)
    for part, stamp in zip(parts, stamp_parts, strict=True):
        clocks.see(Beats("imu", part, stamp))
    return clocks.rows()[0]


def test_a_regular_sensor_has_its_rate_and_no_gaps() -> None:
    found = row(regular(1000))
    assert (found["samples"], found["rate_hz"], found["jitter_ms"], found["gaps"]) == (1000, 100.0, 0.0, 0)
    assert (found["longest_gap_s"], found["reversals"], found["overlap"], found["gaps_t_ns"]) == (0.01, 0, 1.0, [])


@pytest.mark.parametrize("pieces", [2, 7, 400])
def test_the_pieces_a_log_came_in_do_not_matter(pieces: int) -> None:
    times = np.sort(regular(40_000) + np.random.default_rng(5).integers(-2 * MS, 2 * MS, 40_000))
    stamps = times - 7 * MS
    whole, cut = row(times, stamps), row(times, stamps, pieces=pieces)
    assert whole.pop("jitter_ms") == pytest.approx(cut.pop("jitter_ms"))
    assert whole.pop("rate_hz") == pytest.approx(cut.pop("rate_hz"))
    assert whole == cut


def test_jitter_is_the_spread_of_the_steps() -> None:
    rng = np.random.default_rng(3)
    found = row(regular(20_000) + np.round(rng.normal(0, 0.5 * MS, 20_000)).astype(np.int64))
    assert found["jitter_ms"] == pytest.approx(0.5 * np.sqrt(2), rel=0.03), "a step has the noise of both its ends"
    assert found["rate_hz"] == pytest.approx(100, rel=0.01)


def test_gaps_are_counted_placed_and_told() -> None:
    times = np.delete(regular(3000), [*range(500, 800), *range(2000, 2005)])
    clocks = Clocks()
    clocks.see(Beats("imu", times))
    found = clocks.rows()
    assert (found[0]["gaps"], found[0]["longest_gap_s"]) == (2, pytest.approx(3.01))
    assert found[0]["gaps_t_ns"] == [int(times[499]), int(times[1699])]
    assert found[0]["gaps_s"] == pytest.approx([3.01, 0.06])
    said = clocks.findings(found, ego=None)
    assert [(f.gate, "3.01 s" in f.message and str(times[499]) in f.message) for f in said] == [("sensor_gaps", True)]


def test_a_sensor_that_speaks_in_bursts_has_no_gaps_between_them() -> None:
    bursts = (T0_NS + np.arange(600)[:, None] * 50 * MS + np.arange(16) * 1000).ravel()
    found = row(bursts)
    assert found["gaps"] == 0
    assert found["rate_hz"] == pytest.approx(16 * 20, rel=0.02)


def test_times_and_stamps_that_go_back_are_found() -> None:
    times, stamps = regular(300), regular(300) - 5 * MS
    times[100], stamps[200:] = times[98], stamps[200:] - SECOND
    clocks = Clocks()
    clocks.see(Beats("gps", times, stamps))
    found = clocks.rows()
    assert found[0]["reversals"] == 1
    said = {(f.gate, f.message.split(":")[1].split(" in ")[0]) for f in clocks.findings(found, ego=None)}
    assert ("sensor_order", " time goes back 1 times") in said
    assert ("sensor_order", " its own stamps go back 1 times") in said
    assert any(gate == "sensor_clock" and "1000 ms" in text for gate, text in said), "and the offset moves by a second"


def test_the_offset_of_a_sensors_own_stamps_and_its_error() -> None:
    rng = np.random.default_rng(1)
    times = regular(5000)
    stamps = times - 120 * MS - np.round(rng.normal(0, 2 * MS, 5000)).astype(np.int64)
    stamps[::10] = 0  # never filled in
    found = row(times, stamps)
    assert found["offset_ms"] == pytest.approx(120, abs=0.2)
    assert found["offset_error_ms"] == pytest.approx(0.6745 * 2, rel=0.1)
    clock = clock_of([found, {"sensor": "boot", "offset_ms": 1.7e12, "offset_error_ms": 1.0}, {"sensor": "lidar"}])
    assert clock.offset_ns == pytest.approx(120 * MS, abs=MS)
    assert clock.error_ns == pytest.approx(121.3 * MS, abs=MS)
    assert clock_of([{"sensor": "lidar"}]) == (None, None), "no stamps: unknown, not zero"


def test_sensors_that_never_meet_the_ego_signals_are_found() -> None:
    clocks = Clocks()
    clocks.see(Beats("ego", regular(1000)))
    clocks.see(Beats("camera", regular(100) + 3600 * SECOND))
    rows = clocks.rows((T0_NS, T0_NS + 10 * SECOND))
    assert {r["sensor"]: r["overlap"] for r in rows} == {"camera": 0.0, "ego": pytest.approx(0.999)}
    said = clocks.findings(rows, ego=(T0_NS, T0_NS + 10 * SECOND))
    assert [(f.gate, f.severity, f.message.startswith("camera")) for f in said] == [("overlap", "warning", True)]


def test_tables_that_share_no_time_are_an_error_only_if_nothing_overlaps() -> None:
    ego, near, far = (0, 10 * SECOND), (SECOND, 2 * SECOND), (20 * SECOND, 30 * SECOND)
    assert overlap_gate({"SIGNALS": ego, "TRACKS": near}) == []
    assert overlap_gate({"SIGNALS": ego}) == overlap_gate({"TRACKS": near, "FRAMES": far}) == []
    assert [f.severity for f in overlap_gate({"SIGNALS": ego, "TRACKS": near, "FRAMES": far})] == ["warning"]
    assert [f.severity for f in overlap_gate({"SIGNALS": ego, "TRACKS": far, "FRAMES": far})] == ["error", "error"]


def test_memory_does_not_grow_with_the_drive() -> None:
    peaks = []
    for pieces in (20, 200):
        clocks = Clocks()
        tracemalloc.start()
        for k in range(pieces):
            times = regular(10_000) + k * 100 * SECOND
            clocks.see(Beats("imu", times, times - 3 * MS))
        clocks.rows()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(f"peak for 200,000 samples {peaks[0] / 1e6:.2f} MB, for 2,000,000 {peaks[1] / 1e6:.2f} MB")
    assert peaks[1] < 1.2 * peaks[0] < 4e6


@pytest.mark.parametrize("delay_ms", [-300, -60, 0, 20, 120, 250])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_known_delay_between_positions_and_speed_is_measured(delay_ms: int, seed: int) -> None:
    found = combined(agreements(signals(seed=seed, position_delay_s=delay_ms / 1e3)))
    along = next(a for a in found if a.second == "the speed along x_m, y_m")
    print(f"delay {delay_ms} ms: {along.delay_s * 1e3:.1f} ms, error {along.error_s * 1e3:.1f} ms, r {along.correlation:.3f}")
    assert abs(along.delay_s * 1e3 - delay_ms) < 3 * along.error_s * 1e3 < 30
    assert along.ratio == pytest.approx(1, abs=0.1)
    said = [f.message for f in sync_findings(found) if f.gate == "sync" and "x_m" in f.message]
    assert bool(said) == (abs(delay_ms) >= 60)
    assert not said or ("lags" in said[0]) == (delay_ms > 0)


@pytest.mark.parametrize("delay_ms", [0, 120])
def test_a_known_delay_of_the_gyro_is_measured(delay_ms: int) -> None:
    found = {a.second: a for a in combined(agreements(signals(gyro_delay_s=delay_ms / 1e3)))}
    assert found["imu_yaw_rate_radps"].delay_s * 1e3 == pytest.approx(delay_ms, abs=10)
    assert abs(found["yaw_rate_radps"].delay_s) < 0.01, "the yaw rate still agrees with the heading"


def test_streams_worked_out_from_each_other_say_nothing_of_the_clock() -> None:
    found = combined(agreements(signals()))
    assert "the speed along x_m, y_m" in {a.second for a in independent(found, ())}
    assert "the speed along x_m, y_m" not in {a.second for a in independent(found, ("speed_mps",))}
    assert clock_of([], independent(found, ())).error_ns is not None


def test_what_does_not_move_or_does_not_go_together_is_not_compared() -> None:
    still = signals(amplitude=0.0)
    assert not [a for a in agreements(still) if a.first == "speed_mps"]
    other = signals(seed=1).set_column(1, "speed_mps", pa.array(smooth(9)(np.arange(6000) / 100) + 15))
    assert not [a for a in agreements(other) if a.second == "the speed along x_m, y_m"]
