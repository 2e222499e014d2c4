"""A real recording: PandaSet sequence 002, eight seconds of pulling away behind a queue in San Francisco."""

import shutil
from pathlib import Path

from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.mine.run import mine_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table


def test_a_real_drive_says_what_it_cannot_show(real_data: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(real_data / "pandaset_002", logs / "pandaset_002")
    store = DiskStore(tmp_path / "root")
    batch = land(store, logs)
    ingest_batch(store, batch)
    report = mine_batch(store, batch)
    assert report.failed == () and report.condition_sources == {"luma": 1}
    assert report.not_evaluable == {
        "cut_in": {"no lanes": 1},
        "night_intersection_lane_change": {"no lanes, no environment": 1},
        "red_light_stop": {"no lights": 1},
    }
    # The ego only pulls away behind a lead that is faster: nothing in it is an event.
    assert report.events == 0
    seen = {row["scenario"]: row for row in read_table(store, "EXPOSURE").to_pylist() if row["status"] == "evaluable"}
    assert set(seen) == {"hard_braking", "low_ttc", "pedestrian_crossing", "curve_speed_adaptation", "sensor_dropout"}
    assert all(7.5 < row["exposure_s"] < 8.5 and row["condition"] == "day_clear" for row in seen.values())
