"""Atomic relations on hand-built drives, each from both sides of its bounds, for the ego and for tracks."""

import numpy as np
import pytest
from mined_drives import CAR, LANE_M, T0_NS, WALKER, Build, ramp

from flywheel.mine.boxes import Boxes
from flywheel.mine.composite import ask
from flywheel.mine.detectors import hits_of
from flywheel.mine.prepare import Drive, DriveTables
from flywheel.mine.query import parse
from flywheel.mine.related import RELATIONS
from flywheel.tables import SCHEMAS

STILL = np.zeros_like
NS = 1e9


def level(value: float) -> object:
    return lambda t: np.full_like(t, value)


def when(built: Build, said: dict[str, object]) -> list[tuple[float, float]]:
    """When a relation surely holds, in seconds; nothing may stay open."""
    answer, reasons = ask(built.drive(), parse(said), hits_of=hits_of)
    assert not reasons, reasons
    return [(a / NS, b / NS) for a, b in zip(answer.sure.t0_ns, answer.sure.t1_ns, strict=True)]


def held(built: Build, said: dict[str, object]) -> float:
    """For how many seconds it holds."""
    return sum(b - a for a, b in when(built, said))


def test_velocity_and_acceleration_of_the_ego() -> None:
    built = Build(speed=ramp((0, 10), (5, 10), (10, 15), (20, 15)))
    assert held(built, {"relation": "has_velocity", "min_mps": 12.5}) == pytest.approx(12.5, abs=0.3)
    assert held(built, {"relation": "accelerating"}) == pytest.approx(5, abs=0.4)
    assert held(built, {"relation": "accelerating", "min_mps2": 1.1}) == 0
    assert held(built, {"relation": "accelerating", "min_mps2": -9, "max_mps2": -1}) == 0
    assert held(built, {"relation": "stationary"}) == 0
    assert held(Build(speed=STILL), {"relation": "stationary"}) == pytest.approx(20, abs=0.2)
    assert held(Build(speed=STILL), {"relation": "accelerating", "min_mps2": -1}) == 0


@pytest.mark.parametrize(("degrees", "found"), [(40, False), (50, True)])
def test_turning_takes_45_degrees(degrees: float, found: bool) -> None:
    rate = np.radians(degrees) / 4
    built = Build(speed=level(6.0), yaw=lambda t: np.where((t > 6) & (t < 10), rate, 0.0))
    assert bool(when(built, {"relation": "turning", "direction": "left"})) == found == bool(when(built, {"relation": "turning"}))
    assert not when(built, {"relation": "turning", "direction": "right"})


def test_a_turn_that_the_log_cuts_off_takes_15_degrees() -> None:
    for degrees, found in ((12, False), (20, True)):
        built = Build(speed=level(6.0), duration_s=10, yaw=lambda t, d=degrees: np.where(t > 8, np.radians(d) / 2, 0.0))
        assert bool(when(built, {"relation": "turning"})) == found


def test_lateral_acceleration_has_a_side() -> None:
    built = Build(speed=level(10.0), yaw=lambda t: np.where((t > 6) & (t < 10), 0.25, 0.0))
    assert held(built, {"relation": "has_lateral_acceleration", "min_mps2": 2}) == pytest.approx(4, abs=0.4)
    assert held(built, {"relation": "has_lateral_acceleration", "min_mps2": 3}) == 0
    assert held(built, {"relation": "has_lateral_acceleration", "max_mps2": -2}) == 0


def test_changing_lanes_of_the_ego_and_of_a_track() -> None:
    built = Build(sideways=ramp((0, 0), (8, 0), (11, LANE_M), (20, LANE_M)))
    (span,) = when(built, {"relation": "changing_lanes"})
    assert span == (pytest.approx(8, abs=0.4), pytest.approx(11, abs=0.4))
    assert when(built, {"relation": "changing_lanes", "direction": "left"}) == [span]
    assert not when(built, {"relation": "changing_lanes", "direction": "right"})
    assert not when(Build(sideways=ramp((0, 0), (8, 0), (11, 1.5), (20, 1.5))), {"relation": "changing_lanes"})
    other = Build().other("a", lambda t: 12 * t + 25, ramp((0, LANE_M), (8, LANE_M), (11, 0), (20, 0)))
    said = {"some": "car", "where": {"relation": "changing_lanes", "direction": "right"}}
    assert when(other, said)[0] == (pytest.approx(8, abs=0.6), pytest.approx(11, abs=0.6)) and not when(
        other, {"relation": "changing_lanes"}
    )


