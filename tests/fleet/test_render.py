"""The drawn camera: same bytes, true depth, classes where the boxes are, and conditions that differ in light and weather only."""

import math

import cv2
import numpy as np
import pytest

from flywheel.fleet import render as camera
from flywheel.fleet.scene import Actor, Block, Camera, Instant, World
from flywheel.geometry import project_box
from flywheel.types import CONDITIONS, Condition
from tests.fleet.street import moment, street, user

DAY = Condition()
WORLD = street()


def instant_with(*actors: Actor, t_ns: int = 0, heading: float = 0.0) -> Instant:
    return Instant(t_ns=t_ns, ego_x_m=0.0, ego_y_m=0.0, ego_heading_rad=heading, ego_speed_mps=0.0, actors=actors)


def track(actor: Actor) -> dict[str, object]:
    """An actor as a TRACKS row for an ego at the origin, heading along x."""
    row = {key: getattr(actor, key) for key in ("cls", "x_m", "y_m", "heading_rad", "length_m", "width_m", "height_m")}
    return {"track_id": actor.actor_id, "z_m": actor.height_m / 2, **row}


@pytest.fixture(scope="module")
def pictures() -> dict[str, camera.Rendered]:
    return {c.name: r for c, r in zip(CONDITIONS, camera.render_many(WORLD, moment(), CONDITIONS), strict=True)}


def test_shapes_and_types(pictures: dict[str, camera.Rendered]) -> None:
    shown = pictures["day_clear"]
    assert shown.rgb.shape == (180, 320, 3) and shown.rgb.dtype == np.uint8
    assert shown.depth_m.shape == (180, 320) and shown.depth_m.dtype == np.float32
    assert shown.segmentation.shape == (180, 320) and shown.segmentation.dtype == np.uint8
    assert set(np.unique(shown.segmentation)) >= {0, 1, 2, 3, 5, 6, 7, 8, 9, 10}
    assert np.isfinite(shown.depth_m).all() and (shown.depth_m > 0).all()
    assert (shown.depth_m[shown.segmentation == 0] == camera.SKY_DEPTH_M).all()


@pytest.mark.parametrize("name", ["day_clear", "night_rain", "dusk_snow"])
def test_same_arguments_give_the_same_bytes_and_sharing_the_base_changes_nothing(name: str, pictures: dict[str, camera.Rendered]) -> None:
    again = camera.render(street(), moment(), Condition.parse(name))
    assert again.rgb.tobytes() == pictures[name].rgb.tobytes()
    assert again.depth_m.tobytes() == pictures[name].depth_m.tobytes()


def test_pairs_share_geometry(pictures: dict[str, camera.Rendered]) -> None:
    day = pictures["day_clear"]
    for name in ("night_rain", "day_snow", "low_sun_clear"):
        alone = camera.render(WORLD, moment(), Condition.parse(name))
        assert np.array_equal(alone.depth_m, day.depth_m) and np.array_equal(alone.segmentation, day.segmentation)


def test_the_seed_moves_texture_but_not_geometry(pictures: dict[str, camera.Rendered]) -> None:
    other = camera.render(WORLD, moment(), DAY, seed=7)
    assert np.array_equal(other.segmentation, pictures["day_clear"].segmentation)
    assert not np.array_equal(other.rgb, pictures["day_clear"].rgb)


def test_every_condition_differs_from_every_other(pictures: dict[str, camera.Rendered]) -> None:
    names = sorted(pictures)
    assert len(names) == 13
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            difference = np.abs(pictures[a].rgb.astype(int) - pictures[b].rgb.astype(int)).mean()
            assert difference > 6.0, (a, b, difference)


def test_conditions_look_like_what_they_are_called(pictures: dict[str, camera.Rendered]) -> None:
    mean = {name: float(p.rgb.mean()) for name, p in pictures.items()}
    assert mean["night_clear"] < 0.55 * mean["day_clear"] and mean["night_clear"] < mean["dusk_clear"] < mean["day_clear"]
    far = (pictures["day_clear"].depth_m > 45) & (pictures["day_clear"].segmentation == 5)
    assert pictures["day_fog"].rgb[far].std() < 0.35 * pictures["day_clear"].rgb[far].std()
    pavement = pictures["day_clear"].segmentation == 3
    assert pictures["day_snow"].rgb[pavement].mean() > pictures["day_rain"].rgb[pavement].mean() + 40
    low = pictures["low_sun_clear"].rgb.reshape(-1, 3).mean(axis=0)
    assert low[0] > low[2] + 25


def test_overlays_depend_on_time_and_stay_subtle() -> None:
    still = moment()
    later = still.model_copy(update={"t_ns": still.t_ns + 1})
    frozen = World(lanes=WORLD.lanes, blocks=WORLD.blocks)
    rain = Condition.parse("day_rain")
    one, two = (camera.render(frozen, i.model_copy(update={"actors": ()}), rain).rgb for i in (still, later))
    difference = np.abs(one.astype(int) - two.astype(int)).mean()
    assert 0.2 < difference < 6.0


