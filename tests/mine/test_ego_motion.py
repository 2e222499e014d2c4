"""The ego's own scenarios on hand-built drives: each threshold from both sides, the level, the times, and what only looks alike."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from mined_drives import Build, at_ns, ramp

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import scenario
from flywheel.mine.detectors import detectors
from flywheel.mine.filters import slope, weighted
from flywheel.mine.hits import Hit
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import Clock

V = 14.0


def hits(name: str, built: Build) -> list[Hit]:
    return detectors()[name](built.drive(), scenario(name))


def levels(name: str, built: Build) -> list[int]:
    return [hit.level for hit in hits(name, built)]


def between(hit: Hit, since: float, until: float, *, tolerance_s: float = 0.2) -> bool:
    return abs(hit.t0_ns - at_ns(since)) <= tolerance_s * 1e9 and abs(hit.t1_ns - at_ns(until)) <= tolerance_s * 1e9


@pytest.mark.parametrize(("accel", "level"), [(2.2, []), (2.6, [1]), (3.7, [2])])
def test_hard_acceleration(accel: float, level: list[int]) -> None:
    found = hits("hard_acceleration", Build(speed=ramp((0, 8), (5, 8), (7, 8 + 2 * accel), (20, 8 + 2 * accel))))
    assert [hit.level for hit in found] == level and all(between(hit, 5, 7) for hit in found)


def test_a_short_push_is_no_hard_acceleration() -> None:
    assert levels("hard_acceleration", Build(speed=ramp((0, 8), (5, 8), (5.3, 9.2), (20, 9.2)))) == []


def bend(lateral: float, *, v: float = V, since: float = 5.0, until: float = 8.0) -> Build:
    """A bend at a steady speed, its lateral acceleration rising and falling within 0.6 s."""
    return Build(
        speed=lambda t: np.full_like(t, v),
        yaw=ramp((0, 0), (since, 0), (since + 0.6, lateral / v), (until - 0.6, lateral / v), (until, 0), (30, 0)), lanes=False,
    )  # fmt: skip


@pytest.mark.parametrize(("lateral", "level"), [(2.8, []), (3.3, [1]), (5.2, [2]), (-8.0, [3])])
def test_hard_cornering_to_both_sides(lateral: float, level: list[int]) -> None:
    assert levels("hard_cornering", bend(lateral)) == level
    assert levels("hard_cornering", Build(**{**bend(lateral).__dict__, "without": ("ay_mps2",)})) == level


@pytest.mark.parametrize(("lateral", "level"), [(2.8, []), (3.3, [1]), (5.2, [2])])
def test_curve_speed_excess_without_a_map_is_speed_times_yaw_rate(lateral: float, level: list[int]) -> None:
    assert levels("curve_speed_excess", bend(lateral)) == level


@pytest.mark.parametrize(("radius", "level"), [(80.0, []), (60.0, [1]), (38.0, [2])])
def test_curve_speed_excess_looks_three_seconds_ahead_on_the_map(radius: float, level: list[int]) -> None:
    """At 14 m/s the bend begins 140 m on, at 10 s; the driver stays on the straight, as a map sees it coming."""
    built = Build(duration_s=16)
    built.speed = lambda t: np.full_like(t, V)
    found = hits("curve_speed_excess", Mapped(built, radius, from_m=140.0, to_m=180.0))
    assert [hit.level for hit in found] == level
    assert all(between(hit, 7.0, 180 / V, tolerance_s=0.35) for hit in found)


class Mapped(Build):
    """A drive whose map knows a bend between two places."""

    def __init__(self, built: Build, radius_m: float, *, from_m: float, to_m: float) -> None:
        super().__init__(**built.__dict__)
        self.radius_m, self.from_m, self.to_m = radius_m, from_m, to_m

    def _lanes(self) -> list[dict[str, object]]:
        rows = super()._lanes()
        for row, way in zip(rows, self.travelled(self.t10), strict=True):
            row["curvature_1pm"] = -1 / self.radius_m if self.from_m <= way <= self.to_m else 0.0
        return rows


@pytest.mark.parametrize(("step", "found"), [(2.0, 0), (2.6, 1), (-2.6, 1)])
def test_high_jerk_along_the_path(step: float, found: int) -> None:
    """A step of acceleration is a slope of 1.5 step / 0.8 s; a ramp back over 6 s is none."""
    accel = ramp((0, 0), (5, 0), (5.02, step), (6.5, step), (12.5, 0), (20, 0))
    speed = lambda t: 15 + np.concatenate([[0], np.cumsum(np.diff(t) * accel(t)[1:])])  # noqa: E731
    assert len(hits("high_jerk", Build(speed=speed))) == found


def test_high_jerk_across_the_path_has_a_bound_of_its_own() -> None:
    """4 m/s2 in 0.4 s are 5 to 7.5 m/s3: over the bound along the path, under that of any direction; 7 m/s2 are over both."""
    gentle, hard = (bend(size, since=5, until=9) for size in (4.0, 7.0))
    assert levels("high_jerk", gentle) == [] and levels("high_jerk", hard) == [1, 1]  # into the bend and out of it


def test_jerk_is_the_slope_of_the_best_line() -> None:
    clock = Clock(np.arange(500, dtype=np.int64) * 10_000_000, 50_000_000)
    values = np.random.default_rng(0).normal(size=500)
    fitted = [np.polyfit(np.arange(-40, 41) / 100, values[i - 40 : i + 41], 1)[0] for i in range(40, 460)]
    assert np.allclose(slope(values, clock, window_s=0.8)[40:460], fitted)


@pytest.mark.parametrize("length", [1, 5, 63, 64, 65, 1000])
def test_filters_by_blocks_are_convolutions(length: int) -> None:
    rng = np.random.default_rng(length)
    values, kernel = rng.normal(size=length), rng.normal(size=55)
    assert np.allclose(weighted(values, kernel), np.convolve(np.pad(values, 27, mode="edge"), kernel[::-1], mode="valid"), atol=1e-12)


def weave(peak: float, *, back: bool = True, over_s: float = 2.6, v: float = V, road: float = 0.0) -> Build:
    """Out and back by lateral acceleration: left, right, right, left, each a quarter of the time; without `back` a lane change."""
    quarter = over_s / 4
    signs = (1, -1, -1, 1) if back else (1, 1, -1, -1)
    points = [(0.0, road), (5.0, road)]
    points += [(5 + quarter * (k + 0.5), road + sign * peak / v) for k, sign in enumerate(signs)]
    return Build(speed=lambda t: np.full_like(t, v), yaw=ramp(*points, (5 + over_s, road), (30, road)), lanes=False)


@pytest.mark.parametrize(("peak", "found"), [(2.1, 0), (3.4, 1), (-3.4, 1)])
def test_swerve_by_lateral_acceleration(peak: float, found: int) -> None:
    built = weave(peak, over_s=2.2, v=30.0)  # so fast that the heading stays below its bound
    assert len(hits("swerve", built)) == found


def test_swerve_by_heading() -> None:
    """2.2 m/s2 is under the bound of the lateral acceleration; at 8 m/s the heading goes off by more than 4 degrees."""
    found = hits("swerve", weave(2.2, over_s=3.0, v=8.0))
    assert len(found) == 1 and at_ns(5) <= found[0].t0_ns <= found[0].t1_ns <= at_ns(8.2)
    assert 0.5 <= found[0].peak <= 1.5
    assert hits("swerve", weave(1.0, over_s=2.4, v=12.0)) == []


def test_a_lane_change_however_abrupt_is_no_swerve() -> None:
    assert hits("swerve", weave(3.6, back=False, over_s=3.0)) == []
    assert hits("swerve", weave(2.0, back=False, over_s=4.0, v=9.0)) == []


def test_turns_and_bends_are_no_swerves() -> None:
    assert hits("swerve", bend(4.5, until=7.0)) == []
    chicane = Build(
        speed=lambda t: np.full_like(t, V), lanes=False, yaw=ramp((0, 0), (5, 0), (5.5, 0.25), (7, 0.25), (8, -0.25), (9.5, -0.25), (10, 0))
    )
    assert hits("swerve", chicane) == []


def test_a_swerve_in_a_slight_bend_is_one_but_not_in_a_turn() -> None:
    assert len(hits("swerve", weave(3.4, road=0.02))) == 1
    assert hits("swerve", weave(3.8, road=0.08)) == []


def test_a_shake_that_hardly_leaves_the_line_is_no_swerve() -> None:
    assert hits("swerve", weave(4.8, over_s=1.0, v=30.0)) == []


@pytest.mark.parametrize(("decel", "lateral", "found"), [(4.6, 4.2, 1), (3.0, 2.6, 0), (6.0, 1.5, 0), (1.5, 6.0, 0)])
def test_evasion_needs_both_and_five_together(decel: float, lateral: float, found: int) -> None:
    speed = ramp((0, 20), (5, 20), (6.5, 20 - 1.5 * decel), (30, 20 - 1.5 * decel))
    yaw = lambda t: np.interp(t, [5.2, 5.5, 6.1, 6.4], [0, lateral, lateral, 0], left=0, right=0) / speed(t)  # noqa: E731
    got = hits("brake_steer_evasion", Build(speed=speed, yaw=yaw, lanes=False))
    assert len(got) == found and all(between(hit, 5.4, 6.3, tolerance_s=0.3) for hit in got)


@pytest.mark.parametrize(
    ("degrees", "rate", "v", "found"),
    [(180, 0.6, 3.5, 1), (-180, 0.6, 3.5, 1), (160, 0.6, 3.5, 1), (140, 0.6, 3.5, 0), (180, 0.6, 12.0, 0), (180, 0.12, 1.5, 0)],
)
def test_u_turn(degrees: float, rate: float, v: float, found: int) -> None:
    lasts = abs(np.radians(degrees)) / rate
    yaw = lambda t: np.where((t >= 5) & (t < 5 + lasts), np.sign(degrees) * rate, 0.0)  # noqa: E731
    got = hits("u_turn", Build(duration_s=40, speed=lambda t: np.full_like(t, v), yaw=yaw, lanes=False))
    assert len(got) == found and all(between(hit, 5, 5 + lasts) and hit.peak == pytest.approx(abs(degrees), abs=6) for hit in got)


def test_a_three_point_turn_is_one_u_turn() -> None:
    yaw = lambda t: np.where(((t >= 5) & (t < 7)) | ((t >= 8) & (t < 10)) | ((t >= 11) & (t < 13)), 0.55, 0.0)  # noqa: E731
    assert len(hits("u_turn", Build(duration_s=20, speed=lambda t: np.full_like(t, 2.0), yaw=yaw, lanes=False))) == 1


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("hard_acceleration", ("ax_mps2", "imu_ax_mps2")),
        ("high_jerk", ("ax_mps2", "imu_ax_mps2")),
        ("hard_cornering", ("ay_mps2", "yaw_rate_radps", "heading_rad")),
        ("u_turn", ("yaw_rate_radps", "heading_rad")),
        ("swerve", ("yaw_rate_radps", "heading_rad")),
        ("curve_speed_excess", ("yaw_rate_radps", "heading_rad")),
    ],
)
def test_what_cannot_be_known_is_said(name: str, without: tuple[str, ...]) -> None:
    with pytest.raises(NotEvaluable):
        hits(name, Build(without=without))


def test_jerk_cannot_be_told_from_a_few_samples_a_second() -> None:
    signals = Build().tables().signals
    slow = dataclasses.replace(Build().tables(), signals=signals.filter(pa.array(np.arange(len(signals)) % 25 == 0)))
    with pytest.raises(NotEvaluable, match="5 Hz"):
        detectors()["high_jerk"](Drive(slow), scenario("high_jerk"))
