"""Each gate fires on a planted defect and is silent on the clean drive; what it finds in the real recordings is stated."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from flywheel.ingest.drive import Finding
from flywheel.ingest.gates_drive import judge_parts
from flywheel.ingest.gates_parts import windows
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.ingest.table import Recording, recordings
from flywheel.store import DiskStore
from flywheel.tables import read_table
from tests.ingest.make_mcap import METADATA, MS, T0_NS, make_mcap
from tests.ingest.make_signals import NAMES, signals

Array = NDArray[np.float64]
OURS = {
    "kinematics", "units", "sync", "pose_jump", "pace", "gnss_jump", "gnss_null", "stuck", "teleport", "track_velocity", "frozen", "black",
    "blur",
    "blocked", "undecodable", "twin", "overlap", "sensor_gaps", "sensor_order", "sensor_clock",
}  # fmt: skip


def part(folder: Path, name: str, table: pa.Table) -> Path:
    pq.write_table(table, folder / f"{name}.parquet", row_group_size=2000)
    return folder / f"{name}.parquet"


def judged(folder: Path, table: pa.Table, *, derived: tuple[str, ...] = (), **parts: pa.Table) -> list[Finding]:
    files = {name: part(folder, name, rows) for name, rows in {"SIGNALS": table, **parts}.items()}
    return judge_parts(files, derived=derived).findings


def at(index: int, value: float | Callable[[float], float], *, to: int | None = None) -> Callable[[Array], Array]:
    """A change of some rows of a column."""

    def change(values: Array) -> Array:
        spoiled = values.copy()
        rows = slice(index, to or index + 1)
        spoiled[rows] = [value(v) for v in spoiled[rows]] if callable(value) else value
        return spoiled

    return change


def test_the_clean_drive_is_silent(tmp_path: Path) -> None:
    for seed in range(4):
        assert judged(tmp_path, signals(seed=seed)) == []
    assert judged(tmp_path, signals(seconds=200)) == [], "nor where windows meet"


PLANTED: list[tuple[str, dict[str, Any], str]] = [
    ("kinematics", {"speed_mps": at(3000, lambda v: v + 12, to=3100)}, "speed_mps changes faster than 20 m/s2"),
    ("kinematics", {"ax_mps2": at(3000, 25.0, to=3050)}, "ax_mps2 changes faster than 80 m/s3"),
    ("kinematics", {"heading_rad": at(3000, lambda v: v + 1.5, to=6000)}, "heading_rad changes faster than 3 rad/s"),
    ("kinematics", {"ax_mps2": np.negative, "imu_ax_mps2": np.negative}, "ax_mps2 moves against the derivative of speed_mps"),
    ("kinematics", {"ay_mps2": np.negative, "imu_ay_mps2": np.negative}, "ay_mps2 moves against speed_mps x yaw_rate_radps"),
    ("pose_jump", {"x_m": at(3000, lambda v: v + 8, to=6000)}, "x_m, y_m leap further"),
    ("pace", {"x_m": lambda v: v[0] + (v - v[0]) * 0.4, "y_m": lambda v: v[0] + (v - v[0]) * 0.4}, "x_m, y_m go another way"),
    ("gnss_jump", {"lat_deg": at(3000, lambda v: v + 5e-4)}, "GNSS fixes leap further"),
    ("gnss_null", {"lat_deg": at(3000, 0.0), "lon_deg": at(3000, 0.0)}, "a fix lies at latitude and longitude 0"),
    ("stuck", {"imu_ax_mps2": at(2000, 0.25, to=2700)}, "imu_ax_mps2 stuck while the ego moves"),
    ("stuck", {"lat_deg": at(2000, 48.1, to=2600), "lon_deg": at(2000, 11.5, to=2600)}, "lat_deg, lon_deg stuck"),
    ("stuck", {"speed_mps": at(1000, 5.0, to=5900)}, "speed_mps stuck while the positions tell another speed"),
    ("units", {"imu_yaw_rate_radps": np.degrees}, "degrees read as radians"),
    ("units", {"ax_mps2": lambda v: v / 9.81, "imu_ax_mps2": lambda v: v / 9.81}, "is one of them in g"),
    ("units", {"speed_mps": lambda v: v * 3.6}, "km/h read as m/s"),
]  # fmt: skip


@pytest.mark.parametrize(("gate", "changes", "words"), PLANTED, ids=[f"{gate}-{words[:24]}" for gate, _, words in PLANTED])
def test_a_planted_defect_of_the_ego_is_found(tmp_path: Path, gate: str, changes: dict[str, Any], words: str) -> None:
    base = signals(seed=2)
    changed = {name: column(base, name, change) for name, change in changes.items()}
    found = judged(tmp_path, base_with(base, changed))
    assert [f for f in found if f.gate == gate and words in f.message], found
    assert all(f.severity == "warning" for f in found)


def column(table: pa.Table, name: str, change: Callable[[Array], Array]) -> Array:
    """A column changed; a sparse one keeps its gaps but where the change fills them."""
    values = table[name].to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), change(values), np.nan)


def base_with(table: pa.Table, changed: dict[str, Array]) -> pa.Table:
    for name, values in changed.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.float64(), from_pandas=True))
    return table


def test_a_jump_where_two_windows_meet_is_found_once(tmp_path: Path) -> None:
    base = signals(seconds=130, seed=1)
    found = judged(tmp_path, base_with(base, {"lat_deg": column(base, "lat_deg", at(6000, lambda v: v + 5e-4, to=13_000))}))
    jump = [f.message for f in found if f.gate == "gnss_jump"]
    assert len(jump) == 1
    assert "once" in jump[0]


def test_noisy_positions_from_gnss_are_held_against_the_noise_of_a_fix(tmp_path: Path) -> None:
    base = signals(seed=2)
    leaps = base_with(base, {"x_m": column(base, "x_m", lambda v: v + 6.0 * (np.arange(len(v)) % 200 < 100))})
    assert [f.gate for f in judged(tmp_path, leaps)] == ["pose_jump"]
    assert judged(tmp_path, leaps, derived=("x_m", "y_m")) == []


def test_an_imu_without_noise_from_the_start_is_not_stuck(tmp_path: Path) -> None:
    base = signals(seed=2)
    quiet = base_with(base, {name: np.full(len(base), 0.1) for name in NAMES if name.startswith("imu_")})
    assert judged(tmp_path, quiet) == []


def ten_hertz(count: int) -> NDArray[np.int64]:
    return T0_NS + np.arange(count, dtype=np.int64) * 100 * MS


def tracks(table: pa.Table, *, still: int = 3, count: int = 550) -> dict[str, Array | list[str]]:
    """Standing things 10 to 90 m from the ego, seen from it as it drives and turns, and one that drives along at 12 m/s."""
    heading = table["heading_rad"].to_numpy()[::10][:count]
    x, y = (table[name].to_numpy(zero_copy_only=False)[::10][:count] for name in ("x_m", "y_m"))
    t = np.arange(count) / 10
    rows: dict[str, list[Any]] = {name: [] for name in ("t_ns", "track_id", "x_m", "y_m", "vx_mps", "vy_mps")}
    for k in range(still + 1):
        ahead, left = (10 + 40.0 * k + 0 * t, 5.0 + 0 * t) if k < still else (12 * t, -4 + 0 * t)
        world = np.stack([x[0] + ahead, left], axis=1)
        speed = 12.0 if k == still else 0.0
        east, north = world[:, 0] - x, world[:, 1] - y
        rows["t_ns"] += ten_hertz(count).tolist()
        rows["track_id"] += [f"t{k}"] * count
        rows["x_m"] += (np.cos(heading) * east + np.sin(heading) * north).tolist()
        rows["y_m"] += (np.cos(heading) * north - np.sin(heading) * east).tolist()
        rows["vx_mps"] += (np.cos(heading) * speed).tolist()
        rows["vy_mps"] += (-np.sin(heading) * speed).tolist()
    return rows


def tracks_table(rows: dict[str, Any]) -> pa.Table:
    return pa.table(rows).sort_by([("t_ns", "ascending"), ("track_id", "ascending")])


def test_tracks_that_leap_or_whose_velocities_are_denied_are_found(tmp_path: Path) -> None:
    base = signals(seed=2)
    assert judged(tmp_path, base, TRACKS=tracks_table(tracks(base))) == []
    leaping = tracks(base)
    leaping["x_m"][300] += 15.0
    found = judged(tmp_path, base, TRACKS=tracks_table(leaping))
    assert [(f.gate, "2 times" in f.message) for f in found] == [("teleport", True)], "there and back"
    relative = tracks(base)
    relative["vx_mps"] = [v - 15.0 for v in relative["vx_mps"]]
    found = judged(tmp_path, base, TRACKS=tracks_table(relative))
    assert [f.gate for f in found] == ["track_velocity"], "the ego's own speed was left in"


def frames(hashes: list[str], *, kind: str = "rgb", video: bool = False) -> pa.Table:
    count = len(hashes)
    offsets = pa.array(range(count), pa.int64()) if video else pa.nulls(count, pa.int64())
    return pa.table({
        "t_ns": ten_hertz(count), "camera": ["front"] * count, "kind": [kind] * count, "media_sha256": hashes, "video_offset": offsets,
    })  # fmt: skip


def test_a_camera_that_repeats_its_picture_while_the_ego_moves_is_frozen(tmp_path: Path) -> None:
    base, own = signals(seed=2), [f"{k:064x}" for k in range(500)]
    frozen = own[:100] + [own[100]] * 30 + own[130:]
    assert judged(tmp_path, base, FRAMES=frames(own)) == []
    found = judged(tmp_path, base, FRAMES=frames(frozen))
    assert [(f.gate, "2.9 s" in f.message and str(T0_NS + 10_000 * MS) in f.message) for f in found] == [("frozen", True)]
    assert judged(tmp_path, base, FRAMES=frames(frozen, kind="depth")) == []
    assert judged(tmp_path, base, FRAMES=frames([own[0]] * 500, video=True)) == [], "the packets of a video share the stream's hash"
    still = base_with(base, {"speed_mps": np.zeros(len(base))})
    assert not [f for f in judged(tmp_path, still, FRAMES=frames(frozen)) if f.gate == "frozen"], "a standing car may see the same"


def test_windows_hold_every_row_and_never_more_than_a_minute(tmp_path: Path) -> None:
    base = signals(seconds=600)
    seen, longest = set(), 0
    for window in windows(part(tmp_path, "SIGNALS", base), ["t_ns"]):
        times = window.table["t_ns"].to_pylist()
        seen |= set(times)
        longest = max(longest, len(times))
    assert seen == set(base["t_ns"].to_pylist())
    assert longest <= 6000
    gap = base.filter(pa.array(np.arange(60_000) // 1000 % 20 < 3))
    times = [t for window in windows(part(tmp_path, "SIGNALS", gap), ["t_ns"]) for t in window.table["t_ns"].to_pylist()]
    assert set(times) == set(gap["t_ns"].to_pylist())


def test_the_memory_of_a_pass_does_not_grow_with_the_drive(tmp_path: Path) -> None:
    base, peaks = signals(seconds=60), []
    for minutes in (20, 120):
        file = tmp_path / f"{minutes}.parquet"
        with pq.ParquetWriter(file, base.schema) as writer:
            for k in range(minutes):
                writer.write_table(base.set_column(0, "t_ns", pa.array(base["t_ns"].to_numpy() + k * 60 * 10**9)))
        before = pa.total_allocated_bytes()
        peaks.append(max(pa.total_allocated_bytes() - before for _ in windows(file, NAMES)))
    print(f"Arrow holds at most {peaks[0] / 1e6:.1f} MB for 20 minutes, {peaks[1] / 1e6:.1f} MB for two hours")
    assert peaks[1] < 1.5 * peaks[0]  # holding the drive would be six times; the reader may be a batch further on


def varied(topic: str, t_ns: int, item: Any) -> Any:
    """The made drive with a speed and a place that vary, so that it is like no other."""
    if topic != "/ego/state":
        return item
    t = (t_ns - T0_NS) / 1e9
    return item | {"speed_mps": 10 + 3 * float(np.sin(t / 3)), "x_m": 10 * t + 9 * float(1 - np.cos(t / 3))}


def ingest(tmp_path: Path, logs: Path) -> tuple[DiskStore, IngestReport]:
    store = DiskStore(tmp_path / "root")
    return store, ingest_batch(store, land(store, logs))


def test_the_same_drive_under_another_name_and_cut_shorter_is_told(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    make_mcap(logs / "a.mcap", seconds=61, camera=False, change=varied)
    half = lambda topic, t_ns, item: varied(topic, t_ns, item) if t_ns - T0_NS < 41 * 10**9 else None  # noqa: E731
    make_mcap(logs / "b.mcap", seconds=61, camera=False, change=half, metadata=METADATA | {"licence": "CC-BY-4.0"})
    slower = lambda topic, t_ns, item: varied(topic, t_ns, item) | ({"speed_mps": 9.0} if topic == "/ego/state" else {})  # noqa: E731
    make_mcap(logs / "c.mcap", seconds=61, camera=False, change=lambda *a: slower(*a) if isinstance(a[2], dict) else a[2])
    store, report = ingest(tmp_path, logs)
    assert report.drives == 3
    drives = {row["source_name"]: row["drive_id"] for row in read_table(store, "DRIVES").to_pylist()}
    twins = [(row["drive_id"], row["message"]) for row in read_table(store, "FINDINGS").to_pylist() if row["gate"] == "twin"]
    assert [(drive, drives["a.mcap"] in text) for drive, text in twins] == [(drives["b.mcap"], True)]
    later, _ = ingest_again(store, tmp_path / "later", logs / "b.mcap")
    again = [row for row in read_table(store, "FINDINGS", batch_id=later).to_pylist() if row["gate"] == "twin"]
    assert {name for name in ("a.mcap", "b.mcap") for row in again if drives[name] in row["message"]} == {"a.mcap", "b.mcap"}


def ingest_again(store: DiskStore, folder: Path, like: Path) -> tuple[str, IngestReport]:
    """Another batch with the same drive, a little longer."""
    folder.mkdir()
    make_mcap(folder / "d.mcap", seconds=52, camera=False, change=varied)
    assert (folder / "d.mcap").read_bytes() != like.read_bytes()
    batch = land(store, folder)
    return batch, ingest_batch(store, batch)


def test_the_table_of_recordings_says_what_became_of_each_log(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    make_mcap(logs / "good.mcap")
    (logs / "bad.mcap").write_bytes((logs / "good.mcap").read_bytes()[:4000])
    store, report = ingest(tmp_path, logs)
    good, bad = recordings(store, report.batch_id)
    assert (good.name, good.format, good.seconds, good.signal_rows, good.track_rows, good.frames) == ("good.mcap", "mcap", 2.0, 201, 42, 22)
    assert good.messages == sum(read_table(store, "SENSORS")["samples"].to_pylist()) > 0
    assert (good.findings, good.quarantined, bad.drive_id) == ((), None, None)
    assert [(f.severity, f.gate) for f in bad.refusals] == [("error", "reader")]
    assert str(bad.quarantined) in bad.refusals[0].message


def test_refusals_of_several_gates_are_told_apart() -> None:
    text = "duration: 0.5 s recorded; at least 1 s are needed; limits: SIGNALS.speed_mps reaches 120; travel: is it m/s?"
    found = Recording(name="a", quarantined=text).refusals
    assert [(f.gate, f.message) for f in found] == [
        ("duration", "0.5 s recorded; at least 1 s are needed"), ("limits", "SIGNALS.speed_mps reaches 120"), ("travel", "is it m/s?"),
    ]  # fmt: skip


# What our gates say of the real recordings. Everything else there is said by their readers.
REAL = {
    "pandaset_002": set(),
    "comma2k19_example_seg40": set(),
    "udacity_signals": set(),
    "rosbags": set(),
    "commonroad_ngsim": set(),
    "noncommercial/scenarionet_nuscenes": set(),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_what_the_gates_say_of_real_recordings(tmp_path: Path, real_data: Path, name: str) -> None:
    store, report = ingest(tmp_path, real_data / name)
    assert report.drives >= 1
    assert report.quarantined == ()
    assert {w.gate for w in report.warnings} & OURS == REAL[name], report.warnings
    for row in read_table(store, "SENSORS").to_pylist():
        assert row["reversals"] == 0
