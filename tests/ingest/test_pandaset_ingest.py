"""PandaSet sequences: frames, boxes and derived motion on a made sequence, counts and projection on the real one."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from flywheel.geometry import image_boxes, nearest_instant
from flywheel.ingest.ego_path import EgoPath
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.store import DiskStore, media_key
from flywheel.tables import read_table
from flywheel.types import sha256_hex
from tests.ingest.make_pandaset import COUNT, SPEED_MPS, make_sequence

REAL = Path(os.environ.get("FLYWHEEL_REAL_DATA", Path(__file__).parents[2] / "../shared/data"), "pandaset_002")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DiskStore:
    """A store with the made sequence."""
    folder = tmp_path_factory.mktemp("pandaset")
    store = DiskStore(folder / "root")
    report = ingest_batch(store, land(store, make_sequence(folder / "seq")))
    assert report.quarantined == ()
    assert report.rows == {"DRIVES": 1, "SIGNALS": COUNT, "TRACKS": 4 * COUNT, "LIGHTS": 0, "LANES": 0, "FRAMES": COUNT}
    return store


def test_the_drive_says_what_it_is_and_what_is_derived(made: DiskStore) -> None:
    drive = read_table(made, "DRIVES").to_pylist()[0]
    assert drive["root_group"] == "pandaset|2019-05-11|san_francisco"
    assert (drive["source_format"], drive["source_name"], drive["clock"], drive["licence"]) == ("pandaset", "seq", "epoch", "CC-BY-4.0")
    assert drive["has_map"] is False
    assert "speed_mps" in drive["derived"]
    assert "TRACKS.vx_mps" in drive["derived"]
    assert "steering_rad" not in drive["signals"]


def test_ego_motion_is_derived_without_delay(made: DiskStore) -> None:
    signals = read_table(made, "SIGNALS").to_pylist()
    assert [row["speed_mps"] for row in signals] == pytest.approx([SPEED_MPS] * COUNT, abs=1e-3)
    assert [row["ax_mps2"] for row in signals] == pytest.approx([0.0] * COUNT, abs=1e-2)
    assert {round(row["heading_rad"], 6) for row in signals} == {0.6}
    assert signals[0]["brake"] is None
    assert signals[0]["lat_deg"] == 37.77


def test_boxes_are_in_the_ego_frame_with_ground_velocity(made: DiskStore) -> None:
    rows = read_table(made, "TRACKS").to_pylist()
    first = {row["track_id"]: row for row in rows if row["t_ns"] == min(r["t_ns"] for r in rows)}
    ahead = first["moving-car"]
    assert (ahead["x_m"], ahead["y_m"], ahead["heading_rad"]) == pytest.approx((10.0, 0.0, 0.0), abs=1e-6)
    assert ahead["z_m"] == pytest.approx(0.75)
    assert (ahead["length_m"], ahead["width_m"]) == (4.6, 1.9)
    assert (ahead["vx_mps"], ahead["vy_mps"]) == pytest.approx((8.0, 0.0), abs=1e-3)
    assert (first["still-car"]["vx_mps"], first["still-car"]["vy_mps"]) == (0.0, 0.0)
    assert {row["track_id"]: row["cls"] for row in rows} == {
        "still-car": "car",
        "moving-car": "car",
        "walker": "pedestrian",
        "bike": "other",
    }


def test_a_still_box_projects_where_the_moving_camera_sees_it(made: DiskStore) -> None:
    """The camera's own world pose at exposure gives the truth; the frame's extrinsics must give the same pixel."""
    frame = read_table(made, "FRAMES").to_pylist()[10]
    tracks = read_table(made, "TRACKS").to_pylist()
    times = np.unique([row["t_ns"] for row in tracks])
    instant = nearest_instant(times, frame["t_ns"], tolerance_ns=100_000_000)
    box = next(b for b in image_boxes([r for r in tracks if r["t_ns"] == instant], frame) if b.track_id == "still-car")
    t_s = 10 / 10 - 0.05
    away = np.array([20.0, 3.0]) - SPEED_MPS * t_s * np.array([np.cos(0.6), np.sin(0.6)])
    forward = np.cos(0.6) * away[0] + np.sin(0.6) * away[1]
    corners = [(forward + dx, -np.sin(0.6) * away[0] + np.cos(0.6) * away[1] + dy) for dx in (-2.25, 2.25) for dy in (-0.9, 0.9)]
    assert box.x0_px == pytest.approx(min(32 - 50 * y / x for x, y in corners), abs=0.01)
    assert box.x1_px == pytest.approx(min(64, max(32 - 50 * y / x for x, y in corners)), abs=0.01)


def test_turning_into_the_ego_frame_and_a_rotation_agree() -> None:
    from flywheel.geometry import rotation

    ego = EgoPath(times=np.array([0]), origin=np.zeros((1, 3)), heading=np.array([0.7]))
    q = np.array([0.5, -0.5, 0.1, 0.7]) / np.linalg.norm([0.5, -0.5, 0.1, 0.7])
    vectors = rotation(tuple(q)).T
    turned = rotation(tuple(ego.turn_quaternion(q, at=0))).T
    np.testing.assert_allclose(ego.turn(vectors, at=0), turned, atol=1e-12)


def test_a_hostile_pickle_is_refused_by_name_and_never_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    store = DiskStore(tmp_path / "root")
    report = ingest_batch(store, land(store, make_sequence(tmp_path / "seq", annotations=pickle.dumps(Hostile()))))
    assert report.drives == 0
    assert "annotations/cuboids/00.pkl.gz" in report.quarantined[0].reason
    assert "posix.mkdir" in report.quarantined[0].reason
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("lidar/poses.json", f"{COUNT - 1} poses for {COUNT}"),
        ("camera/front_camera/timestamps.json", f"{COUNT - 1} timestamps"),
        ("meta/gps.json", f"{COUNT - 1} fixes"),
        ("camera/front_camera/intrinsics.json", "intrinsics.json"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_together_are_named(tmp_path: Path, spoil: str, words: str) -> None:
    folder = make_sequence(tmp_path / "seq")
    said = json.loads((folder / spoil).read_text())
    (folder / spoil).write_text(json.dumps(said[:-1] if isinstance(said, list) else {"fx": 1}))
    store = DiskStore(tmp_path / "root")
    report = ingest_batch(store, land(store, folder))
    assert words in report.quarantined[0].reason
    assert report.quarantined[0].kind == "BadData"


def test_a_folder_of_sequences_is_one_log_each(tmp_path: Path) -> None:
    make_sequence(tmp_path / "logs/001")
    shutil.copytree(tmp_path / "logs/001", tmp_path / "logs/more/002")
    (tmp_path / "logs/README.md").write_text("not a log")
    store = DiskStore(tmp_path / "root")
    report = ingest_batch(store, land(store, tmp_path / "logs"))
    assert report.drives == 1
    assert [d.name for d in report.duplicates] == ["more/002"]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recording at {REAL}: set FLYWHEEL_REAL_DATA")
def test_the_real_sequence(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    report = ingest_batch(store, land(store, REAL))
    assert report.quarantined == ()
    assert report.warnings == ()
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["frames"], drive["tracks"], drive["signal_rows"], drive["track_rows"]) == (240, 128, 80, 9365)
    assert (drive["place"], drive["day"]) == ("san_francisco", "2019-05-11")
    gps = json.loads((REAL / "meta/gps.json").read_text())
    speed = read_table(store, "SIGNALS")["speed_mps"].to_numpy()
    assert np.abs(speed - [fix["yvel"] for fix in gps]).max() < 0.15
    tracks = read_table(store, "TRACKS").to_pandas()
    near = tracks[(tracks.cls == "car") & (np.hypot(tracks.x_m, tracks.y_m) < 12)]
    assert abs((near.z_m - near.height_m / 2).mean()) < 0.1, "near cars stand on the ground"
    kinds = tracks.drop_duplicates("track_id").subclass.value_counts()
    assert (kinds["cone"], kinds["construction_vehicle"], kinds["pedestrian_with_object"], kinds["motorcycle"]) == (4, 4, 9, 1)
    frame = read_table(store, "FRAMES").to_pylist()[0]
    assert sha256_hex(store.get(media_key(frame["media_sha256"], "jpg"))) == frame["media_sha256"]
    assert {f["camera"] for f in read_table(store, "FRAMES").to_pylist()} == {"front", "front_left", "front_right"}
