"""A real small fleet: SUMO runs, logs are written, and the same seed gives the same bytes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flywheel.errors import BadData
from flywheel.fleet import make
from flywheel.fleet.drive import drive_of, instants, world
from flywheel.fleet.make import FleetReport, drive_scenes, make_fleet
from flywheel.fleet.network import network_of
from flywheel.fleet.road import places, road_of
from flywheel.fleet.script import ALL_NEAR, ALL_PLANTED, PLANTED, plan_of, slot_of
from flywheel.fleet.sight import visible
from flywheel.fleet.truth import truth_of
from flywheel.fleet.write import quaternion
from flywheel.geometry import rotation
from flywheel.types import Condition, sha256_hex

SEED, DRIVES = 11, 2


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FleetReport]:
    """Two drives in two worker processes."""
    out = tmp_path_factory.mktemp("fleet")
    return out, make_fleet(out, drives=DRIVES, seed=SEED, camera=False, workers=2)


def messages(path: Path) -> dict[str, list[tuple[int, bytes]]]:
    from mcap.reader import make_reader

    found: dict[str, list[tuple[int, bytes]]] = {}
    with path.open("rb") as stream:
        for _, channel, message in make_reader(stream).iter_messages():
            assert message.log_time == message.publish_time
            found.setdefault(channel.topic, []).append((message.log_time, message.data))
    return found


def test_the_fleet_is_complete(fleet: tuple[Path, FleetReport]) -> None:
    out, report = fleet
    assert sorted(p.name for p in out.iterdir()) == ["drive-0000.mcap", "drive-0001.mcap", "truth.json"]
    truth = json.loads((out / "truth.json").read_text())
    assert [row["kind"] for row in truth["drives"]] == ["pedestrian_crossing", "cut_in"]
    assert {"pedestrian_crossing", "cut_in"} <= {row["scenario"] for row in truth["events"]}
    assert report.drives == report.files == DRIVES and report.bytes == sum(p.stat().st_size for p in out.glob("*.mcap"))
    assert report.events["pedestrian_crossing"] == 1


def test_same_seed_same_bytes(fleet: tuple[Path, FleetReport], tmp_path: Path) -> None:
    out, _ = fleet
    make.make_drive(tmp_path, seed=SEED, index=1, camera=False)
    assert sha256_hex((tmp_path / "drive-0001.mcap").read_bytes()) == sha256_hex((out / "drive-0001.mcap").read_bytes())


def test_a_killed_run_goes_on(fleet: tuple[Path, FleetReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the parts of both drives there, nothing is simulated again and the truth is the same."""
    out, _ = fleet
    for path in out.glob("*.mcap"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    truth = json.loads((out / "truth.json").read_text())
    for index, row in enumerate(truth["drives"]):
        part: dict[str, Any] = {"drive": row}
        for key in ("events", "borderline", "near_misses"):
            part[key] = [e for e in truth[key] if e["drive"] == row["drive"]]
        (tmp_path / ".parts").mkdir(exist_ok=True)
        (tmp_path / ".parts" / f"{index:04d}-{SEED}-plain.json").write_text(json.dumps(part))
    monkeypatch.setattr(make, "clear_drive", None)
    make_fleet(tmp_path, drives=DRIVES, seed=SEED, camera=False, workers=1)
    assert (tmp_path / "truth.json").read_bytes() == (out / "truth.json").read_bytes()


def test_another_fleets_folder_is_refused(fleet: tuple[Path, FleetReport]) -> None:
    with pytest.raises(BadData, match="another fleet"):
        make_fleet(fleet[0], drives=DRIVES, seed=SEED + 1, camera=False)
    with pytest.raises(ValueError, match="at least one"):
        make_fleet(fleet[0], drives=0, seed=SEED)


def test_streams_have_their_rates(fleet: tuple[Path, FleetReport]) -> None:
    found = messages(fleet[0] / "drive-0000.mcap")
    for topic, period in (("/ego/state", 10), ("/imu", 10), ("/gnss", 100), ("/tracks", 100), ("/lane", 100), ("/environment", 1000)):
        times = np.array([t for t, _ in found[topic]])
        assert set(np.diff(times)) == {period * 1_000_000}, topic


def test_a_short_gap_is_a_near_miss_in_the_log(fleet: tuple[Path, FleetReport]) -> None:
    truth = json.loads((fleet[0] / "truth.json").read_text())
    miss = next(row for row in truth["near_misses"] if row["scenario"] == "sensor_dropout")
    steps = {
        topic: np.diff([t for t, _ in rows]).max()
        for topic, rows in messages(fleet[0] / "drive-0001.mcap").items()
        if topic in ("/imu", "/gnss")
    }
    assert sorted(steps.values())[-1] == 400_000_000 == miss["t1_ns"] - miss["t0_ns"]
    assert miss["drive"] == "drive-0001" and "0.4 s" in miss["why"]


def test_logs_say_who_and_where(fleet: tuple[Path, FleetReport]) -> None:
    from mcap.reader import make_reader

    with (fleet[0] / "drive-0000.mcap").open("rb") as stream:
        rows = [m for m in make_reader(stream).iter_metadata() if m.name == "flywheel.drive"]
    assert rows[0].metadata == {"vehicle_id": "veh-01", "place": "elmfield", "day": "2026-03-02", "clock": "utc", "licence": "CC0-1.0"}


def test_tracks_are_where_the_actors_are(fleet: tuple[Path, FleetReport]) -> None:
    from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate

    scenes = drive_scenes(seed=SEED, index=1, drives=DRIVES)
    t_ns, data = messages(fleet[0] / "drive-0001.mcap")["/tracks"][100]
    scene = next(i for i in scenes.instants if i.t_ns == t_ns)
    entity = next(e for e in SceneUpdate.FromString(data).entities if e.id == "cutter")
    actor = next(a for a in scene.actors if a.actor_id == "cutter")
    seen = np.array([entity.cubes[0].pose.position.x, entity.cubes[0].pose.position.y])
    cos, sin = np.cos(scene.ego_heading_rad), np.sin(scene.ego_heading_rad)
    dx, dy = actor.x_m - scene.ego_x_m, actor.y_m - scene.ego_y_m
    assert seen == pytest.approx([cos * dx + sin * dy, -sin * dx + cos * dy], abs=0.5)
    words = {pair.key: pair.value for pair in entity.metadata}
    assert words["cls"] == "car" and words["visible"] in ("true", "false") and float(words["vx_mps"]) > 5


def test_traffic_keeps_to_its_lanes() -> None:
    """Nobody is on the wrong side, walkers walk on sidewalks, and no box overlaps the ego's."""
    drive = drive_of(seed=SEED, index=7)
    place, kinds = drive.place, {m.cls for m in drive.movers}
    assert {"car", "truck", "pedestrian"} <= kinds
    for m in drive.movers:
        s, d = drive.road.project(m.x_m[::10], m.y_m[::10])
        along = np.abs(s - place.junction_s_m) > 12
        if m.actor_id.startswith("walk_"):
            assert np.nanmin(np.abs(d[along]), initial=99) > place.kerb_m + 2
        gap = np.hypot(m.x_m - drive.ego.x_m, m.y_m - drive.ego.y_m)
        assert np.nanmin(gap) > 2.5, m.actor_id


def test_scenes_are_repeatable_and_bounded() -> None:
    drive = drive_of(seed=SEED, index=1)
    still, moments = world(drive), instants(drive)
    assert len(still.lanes) >= 10 and still.blocks and still.posts and still.signals and len(still.crosswalks) == 4
    assert len(moments) == round(drive.plan.duration_s * 10) + 1
    assert {a.actor_id.split(".")[0] for a in moments[50].actors} >= {"cutter", "parked"}
    assert instants(drive_of(seed=SEED, index=1))[50] == moments[50]
    with pytest.raises(ValueError, match="is not one of"):
        drive_scenes(seed=SEED, index=2, drives=2)


def test_a_van_hides_a_pedestrian() -> None:
    from flywheel.fleet.scene import Actor, Instant

    def actor(name: str, x: float, cls: str, length: float, width: float, height: float) -> Actor:
        return Actor.model_validate(
            {"actor_id": name, "cls": cls, "x_m": x, "y_m": 0.0, "heading_rad": 0.0, "length_m": length, "width_m": width}
            | {"height_m": height, "speed_mps": 0.0}
        )

    walker, van = actor("p", 20.0, "pedestrian", 0.5, 0.5, 1.75), actor("v", 12.0, "truck", 5.7, 2.0, 2.5)
    scene = Instant(t_ns=0, ego_x_m=0.0, ego_y_m=0.0, ego_heading_rad=0.0, ego_speed_mps=0.0, actors=(walker, van))
    assert visible(scene) == [False, True]
    assert visible(scene.model_copy(update={"actors": (walker,)})) == [True]


def test_every_first_dozen_of_four_holds_the_core_and_the_others_go_through_all_families() -> None:
    slots = [slot_of(i, seed=SEED) for i in range(500)]
    for start in (0, 48, 96):
        assert {s.act for s in slots[start : start + 12] if not s.near} >= set(PLANTED)
    assert {s.act for s in slots if not s.near} == {"quiet", *ALL_PLANTED}
    assert {s.act for s in slots if s.near} == set(ALL_NEAR)
    groups = {(s.vehicle_id, s.day, s.place) for s in slots[:12]}
    assert len(groups) == 6
    assert max(set(names := [s.condition.name for s in slots]), key=names.count) == "day_clear"
    assert len({s.condition.name for s in slots}) == 13


def test_plans_do_not_depend_on_the_fleets_length() -> None:
    a, b = plan_of(slot_of(4, seed=SEED), seed=SEED), plan_of(slot_of(4, seed=SEED), seed=SEED)
    assert np.array_equal(a.ego.x_m, b.ego.x_m)
    assert not np.array_equal(a.ego.x_m, plan_of(slot_of(4, seed=SEED), seed=SEED, attempt=1).ego.x_m)


def test_the_light_is_red_while_the_ego_stands() -> None:
    drive = drive_of(seed=SEED, index=7)
    event = next(e for e in truth_of(drive) if e.scenario == "red_light_stop")
    scene = instants(drive)[(event.start + 100) // 10]
    assert scene.lights["J-main"] == "red" and scene.lights["J-north"] in ("green", "yellow")


def test_camera_mounting_matches_geometry() -> None:
    from flywheel.fleet.scene import Camera

    camera = Camera()
    turn, p = rotation(quaternion(camera)), camera.pitch_rad
    assert turn @ [0, 0, 1] == pytest.approx([np.cos(p), 0, -np.sin(p)])
    assert turn @ [1, 0, 0] == pytest.approx([0, -1, 0])


def test_stop_line_lies_before_the_junction() -> None:
    network, place = network_of(places(1)[2]), places(1)[2]
    assert place.junction_s_m - 12 < network.stop_line_s_m < network.junction_in_s_m < place.junction_s_m < network.junction_out_s_m
    x, _, _ = road_of(place).pose(network.junction_in_s_m)
    assert min(px for px, _ in network.junction_outline) == pytest.approx(float(x), abs=0.1)


def test_condition_parses_back() -> None:
    assert Condition.parse(slot_of(3, seed=SEED).condition.name).lighting == "night"


def test_the_camera_sees_the_scene() -> None:
    import cv2
    from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage

    from flywheel.fleet.scene import Camera
    from flywheel.fleet.write import _frames

    drive = drive_of(seed=SEED, index=1)
    found = {topic: CompressedImage.FromString(data) for _, topic, data in _frames(drive, instants(drive)[:1], Camera())}
    pixels: dict[str, Any] = {
        topic: cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_UNCHANGED) for topic, image in found.items()
    }
    rgb, depth, labels = (pixels[f"/camera/front{part}"] for part in ("", "/depth", "/segmentation"))
    assert rgb.shape == (180, 320, 3) and depth.shape == labels.shape == (180, 320)
    assert depth.dtype == np.uint16 and labels.dtype == np.uint8 and len(np.unique(labels)) > 3
    assert 300 < depth[170, 160] < 2000 and depth[0, 160] == 65535
