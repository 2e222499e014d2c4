"""Outlines and sheets are worked out for many faces at once: each must come out as it does alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flywheel.fleet import paint, raster
from flywheel.fleet.faces import FaceList, Faces, grouped, joined
from flywheel.fleet.scene import Camera, Instant

VIEW = raster.view_of(Instant(t_ns=0, ego_x_m=0.0, ego_y_m=0.0, ego_heading_rad=0.0, ego_speed_mps=0.0), Camera())


def polygons(count: int) -> NDArray[np.float32]:
    """Squares on the ground around the camera: ahead, behind, and across the near plane."""
    rng = np.random.default_rng(3)
    corner = rng.uniform((-12, -8), (20, 8), (count, 2))
    angle = rng.uniform(0, 2 * np.pi, (count, 1)) + np.arange(4) * np.pi / 2
    square = 7.0 * np.stack([np.cos(angle), np.sin(angle)], axis=2)
    return np.concatenate([corner[:, None] + square, np.zeros((count, 4, 1))], axis=2).astype(np.float32)


def test_outlines_together_are_outlines_alone() -> None:
    many = polygons(200)
    shapes, _ = raster.outlines(many, VIEW)
    assert sum(shape is None for shape in shapes) > 20
    assert len({len(shape) for shape in shapes if shape is not None}) > 1, "some must be cut at the near plane"
    for polygon, shape in zip(many, shapes, strict=True):
        if shape is not None:
            cut = raster.clip_near(raster.to_optical(polygon, VIEW))
            alone = raster.fixed(raster.to_samples(cut, VIEW))
            np.testing.assert_array_equal(shape, alone)


def wall(x_m: float, half_m: float) -> Faces:
    """A square that faces the camera."""
    out = FaceList(cls=1)
    out.face([(x_m, half_m, 0), (x_m, -half_m, 0), (x_m, -half_m, 2 * half_m), (x_m, half_m, 2 * half_m)], (1, 1, 1))
    return out.build()


def drawn(*walls: Faces) -> NDArray[np.int32]:
    """Ids after the walls are drawn; the first is 1, the next 4."""
    canvas = raster.blank(VIEW)
    paint.paint_faces(canvas, joined(walls), VIEW, first_id=1, stamps=[])
    return canvas.ids


@pytest.mark.parametrize("order", [(10.0, 20.0), (20.0, 10.0)])
def test_the_nearer_face_wins_in_any_order(order: tuple[float, float]) -> None:
    ids = drawn(*(wall(x_m, x_m / 10) for x_m in order))
    assert ids[170, 320] == (1 if order[0] < order[1] else 4)


def test_within_a_group_the_last_painted_wins_and_between_groups_the_nearer() -> None:
    far, near = wall(20.0, 1.0), wall(10.0, 1.0)
    whole = drawn(grouped(joined([near, far]), 0))
    assert {int(i) for i in np.unique(whole)} == {0, 1, 4}
    assert whole[180, 320] == 4, "painted later, though farther"
    assert drawn(grouped(near, 0), grouped(far, 1))[180, 320] == 1


def test_a_group_shows_what_its_faces_show_alone() -> None:
    small, large = wall(12.0, 0.5), wall(30.0, 3.0)
    shown = np.where(drawn(small) > 0, 1, np.where(drawn(large) > 0, 4, 0))
    np.testing.assert_array_equal(drawn(grouped(joined([large, small]), 0)), np.where(shown > 0, 5 - shown, 0))
    np.testing.assert_array_equal(drawn(grouped(small, 0), grouped(large, 7)), shown)
