"""The oracle on motions made by hand: each rule fires above its threshold, not below, with the right times and level."""

import numpy as np
import pytest

from flywheel.ego import FRONT_M
from flywheel.fleet import oracle_rules
from flywheel.fleet.motion import Profile, Push, profile, straight
from flywheel.fleet.network import network_of
from flywheel.fleet.oracle import Limits, Truth, intervals, runs
from flywheel.fleet.stage import Dropout, Scripted
from flywheel.fleet.truth import truth_of
from tests.fleet.made_drives import PLACE, ROAD, SECONDS, car, made, steady


def events(prof: Profile, s_m: float = 200.0, **drive: object) -> list[Truth]:
    """Truth of the core scenarios of a drive made by hand."""
    return [event for event in truth_of(made(prof, s_m, **drive)) if event.scenario in oracle_rules.RULES]  # type: ignore[arg-type]


def braking(decel: float, *, hold: float = 1.5) -> Profile:
    return profile(15.0, [Push(8.0, 8.0 + hold, -decel)], duration_s=SECONDS, smooth_s=0.2)


@pytest.mark.parametrize(("decel", "level"), [(2.9, None), (3.1, "L1"), (4.2, "L2"), (6.6, "L3")])
def test_hard_braking_levels(decel: float, level: str | None) -> None:
    found = events(braking(decel))
    assert [e.level for e in found] == ([level] if level else [])
    if found:
        assert found[0].start + 10 >= 800 and found[0].end <= 970


def test_a_short_stab_is_not_hard_braking() -> None:
    assert events(braking(5.0, hold=0.2)) == []


@pytest.mark.parametrize(("gap", "level"), [(2.2, "L1"), (1.2, "L2"), (0.7, "L3"), (3.4, None)])
def test_low_ttc_levels(gap: float, level: str | None) -> None:
    """Closing at 6 m/s for a while, then steady: the smallest TTC is at the end of the closing."""
    match = 8.0
    ego = profile(14.0, [Push(match, match + 6.0 / 2.9, -2.9)], duration_s=SECONDS, smooth_s=0.05)
    rest = gap**2 * 2.9 / 2
    distance = rest + 6.0 * match + 36.0 / 5.8
    found = events(ego, others=[car(steady(8.0), 200.0 + FRONT_M + distance + 2.3)])
    assert [(e.scenario, e.level) for e in found] == ([("low_ttc", level)] if level else [])


def test_an_oncoming_or_parallel_car_is_no_lead() -> None:
    assert events(steady(14.0), others=[car(steady(7.0), 260.0, lane=1)]) == []


@pytest.mark.parametrize(("headway", "found"), [(1.2, True), (1.9, True), (2.1, False), (2.6, False)])
def test_cut_in_counts_up_to_two_seconds(headway: float, found: bool) -> None:
    start = 200.0 + FRONT_M + 14.0 * headway + 2.3
    other = car(steady(14.0), start, lane=1, shifts=[(start + 100.0, start + 148.0, -PLACE.lane_m)])
    got = events(steady(14.0), others=[other])
    assert [(e.scenario, e.level) for e in got] == ([("cut_in", "L1")] if found else [])
    if got:
        assert got[0].actors == ("other",) and 7.0 < got[0].start / 100 < 10.6 and got[0].end > got[0].start


def test_the_egos_own_lane_change_is_no_cut_in() -> None:
    other = car(steady(14.0), 200.0 + FRONT_M + 20.0, lane=1)
    assert events(steady(14.0), others=[other], shifts=[(260.0, 310.0, PLACE.lane_m)]) == []


def walker(t_c: float, s_m: float, *, stop_short: bool = False) -> Scripted:
    x, y, heading = ROAD.pose(s_m, PLACE.lane_d_m(0))
    pushes = [Push(t_c - 2.2, t_c - 2.0, -7.0)] if stop_short else []
    prof = profile(1.4, pushes, duration_s=SECONDS)
    t0 = t_c if not stop_short else 0.0
    y0 = float(y) if not stop_short else float(y) - 1.4 * t_c
    return Scripted("walker", "pedestrian", straight(prof, x_m=float(x), y_m=y0, heading_rad=float(heading) + np.pi / 2, t0_s=t0))


