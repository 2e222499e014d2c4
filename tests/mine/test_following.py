"""Following and lane changes on hand-built drives: each threshold from both sides, levels, times, actors, and what cannot be known."""

from collections.abc import Callable

import numpy as np
import pytest
from mined_drives import CAR, LANE_M, WALKER, Build, at_ns, ramp

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario, scenario
from flywheel.mine.detectors import detector_of
from flywheel.mine.hits import Hit

Path = Callable[[np.ndarray], np.ndarray]
V = 12.0


def hits(name: str | Scenario, built: Build) -> list[Hit]:
    entry = scenario(name) if isinstance(name, str) else name
    return detector_of(entry)(built.drive(), entry)


def near(t_ns: int, seconds: float, tolerance_s: float = 0.2) -> bool:
    return abs(t_ns - at_ns(seconds)) <= tolerance_s * 1e9


def ahead(gap: Path, *, v: float = V) -> Path:
    """A car whose rear is `gap` before the front of an ego at steady speed."""
    return lambda t: v * t + 3.7 + CAR["length_m"] / 2 + gap(t)


def behind(gap: Path, *, v: float = V) -> Path:
    """A car whose front is `gap` behind the rear end of an ego at steady speed."""
    return lambda t: v * t - 0.9 - CAR["length_m"] / 2 - gap(t)


def visit(far_m: float, near_m: float, *, stay_s: float = 5.0) -> Path:
    return ramp((0, far_m), (5, far_m), (8, near_m), (8 + stay_s, near_m), (11 + stay_s, far_m), (30, far_m))


@pytest.mark.parametrize(("near_m", "level"), [(9.0, 1), (5.0, 2)])
def test_low_headway_is_graded(near_m: float, level: int) -> None:
    found = hits("low_thw", Build().other("a", ahead(visit(24, near_m)), np.zeros_like))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("a",))]
    pace = (24 - near_m) / 3
    assert near(found[0].t0_ns, 5 + 12 / pace) and near(found[0].t1_ns, 13 + (20 - near_m) / pace)
    assert found[0].peak == pytest.approx(near_m / V, abs=0.02)


@pytest.mark.parametrize(("far_m", "near_m", "stay_s", "v"), [(24, 12.6, 5, 12), (24, 9.0, 1.5, 12), (14, 5.0, 5, 7)])
def test_low_headway_near_misses(far_m: float, near_m: float, stay_s: float, v: float) -> None:
    built = Build(speed=lambda t: np.full_like(t, v)).other("a", ahead(visit(far_m, near_m, stay_s=stay_s), v=v), np.zeros_like)
    assert hits("low_thw", built) == []


@pytest.mark.parametrize(("v", "near_m", "found"), [(12, 8.5, True), (30, 22.0, True), (12, 11.0, False), (30, 26.0, False)])
def test_a_tailgater_is_seen_as_far_back_as_it_counts(v: float, near_m: float, found: bool) -> None:
    built = Build(speed=lambda t: np.full_like(t, v)).other("a", behind(visit(3 * v, near_m), v=v), np.zeros_like)
    got = hits("tailgater", built)
    assert [hit.actors for hit in got] == ([("a",)] if found else [])
    if got:
        assert 0.5 * near_m / v < got[0].peak <= near_m / v + 0.01
        assert at_ns(5) < got[0].t0_ns < at_ns(8) and got[0].t1_ns > at_ns(12.8)


def test_nobody_tailgates_in_the_next_lane() -> None:
    assert hits("tailgater", Build().other("a", behind(visit(24, 6)), lambda t: np.full_like(t, LANE_M))) == []


@pytest.mark.parametrize("name", ["tailgater", "risky_lane_change", "merge"])
def test_a_tracker_that_never_looks_back_cannot_tell_who_follows(name: str) -> None:
    built = Build(lane_ends_at_m=180.0).other("a", ahead(lambda t: 20 + 0 * t), np.zeros_like)
    with pytest.raises(NotEvaluable, match="behind"):
        hits(name, built)


def slowing(decel: float, *, gap_m: float = 18.0, hold_s: float = 1.4) -> Path:
    """A lead that brakes at 6 s."""
    t = np.arange(0, 21, 0.01)
    speed = V - decel * np.clip(t - 6.0, 0, hold_s)
    way = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 200)])
    return lambda at: 3.7 + CAR["length_m"] / 2 + gap_m + np.interp(at, t, way)


@pytest.mark.parametrize(("decel", "level"), [(3.7, 1), (6.0, 2)])
def test_a_braking_lead_is_graded(decel: float, level: int) -> None:
    found = hits("lead_brakes", Build(duration_s=9).other("a", slowing(decel, hold_s=1.4), np.zeros_like))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("a",))]
    assert near(found[0].t0_ns, 6.0) and near(found[0].t1_ns, 7.4) and found[0].peak == pytest.approx(-decel, abs=0.3)


@pytest.mark.parametrize(("decel", "gap_m", "hold_s"), [(2.5, 18, 1.4), (4.0, 40, 1.4), (3.7, 18, 0.15)])
def test_braking_leads_that_do_not_count(decel: float, gap_m: float, hold_s: float) -> None:
    assert hits("lead_brakes", Build(duration_s=9).other("a", slowing(decel, gap_m=gap_m, hold_s=hold_s), np.zeros_like)) == []


