import numpy as np
import pytest

from flywheel.geometry import image_boxes, nearest_instant, project_box, rotation

# Optical axes in ego axes: right = -y, down = -z, forward = +x.
FRAME = {
    "width_px": 320, "height_px": 180, "fx_px": 260.0, "fy_px": 260.0, "cx_px": 160.0, "cy_px": 90.0,
    "cam_x_m": 0.0, "cam_y_m": 0.0, "cam_z_m": 1.5, "cam_qw": 0.5, "cam_qx": -0.5, "cam_qy": 0.5, "cam_qz": -0.5,
}  # fmt: skip
BOX = {
    "track_id": "t", "cls": "car", "x_m": 22.0, "y_m": 0.0, "z_m": 1.5, "heading_rad": 0.0,
    "length_m": 4.0, "width_m": 2.0, "height_m": 1.5, "visible": True,
}  # fmt: skip


def test_the_quaternion_turns_optical_axes_into_ego_axes():
    turn = rotation((0.5, -0.5, 0.5, -0.5))
    np.testing.assert_allclose(turn @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(turn @ [1, 0, 0], [0, -1, 0], atol=1e-12)


def test_a_box_straight_ahead_projects_to_its_pinhole_size():
    seen = project_box(BOX, FRAME)
    assert seen is not None
    assert seen.x1_px - seen.x0_px == pytest.approx(260 * 2.0 / 20.0)
    assert (seen.x0_px + seen.x1_px) / 2 == pytest.approx(160)
    assert seen.distance_m == pytest.approx(22.0)


@pytest.mark.parametrize("change", [{"x_m": -20.0}, {"y_m": 60.0}])
def test_boxes_behind_or_beside_are_not_seen(change):
    assert project_box({**BOX, **change}, FRAME) is None


def test_invisible_rows_and_frames_without_calibration_give_no_boxes():
    assert image_boxes([{**BOX, "visible": False}], FRAME) == []
    assert image_boxes([BOX], {**FRAME, "fx_px": None}) == []
    assert [b.track_id for b in image_boxes([BOX, {**BOX, "track_id": "near", "x_m": 12.0}], FRAME)] == ["near", "t"]


def test_nearest_instant_respects_its_tolerance():
    times = np.array([0, 100, 200])
    assert nearest_instant(times, 140, tolerance_ns=60) == 100
    assert nearest_instant(times, 300, tolerance_ns=60) is None
    assert nearest_instant(times[:1], 40, tolerance_ns=60) == 0