@pytest.mark.parametrize(("arrival", "level"), [(3.9, None), (3.3, "L1"), (2.2, "L2"), (1.2, "L3")])
def test_pedestrian_levels_by_arrival(arrival: float, level: str | None) -> None:
    """The pedestrian is in the corridor for 1.7 s around 8 s, so the smallest arrival is 0.86 s less than at its middle."""
    found = events(steady(10.0), others=[walker(8.0, 200.0 + FRONT_M + 80.0 + 10.0 * arrival)])
    assert [(e.scenario, e.level) for e in found] == ([("pedestrian_crossing", level)] if level else [])
    if found:
        assert found[0].end / 100 == pytest.approx(8.86, abs=0.05)


def test_a_pedestrian_who_stops_at_the_kerb_does_not_cross() -> None:
    assert events(steady(10.0), others=[walker(8.0, 300.0, stop_short=True)]) == []


@pytest.mark.parametrize(("short", "state", "found"), [(2.0, "red", True), (6.0, "red", False), (2.0, "green", False)])
def test_red_light_stop(short: float, state: str, found: bool) -> None:
    prof = profile(10.0, [Push(4.0, 9.0, -2.0), Push(14.0, 16.0, 1.0)], duration_s=SECONDS)
    s = network_of(PLACE).stop_line_s_m - short - FRONT_M - prof.way_at(12.0)
    got = events(prof, s, lights=((-1e6, state),))
    assert [e.scenario for e in got] == (["red_light_stop"] if found else [])
    if got:
        assert 8.7 < got[0].start / 100 < 9.2 and 13.8 < got[0].end / 100 < 14.8


@pytest.mark.parametrize(
    ("condition", "before", "found"),
    [
        ("night_rain", 18.0, True),
        ("night_fog", 18.0, True),
        ("night_clear", 18.0, False),
        ("day_rain", 18.0, False),
        ("night_rain", 60.0, False),
    ],
)
def test_night_lane_change(condition: str, before: float, found: bool) -> None:
    s_x = network_of(PLACE).junction_in_s_m - FRONT_M - before
    got = events(steady(10.0), s_x - 100.0, condition=condition, shifts=[(s_x - 18.0, s_x + 18.0, PLACE.lane_m)])
    assert [e.scenario for e in got] == (["night_intersection_lane_change"] if found else [])


@pytest.mark.parametrize(
    ("apex", "decel", "found"), [(2.1, 1.0, True), (1.3, 1.0, False), (3.2, 1.0, False), (2.1, 0.35, False), (2.1, 2.6, False)]
)
def test_curve_speed_adaptation(apex: float, decel: float, found: bool) -> None:
    kappa = abs(float(ROAD.curvature(PLACE.curve_s_m + PLACE.curve_m / 2, PLACE.lane_d_m(0))))
    v = float(np.sqrt(apex / kappa))
    prof = profile(v + 2.5 * decel, [Push(5.0, 7.5, -decel)], duration_s=SECONDS, smooth_s=0.2)
    got = events(prof, PLACE.curve_s_m - prof.way_at(7.5))
    assert [e.scenario for e in got] == (["curve_speed_adaptation"] if found else [])


@pytest.mark.parametrize(("topic", "gap", "level"), [("/imu", 0.4, None), ("/imu", 0.8, "L1"), ("/gnss", 2.4, "L2"), ("/gnss", 6.0, "L3")])
def test_sensor_dropout(topic: str, gap: float, level: str | None) -> None:
    got = events(steady(10.0), dropouts=(Dropout(topic=topic, t0_s=5.0, t1_s=5.0 + gap),))
    assert [(e.level, e.start, e.end, e.actors) for e in got] == ([(level, 500, 500 + round(gap * 100), (topic,))] if level else [])


def test_intervals_exit_late_and_join_when_close() -> None:
    value = np.array([0.0] * 100 + [5.0] * 50 + [3.5] * 50 + [0.0] * 150 + [5.0] * 10 + [0.0] * 300 + [5.0] * 10 + [0.0])
    assert intervals(value >= 5.0, value >= 3.0) == [(100, 359), (660, 669)]
    assert runs(np.array([True, True, False, True])) == [(0, 1), (3, 3)]


def test_stricter_limits_find_less() -> None:
    assert Limits().stricter(1.1).braking_mps2[0] == pytest.approx(-3.3)
    assert Limits().stricter(1.1).ttc_s[0] < 3.0 < Limits().stricter(0.9).ttc_s[0]