@pytest.mark.parametrize("seed", range(8))
def test_a_trackers_noise_is_no_braking(seed: int) -> None:
    """0.08 m/s at 10 Hz, as the sample fleet's tracks have it: differences alone would be off by 0.6 m/s2."""
    rng = np.random.default_rng(seed)
    steady, brakes = (Build(duration_s=20).other("a", way, np.zeros_like) for way in (ahead(lambda t: 18 + 0 * t), slowing(4.2)))
    for row in (*steady.tracks, *brakes.tracks):
        row["vx_mps"] += rng.normal(0, 0.08)
    brakes.duration_s = 9
    assert hits("lead_brakes", steady) == [] and [hit.level for hit in hits("lead_brakes", brakes)] == [1]


# At 12 m/s behind an equally fast lead the set of the entry asks for 13.7 m, ad-rss-lib's start values for 36.1 m.
@pytest.mark.parametrize(("gap_m", "found"), [(12.5, True), (15.0, False)])
def test_rss_distance_behind_a_lead(gap_m: float, found: bool) -> None:
    got = hits("rss_violation", Build().other("a", ahead(lambda t: gap_m + 0 * t), np.zeros_like))
    assert [hit.actors for hit in got] == ([("a",)] if found else [])
    if got:
        assert got[0].peak == pytest.approx(gap_m / 13.73, abs=0.03)


def test_another_parameter_set_finds_more() -> None:
    entry = scenario("rss_violation")
    start_values = {
        "response_s": 1.0, "other_response_s": 2.0, "accelerate_mps2": 3.5, "brake_min_mps2": 4.0, "brake_max_mps2": 8.0,
        "lateral_accelerate_mps2": 0.2, "lateral_brake_mps2": 0.8, "margin_m": 0.1, "low_pass_hz": 1.0,
        "slack_mps": 0.3, "lanes_away": 1.5,
    }  # fmt: skip
    other = entry.model_copy(update={"settings": start_values})
    for gap_m, found in ((30.0, 1), (40.0, 0)):
        assert len(hits(other, Build().other("a", ahead(lambda t, gap=gap_m: gap + 0 * t), np.zeros_like))) == found
    assert entry.digest != other.digest


def test_a_neighbour_violates_rss_only_when_it_comes_over() -> None:
    calm = Build().other("a", ahead(lambda t: 4 + 0 * t), lambda t: np.full_like(t, LANE_M))
    pushy = Build().other("a", ahead(lambda t: 4 + 0 * t), ramp((0, LANE_M), (6, LANE_M), (7, LANE_M - 1), (8, LANE_M), (20, LANE_M)))
    assert hits("rss_violation", calm) == []
    found = hits("rss_violation", pushy)
    far_off = ramp((0, 2 * LANE_M), (6, 2 * LANE_M), (7.5, 1.6 * LANE_M), (9, 2 * LANE_M), (20, 2 * LANE_M))
    assert hits("rss_violation", Build().other("a", ahead(lambda t: 4 + 0 * t), far_off)) == []
    assert len(found) == 1 and near(found[0].t0_ns, 6.0, 0.3) and found[0].t1_ns < at_ns(8.2)


STOPS = ramp((0, 12), (8, 12), (14, 0), (20, 0))  # 132 m


def test_something_stands_in_the_lane() -> None:
    # 5 s away (60 m at 12 m/s) before the braking begins: 96 m driven, 3.7 m of bonnet, half a car.
    built = Build(speed=STOPS).other("a", lambda t: np.full_like(t, 150.0), np.zeros_like)
    found = hits("stationary_object", built)
    assert [(hit.level, hit.actors) for hit in found] == [(1, ("a",))]
    assert near(found[0].t0_ns, (150 - 2.25 - 3.7 - 60) / 12) and at_ns(10) < found[0].t1_ns < at_ns(14)


@pytest.mark.parametrize(
    ("x", "y", "cls", "found"),
    [
        (lambda t: 150 + 0 * t, lambda t: 0.5 + 0 * t, "other", 1),  # a thing
        (lambda t: 150 + 0 * t, lambda t: 2.4 + 0 * t, "car", 0),  # beside the corridor
        (lambda t: 141 + 0.7 * t, lambda t: 0 * t, "car", 0),  # creeps
        (lambda t: 150 + 0 * t, lambda t: 0 * t, "pedestrian", 0),
        (lambda t: 230 + 0 * t, lambda t: 0 * t, "car", 0),  # never nearer than 90 m
    ],
)
def test_what_stands_in_the_lane_and_what_does_not(x: Path, y: Path, cls: str, found: int) -> None:
    built = Build(speed=STOPS).other("a", x, y, cls=cls, box=WALKER if cls == "pedestrian" else CAR)
    assert len(hits("stationary_object", built)) == found


