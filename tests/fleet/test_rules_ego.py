"""The truth of the ego's and the vehicle's own scenarios on exact motions: every act plants what it says, clear of its thresholds."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from flywheel.fleet import acts_ego, acts_vehicle, rules_ego, rules_vehicle
from flywheel.fleet.ambient import environment
from flywheel.fleet.drive import Drive
from flywheel.fleet.motion import Motion, Profile, Push, along, lateral, profile
from flywheel.fleet.oracle import Limits, Truth, view_of
from flywheel.fleet.road import places, road_of
from flywheel.fleet.script import ALL_NEAR, ALL_PLANTED, Slot, plan_of
from flywheel.fleet.stage import Dropout, Overlay, Plan
from flywheel.types import Condition

PLACE, SECONDS, DAY = places(1)[0], 20.0, Condition()
ROAD = road_of(PLACE)
OURS = (*acts_ego.PLANTED, *acts_vehicle.PLANTED)
RULES = rules_ego.RULES | rules_vehicle.RULES


def slot(act: str, near: bool = False, turn: int = 0, index: int = 0) -> Slot:
    return Slot(index=index, vehicle_id="veh-01", place=index % 3, day="2026-03-02", condition=DAY, act=act, near=near, turn=turn)


def planned(plan: Plan, of: Slot) -> Drive:
    """The drive of a plan without traffic."""
    return Drive(1, of, plan, plan.ego.since_start(), (), (), environment(DAY, seed=1))


def truth(name: str, ego: Motion, *, overlays: Sequence[Overlay] = (), dropouts: Sequence[Dropout] = ()) -> list[Truth]:
    plan = Plan("test", PLACE, DAY, SECONDS, ego, overlays=tuple(overlays), dropouts=tuple(dropouts))
    return list(RULES[name](view_of(planned(plan, slot("quiet"))), Limits()))


def straight(prof: Profile, shifts: Sequence[tuple[float, float, float]] = ()) -> Motion:
    return along(ROAD, prof, s0_m=200.0, d_of_s=lateral(PLACE.lane_d_m(0), shifts))


def pushed(accel: float, *, v0: float = 12.0, hold: float = 1.5, smooth_s: float = 0.1) -> Motion:
    return straight(profile(v0, [Push(8.0, 8.0 + hold, accel)], duration_s=SECONDS, smooth_s=smooth_s))


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("act", OURS)
def test_acts_plant_what_they_say_and_near_misses_do_not(act: str, turn: int) -> None:
    """At every place, by a margin of 7 %, whatever the draw; the level is the planned one."""
    of, miss = slot(act, turn=turn, index=turn), slot(act, near=True, turn=4 * turn + 2, index=turn)
    planted, missed = (planned(plan_of(each, seed=40 + turn), each) for each in (of, miss))
    levels = ALL_PLANTED[act][1]
    for margin in (0.93, 1.0, 1.07):
        assert [e.level for e in RULES[act](view_of(planted), Limits().stricter(margin))] == [levels[turn % len(levels)]]
    assert list(RULES[act](view_of(missed), Limits().stricter(0.93))) == []
    assert missed.plan.near[0].scenario == act and act in ALL_NEAR


@pytest.mark.parametrize(
    ("name", "accel", "level"),
    [
        ("hard_acceleration", 2.3, None), ("hard_acceleration", 2.5, "L1"), ("hard_acceleration", 3.5, "L2"),
        ("high_jerk", 2.0, None), ("high_jerk", 2.4, "L1"), ("high_jerk", -2.4, "L1"),
    ],
)  # fmt: skip
def test_accelerations(name: str, accel: float, level: str | None) -> None:
    found = truth(name, pushed(accel))
    assert {e.level for e in found} == ({level} if level else set())
    assert all(740 < e.start < 830 for e in found)


def test_a_push_of_under_half_a_second_is_none() -> None:
    assert truth("hard_acceleration", pushed(3.0, hold=0.4)) == []


def beside(by: float, over_m: float, *, back: bool, v: float = 14.0) -> list[Truth]:
    shifts = [(300.0, 300.0 + over_m, by)] + ([(300.0 + over_m, 300.0 + 2 * over_m, -by)] if back else [])
    return truth("swerve", straight(profile(v, [], duration_s=SECONDS), shifts))


def test_swerves_but_no_lane_changes() -> None:
    assert [e.level for e in beside(1.3, 21.0, back=True)] == ["L1"]  # 5.77 * 1.3 / 1.5^2 = 3.3 m/s2
    assert beside(0.6, 21.0, back=True) == []  # 1.5 m/s2
    assert beside(PLACE.lane_m, 36.0, back=False) == []  # 3.1 m/s2, but a lane change
    assert beside(PLACE.lane_m, 70.0, back=False) == []


@pytest.mark.parametrize(("lateral_mps2", "corner", "excess"), [(2.8, None, None), (3.2, "L1", "L1"), (5.1, "L2", "L2"), (7.7, "L3", "L2")])
def test_the_curve(lateral_mps2: float, corner: str | None, excess: str | None) -> None:
    d_m = PLACE.lane_d_m(0)
    v = float(np.sqrt(lateral_mps2 / abs(ROAD.curvature(PLACE.curve_s_m + PLACE.curve_m / 2, d_m))))
    ego = along(ROAD, profile(v, [], duration_s=SECONDS), s0_m=PLACE.curve_s_m, d_of_s=lateral(d_m), t0_s=8.0)
    corners, excesses = truth("hard_cornering", ego), truth("curve_speed_excess", ego)
    assert [e.level for e in corners] == ([corner] if corner else []) and [e.level for e in excesses] == ([excess] if excess else [])
    if corners:
        assert excesses[0].start < corners[0].start - 150  # the map says so beforehand


def test_evasion_needs_both() -> None:
    brake = profile(16.0, [Push(8.0, 9.8, -4.7)], duration_s=SECONDS, smooth_s=0.2)
    at = 200.0 + brake.way_at(8.35)
    move = [(at, at + 26.0, PLACE.lane_m)]
    assert [e.level for e in truth("brake_steer_evasion", straight(brake, move))] == ["L1"]
    assert truth("brake_steer_evasion", straight(brake)) == []
    assert truth("brake_steer_evasion", straight(profile(14.0, [], duration_s=SECONDS), [(300.0, 324.0, PLACE.lane_m)])) == []


def flag(column: str, t0_s: float, t1_s: float) -> Overlay:
    return Overlay("/vehicle", column, t0_s, t1_s, lambda t, before: np.ones_like(before))


@pytest.mark.parametrize(("decel", "level"), [(0.9, None), (1.2, "L1"), (3.2, "L2")])
def test_takeovers(decel: float, level: str | None) -> None:
    found = truth("disengagement", pushed(-decel), overlays=[flag("engaged", 0, 7.8), flag("driver_override", 7.8, 9)])
    assert [(e.level, e.start, e.end) for e in found] == ([(level, 780, 1280)] if level else [])
    assert truth("disengagement", pushed(-decel), overlays=[flag("engaged", 0, 7.8)]) == []


@pytest.mark.parametrize(
    ("flags", "decel", "level"),
    [
        ([("fcw", 8.0, 9.0)], 2.0, "L1"),
        ([("fcw", 8.0, 8.05)], 2.0, None),
        ([("aeb", 8.0, 9.4)], 4.5, "L2"),
        ([("aeb", 8.0, 9.4)], 5.5, "L3"),
    ],
)
def test_assistance(flags: list[tuple[str, float, float]], decel: float, level: str | None) -> None:
    found = truth("assist_intervention", pushed(-decel), overlays=[flag(*each) for each in flags])
    assert [e.level for e in found] == ([level] if level else [])


@pytest.mark.parametrize(("gap_s", "found"), [(1.9, 0), (2.2, 1)])
def test_gnss_gaps(gap_s: float, found: int) -> None:
    gap = Dropout(topic="/gnss", t0_s=8.0, t1_s=8.0 + gap_s)
    moving = truth("gnss_loss", straight(profile(12.0, [], duration_s=SECONDS)), dropouts=[gap])
    assert [(e.start, e.end) for e in moving] == [(800, 800 + round(gap_s * 100))] * found
    assert truth("gnss_loss", straight(profile(0.0, [], duration_s=SECONDS)), dropouts=[gap]) == []


@pytest.mark.parametrize(("column", "topic", "by", "name", "found"), [
    ("lat_deg", "/gnss", 7.0 / 111_320, "gnss_loss", 1), ("lat_deg", "/gnss", 4.0 / 111_320, "gnss_loss", 0),
    ("wheel_speed_mps", "/vehicle", -1.4, "low_grip_slip", 1), ("wheel_speed_mps", "/vehicle", -1.1, "low_grip_slip", 0),
    ("wheel_speed_mps", "/vehicle", 1.5, "low_grip_slip", 1), ("az_mps2", "/imu", 2.7, "speed_bump_pothole", 1),
    ("az_mps2", "/imu", -2.3, "speed_bump_pothole", 0),
])  # fmt: skip
def test_what_sensors_say(column: str, topic: str, by: float, name: str, found: int) -> None:
    lay = Overlay(topic, column, 8.0, 9.0, lambda t, before: before + by)  # type: ignore[arg-type]
    got = truth(name, straight(profile(12.0, [], duration_s=SECONDS)), overlays=[lay])
    assert len(got) == found and all(780 <= e.start <= 810 and 890 <= e.end <= 905 for e in got)


@pytest.mark.parametrize("degrees", [140.0, 160.0, 180.0])
def test_u_turns_from_150_degrees(degrees: float) -> None:
    of = slot("u_turn")
    plan = plan_of(of, seed=3)
    kept = plan.ego.heading_rad - plan.ego.heading_rad[0] <= np.radians(degrees)
    ego = replace(plan.ego, yaw_rate_radps=np.where(kept, plan.ego.yaw_rate_radps, 0.0))
    found = list(rules_ego.u_turn(view_of(planned(replace(plan, ego=ego), of)), Limits()))
    assert len(found) == (degrees > 150)
