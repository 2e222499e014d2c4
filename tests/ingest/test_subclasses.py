"""What sources say beyond our classes arrives in TRACKS.subclass: the mapping, and real logs against their own files."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.store import DiskStore
from flywheel.subclasses import ANIMAL, DEBRIS, EMERGENCY, TOLD, subclass_of, tells
from flywheel.tables import read_table


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("DOG", ANIMAL), ("Animals - Other", ANIMAL), ("animal", ANIMAL), ("movable_object.debris", DEBRIS),
        ("vehicle.emergency.police", EMERGENCY), ("priorityVehicle", EMERGENCY), ("Emergency Vehicle", EMERGENCY),
        ("CONSTRUCTION_CONE", "cone"), ("CONSTRUCTION_BARREL", "cone"), ("Pylons", "cone"), ("movable_object.trafficcone", "cone"),
        ("movable_object.barrier", "barrier"), ("Construction Signs", "sign"), ("SIGN", "road_sign"), ("STOP_SIGN", "stop_sign"),
        ("vehicle.construction", "construction_vehicle"), ("construction", "construction"), ("vehicle.motorcycle", "motorcycle"),
        ("WHEELED_DEVICE", "wheeled_device"), ("STROLLER", "stroller"), ("human.pedestrian.child", "child"), ("", None), (" ?", None),
    ],
)  # fmt: skip
def test_a_source_s_word_becomes_ours(said: str, ours: str | None) -> None:
    assert subclass_of(said) == ours


def test_who_would_say_so() -> None:
    assert tells("av2_sensor", ANIMAL, said=True) and not tells("av2_sensor", DEBRIS, said=True)
    assert tells("mcap", DEBRIS, said=True) and not tells("mcap", DEBRIS, said=False)
    assert tells("pandaset", EMERGENCY, said=False) and not any(
        tells("av2_forecast", word, said=True) for words in TOLD.values() for word in words
    )


def tracks_of(folder: Path, root: Path) -> Counter[str]:
    """How many tracks of each subclass a folder's logs have."""
    store = DiskStore(root)
    assert ingest_batch(store, land(store, folder)).quarantined == ()
    rows = read_table(store, "TRACKS", columns=["drive_id", "track_id", "subclass"]).to_pandas().drop_duplicates(["drive_id", "track_id"])
    return Counter(rows.subclass)


def test_argoverse_2_says_all_of_its_categories(real_data: Path, tmp_path: Path) -> None:
    log = real_data / "noncommercial/av2/sensor_logs/3b3570b4-7b0b-3268-a571-b0889dbf40b6"
    found = tracks_of(log, tmp_path)
    said = pd.read_feather(log / "annotations_with_ego.feather").drop_duplicates("track_uuid").category
    theirs = Counter(category for category in said if category != "EGO_VEHICLE")
    assert {"WHEELED_DEVICE", "BOLLARD", "BICYCLE"} <= set(theirs), "the log has what is asked here"
    assert found["wheeled_device"] == theirs["WHEELED_DEVICE"] and found["bollard"] == theirs["BOLLARD"]
    assert found["bicycle"] == theirs["BICYCLE"] and found["road_sign"] == theirs["SIGN"]
    assert found["cone"] == theirs["CONSTRUCTION_CONE"] + theirs["CONSTRUCTION_BARREL"]
    assert found.total() == theirs.total()


def test_argoverse_2_forecasting_says_what_stands(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "noncommercial/av2/forecasting"
    found = tracks_of(folder, tmp_path)
    said = pd.read_parquet(next(folder.rglob("*.parquet"))).drop_duplicates("track_id")
    assert found == Counter(said[said.track_id != "AV"].object_type)
    assert found["riderless_bicycle"] and found["static"]


def test_nuscenes_categories_of_scenarionet(real_data: Path, tmp_path: Path) -> None:
    found = tracks_of(real_data / "noncommercial/scenarionet_nuscenes", tmp_path)
    assert {"cone", "barrier", "motorcycle", "construction_worker", "construction_vehicle", "adult", "car"} <= set(found)
    assert not {name for name in found if name.startswith(("vehicle_", "human_", "movable_"))}
