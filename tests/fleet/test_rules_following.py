"""The truth about following and lane changes, on motions made by hand: each rule fires above its threshold, not below."""

import pytest

from flywheel.ego import FRONT_M, REAR_M
from flywheel.fleet import rules_following, rules_lane_change
from flywheel.fleet.acts_following import visit
from flywheel.fleet.motion import Profile, Push, profile
from flywheel.fleet.oracle import Limits, Truth, view_of
from flywheel.fleet.stage import Scripted
from tests.fleet.made_drives import PLACE, SECONDS, car, made, steady

V, S0, HALF = 14.0, 200.0, 2.3
RULES = rules_following.RULES | rules_lane_change.RULES


def truths(name: str, ego: Profile, *others: Scripted, strict: float = 1.0, **drive: object) -> list[Truth]:
    view = view_of(made(ego, S0, others=others, **drive))  # type: ignore[arg-type]
    return list(RULES[name](view, Limits().stricter(strict)))


def ahead(prof: Profile, gap_m: float, **car_says: object) -> Scripted:
    return car(prof, S0 + FRONT_M + gap_m + HALF, **car_says)  # type: ignore[arg-type]


def behind(prof: Profile, gap_m: float, **car_says: object) -> Scripted:
    return car(prof, S0 + REAR_M - gap_m - HALF, **car_says)  # type: ignore[arg-type]


def closing(by_m: float) -> Profile:
    return profile(V, visit(2.0, by_m, stay_s=4.0), duration_s=SECONDS)


@pytest.mark.parametrize(("near_m", "level"), [(13.2, "L1"), (14.8, None), (6.6, "L2"), (7.5, "L1")])
def test_low_headway(near_m: float, level: str | None) -> None:
    found = truths("low_thw", closing(24.0 - near_m), ahead(steady(V), 24.0))
    assert [(e.level, e.actors) for e in found] == ([(level, ("other",))] if level else [])


@pytest.mark.parametrize(("near_m", "found"), [(10.8, 1), (11.7, 0)])
def test_tailgater(near_m: float, found: int) -> None:
    got = truths("tailgater", steady(V), behind(closing(24.0 - near_m), 24.0))
    assert [e.actors for e in got] == [("other",)] * found
    assert not truths("tailgater", steady(V), behind(closing(24.0 - near_m), 24.0, lane=1))


@pytest.mark.parametrize(("decel", "gap_m", "level"), [(3.2, 20, "L1"), (2.8, 20, None), (5.3, 20, "L2"), (3.2, 34, None)])
def test_lead_brakes(decel: float, gap_m: float, level: str | None) -> None:
    def brakes(t_s: float) -> Profile:
        return profile(V, [Push(t_s, t_s + 1.3, -decel)], duration_s=SECONDS, smooth_s=0.2)

    found = truths("lead_brakes", brakes(8.6), ahead(brakes(8.0), gap_m))
    assert [e.level for e in found] == ([level] if level else [])
    if found:
        assert found[0].start == pytest.approx(805, abs=10) and found[0].end == pytest.approx(930, abs=10)


# The least gap of 'esmini R157-RSS' at 14 m/s behind 14 m/s is 15.8 m.
@pytest.mark.parametrize(("gap_m", "found"), [(15.2, 1), (16.4, 0)])
def test_rss_behind_a_lead(gap_m: float, found: int) -> None:
    assert len(truths("rss_violation", steady(V), ahead(steady(V), gap_m))) == found


@pytest.mark.parametrize(("by_m", "found"), [(0.0, 0), (-1.0, 1)])
def test_rss_beside_a_neighbour(by_m: float, found: int) -> None:
    other = ahead(steady(V), 3.0, lane=1, shifts=[(S0 + 80, S0 + 110, by_m)])
    assert len(truths("rss_violation", steady(V), other)) == found


@pytest.mark.parametrize(("decel", "creep", "lane", "found"), [(2.0, 0.0, 0, 1), (0.95, 0.0, 0, 0), (2.0, 0.6, 0, 0), (2.0, 0.0, 1, 0)])
def test_stationary_object(decel: float, creep: float, lane: int, found: int) -> None:
    ego = profile(V, [Push(4.0, 4.0 + V / decel, -decel)], duration_s=SECONDS)
    gap = ego.way_at(SECONDS) + (12.0 if decel > 1 else 26.0)
    got = truths("stationary_object", ego, ahead(steady(creep), gap, lane=lane))
    assert [e.actors for e in got] == [("other",)] * found


