"""Controls: from the log where it has them, else from a named estimator, else not at all."""

from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
from generate_drives import BATCH, STEP, T0, Darkening, scene

from flywheel.errors import BadData
from flywheel.fleet.render import CLASSES as FLEET_CLASSES
from flywheel.fleet.render import FRONT as CAMERA
from flywheel.fleet.render import render
from flywheel.fleet.scene import Actor, Instant, World
from flywheel.generate.controls import CLASSES, COLOURS, Controls, depth_of_boxes, depth_picture, edges_picture
from flywheel.generate.plan import plan_batch
from flywheel.generate.protocol import GenerateInput, Output
from flywheel.generate.provenance import read_provenance
from flywheel.generate.run import run_plan
from flywheel.geometry import box_distance, ground_distance
from flywheel.store import Store, put_media
from flywheel.tables import read_table, rows_table, write_table
from flywheel.types import Condition

FRONT = {"drive_id": "drive-b", "camera": "front"}


def png(plane: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", plane)[1])


def put_frame(store: Store, kind: str, plane: np.ndarray, *, t_ns: int = T0) -> str:
    """A depth or segmentation frame of drive-b's front camera."""
    sha256 = put_media(store, png(plane), "png")
    rows = read_table(store, "FRAMES", batch_id=BATCH, part="drive-b").to_pylist()
    more = {**rows[0], "t_ns": t_ns, "kind": kind, "media_sha256": sha256, "width_px": plane.shape[1], "height_px": plane.shape[0]}
    write_table(store, "FRAMES", rows_table("FRAMES", [*rows, more]), batch_id=BATCH, part="drive-b")
    return sha256


@dataclass(frozen=True)
class Flat:
    """An estimator that has been told the answer."""

    name: str = "flat-7"

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        return np.full(rgb.shape[:2], 7, np.float32)


def test_edges_are_the_frames_own() -> None:
    drawn = edges_picture(scene())
    assert set(np.unique(drawn)) == {0, 255} and drawn.shape == scene().shape
    assert drawn[45:63, 68:96].any(), "the car has an outline"


def test_depth_frames_of_the_log_come_first(store: Store) -> None:
    plane = np.full((45, 80), 2000, np.uint16)
    plane[:10], plane[20:30, 20:40], plane[40:, :] = 65535, 500, 0
    sha256 = put_frame(store, "depth", plane, t_ns=T0 + 20_000_000)
    found = Controls(store, BATCH).of(scene(), **FRONT, t_ns=T0, wants=("depth",), estimators={"depth": Flat()})[0]
    assert found.source == f"log: depth frame {sha256}" and found.rgb.shape == scene().shape
    assert found.rgb[50, 60, 0] == 255 and found.rgb[5, 5, 0] == 0, "near is white, no measurement in the sky is far"
    assert found.rgb[85, 5, 0] == found.rgb[75, 5, 0], "a hole takes its neighbour's depth"


def test_without_a_depth_frame_boxes_and_ground_make_it(store: Store) -> None:
    found = Controls(store, BATCH).of(scene(), **FRONT, t_ns=T0, wants=("depth",), estimators={"depth": Flat()})[0]
    assert found.source.startswith("log: boxes-over-ground-1")
    assert found.rgb[5, 80, 0] == 0 and found.rgb[88, 80, 0] > 200, "sky is far, the road at our feet is near"


def test_depth_of_boxes_is_the_renderers_depth() -> None:
    """Against the sample fleet's exact depth image: a car on a flat, empty plane."""
    car = Actor(
        actor_id="1", cls="car", x_m=16.0, y_m=0.5, heading_rad=0.3, length_m=4.6, width_m=1.85, height_m=1.5, speed_mps=0.0, seed=3
    )
    instant = Instant(t_ns=0, ego_x_m=0.0, ego_y_m=0.0, ego_heading_rad=0.0, ego_speed_mps=0.0, actors=(car,))
    truth = render(World(lanes=(), markings=(), crosswalks=(), blocks=()), instant, Condition()).depth_m
    frame = camera_row(CAMERA)
    box = {"x_m": 16.0, "y_m": 0.5, "z_m": 0.75, "heading_rad": 0.3, "length_m": 4.6, "width_m": 1.85, "height_m": 1.5}
    made = depth_of_boxes(frame, [box], size=truth.shape)
    near = truth < 40
    assert np.median(np.abs(made - truth)[near]) < 0.05
    on_car = np.isfinite(box_distance(box, frame, size=truth.shape))
    assert np.median(np.abs(made - truth)[on_car & near]) < 0.5
    assert np.isinf(ground_distance(frame, size=truth.shape)[0]).all()


def camera_row(camera: Any) -> dict[str, Any]:
    """The sample camera as a FRAMES row: it looks along the ego's x axis, pitched down about y."""
    c, s = np.cos(camera.pitch_rad / 2), np.sin(camera.pitch_rad / 2)
    w, x, y, z = 0.5, -0.5, 0.5, -0.5
    turned = {"cam_qw": c * w - s * y, "cam_qx": c * x + s * z, "cam_qy": c * y + s * w, "cam_qz": c * z - s * x}
    sizes = {name: getattr(camera, name) for name in ("width_px", "height_px", "fx_px", "fy_px", "cx_px", "cy_px")}
    return sizes | turned | {"cam_x_m": camera.x_m, "cam_y_m": 0.0, "cam_z_m": camera.z_m}


def test_segmentation_comes_from_the_log_or_an_estimator_or_not_at_all(store: Store) -> None:
    controls, wants = Controls(store, BATCH), ("segmentation",)
    with pytest.raises(BadData, match=r"no segmentation for camera front .* segmentation_estimator="):
        controls.of(scene(), **FRONT, t_ns=T0, wants=wants, estimators={})
    found = controls.of(scene(), **FRONT, t_ns=T0, wants=wants, estimators={"segmentation": Flat()})[0]
    assert found.source == "estimator: flat-7" and np.array_equal(found.rgb[0, 0], COLOURS[7])
    put_frame(store, "segmentation", np.full((90, 160), 1, np.uint8))
    found = Controls(store, BATCH).of(scene(), **FRONT, t_ns=T0, wants=wants, estimators={"segmentation": Flat()})[0]
    assert found.source.startswith("log: segmentation frame") and np.array_equal(found.rgb[0, 0], CLASSES["road"])
    put_frame(store, "segmentation", np.full((90, 160), 99, np.uint8), t_ns=T0 + STEP)
    with pytest.raises(BadData, match="class 99"):
        Controls(store, BATCH).of(scene(), **FRONT, t_ns=T0 + STEP, wants=wants, estimators={})


def test_our_classes_are_the_sample_fleets() -> None:
    assert tuple(CLASSES) == FLEET_CLASSES


def test_depth_pictures_do_not_hang_on_the_unit() -> None:
    depth = np.random.default_rng(0).uniform(2, 80, (20, 30)).astype(np.float32)
    assert np.array_equal(depth_picture(depth), depth_picture(depth * 100))


class Steered(Darkening):
    """Wants two controls and paints the depth's brightness into the frame."""

    wants = ("edges", "depth")
    estimators: ClassVar[dict[str, Any]] = {}

    def _one(self, item: GenerateInput) -> Output:
        assert [control.kind for control in item.controls] == ["edges", "depth"]
        return (item.rgb // 2 + item.controls[1].rgb // 4).astype(np.uint8)


def test_the_runner_gives_controls_and_the_record_names_their_sources(store: Store) -> None:
    generator = Steered()
    plan = plan_batch(store, BATCH, generator=generator.info, budget=2)
    assert run_plan(store, plan, generator).done == 2
    for row in read_table(store, "VARIATIONS").to_pylist():
        record = read_provenance(store, row["output_sha256"])
        assert "canny" in str(record.drawn_at["control_edges"]) and "boxes-over-ground" in str(record.drawn_at["control_depth"])


class Classed(Steered):
    wants = ("segmentation",)


def test_a_frame_without_its_control_is_not_drawn(store: Store) -> None:
    plan = plan_batch(store, BATCH, generator=Classed().info, budget=2)
    report = run_plan(store, plan, Classed())
    assert report.failed == 2 and all("no segmentation for camera" in reason for reason in report.reasons)
