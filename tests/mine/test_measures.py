"""Surrogate measures against values worked out by hand, against plain loops, and their properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.mine.measures import (
    AD_RSS,
    R157_RSS,
    RSS_SETS,
    Boxes,
    distance,
    drac,
    fsm_pfs,
    jerk,
    mdrac,
    mttc,
    overlap_s,
    pet,
    r157_cut_in,
    rss_dangerous,
    rss_lateral,
    rss_longitudinal,
    rss_opposite,
    tet,
    thw,
    tit,
    ttc,
    ttc_boxes,
)  # fmt: skip

INF, NAN = np.inf, np.nan
gaps, closings, rises = (st.integers(*ends).map(lambda n: n / 100) for ends in ((0, 20000), (-4000, 4000), (-1000, 1000)))


def test_measures_on_one_path_by_hand() -> None:
    assert ttc([10, 10, 10, -1, NAN], [2, 0, -2, 2, 2]).tolist()[:4] == [5, INF, INF, 0]
    assert thw([14, 14, 14], [7, 0, -1]).tolist() == [2, INF, INF]
    assert drac([10, 10, 0], [4, -4, 4]).tolist() == [0.8, 0, INF]
    assert mdrac([8, 4, 3, 8], [4, 4, 4, -4]).tolist() == [2.0, INF, INF, 0.0]
    assert mdrac(8.0, 4.0, reaction_s=1.5) == pytest.approx(4.0)
    for unknown in (ttc(NAN, 1), thw(1, NAN), drac(NAN, -1), mdrac(1, NAN), mttc(1, 1, NAN), ttc(1, NAN)):
        assert np.isnan(unknown)


def test_mttc_sees_a_lead_that_brakes() -> None:
    assert mttc(9, 0, 2) == pytest.approx(3.0)
    assert mttc(10, 2, 0) == pytest.approx(5.0)
    assert mttc(10, 2, -0.3) == INF and mttc(10, 2, -0.2) == pytest.approx(10.0)
    assert mttc(0, -1, 1) == pytest.approx(2.0) and mttc(0, 1, 1) == 0 and mttc(5, 0, 0) == INF


@given(gaps, closings, rises)
def test_mttc_is_the_first_time_the_gap_is_closed(gap: float, closing: float, rise: float) -> None:
    time = float(mttc(gap, closing, rise))
    steps = np.linspace(0, min(time, 60.0), 200)[1:-1]
    assert (closing * steps + rise / 2 * steps**2 <= gap + 1e-6 * (1 + gap)).all() or gap == 0
    if np.isfinite(time) and time < 1e6:
        assert closing * time + rise / 2 * time**2 == pytest.approx(gap, rel=1e-6, abs=1e-6 * (1 + time**2))


@given(gaps, closings)
def test_the_measures_agree_with_one_another(gap: float, closing: float) -> None:
    time = float(ttc(gap, closing))
    assert float(mttc(gap, closing, 0.0)) == pytest.approx(time)
    if 1e-6 < time < INF:
        assert float(drac(gap, closing)) == pytest.approx(closing / (2 * time))
        assert float(mdrac(gap, closing)) >= float(drac(gap, closing))


def test_pet_counts_from_whoever_is_first() -> None:
    assert pet(1.0, 2.0, 3.5, 4.0) == 1.5 and pet(3.5, 4.0, 1.0, 2.0) == 1.5
    assert pet(1.0, 3.0, 2.0, 4.0) == -1.0 and np.isnan(pet(1, 2, NAN, NAN))


def test_time_below_a_limit_and_its_integral() -> None:
    values = [5.0, 2.5, 2.0, INF, NAN, 3.0]
    assert tet(values, 0.1, limit_s=3.0) == pytest.approx(0.2)
    assert tit(values, 0.1, limit_s=3.0) == pytest.approx(0.15)
    assert tit(values, [1, 1, 2, 1, 1, 1], limit_s=3.0) == pytest.approx(2.5)


def test_jerk_of_a_ramp_and_of_a_sine() -> None:
    t = np.arange(0, 6, 0.1)
    assert jerk(2.5 * t, 0.1) == pytest.approx(2.5)
    assert jerk(np.sin(t), 0.1)[8:-8] == pytest.approx(np.cos(t)[8:-8], abs=0.06)
    assert np.isnan(jerk([1.0, 2.0], 0.1)).all() and len(jerk([], 0.1)) == 0
    holed = jerk(np.where(np.arange(60) == 30, NAN, 2.5 * t), 0.1)
    assert np.flatnonzero(np.isnan(holed[7:-7])).tolist() == list(range(16, 31)) and holed[10] == pytest.approx(2.5)


def box(x: float, y: float, heading: float = 0.0, vx: float = 0.0, vy: float = 0.0, size: tuple[float, float] = (4.0, 2.0)) -> Boxes:
    return Boxes(*(np.array([value], float) for value in (x, y, heading, *size, vx, vy)))


def test_boxes_meet_when_their_outlines_do() -> None:
    ego = box(0, 0, vx=10)
    assert ttc_boxes(ego, box(24, 0), step_s=None) == pytest.approx(2.0)
    assert ttc_boxes(ego, box(24.3, 0)) == pytest.approx(2.1)
    assert ttc_boxes(ego, box(35, 0)) == INF and ttc_boxes(ego, box(35, 0), horizon_s=4) == pytest.approx(3.1)
    assert ttc_boxes(ego, box(24, 2.1)) == INF and ttc_boxes(ego, box(3, 0)) == 0 and ttc_boxes(ego, box(-5, 0)) == INF
    crossing = box(20, -20, np.pi / 2, vy=10)
    assert overlap_s(ego, crossing) == (pytest.approx([1.7]), pytest.approx([2.3]))
    diagonal = box(10, 0, np.pi / 4, size=(2.0, 2.0))
    assert ttc_boxes(ego, diagonal, step_s=None) == pytest.approx((8 - np.sqrt(2)) / 10)


def test_a_touch_between_two_steps_is_missed_by_steps_only() -> None:
    ego, quick = box(0, 0, size=(1.0, 1.0)), box(5.5, -50, vy=1000.0, vx=-100.0, size=(0.5, 0.5))
    assert np.isfinite(ttc_boxes(ego, quick, step_s=None)) and ttc_boxes(ego, quick) == INF


def stepped(a: Boxes, b: Boxes) -> float:
    """First of 31 steps at which no side of either box parts their corners."""
    corners = []
    for part in (a, b):
        c, s = float(np.cos(part.heading_rad[0])), float(np.sin(part.heading_rad[0]))
        half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * [part.length_m[0] / 2, part.width_m[0] / 2]
        corners.append(half @ np.array([[c, s], [-s, c]]) + [part.x_m[0], part.y_m[0]])
    for step in range(31):
        moved = [corners[i] + step * 0.1 * np.array([p.vx_mps[0], p.vy_mps[0]]) for i, p in enumerate((a, b))]
        sides = [np.roll(m, 1, 0) - m for m in moved]
        shadows = [tuple(m @ axis for m in moved) for axis in np.concatenate(sides)]
        if all(p.min() <= q.max() and q.min() <= p.max() for p, q in shadows):
            return step * 0.1
    return INF


moving = st.tuples(st.floats(-30, 30), st.floats(-30, 30), st.floats(-4, 4), st.floats(-20, 20), st.floats(-20, 20))


@given(moving, moving)
def test_the_closed_form_is_what_stepping_finds(one: tuple[float, ...], two: tuple[float, ...]) -> None:
    a, b = box(*one), box(*two)
    begins, ends = (float(moment[0]) for moment in overlap_s(a, b))
    close_call = min(abs(moment * 10 - round(moment * 10)) for moment in (begins, ends)) < 1e-6 if np.isfinite(begins) else False
    if not close_call and not 0 <= ends - begins < 1e-6:
        assert float(ttc_boxes(a, b)[0]) == pytest.approx(stepped(a, b))
    assert overlap_s(b, a) == (pytest.approx([begins]), pytest.approx([ends]))


def test_rss_distances_of_the_named_sets() -> None:
    speed = 50 / 3.6
    assert rss_longitudinal(speed, speed, AD_RSS) == pytest.approx(41.4, abs=0.05)
    assert rss_longitudinal(speed, speed, R157_RSS) == pytest.approx(15.7, abs=0.05)
    assert set(RSS_SETS) == {"ad-rss-lib start values", "esmini R157-RSS"} and AD_RSS.digest != R157_RSS.digest
    assert rss_longitudinal(5, 40, AD_RSS) == 0 and rss_longitudinal(0, -3, AD_RSS) == rss_longitudinal(0, 0, AD_RSS)
    assert rss_longitudinal(10, 10, AD_RSS, response_s=2.0) > rss_longitudinal(10, 10, AD_RSS)
    # 10 m/s each: (10 + 13.5) / 2 + 13.5^2 / 6 and (10 + 17) + 17^2 / 8.
    assert rss_opposite(10, -10, AD_RSS) == pytest.approx(11.75 + 30.375 + 27 + 36.125)


def test_rss_lateral_depends_on_who_comes_nearer() -> None:
    least = {"left_response_s": 1.0, "right_response_s": 1.0}
    # Standing still: each may drift 0.1 m in the response time and 0.2^2 / 1.6 in braking.
    assert rss_lateral(0, 0, AD_RSS, **least) == pytest.approx(0.1 + 2 * (0.1 + 0.025))
    assert rss_lateral(-1, 0, AD_RSS, **least) == pytest.approx(0.1 + (1.1 + 0.9) + 0.125)
    assert rss_lateral(-1, 0, AD_RSS, **least) == pytest.approx(rss_lateral(0, 1, AD_RSS, **least))
    assert rss_lateral(3, -3, AD_RSS, **least) == AD_RSS.margin_m
    assert rss_dangerous([5, 5, 50], [10, 10, 10], [0.1, 2, 0.1], [1, 1, 1]).tolist() == [True, False, False]


def test_cut_in_rule_and_fuzzy_safety() -> None:
    assert r157_cut_in([1.4, 1.3], [12.0, 12.0]).tolist() == [True, False] and r157_cut_in(INF, -3.0)
    # 20 m/s behind 20 m/s: reach 15 - 400/14; safe + 50 + 2, unsafe + 33.33.
    reach = 15 - 400 / 14
    assert fsm_pfs(2 + reach + 52, 20, 20) == 0 and fsm_pfs(2 + reach + 400 / 12, 20, 20) == 1
    assert fsm_pfs(2 + reach + (52 + 400 / 12) / 2, 20, 20) == pytest.approx(0.5)


@given(st.floats(0, 200), st.floats(0, 40), st.floats(0, 40))
def test_fuzzy_safety_falls_with_the_gap(gap: float, rear: float, lead: float) -> None:
    worse, better = fsm_pfs(gap, rear, lead), fsm_pfs(gap + 1, rear, lead)
    assert 0 <= better <= worse <= 1


@given(moving, moving)
def test_distance_is_that_of_the_nearest_points_of_the_outlines(one: tuple[float, ...], two: tuple[float, ...]) -> None:
    a, b = box(*one), box(*two)
    along = np.linspace(-1, 1, 81)
    outlines = []
    for part in (a, b):
        c, s = np.cos(part.heading_rad[0]), np.sin(part.heading_rad[0])
        sides = [(u, v) for side in (-1, 1) for u, v in [(along * 2, side + 0 * along), (side * 2 + 0 * along, along)]]
        outlines.append(np.concatenate([np.stack([part.x_m[0] + u * c - v * s, part.y_m[0] + u * s + v * c], 1) for u, v in sides]))
    nearest = float(np.hypot(*(outlines[0][:, None] - outlines[1]).reshape(-1, 2).T).min())
    apart = float(distance(a, b)[0])
    assert apart == (0.0 if overlap_s(a, b)[0] <= 0 <= overlap_s(a, b)[1] else pytest.approx(nearest, abs=0.03))