def test_a_parked_car_in_the_corridor_stands_there_too() -> None:
    import dataclasses

    from flywheel.fleet.scene import Actor
    from tests.fleet.made_drives import ROAD

    x, y, heading = (float(v) for v in ROAD.pose(S0 + 180.0, PLACE.lane_d_m(0)))
    parked = Actor(
        actor_id="parked.0", cls="car", x_m=x, y_m=y, heading_rad=heading, length_m=4.6, width_m=1.85, height_m=1.5, speed_mps=0.0, seed=1
    )
    drive = dataclasses.replace(made(profile(V, [Push(8.0, 15.0, -2.0)], duration_s=SECONDS), S0), parked=(parked,))
    found = list(RULES["stationary_object"](view_of(drive), Limits()))
    assert [e.actors for e in found] == [("parked.0",)]


@pytest.mark.parametrize(("share", "gap_m", "level"), [(0.45, 26.0, "L2"), (0.45, 32.0, "L1"), (0.55, 26.0, None)])
def test_cut_out_reveal(share: float, gap_m: float, level: str | None) -> None:
    """The lead, 16 m ahead, is out of the path 1.25 s after 8 s; the slow one is that gap away then."""
    start = S0 + FRONT_M + 16.0 + HALF + 8.0 * V
    lead = ahead(steady(V), 16.0, name="lead", shifts=[(start, start + 2.1 * V, PLACE.lane_m)])
    slow = ahead(steady(share * V), gap_m + 9.1 * (1 - share) * V, name="slow")
    ego = profile(V, [Push(9.3, 9.3 + (1 - share) * V / 4.0, -4.0)], duration_s=SECONDS)
    found = truths("cut_out_reveal", ego, lead, slow)
    assert [(e.level, e.actors) for e in found] == ([(level, ("lead", "slow"))] if level else [])
    if found:
        assert 830 < found[0].start < 880 and found[0].end == pytest.approx(925, abs=15)


def test_a_lead_that_comes_back_reveals_nothing() -> None:
    start = S0 + FRONT_M + 16.0 + HALF + 8.0 * V
    lead = ahead(steady(V), 16.0, name="lead", shifts=[(start, start + 20, 1.0), (start + 20, start + 40, -1.0)])
    assert truths("cut_out_reveal", steady(V), lead, ahead(steady(0.4 * V), 120.0, name="slow")) == []


def change(t_s: float = 8.0, long_s: float = 5.0) -> list[tuple[float, float, float]]:
    middle = S0 + V * t_s
    return [(middle - long_s * V / 2, middle + long_s * V / 2, PLACE.lane_m)]


@pytest.mark.parametrize(
    ("front_m", "rear_m", "end_m", "actors"),
    [(27.0, 40.0, 60, ("front",)), (40.0, 27.0, 60, ("rear",)), (29.0, 29.0, 60, None), (20.0, 20.0, 160, None)],
)
def test_merge(front_m: float, rear_m: float, end_m: float, actors: tuple[str, ...] | None) -> None:
    around = (ahead(steady(V), front_m, name="front", lane=1), behind(steady(V), rear_m, name="rear", lane=1))
    found = truths("merge", steady(V), *around, shifts=change(), lane_ends_s_m=S0 + 8.0 * V + FRONT_M + end_m)
    assert [e.actors for e in found] == ([actors] if actors else [])
    if found:
        assert 700 < found[0].start < 760 and 840 < found[0].end < 900
    assert not truths("merge", steady(V), *around, shifts=change())


@pytest.mark.parametrize(("gap_m", "faster", "found"), [(9.4, 0.0, 1), (10.2, 0.0, 0), (14.0, 5.0, 1), (21.0, 4.0, 0)])
def test_risky_lane_change(gap_m: float, faster: float, found: int) -> None:
    """The gap is that at 8 s, when the ego's centre is over the line; the faster one brakes to the ego's speed from then on."""
    rear = profile(V + faster, [Push(8.0, 8.0 + faster / 4.0, -4.0)] if faster else [], duration_s=SECONDS)
    got = truths("risky_lane_change", steady(V), behind(rear, gap_m + 8.0 * faster, lane=1), shifts=change(long_s=4.0))
    assert [e.actors for e in got] == [("other",)] * found


def test_a_change_that_is_broken_off_is_none() -> None:
    (start, end, by), back = change(long_s=4.0)[0], S0 + V * 11.0
    rear = behind(steady(V), 7.0, lane=1)
    assert truths("risky_lane_change", steady(V), rear, shifts=[(start, end, 0.62 * by), (back, back + 40, -0.62 * by)]) == []


def test_stricter_limits_find_less_and_milder_ones_more() -> None:
    lead = ahead(steady(V), 15.0)
    assert [len(truths("rss_violation", steady(V), lead, strict=strict)) for strict in (0.93, 1.0, 1.07)] == [1, 1, 0]