def test_intersections_on_the_way() -> None:
    built = Build(speed=level(10.0), junction_from_to_m=(100.0, 120.0))
    # The front bumper is 3.7 m ahead of where the lanes' samples count from, the rear 0.9 m behind.
    (inside,) = when(built, {"relation": "on_intersection"})
    assert inside == (pytest.approx(10.0, abs=0.5), pytest.approx(12.1, abs=0.5))
    (near,) = when(built, {"relation": "near_intersection", "within_m": 30})
    assert near[0] == pytest.approx(inside[0] - 3, abs=0.6) and near[1] == pytest.approx(inside[1] + 3, abs=0.6)
    parked = built.other("p", level(112.0), level(-4.0), cls="car")
    assert held(parked, {"some": "car", "where": {"relation": "on_intersection"}}) == pytest.approx(20, abs=0.2)
    away = Build(speed=level(10.0), junction_from_to_m=(100.0, 120.0)).other("p", level(150.0), level(-4.0))
    assert not when(away, {"some": "car", "where": {"relation": "on_intersection"}})


@pytest.mark.parametrize(("x_m", "y_m", "found"), [(20.0, 0.0, True), (17.0, 9.0, True), (12.0, 14.0, False), (40.0, 0.0, False)])
def test_near_is_measured_from_box_to_box(x_m: float, y_m: float, found: bool) -> None:
    """A car of 4.5 x 1.8 m; the ego reaches from -0.9 to 3.7 m, 1.85 m wide: 14.05 m and 13.17 m to the first two."""
    built = Build(speed=STILL, duration_s=2).other("a", level(x_m), level(y_m))
    assert bool(when(built, {"relation": "near_objects", "of": "car", "within_m": 14.5 if y_m == 0 else 13.4})) == found
    assert not when(built, {"relation": "near_objects", "of": "car", "within_m": 50, "min_number": 2})
    assert not when(built, {"relation": "near_objects", "of": "truck", "within_m": 50})


def test_gaps_of_boxes_against_points_on_them() -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        x, y, turn = rng.uniform(-15, 15), rng.uniform(-15, 15), rng.uniform(-3, 3)
        boxes = Boxes(Build(speed=STILL, duration_s=0.2).other("a", level(x), level(y), heading=turn).drive())
        gap = boxes.gap_m(*boxes.pairs(boxes.track == 0, boxes.track == 1))[0]
        edge = np.stack([np.concatenate([np.linspace(-1, 1, 60), np.linspace(-1, 1, 60), -np.ones(60), np.ones(60)]),
                         np.concatenate([-np.ones(60), np.ones(60), np.linspace(-1, 1, 60), np.linspace(-1, 1, 60)])])  # fmt: skip
        own = edge * [[2.3], [0.925]] + [[1.4], [0.0]]
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ (edge * [[2.25], [0.9]]) + [[x], [y]]
        apart = np.hypot(*(own[:, :, None] - turned[:, None, :])).min()
        if gap > 0.2:
            assert gap == pytest.approx(apart, abs=0.1)


@pytest.mark.parametrize(
    ("place", "direction"), [((20.0, 0.0), "forward"), ((-15.0, 0.0), "backward"), ((1.0, 5.0), "left"), ((1.0, -5.0), "right")]
)
def test_directions(place: tuple[float, float], direction: str) -> None:
    built = Build(speed=STILL, duration_s=2).other("a", level(place[0]), level(place[1]))
    for way in ("forward", "backward", "left", "right"):
        said = {"relation": "has_objects_in_relative_direction", "of": "vehicle", "direction": way, "lateral_m": 1}
        assert bool(when(built, said)) == (way == direction)
    assert not when(built, {**said, "direction": direction, "within_m": 2})


def walker(*course: tuple[float, float], x_m: float = 12.0) -> Build:
    return Build(speed=STILL).other("w", level(x_m), ramp(*course), cls="pedestrian", box=WALKER)


def test_being_crossed_by() -> None:
    crossed = {"relation": "being_crossed_by", "of": "pedestrian"}
    (span,) = when(walker((0, 8), (4, 8), (14, -7), (20, -7)), crossed)
    # Walks at 1.5 m/s from 4 s on; counted while it walks, until it is 5 m beyond.
    assert span == (pytest.approx(4, abs=0.4), pytest.approx(12.7, abs=0.4))
    assert not when(walker((0, 8), (4, 8), (8, 2), (20, 2)), crossed)  # stops before the ego's side
    assert not when(walker((0, 8), (4, 8), (14, -7), (20, -7), x_m=20.0), crossed)  # too far ahead
    assert not when(walker((0, 1.0), (20, -1.0)), crossed)  # 0.1 m/s
    assert not when(walker((0, 8), (4, 8), (14, -7), (20, -7)), {**crossed, "direction": "backward"})


@pytest.mark.parametrize(("gap", "lane", "found"), [(20.0, 0.0, True), (40.0, 0.0, False), (20.0, LANE_M, False)])
def test_following_and_same_lane(gap: float, lane: float, found: bool) -> None:
    built = Build(duration_s=10).other("a", lambda t: 12 * t + gap, level(lane))
    assert bool(when(built, {"relation": "following", "of": "car"})) == found
    assert bool(when(built, {"relation": "in_same_lane", "of": "car"})) == (lane == 0)
    assert not when(built, {"some": "car", "where": {"relation": "following", "of": "ego"}})