def test_a_box_across_the_lane_reaches_further() -> None:
    # Its centre is 3 m to the side: along the lane it is clear, turned across it is not.
    for heading, found in ((0.0, 0), (np.pi / 2, 1)):
        built = Build(speed=STOPS).other("a", lambda t: np.full_like(t, 150.0), lambda t: np.full_like(t, 3.0), heading=heading)
        assert len(hits("stationary_object", built)) == found


LEAVES = ramp((0, 0), (8, 0), (10, LANE_M), (20, LANE_M))


def revealed(slow_gap_m: float, *, slow_mps: float = 4.0, side: Path = LEAVES, **built: object) -> Build:
    """A lead 15 m ahead that moves as `side`; a slow car whose gap is given at 9.04 s, when the lead's box leaves the path."""
    one = Build(duration_s=11, **built).other("lead", ahead(lambda t: 15 + 0 * t), side)  # type: ignore[arg-type]
    return one.other("slow", lambda t: V * 9.04 + 5.95 + slow_gap_m + slow_mps * (t - 9.04), np.zeros_like)


@pytest.mark.parametrize(("gap_m", "level"), [(22.0, 2), (30.0, 1)])
def test_a_lead_cuts_out_and_shows_a_slow_one(gap_m: float, level: int) -> None:
    found = hits("cut_out_reveal", revealed(gap_m))
    assert [(hit.level, hit.actors) for hit in found] == [(level, ("lead", "slow"))]
    assert near(found[0].t0_ns, 8.21, 0.15) and near(found[0].t1_ns, 9.04, 0.15) and found[0].peak == pytest.approx(gap_m / V, abs=0.1)


@pytest.mark.parametrize(
    "built",
    [
        revealed(22.0, slow_mps=7.0),  # faster than half the ego's speed
        revealed(100.0),  # too far away
        revealed(22.0, side=ramp((0, 0), (8, 0), (8.6, 1.0), (9.2, 0), (20, 0))),  # never leaves the path
        revealed(22.0, side=np.zeros_like, sideways=ramp((0, 0), (8, 0), (10, -LANE_M), (20, -LANE_M))),  # it is the ego that leaves
        Build(duration_s=11).other("lead", ahead(lambda t: 15 + 0 * t), LEAVES),  # nothing behind it
    ],
)
def test_cut_outs_that_do_not_count(built: Build) -> None:
    assert hits("cut_out_reveal", built) == []


CHANGES = ramp((0, 0), (8, 0), (12, LANE_M), (20, LANE_M))  # over the line at 10 s, from 8.94 s to 11.06 s


def beside(name: str, x: Path, built: Build) -> Build:
    return built.other(name, x, lambda t: np.full_like(t, LANE_M))


def merging(front_m: float, rear_m: float, *, ends_at_m: float | None = 180.0) -> Build:
    built = Build(sideways=CHANGES, lane_ends_at_m=ends_at_m)
    return beside("rear", behind(lambda t: rear_m + 0 * t), beside("front", ahead(lambda t: front_m + 0 * t), built))


@pytest.mark.parametrize(
    ("front_m", "rear_m", "actors"), [(18.0, 40.0, ("front",)), (40.0, 18.0, ("rear",)), (18.0, 15.0, ("front", "rear"))]
)
def test_a_merge_into_a_short_gap(front_m: float, rear_m: float, actors: tuple[str, ...]) -> None:
    found = hits("merge", merging(front_m, rear_m))
    assert [hit.actors for hit in found] == [actors] and found[0].peak == pytest.approx(min(front_m, rear_m) / V, abs=0.03)
    assert near(found[0].t0_ns, 8.94, 0.02) and near(found[0].t1_ns, 11.06, 0.02)


@pytest.mark.parametrize(("front_m", "rear_m", "ends_at_m"), [(28.0, 28.0, 180.0), (18.0, 18.0, 300.0)])
def test_merges_that_do_not_count(front_m: float, rear_m: float, ends_at_m: float) -> None:
    assert hits("merge", merging(front_m, rear_m, ends_at_m=ends_at_m)) == []


def test_a_map_without_lane_ends_knows_no_merge() -> None:
    with pytest.raises(NotEvaluable, match="where lanes end"):
        hits("merge", merging(18.0, 18.0, ends_at_m=None))


def risky(gap_m: float, closing: float, *, sideways: Path = CHANGES) -> list[Hit]:
    """A change before one whose gap is given at 10 s."""
    return hits("risky_lane_change", beside("rear", behind(lambda t: gap_m - closing * (t - 10)), Build(duration_s=12, sideways=sideways)))


@pytest.mark.parametrize(("gap_m", "closing", "found"), [(7.5, 0, 1), (9.5, 0, 0), (26.0, 8, 1), (14.5, 3, 0)])
def test_a_lane_change_before_one_who_is_near_or_fast(gap_m: float, closing: float, found: int) -> None:
    got = risky(gap_m, closing)
    assert [hit.actors for hit in got] == [("rear",)] * found
    if got:
        assert near(got[0].t0_ns, 8.94, 0.02) and near(got[0].t1_ns, 11.06, 0.02)


def test_a_lane_change_that_is_broken_off_is_none() -> None:
    assert risky(7.5, 0, sideways=ramp((0, 0), (8, 0), (10, 2.2), (11, 0), (20, 0))) == []
