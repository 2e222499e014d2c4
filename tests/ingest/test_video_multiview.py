"""The multi-view layout: clips of one recording follow each other, each camera on its own, one row a picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.mine.run import mine_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table
from flywheel.video import frames, still
from tests.ingest.make_video import make_video

CAMERAS = ("ftheta_camera_front_wide_120fov", "ftheta_camera_rear_tele_30fov")


def make_multiview(folder: Path, *, drives: tuple[str, ...] = ("av_1",), clips: int = 3) -> Path:
    """Clips of 26 frames at 25 fps for two cameras, a control video and a caption."""
    for drive in drives:
        for number in range(clips):
            for camera in CAMERAS:
                path = folder / "videos" / camera / f"{drive}_{number}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                make_video(path, frames=26, gop=26 + number + len(camera) + len(drives) * len(drive))
        for name, data in (
            (f"control_input_hdmap_bbox/{CAMERAS[0]}/{drive}_0.mp4", b"drawn"),
            (f"captions/{CAMERAS[0]}/{drive}_0.json", b"{}"),
        ):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder


def ingested(folder: Path, logs: Path) -> tuple[DiskStore, str, IngestReport]:
    store = DiskStore(folder / "root")
    batch = land(store, logs)
    return store, batch, ingest_batch(store, batch)


def test_clips_of_one_drive_follow_each_other(tmp_path: Path) -> None:
    store, batch, report = ingested(tmp_path, make_multiview(tmp_path / "day"))
    assert (report.drives, report.quarantined) == (1, ())
    assert "control_input_hdmap_bbox" in " ".join(warning.message for warning in report.warnings)
    rows = read_table(store, "FRAMES").to_pylist()
    assert sorted({row["camera"] for row in rows}) == ["front_wide", "rear_tele"]
    for camera in ("front_wide", "rear_tele"):
        times = [row["t_ns"] for row in rows if row["camera"] == camera]
        assert np.unique(np.diff(times)).tolist() == [40_000_000] and len(times) == 26 + 25 + 25
    assert len({row["media_sha256"] for row in rows}) <= 6
    assert sum(1 for _ in frames(store, rows)) == 152
    assert mine_batch(store, batch).failed == ()


def test_a_missing_clip_is_said_and_keeps_its_time(tmp_path: Path) -> None:
    folder = make_multiview(tmp_path / "day")
    (folder / "videos" / CAMERAS[1] / "av_1_1.mp4").unlink()
    store, _, report = ingested(tmp_path, folder)
    assert any("rear_tele 1" in warning.message for warning in report.warnings)
    times = [row["t_ns"] for row in read_table(store, "FRAMES").to_pylist() if row["camera"] == "rear_tele"]
    assert (len(times), max(np.diff(times))) == (52, 1_000_000_000)


def test_two_drives_in_one_folder_are_two_drives(tmp_path: Path) -> None:
    _, _, report = ingested(tmp_path, make_multiview(tmp_path / "day", drives=("av_1", "av_22"), clips=2))
    assert report.drives + len(report.duplicates) == 2


def test_a_damaged_clip_is_named(tmp_path: Path) -> None:
    folder = make_multiview(tmp_path / "day")
    path = folder / "videos" / CAMERAS[1] / "av_1_2.mp4"
    path.write_bytes(path.read_bytes()[:900])
    _, _, report = ingested(tmp_path, folder)
    assert f"videos/{CAMERAS[1]}/av_1_2.mp4" in report.quarantined[0].reason


def test_the_real_recording(tmp_path: Path, real_data: Path) -> None:
    """21 clips of 30 pictures, 7 cameras; each later clip begins with the picture before it, measured here, so 7 x 88 rows."""
    store, _, report = ingested(tmp_path, real_data / "nvidia_multiview_day")
    rows = read_table(store, "FRAMES").to_pylist()
    assert (report.drives, len(rows), len({row["media_sha256"] for row in rows})) == (1, 7 * 88, 21)
    assert {(row["width_px"], row["height_px"]) for row in rows} == {(1920, 1080)}
    assert report.recorded_s == pytest.approx(2.9, abs=0.001)
    front = [row for row in rows if row["camera"] == "front_wide"]
    last, first = front[29], dict(front[30], video_pts=0)
    grey = [cv2.imdecode(np.frombuffer(still(store, row).data, np.uint8), cv2.IMREAD_GRAYSCALE) for row in (front[28], last, first)]
    before, joint = (float(np.abs(a.astype(float) - b).mean()) for a, b in ((grey[0], grey[1]), (grey[1], grey[2])))
    print(f"neighbours differ by {before:.2f}, the shared picture by {joint:.2f}")
    assert joint < before / 2