def test_ways_of_heading() -> None:
    oncoming = Build(duration_s=4).other("o", lambda t: 150 - 12 * t, level(LANE_M), heading=np.pi)
    across = Build(duration_s=4).other("c", level(60.0), lambda t: 10 - 5 * t, heading=-np.pi / 2)
    for built, way in ((oncoming, "opposite"), (across, "perpendicular")):
        for asked in ("same", "opposite", "perpendicular"):
            said = {"some": "car", "where": {"relation": "heading_in_relative_direction_to", "of": "ego", "direction": asked}}
            assert bool(when(built, said)) == (asked == way)
    towards = {"some": "car", "where": {"relation": "heading_toward", "of": "ego"}}
    assert when(oncoming, towards) and not when(across, towards)
    assert when(oncoming, {"some": "car", "where": {"relation": "facing_toward", "of": "ego", "within_m": 200}})
    assert not when(across, {"some": "car", "where": {"relation": "facing_toward", "of": "ego", "within_m": 200, "within_deg": 10}})


def test_a_road_users_own_motion() -> None:
    built = Build(duration_s=12).other("a", ramp((0, 30), (6, 102), (12, 102)), np.zeros_like)
    assert held(built, {"some": "car", "where": {"relation": "has_velocity", "max_mps": 0.5, "min_mps": 0}}) == pytest.approx(6, abs=0.5)
    braking = {"some": "car", "where": {"relation": "accelerating", "min_mps2": -99, "max_mps2": -2}}
    assert 0.3 < held(built, braking) < 2 and not held(built, {"some": "car", "where": {"relation": "stationary"}})
    parked = Build(duration_s=4).other("p", level(60.0), level(-4.0), box=CAR)
    assert held(parked, {"some": "car", "where": {"relation": "stationary"}}) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"relation": "changing_lanes"}, "no lanes"), ({"relation": "near_objects", "of": "car"}, "no tracks"),
        ({"some": "car"}, "no tracks"), ({"relation": "in_drivable_area"}, "no lanes"), ({"relation": "at_stop_sign"}, "no lanes"),
        ({"weather": "rain"}, "no environment"), ({"signal": "rain_mmph", "above": 1}, "no environment"),
        ({"signal": "speed_limit_mps", "above": 1}, "no speed_limit_mps"),
        ({"signal": "wheel_speed_mps", "above": 1}, "no wheel_speed_mps"),
    ],
)  # fmt: skip
def test_not_evaluable_without_the_signal(said: dict[str, object], why: str) -> None:
    answer, reasons = ask(Build(lanes=False).drive(), parse(said), hits_of=hits_of)
    assert why in reasons[0] and len(answer.sure) == 0 and answer.open.total_s == pytest.approx(20)


def test_road_edges_and_stop_signs_need_a_map_that_says_so() -> None:
    for name, why in (("in_drivable_area", "no road edges"), ("at_stop_sign", "no control of stop lines")):
        _, reasons = ask(Build().drive(), parse({"relation": name}), hits_of=hits_of)
        assert reasons == [why]


def every_relation() -> list[dict[str, object]]:
    """A query for each relation, of the ego and of every track, to the ego and to any track."""
    found: list[dict[str, object]] = []
    for name, kind in RELATIONS.items():
        more = {"direction": "same"} if name == "heading_in_relative_direction_to" else {}
        for of in ("any", "ego") if "of" in kind.model_fields else (None,):
            said = {"relation": name, **more, **({"of": of} if of else {})}
            found += [said, {"some": "any", "where": {"not": said}}]
    return found


def test_no_relation_fails_on_odd_drives() -> None:
    empty = {name.lower(): SCHEMAS[name].empty_table() for name in ("SIGNALS", "TRACKS", "LIGHTS", "LANES", "FRAMES")}
    row = {"drive_id": "d", "t0_ns": T0_NS, "t1_ns": T0_NS, "root_group": "v|d|p", "signals": []}
    here, there = (lambda t: 5.0 + 0 * t), (lambda t: 0 * t)
    built = [
        Build(duration_s=0.02, lanes=False).tables(), Build(duration_s=2, speed=STILL).other("a", here, there).tables(),
        Build(duration_s=4, drop={"ego": (1.0, 3.5)}).other("a", here, there, box={**CAR, "length_m": 0.0}).tables(),
        Build(duration_s=2).other("a", lambda t: np.where(t > 1, np.nan, 9.0), there).tables(),
        Build(duration_s=2, lanes=False, without=("x_m",)).other("a", here, there).tables(),
        Build(duration_s=2, yaw=lambda t: np.full_like(t, 3.0)).other("a", here, there).other("b", here, there).tables(),
    ]  # fmt: skip
    for tables in (DriveTables(row=row, **empty), *built):
        drive = Drive(tables)
        for said in every_relation():
            answer, _ = ask(drive, parse(said), hits_of=hits_of)
            assert answer.sure.total_s <= (drive.t1_ns - drive.t0_ns) / NS + 1e-9, said
