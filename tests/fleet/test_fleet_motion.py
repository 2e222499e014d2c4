"""Profiles and paths are what their numbers say: speeds, stops, curvature and lateral moves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.fleet.motion import Push, along, lateral, profile, quintic, straight
from flywheel.fleet.road import places, road_of


def test_a_profile_stops_and_stays() -> None:
    prof = profile(12.0, [Push(5.0, 5.0 + 12.0 / 4.0, -4.0)], duration_s=12.0)
    assert prof.speed_at(9.0) == 0.0
    assert prof.way_at(12.0) == pytest.approx(prof.way_at(9.0))
    assert prof.way_at(12.0) == pytest.approx(12.0 * 5.0 + 12.0**2 / 8.0, abs=0.05)
    assert prof.accel_mps2.min() == pytest.approx(-4.0)


def test_jerk_is_limited_by_the_window() -> None:
    prof = profile(15.0, [Push(5.0, 7.0, -6.0)], duration_s=10.0, smooth_s=0.4)
    jerk = np.diff(prof.accel_mps2) * 100
    assert np.abs(jerk).max() < 2.2 * 6.0 / 0.4


def test_acceleration_is_the_derivative_of_speed() -> None:
    prof = profile(10.0, [Push(2.0, 4.0, 1.5), Push(5.0, 6.0, -3.0)], duration_s=8.0)
    assert np.abs(np.gradient(prof.speed_mps, 0.01) - prof.accel_mps2).max() < 0.1


@settings(max_examples=30, deadline=None)
@given(s=st.floats(5, 1000), d=st.floats(-20, 20), which=st.integers(0, 2))
def test_projection_undoes_placement(s: float, d: float, which: int) -> None:
    road = road_of(places(1)[which])
    x, y, _ = road.pose(s, d)
    back_s, back_d = road.project(np.array([float(x)]), np.array([float(y)]))
    assert back_s[0] == pytest.approx(s, abs=0.01)
    assert back_d[0] == pytest.approx(d, abs=0.01)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_curve_has_its_stated_radius(which: int) -> None:
    place = places(1)[which]
    road = road_of(place)
    middle = place.curve_s_m + place.curve_m / 2
    assert 1 / abs(float(road.curvature(middle))) == pytest.approx(place.radius_m)
    turned = np.interp(place.length_m, road.s, road.heading_rad)
    assert turned == pytest.approx(place.turn_rad, rel=1e-3)


def test_yaw_rate_in_the_curve_is_speed_over_radius() -> None:
    place = places(1)[0]
    road, lane = road_of(place), place.lane_d_m(0)
    motion = along(road, profile(10.0, [], duration_s=20.0), s0_m=place.curve_s_m - 20.0, d_of_s=lateral(lane))
    radius = place.radius_m - np.sign(place.turn_rad) * lane
    assert np.abs(motion.yaw_rate_radps).max() == pytest.approx(10.0 / radius, rel=0.01)


def test_a_lane_change_ends_on_the_next_lane() -> None:
    place = places(1)[0]
    shape = lateral(place.lane_d_m(0), [(100.0, 140.0, place.lane_m)])
    assert shape(np.array([90.0, 150.0])) == pytest.approx([place.lane_d_m(0), place.lane_d_m(1)])
    assert quintic(np.array([-1.0, 0.5, 2.0])) == pytest.approx([0.0, 0.5, 1.0])


def test_a_walk_passes_its_point_in_time() -> None:
    motion = straight(profile(1.4, [], duration_s=5.0), x_m=3.0, y_m=4.0, heading_rad=np.pi / 2, t0_s=2.0)
    at = np.searchsorted(motion.t_s, 2.0)
    assert (motion.x_m[at], motion.y_m[at]) == pytest.approx((3.0, 4.0), abs=0.02)


@pytest.mark.parametrize("t0_s", [0.0, 12.0])
def test_a_motion_goes_as_far_as_its_speed_says_from_its_first_instant(t0_s: float) -> None:
    """Also where the time at which its place is given lies far into the drive."""
    place, prof = places(1)[0], profile(16.0, [Push(3.0, 5.0, -2.0)], duration_s=20.0)
    moved = along(road_of(place), prof, s0_m=300.0, d_of_s=lateral(place.lane_d_m(0)), t0_s=t0_s)
    by_place = np.hypot(np.diff(moved.x_m), np.diff(moved.y_m)) * 100
    assert np.abs(by_place - moved.speed_mps[1:]).max() < 0.1
