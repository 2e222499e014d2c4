"""DGP scenes: boxes, path and calibration in our frames; what is damaged is said with its file."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from flywheel.geometry import project_box
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table
from tests.ingest.make_dgp import CAMERA, KEY, LEAD_M, SPEED_MPS, make_dgp


def ingested(folder: Path, logs: Path) -> tuple[DiskStore, IngestReport]:
    store = DiskStore(folder / "root")
    return store, ingest_batch(store, land(store, logs))


def test_a_scene_becomes_a_drive(tmp_path: Path) -> None:
    store, report = ingested(tmp_path, make_dgp(tmp_path / "scene"))
    assert (report.drives, report.rows) == (
        1, {"DRIVES": 1, "SIGNALS": 12, "TRACKS": 24, "LIGHTS": 0, "LANES": 0, "FRAMES": 12}
    )  # fmt: skip
    (drive,) = read_table(store, "DRIVES").to_pylist()
    assert (drive["source_format"], drive["clock"], drive["day"]) == ("dgp", "relative", "2000-01-01")
    assert read_table(store, "SIGNALS")["speed_mps"].to_numpy() == pytest.approx(SPEED_MPS, abs=1e-6)
    tracks = read_table(store, "TRACKS").to_pylist()
    lead = [row for row in tracks if row["track_id"] == "7"]
    person = [row for row in tracks if row["track_id"] == "8"]
    assert {row["cls"] for row in lead} == {"car"} and {row["cls"] for row in person} == {"pedestrian"}
    assert all(row["x_m"] == pytest.approx(LEAD_M) and row["vx_mps"] == pytest.approx(SPEED_MPS, abs=1e-6) for row in lead)
    assert all(row["vx_mps"] == pytest.approx(0, abs=1e-6) for row in person)
    (frame, *_) = read_table(store, "FRAMES").to_pylist()
    assert (frame["camera"], frame["fx_px"], frame["cam_z_m"]) == (CAMERA, 60.0, 1.4)
    seen = project_box(lead[0], frame)
    assert seen is not None and 25 < (seen.x0_px + seen.x1_px) / 2 < 39


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        (f"scene_{KEY}.json", '{"data": []}', "data: Tuple should have at least 1"),
        (f"scene_{KEY}.json", "[" * 5000, "scene_"),
        (f"calibration/{KEY}.json", '{"names": [], "intrinsics": [], "extrinsics": []}', "no extrinsics of LIDAR"),
        ("bounding_box_3d/LIDAR/003.json", '{"annotations": [{"class_id": 1}]}', "003.json"),
        ("bounding_box_3d/LIDAR/003.json", '{"annotations": NaN}', "003.json"),
        (f"rgb/{CAMERA}/002.jpg", "no picture", "002.jpg: neither JPEG"),
    ],
)
def test_damage_is_named(tmp_path: Path, path: str, text: str, reason: str) -> None:
    folder = make_dgp(tmp_path / "scene")
    (folder / path).write_text(text)
    _, report = ingested(tmp_path, folder)
    (bad,) = report.quarantined
    assert reason in bad.reason and bad.kind == "BadData"


def test_a_missing_picture_and_a_path_out_of_the_folder(tmp_path: Path) -> None:
    folder = make_dgp(tmp_path / "scene")
    scene = json.loads((folder / f"scene_{KEY}.json").read_text())
    scene["data"][1]["datum"]["image"]["filename"] = "../../secret.jpg"
    (folder / f"scene_{KEY}.json").write_text(json.dumps(scene))
    _, report = ingested(tmp_path, folder)
    assert "../../secret.jpg is missing" in report.quarantined[0].reason


def test_one_picture_is_no_drive(tmp_path: Path) -> None:
    (tmp_path / "camera.png").write_bytes(bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1]))
    _, report = ingested(tmp_path, tmp_path / "camera.png")
    assert "one picture is no drive" in report.quarantined[0].reason


def test_the_real_scene(tmp_path: Path, real_data: Path) -> None:
    """Counts of its files; and its 3D boxes drawn into the pictures lie on the scene's own 2D boxes."""
    store, report = ingested(tmp_path, real_data / "dgp_test_scene")
    assert report.drives == 1
    assert (report.rows["TRACKS"], report.rows["FRAMES"]) == (95 + 96 + 95, 3 * 3)
    frames = {row["camera"]: row for row in reversed(read_table(store, "FRAMES").to_pylist())}
    tracks = read_table(store, "TRACKS").to_pylist()
    first = [row for row in tracks if row["t_ns"] == tracks[0]["t_ns"]]
    for camera, frame in frames.items():
        path = real_data / f"dgp_test_scene/scene_01/bounding_box_2d/{camera}/15569195938203752.json"
        drawn = {str(a["instance_id"]): a["box"] for a in json.loads(path.read_text())["annotations"]}
        shares = [_share(drawn[row["track_id"]], row, frame) for row in first if row["track_id"] in drawn]
        print(f"{camera}: {len(shares)} boxes, median overlap {np.median(shares):.2f}, least {min(shares):.2f}")
        assert np.median(shares) > 0.9


def _share(box: dict[str, float], row: dict[str, float], frame: dict[str, float]) -> float:
    """Intersection over union of a drawn 2D box and a projected 3D box."""
    seen = project_box(row, frame)
    if seen is None:
        return 0.0
    a, b = (box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"]), (seen.x0_px, seen.y0_px, seen.x1_px, seen.y1_px)
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
