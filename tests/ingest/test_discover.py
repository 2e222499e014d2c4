"""Which files make one log is decided from their paths alone."""

import pytest

from flywheel.ingest.discover import group_logs


def inside(paths: list[str]) -> dict[str, list[str]]:
    """Log name -> the paths inside it."""
    return {name: sorted(files) for name, files in group_logs(paths).items()}


@pytest.mark.parametrize(
    ("paths", "logs"),
    [
        (["a.mcap", "sub/b.bag", "README.md", ".hidden", "truth.json"], {"a.mcap": [""], "sub/b.bag": [""]}),
        (["run/metadata.yaml", "run/r_0.db3", "run/r_1.db3"], {"run": ["metadata.yaml", "r_0.db3", "r_1.db3"]}),
        (["run/metadata.yaml", "run/r_0.mcap", "run/r_1.mcap"], {"run/r_0.mcap": [""], "run/r_1.mcap": [""]}),
        (["seq/lidar/poses.json", "seq/camera/front_camera/00.jpg"], {"seq": ["camera/front_camera/00.jpg", "lidar/poses.json"]}),
        (["x/city_SE3_egovehicle.feather", "x/sensors/lidar/1.feather"], {"x": ["city_SE3_egovehicle.feather", "sensors/lidar/1.feather"]}),
        (["s.csv", "s.mapping.toml", "t.csv"], {"s.csv": ["s.csv", "s.mapping.toml"], "t.csv": [""]}),
        (["can/a.blf", "can/b.log", "can/car.dbc"], {"can/a.blf": ["a.blf", "car.dbc"], "can/b.log": ["b.log", "car.dbc"]}),
        (["scenes/dataset_summary.pkl", "scenes/sd_1.pkl"], {"scenes/sd_1.pkl": [""]}),
        (["processed_log/IMU/gyro/t", "global_pose/frame_times"], {".": ["processed_log/IMU/gyro/t", "global_pose/frame_times"]}),
    ],
)  # fmt: skip
def test_files_of_one_recording_stay_together(paths: list[str], logs: dict[str, list[str]]) -> None:
    assert inside(paths) == {name: sorted(files) for name, files in logs.items()}


def test_every_file_that_is_no_note_belongs_to_exactly_one_log_or_serves_one() -> None:
    paths = ["a.csv", "b.csv", "mapping.toml", "deep/er/x.mcap", "seq/lidar/poses.json", "seq/what.ever"]
    used = [path for files in group_logs(paths).values() for path in files.values()]
    assert set(used) == set(paths)
    assert sorted(path for path in used if path != "mapping.toml") == sorted(path for path in paths if path != "mapping.toml")
