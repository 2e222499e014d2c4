"""CommonRoad scenarios: who stands in as the ego, lanes and lights on made scenarios of two versions, counts on the real ones."""

import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as et

import numpy as np
import pandas as pd
import pytest

from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table
from tests.ingest import make_road as road
from tests.ingest.make_commonroad import GREEN_STEPS, RED_STEPS, make_commonroad, scenario

REAL = Path(os.environ.get("FLYWHEEL_REAL_DATA", Path(__file__).parents[2] / "../shared/data"), "commonroad_ngsim")
FRONT_M = 3.7


def ingest(folder: Path, root: Path) -> tuple[DiskStore, IngestReport]:
    """A folder's logs in a new store."""
    store = DiskStore(root)
    return store, ingest_batch(store, land(store, folder))


def ingest_text(text: bytes, tmp_path: Path) -> tuple[DiskStore, IngestReport]:
    """One file in a new store."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/scenario.xml").write_bytes(text)
    return ingest(tmp_path / "logs", tmp_path / "root")


def frame(store: DiskStore, table: str) -> pd.DataFrame:
    """A table as a data frame."""
    return read_table(store, table).to_pandas()


@pytest.mark.parametrize("version", ["2018b", "2020a"])
def test_both_versions_give_the_same_motion(tmp_path: Path, version: str) -> None:
    store, report = ingest(make_commonroad(tmp_path / "logs", version=version), tmp_path / "root")
    assert report.quarantined == ()
    drive = read_table(store, "DRIVES").to_pylist()[0]
    assert (drive["vehicle_id"], drive["place"], drive["clock"]) == ("commonroad-stand-in", "ZAM_Made-1", "relative")
    assert "ego" in drive["derived"] and "speed_mps" not in drive["derived"]
    said = {w.gate: w.message for w in report.warnings if w.gate != "tracks"}
    assert "obstacle 40 (car), present longest (4.0 s)" in said["ego"]
    assert report.rows["TRACKS"] == (road.COUNT - 10) + road.COUNT, "the car for a part, the parked one all the time"
    signals = frame(store, "SIGNALS")
    assert signals.speed_mps.to_numpy() == pytest.approx(road.SPEED_MPS)
    assert (signals.x_m[0], signals.y_m[0]) == pytest.approx(tuple(road.world([[road.X0_M, 1.75]])[0]))
    first = frame(store, "TRACKS").drop_duplicates("track_id").set_index("track_id")
    assert (first.x_m["41"], first.y_m["41"], first.z_m["41"], first.vx_mps["41"]) == pytest.approx((20.0, -3.5, 0.8, 12.0))
    assert (first.x_m["42"], first.vx_mps["42"]) == pytest.approx((30.0, 0.0))
    lanes = frame(store, "LANES")
    assert (lanes.lane_id[0], lanes.lane_index[0]) == ("11", 1)
    assert (lanes.offset_m[0], lanes.width_m[0]) == pytest.approx((0.0, 3.5))


def test_a_light_and_a_stop_line_of_2020a(tmp_path: Path) -> None:
    store, report = ingest(make_commonroad(tmp_path / "logs"), tmp_path / "root")
    assert any("1 phantom" in w.message for w in report.warnings)
    lanes, lights = frame(store, "LANES"), frame(store, "LIGHTS")
    assert lanes.stop_line_m[0] == pytest.approx(road.STOP_M - road.X0_M - FRONT_M)
    assert lanes.junction_m[0] == pytest.approx(road.JUNCTION_M - road.X0_M - FRONT_M)
    assert lights.stop_line_m.to_numpy() == pytest.approx([road.STOP_M - road.X0_M - FRONT_M - k for k in range(road.COUNT)])
    cycle = ["red"] * RED_STEPS + ["green"] * GREEN_STEPS
    assert lights.state.tolist() == [cycle[(k - 5) % len(cycle)] for k in range(road.COUNT)]


def drop(path: str) -> Callable[[et.Element], None]:
    """Removes all children with a tag from the elements at a path."""

    def change(root: et.Element) -> None:
        *way, tag = path.split("/")
        for parent in root.findall("/".join(way) or "."):
            for child in parent.findall(tag):
                parent.remove(child)

    return change


def put(path: str, text: str) -> Callable[[et.Element], None]:
    """Sets the text of the first element at a path."""

    def change(root: et.Element) -> None:
        found = root.find(path)
        assert found is not None
        found.text = text

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (drop("dynamicObstacle"), "no drive"),
        (lambda root: root.set("timeStepSize", "0"), "timeStepSize"),
        (lambda root: root.attrib.pop("timeStepSize"), "timeStepSize"),
        (put("dynamicObstacle/initialState/velocity/exact", "fast"), "obstacle 40"),
        (put("dynamicObstacle/initialState/position/point/x", "nan"), "obstacle 40"),
        (put("dynamicObstacle/initialState/time/exact", "1e12"), "time"),
        (put("dynamicObstacle/shape/rectangle/length", "-3"), "size"),
        (put("lanelet/leftBound/point/y", "inf"), "lanelet 11"),
        (put("trafficLight/cycle/cycleElement/duration", "-4"), "traffic light 60"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(tmp_path: Path, change: Callable[[et.Element], None], words: str) -> None:
    root = scenario()
    change(root)
    _, report = ingest_text(et.tostring(root), tmp_path)
    assert report.quarantined[0].kind == "BadData"
    assert words in report.quarantined[0].reason


def test_speeds_that_are_not_given_are_derived(tmp_path: Path) -> None:
    root = scenario()
    for state in root.iter():
        for velocity in state.findall("velocity"):
            state.remove(velocity)
    store, report = ingest_text(et.tostring(root), tmp_path)
    assert report.quarantined == ()
    assert "speed_mps" in read_table(store, "DRIVES").to_pylist()[0]["derived"]
    assert frame(store, "SIGNALS").speed_mps.to_numpy() == pytest.approx(road.SPEED_MPS, abs=1e-6)
    assert frame(store, "TRACKS").query("track_id == '41'").vx_mps.to_numpy() == pytest.approx(12.0, abs=1e-6)


def test_headings_that_are_not_given_are_where_things_move(tmp_path: Path) -> None:
    root = scenario()
    for state in root.iter():
        for heading in state.findall("orientation"):
            state.remove(heading)
    store, report = ingest_text(et.tostring(root), tmp_path)
    assert report.quarantined == ()
    assert {"heading_rad", "TRACKS.heading_rad"} <= set(read_table(store, "DRIVES").to_pylist()[0]["derived"])
    assert frame(store, "SIGNALS").heading_rad.to_numpy() == pytest.approx(road.TURN, abs=1e-6)
    moving = frame(store, "TRACKS").query("track_id == '41'")
    assert (moving.heading_rad.to_numpy(), moving.vx_mps.to_numpy()) == (pytest.approx(0.0, abs=1e-6), pytest.approx(12.0))


def test_uncertain_places_shapes_and_times_are_taken_at_their_middle(tmp_path: Path) -> None:
    root = scenario()
    state = root.find("dynamicObstacle[@id='41']/initialState")
    assert state is not None
    position, shape = state.find("position"), root.find("dynamicObstacle[@id='41']/shape")
    assert position is not None and shape is not None
    point = position.find("point")
    assert point is not None
    box = et.SubElement(position, "rectangle")
    et.SubElement(box, "center").extend(list(point))
    position.remove(point)
    shape.clear()
    et.SubElement(et.SubElement(shape, "circle"), "radius").text = "1.5"
    store, report = ingest_text(et.tostring(root), tmp_path)
    assert report.quarantined == ()
    first = frame(store, "TRACKS").drop_duplicates("track_id").set_index("track_id")
    assert (first.x_m["41"], first.length_m["41"], first.width_m["41"]) == pytest.approx((20.0, 3.0, 3.0))


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><commonRoad>&b;</commonRoad>'
)
OUTSIDE = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><commonRoad timeStepSize="0.1">&e;</commonRoad>'


@pytest.mark.parametrize(
    "text", [BOMB, OUTSIDE, b"<commonRoad ", b"<commonRoad >" * 5000, b'<?xml version="1.0" encoding="x-none"?><commonRoad />']
)
def test_entity_bombs_and_broken_xml_are_refused(tmp_path: Path, text: bytes) -> None:
    _, report = ingest_text(text, tmp_path)
    assert report.quarantined[0].kind == "BadData"
    assert "XML" in report.quarantined[0].reason
    assert "root:" not in report.quarantined[0].reason


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real recording at {REAL}: set FLYWHEEL_REAL_DATA")
def test_the_real_scenarios(tmp_path: Path) -> None:
    """The README's two NGSIM scenarios at 0.1 s; every recorded state is there, the stand-in's as SIGNALS."""
    store, report = ingest(REAL, tmp_path)
    assert report.quarantined == ()
    drives = {row["place"]: row for row in read_table(store, "DRIVES").to_pylist()}
    assert {name: (row["signal_rows"], row["track_rows"], row["tracks"] + 1) for name, row in drives.items()} == {
        "USA_Lanker-1": (41, 938 - 41, 24), "USA_US101-3": (32, 384 - 32, 12),
    }  # fmt: skip
    signals = frame(store, "SIGNALS").sort_values(["drive_id", "t_ns"])
    assert set(np.diff(signals.t_ns[signals.drive_id == signals.drive_id.iloc[0]])) == {100_000_000}
    for row in drives.values():
        assert row["lane_rows"] == row["signal_rows"]
    ego = signals[signals.drive_id == drives["USA_US101-3"]["drive_id"]]
    driven = np.hypot(np.diff(ego.x_m), np.diff(ego.y_m)).sum()
    assert driven == pytest.approx(drives["USA_US101-3"]["distance_m"], rel=0.05), "recorded speeds and places agree"
    print({name: (row["tracks"], row["track_rows"], row["signal_rows"], row["lane_rows"]) for name, row in drives.items()})