def test_depth_of_a_wall_is_its_distance_along_the_optical_axis() -> None:
    wall = Block(x_m=35.0, y_m=0.0, heading_rad=0.0, length_m=10.0, width_m=60.0, height_m=20.0, seed=1)
    shot = Camera(pitch_rad=0.0)
    shown = camera.render(World(blocks=(wall,)), instant_with(), DAY, camera=shot)
    seen = shown.segmentation == 5
    assert seen[60:90].all()
    assert np.allclose(shown.depth_m[seen], 30.0 - shot.x_m, rtol=1e-3)


def test_ground_depth_follows_the_pinhole_model() -> None:
    shot = Camera()
    shown = camera.render(World(), instant_with(), DAY, camera=shot)
    for row in (120, 150, 179):
        slope = (row + 0.5 - shot.cy_px) / shot.fy_px
        expected = shot.z_m / (slope * math.cos(shot.pitch_rad) + math.sin(shot.pitch_rad))
        assert np.allclose(shown.depth_m[row], expected, rtol=2e-3)


@pytest.mark.parametrize("kind", ["car", "truck", "bus", "pedestrian", "cyclist"])
@pytest.mark.parametrize("heading", [0.0, 0.7, math.pi / 2, math.pi, -2.2])
def test_pixels_of_a_road_user_lie_within_its_projected_box(kind: str, heading: float) -> None:
    actor = user(kind, 18.0, 1.5, heading=heading, speed=1.4, seed=3)
    shown = camera.render(World(), instant_with(actor, t_ns=1_234_000_000), DAY)
    rows, columns = np.nonzero(shown.segmentation == {"pedestrian": 8, "cyclist": 9}.get(kind, 7))
    box = project_box(track(actor), camera.camera_frame())
    assert box is not None and len(rows) > 30
    assert columns.min() >= box.x0_px - 1.5 and columns.max() + 1 <= box.x1_px + 1.5
    assert rows.min() >= box.y0_px - 1.5 and rows.max() + 1 <= box.y1_px + 1.5
    assert columns.max() - columns.min() > 0.3 * (box.x1_px - box.x0_px) and rows.max() - rows.min() > 0.85 * (box.y1_px - box.y0_px) - 2
    depth = shown.depth_m[rows, columns]
    reach = math.hypot(actor.length_m, actor.width_m) / 2
    assert 18.0 - 1.6 - reach - 0.3 < depth.min() and depth.max() < 18.0 - 1.6 + reach + 0.6


def test_the_nearer_thing_hides_the_farther() -> None:
    van, person = user("car", 12.0, 0.0, seed=1), user("pedestrian", 22.0, 0.0, seed=2)
    hidden = camera.render(World(), instant_with(van, person), DAY).segmentation
    shown = camera.render(World(), instant_with(user("car", 30.0, 0.0, seed=1), person), DAY).segmentation
    assert (hidden == 8).sum() < 0.4 * (shown == 8).sum()


def test_a_turned_ego_sees_what_lies_to_its_left() -> None:
    actor = user("car", 0.0, 20.0)
    assert (camera.render(World(), instant_with(actor), DAY).segmentation == 7).sum() == 0
    assert (camera.render(World(), instant_with(actor, heading=math.pi / 2), DAY).segmentation == 7).sum() > 100


def test_brake_lights_and_traffic_lights_show() -> None:
    night = Condition.parse("night_clear")
    off, on = (
        camera.render(World(), instant_with(user("car", 14.0, 0.0, speed=5.0, braking=b, seed=6)), night).rgb.astype(int)
        for b in (False, True)
    )
    assert (on[..., 0] - off[..., 0]).max() > 25
    red, green = (
        camera.render(WORLD, moment(ego_x=35.0).model_copy(update={"actors": (), "lights": {"s0": s, "s1": s}}), DAY).rgb.astype(int)
        for s in ("red", "green")
    )
    assert ((red - green)[..., 0].max() > 60) and ((green - red)[..., 1].max() > 60)


def test_people_move_their_legs_with_time() -> None:
    walker = user("pedestrian", 9.0, 0.5, heading=math.pi / 2, speed=1.4, seed=2)
    one, two = (camera.render(World(), instant_with(walker, t_ns=t), DAY).segmentation == 8 for t in (0, 300_000_000))
    assert (one != two).sum() > 15


def test_encodings_keep_size_and_centimetres(pictures: dict[str, camera.Rendered]) -> None:
    shown = pictures["day_clear"]
    jpeg = cv2.imdecode(np.frombuffer(camera.encode_jpeg(shown.rgb), np.uint8), cv2.IMREAD_COLOR)
    assert jpeg is not None and np.abs(jpeg[..., ::-1].astype(int) - shown.rgb).mean() < 4
    depth = cv2.imdecode(np.frombuffer(camera.encode_png16(shown.depth_m), np.uint8), cv2.IMREAD_UNCHANGED)
    assert depth is not None and depth.dtype == np.uint16 and np.abs(depth / 100.0 - shown.depth_m).max() < 0.0051
    classes = cv2.imdecode(np.frombuffer(camera.encode_png8(shown.segmentation), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(classes, shown.segmentation)


def test_an_empty_world_is_ground_and_sky() -> None:
    for condition in CONDITIONS:
        shown = camera.render(World(), instant_with(), condition)
        assert set(np.unique(shown.segmentation)) == {0, 4}
