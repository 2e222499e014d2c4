"""A real recording: PandaSet sequence 002, eight seconds of pulling away behind a queue in San Francisco."""

import shutil
from pathlib import Path

from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.mine.catalogue import catalogue
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
    why = {name: next(iter(reasons)) for name, reasons in report.not_evaluable.items()}
    assert why["cut_in"] == why["rss_violation"] == why["wrong_way_vehicle"] == "no lanes"
    assert why["night_intersection_lane_change"] == "no lanes, no environment"
    assert why["red_light_stop"] == why["yellow_dilemma"] == "no lights"
    assert why["speed_bump_pothole"] == "no imu" and why["low_grip_slip"] == why["disengagement"] == "no vehicle"
    assert why["emergency_vehicle"] == "the tracks do not say whose lights flash"
    # The ego only pulls away behind a lead that is faster: nothing in it is an event.
    assert report.events == 0
    seen = [row for row in read_table(store, "EXPOSURE").to_pylist() if row["status"] == "evaluable"]
    names = {row["scenario"] for row in seen}
    assert names | set(why) == {entry.name for entry in catalogue()} and not names & set(why)
    assert {"hard_braking", "low_ttc", "pedestrian_crossing", "crossing_near_miss", "night_dusk", "sensor_dropout"} <= names
    for name in names:
        total = sum(row["exposure_s"] for row in seen if row["scenario"] == name)
        assert 7.0 < total < 8.5, name
    assert {row["condition"] for row in seen} == {"day_clear"}
