"""The ego's path: seeing the world from it and back, resampling, velocities of many objects, and jumps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadData
from flywheel.geometry import rotation
from flywheel.ingest.ego_path import EgoPath, velocities, without_jumps, wrap, yaw_of
from flywheel.ingest.kinematics import central_difference

T0 = 1_700_000_000_000_000_000


def bend(count: int = 201, *, radius_m: float = 50.0, speed_mps: float = 10.0) -> EgoPath:
    """A left bend at constant speed, 50 Hz, from (100, 200) heading along world +x."""
    t = np.arange(count) / 50
    turn = speed_mps * t / radius_m
    origin = np.stack([100 + radius_m * np.sin(turn), 200 + radius_m * (1 - np.cos(turn)), np.full(count, 3.0)], axis=1)
    return EgoPath(T0 + np.arange(count) * 20_000_000, origin, wrap(turn))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), *[st.floats(-500, 500)] * 3), min_size=1, max_size=20))
def test_there_and_back(points: list[tuple[int, float, float, float]]) -> None:
    ego, at = bend(), np.array([p[0] for p in points])
    world = np.array([p[1:] for p in points])
    np.testing.assert_allclose(ego.to_world(ego.to_ego(world, at=at), at=at), world, atol=1e-9)
    one_by_one = [ego.to_ego(world[k : k + 1], at=int(at[k]))[0] for k in range(len(points))]
    np.testing.assert_allclose(ego.to_ego(world, at=at), one_by_one, atol=1e-12)


def test_signals_of_a_bend() -> None:
    found = bend().signals()
    inner = slice(20, -20)
    assert found["speed_mps"][inner] == pytest.approx(10.0, rel=1e-3)
    assert found["yaw_rate_radps"][inner] == pytest.approx(0.2, rel=1e-6)
    assert found["ay_mps2"][inner] == pytest.approx(2.0, rel=1e-3)
    assert np.abs(found["ax_mps2"][inner]).max() < 1e-2


def test_a_given_velocity_is_taken() -> None:
    ego = bend()
    velocity = 7 * np.stack([np.cos(ego.heading), np.sin(ego.heading)], axis=1)
    assert ego.signals(velocity=velocity)["speed_mps"] == pytest.approx(7.0)


def test_between_poses_and_beyond_them() -> None:
    ego = bend()
    middle = ego.resampled(ego.times[:-1] + 10_000_000)
    np.testing.assert_allclose(middle.origin, (ego.origin[1:] + ego.origin[:-1]) / 2)
    assert np.abs(wrap(middle.heading - (ego.heading[:-1] + 0.002))).max() < 1e-9
    with pytest.raises(BadData, match="beyond the ego's path"):
        ego.resampled(np.array([T0 - 600_000_000]))


def test_yaw_is_where_x_points() -> None:
    q = np.array([[0.5, 0.1, -0.2, 0.8], [0.9, 0.0, 0.1, -0.3]])
    q /= np.linalg.norm(q, axis=1)[:, None]
    forward = [rotation(tuple(row))[:, 0] for row in q]
    np.testing.assert_allclose(yaw_of(q), [np.arctan2(f[1], f[0]) for f in forward])


def test_many_objects_at_once_are_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    track = np.repeat(np.arange(30), 20)
    t_s = np.tile(np.r_[np.arange(10), np.arange(14, 24)] / 10, 30)
    places = rng.normal(size=(600, 2)).cumsum(axis=0)
    shuffled = rng.permutation(600)
    found = np.empty((600, 2))
    found[shuffled] = velocities(track[shuffled], t_s[shuffled], places[shuffled], max_gap_s=0.25)
    for k in range(30):
        mine = track == k
        np.testing.assert_allclose(found[mine], central_difference(t_s[mine], places[mine], max_gap_s=0.25), rtol=1e-6, atol=1e-6)


def test_a_jump_is_no_speed() -> None:
    t_s = np.arange(50) / 10
    places = np.stack([8 * t_s, np.zeros(50)], axis=1)
    jumped = places + np.where(np.arange(50) >= 30, -1.5, 0.0)[:, None] * [1, 0]
    path, off_m = without_jumps(t_s, jumped)
    np.testing.assert_allclose(path, places, atol=1e-9)
    assert off_m == pytest.approx([1.5])
    braking = np.stack([np.cumsum(np.maximum(15 - 8 * t_s, 0) / 10), np.zeros(50)], axis=1)
    assert len(without_jumps(t_s, braking)[1]) == 0, "hard braking is none"
