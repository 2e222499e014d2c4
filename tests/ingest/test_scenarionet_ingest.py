"""ScenarioNet scenes as three converters write them: motion, lanes and lights on made scenes, counts on the real ones."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.ingest.scenarionet_map import state_of
from flywheel.store import DiskStore
from flywheel.tables import read_table
from tests.ingest import make_road as road
from tests.ingest.make_scenarionet import GREEN_AT, make_scenarionet, scene

REAL = Path(os.environ.get("FLYWHEEL_REAL_DATA", Path(__file__).parents[2] / "../shared/data"), "noncommercial/scenarionet_nuscenes")
FRONT_M = 3.7
DATASETS = ("waymo", "nuscenes", "nuplan")


def ingest(folder: Path, root: Path) -> tuple[DiskStore, IngestReport]:
    """A folder's logs in a new store."""
    store = DiskStore(root)
    return store, ingest_batch(store, land(store, folder))


def ingest_scene(said: Any, tmp_path: Path) -> tuple[DiskStore, IngestReport]:
    """A scene given as an object in a new store."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/scene.pkl").write_bytes(pickle.dumps(said))
    return ingest(tmp_path / "logs", tmp_path / "root")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[DiskStore, IngestReport]]:
    """A store with the made scene of each dataset."""
    folder = tmp_path_factory.mktemp("scenarionet")
    return {name: ingest(make_scenarionet(folder / name, dataset=name), folder / f"{name}-root") for name in DATASETS}


def frame(store: DiskStore, table: str) -> pd.DataFrame:
    """A table as a data frame."""
    return read_table(store, table).to_pandas()


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_ego_and_the_others_move_as_they_did(stores: dict[str, tuple[DiskStore, IngestReport]], dataset: str) -> None:
    store, report = stores[dataset]
    assert report.quarantined == ()
    assert report.rows["TRACKS"] == 3 * road.COUNT - 5, "the pedestrian is never valid, the truck from step 5 on"
    assert any("1 of 5 tracks" in w.message for w in report.warnings)
    signals = frame(store, "SIGNALS")
    assert signals.speed_mps.to_numpy() == pytest.approx(road.SPEED_MPS, abs=1e-4), "also at the end, where converters write zeros"
    assert (signals.x_m[0], signals.y_m[0]) == pytest.approx(tuple(road.world([[road.X0_M, 1.75]])[0]), abs=1e-3)
    tracks = frame(store, "TRACKS").sort_values("t_ns").groupby("track_id")
    last = tracks.last()
    assert (last.x_m["31"], last.y_m["31"]) == pytest.approx((28.0, -3.5), abs=1e-3)
    assert (last.vx_mps["31"], last.vy_mps["31"]) == pytest.approx((12.0, 0.0), abs=1e-3)
    assert last.cls.to_dict() == {"31": "truck" if dataset == "nuscenes" else "car", "32": "cyclist", "33": "other"}
    assert last.z_m.to_numpy() == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("dataset", DATASETS)
def test_lanes_come_from_lines_polygons_or_widths(stores: dict[str, tuple[DiskStore, IngestReport]], dataset: str) -> None:
    store, _ = stores[dataset]
    lanes, drive = frame(store, "LANES"), read_table(store, "DRIVES").to_pylist()[0]
    first = lanes.iloc[0]
    assert (len(lanes), first.lane_id, first.lane_index) == (road.COUNT, "11", 1)
    assert (first.offset_m, first.width_m) == pytest.approx((0.0, 3.5), abs=1e-3)
    assert first.crosswalk_m == pytest.approx(road.CROSSWALK_M[0] - road.X0_M - FRONT_M, abs=0.6)
    if dataset != "nuplan":
        assert first.junction_m == pytest.approx(road.JUNCTION_M - road.X0_M - FRONT_M, abs=1e-3)
    assert ("LANES.lane_index" in drive["derived"]) == (dataset != "waymo")
    assert ("LANES.in_junction" in drive["derived"]) == (dataset == "nuplan")


@pytest.mark.parametrize("dataset", ["waymo", "nuplan"])
def test_the_light_ahead_governs(stores: dict[str, tuple[DiskStore, IngestReport]], dataset: str) -> None:
    lights = frame(stores[dataset][0], "LIGHTS")
    assert lights.light_id.unique().tolist() == ["13"]
    assert lights.state.tolist() == ["red"] * (GREEN_AT - 1) + ["green"] * (road.COUNT - GREEN_AT), "step 0 is unknown"
    stop = road.JUNCTION_M + (1.0 if dataset == "waymo" else 0.0)
    assert lights.stop_line_m.to_numpy() == pytest.approx([stop - FRONT_M - road.X0_M - k for k in range(1, road.COUNT)], abs=1e-3)


def test_the_drives_say_what_they_are(stores: dict[str, tuple[DiskStore, IngestReport]]) -> None:
    said = {name: read_table(store, "DRIVES").to_pylist()[0] for name, (store, _) in stores.items()}
    assert said["nuscenes"]["root_group"] == "nuscenes|2018-08-28|boston-seaport"
    assert said["waymo"]["root_group"] == "waymo|2000-01-01|unknown"
    assert {row["clock"] for row in said.values()} == {"relative"}
    assert "Non-Commercial" in said["waymo"]["licence"]
    assert "speed_mps" in said["nuscenes"]["derived"] and "speed_mps" not in said["waymo"]["derived"]


@pytest.mark.parametrize(
    ("said", "state"),
    [("LANE_STATE_ARROW_STOP", "red"), ("LANE_STATE_CAUTION", "yellow"), ("LANE_STATE_ARROW_GO", "green"),
     ("TRAFFIC_LIGHT_YELLOW", "yellow"), ("LANE_STATE_FLASHING_STOP", ""), ("TRAFFIC_LIGHT_UNKNOWN", ""), (None, ""), (3, "")],
)  # fmt: skip
def test_states_are_named_as_ours(said: Any, state: str) -> None:
    assert state_of(said) == state


def _change(path: str, value: Any) -> dict[str, Any]:
    said: Any = scene()
    *way, last = path.split(".")
    part = said
    for key in way:
        part = part[key]
    part[last] = value
    return dict(said)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("metadata.sdc_id", "nobody", "sdc_id"),
        ("metadata.ts", np.array([0.0, 0.1, np.nan]), "ts"),
        ("metadata.ts", np.zeros(41), "time does not advance"),
        ("metadata.ts", "soon", "ts"),
        ("tracks.ego.state.position", np.full((41, 3), np.inf), "ego"),
        ("tracks.31.state.position", np.full((41, 3), np.nan), "'31'].state: place is nan"),
        ("tracks.31.state.length", np.zeros(41), "has size"),
        ("tracks.31.state.valid", np.ones(7), "31"),
        ("tracks.31.state.velocity", None, "31"),
        ("tracks.31", [], "31"),
        ("tracks", [], "not a dict"),
        ("map_features.11.polyline", np.full((5, 2), np.nan), "11"),
        ("dynamic_map_states.13", "red", "13"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(tmp_path: Path, path: str, value: Any, words: str) -> None:
    _, report = ingest_scene(_change(path, value), tmp_path)
    assert report.quarantined[0].kind == "BadData"
    assert words in report.quarantined[0].reason


def test_a_scene_without_a_map_or_lights_is_a_drive(tmp_path: Path) -> None:
    said = scene()
    del said["map_features"], said["dynamic_map_states"]
    store, report = ingest_scene(said, tmp_path)
    assert report.quarantined == ()
    assert read_table(store, "DRIVES").to_pylist()[0]["has_map"] is False


@pytest.mark.parametrize("path", ["tracks.31.metadata.type", "tracks.31.type", "metadata.map", "map_features.11.exit_lanes"])
def test_an_array_in_the_place_of_a_word_says_nothing(tmp_path: Path, path: str) -> None:
    store, report = ingest_scene(_change(path, np.ones(3)), tmp_path)
    assert report.quarantined == ()
    assert read_table(store, "DRIVES").num_rows == 1


def test_a_summary_of_scenes_is_no_scene(tmp_path: Path) -> None:
    _, report = ingest_scene({"sd_waymo_1.pkl": {"dataset": "waymo"}}, tmp_path)
    assert "holds no ScenarioNet scene" in report.quarantined[0].reason


def test_a_hostile_pickle_is_refused_by_name_and_never_run(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    _, report = ingest_scene(scene() | {"metadata": Hostile()}, tmp_path)
    assert "posix.mkdir" in report.quarantined[0].reason
    assert report.quarantined[0].kind == "BadData"
    assert not (tmp_path / "owned").exists()


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recording at {REAL}: set FLYWHEEL_REAL_DATA")
def test_the_real_scenes(tmp_path: Path) -> None:
    """The README's five scenes of about 20 s at 10 Hz with tracks and map; of each file's tracks one is the ego."""
    store, report = ingest(REAL, tmp_path)
    assert report.quarantined == ()
    drives = {row["source_name"][-8:-4]: row for row in read_table(store, "DRIVES").to_pylist()}
    assert {name: row["tracks"] + 1 for name, row in drives.items()} == {"0061": 226, "0553": 57, "0757": 30, "1077": 73, "1100": 33}
    assert {name: row["signal_rows"] for name, row in drives.items()} == {"0061": 191, "0553": 201, "0757": 201, "1077": 201, "1100": 196}
    assert all(19.0 <= row["duration_s"] <= 20.0 and row["has_map"] for row in drives.values())
    assert sum(row["lane_rows"] for row in drives.values()) > 0.99 * sum(row["signal_rows"] for row in drives.values())
    assert drives["1077"]["root_group"] == "nuscenes|2018-11-21|singapore-hollandvillage"
    tracks = frame(store, "TRACKS")
    cars = tracks[(tracks.cls == "car") & (np.hypot(tracks.vx_mps, tracks.vy_mps) > 3)]
    apart = np.angle(np.exp(1j * (np.arctan2(cars.vy_mps, cars.vx_mps) - cars.heading_rad)))
    assert np.median(np.abs(apart)) < 0.1, "cars move where they point"
    signals = frame(store, "SIGNALS")
    assert signals.ax_mps2.abs().max() < 4, "no converter's jump is taken for braking"
    print({name: (row["tracks"], row["track_rows"], row["signal_rows"], row["lane_rows"]) for name, row in drives.items()})
