"""Lanes from boundaries, polygons and lines; the lane an ego is in; what lies ahead; and 20,000 lanes against 600 samples."""

import time

import numpy as np
import pytest

from flywheel.errors import BadData
from flywheel.ingest.ego_path import EgoPath
from flywheel.ingest.lane_graph import Road
from flywheel.ingest.lane_rows import lane_tables, locate
from flywheel.ingest.lanelets import Lane, along, between, inside_polygon, place, within
from tests.ingest import make_road as road

T0 = 1_700_000_000_000_000_000


def ego_on(points: np.ndarray, heading: float | np.ndarray) -> EgoPath:
    """An ego at world points, ten a second."""
    count = len(points)
    return EgoPath(T0 + np.arange(count) * 100_000_000, np.c_[points, np.zeros(count)], np.broadcast_to(heading, (count,)).copy())


def made_road(*, silent: bool = False) -> Road:
    """The made road; silent: a map that names no successors, neighbours or junctions."""
    lanes = []
    for name, (_, _, _, junction, right, after) in road.LANES.items():
        shape = between(road.edge(name, left=True), road.edge(name, left=False))
        assert shape is not None
        lanes.append(Lane(name, *shape) if silent else Lane(name, *shape, in_junction=junction, right_id=right, successors=after))
    return Road(lanes, crosswalks=[road.crosswalk()])


def circle(radius_m: float, *, left: float, right: float) -> Road:
    """A lane that turns left on a circle around the origin, from (radius, 0)."""
    turn = np.linspace(0, np.pi, 60)
    edges = [np.stack([r * np.cos(turn), r * np.sin(turn)], axis=1) for r in (radius_m - left, radius_m + right)]
    shape = between(edges[0], edges[1])
    assert shape is not None
    return Road([Lane("c", *shape, in_junction=False)])


@pytest.mark.parametrize("silent", [False, True])
def test_neighbours_and_successors_are_found_with_and_without_names(silent: bool) -> None:
    found = made_road(silent=silent)
    at = found.index
    assert found.lane_index(at["11"]) == 1 and found.lane_index(at["12"]) == 0
    assert found.nexts(at["11"]) == [at["13"]] and found.nexts(at["13"]) == [at["14"]]
    assert found.derived == (("LANES.lane_index", "LANES.in_junction") if silent else ())


def test_offset_curvature_and_width_on_a_circle() -> None:
    turn = np.linspace(0.3, 2.0, 40)
    ego = ego_on(np.stack([39.5 * np.cos(turn), 39.5 * np.sin(turn)], axis=1), turn + np.pi / 2)
    lanes, _ = lane_tables(circle(40.0, left=1.5, right=2.0), ego, speed=np.full(40, 10.0))
    assert lanes["offset_m"].to_numpy() == pytest.approx(0.75, abs=0.05), "0.25 m outside the lane's middle radius, plus 0.5 m inside"
    assert lanes["width_m"].to_numpy() == pytest.approx(3.5, abs=0.02)
    assert lanes["curvature_1pm"].to_numpy() == pytest.approx(1 / 40.25, abs=1e-3)
    assert lanes["curvature_ahead_1pm"].to_numpy() == pytest.approx(1 / 40.25, abs=2e-3)


def test_a_lane_change_changes_lane_and_index() -> None:
    y = np.linspace(1.75, -1.75, 60)
    ego = ego_on(road.world(np.stack([np.linspace(20, 80, 60), y], axis=1)), road.TURN - 0.058)
    lanes, _ = lane_tables(made_road(), ego, speed=np.full(60, 10.0))
    changed = np.flatnonzero(np.diff(lanes["lane_index"].to_numpy()))
    assert len(changed) == 1 and abs(y[changed[0] + 1]) < 0.2
    offsets = lanes["offset_m"].to_numpy()
    assert offsets[changed[0]] == pytest.approx(-1.75, abs=0.2) and offsets[changed[0] + 1] == pytest.approx(1.75, abs=0.2)


def test_no_lane_beside_the_road_or_against_it() -> None:
    beside = ego_on(road.world([[20.0, 9.0], [21.0, 9.0]]), road.TURN)
    against = ego_on(road.world([[20.0, 1.0], [19.0, 1.0]]), road.TURN + np.pi)
    for ego in (beside, against):
        assert len(locate(made_road(), ego).at) == 0
        lanes, lights = lane_tables(made_road(), ego, speed=np.zeros(2))
        assert (len(lanes), len(lights)) == (0, 0)


def test_crossing_lanes_are_a_junction_where_the_map_is_silent() -> None:
    across = along(road.world([[50.0, y] for y in np.linspace(-30, 30, 7)]))
    assert across is not None
    found = Road([*made_road(silent=True).lanes, Lane("x", *across)])
    assert {lane.lane_id: found.in_junction(k) for k, lane in enumerate(found.lanes)} == {
        "11": True, "12": True, "13": False, "14": False, "x": True,
    }  # fmt: skip


def test_a_polygon_gives_the_widths_of_its_line() -> None:
    line = road.world([[x, 1.0] for x in np.linspace(0, 40, 9)])
    shape = within(line, road.world([[0, 3.0], [40, 3.0], [40, -1.5], [0, -1.5]]))
    assert shape is not None
    assert shape[1] == pytest.approx(2.0, abs=1e-9) and shape[2] == pytest.approx(2.5, abs=1e-9)


def test_lines_without_length_are_no_lanes() -> None:
    same = np.array([[1.0, 2.0], [1.0, 2.0]])
    assert along(same) is None
    assert between(same, same) is None
    with pytest.raises(BadData, match="not finite"):
        along(np.array([[0.0, 0.0], [np.nan, 1.0]]))


def test_points_are_placed_beside_and_beyond() -> None:
    line = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    placed = place(line, np.array([[4.0, 1.0], [9.0, 5.0], [-1.0, 0.0], [10.0, 11.0], [4.0, -2.0]]))
    assert placed.s_m == pytest.approx([4, 15, 0, 20, 4])
    assert placed.d_m[[0, 1, 4]] == pytest.approx([1, 1, -2])
    assert placed.beside.tolist() == [True, True, False, False, True]
    assert inside_polygon(np.array([[1.0, 1.0], [3.0, 1.0]]), np.array([[0, 0], [2, 0], [2, 2], [0, 2]])).tolist() == [True, False]


def test_twenty_thousand_lanes_take_seconds() -> None:
    lanes = []
    for k in range(20_000):
        row, column = divmod(k, 100)
        x, y = 50.0 * column, 3.5 * row
        lanes.append(Lane(str(k), np.array([[x, y], [x + 25, y], [x + 50, y]]), np.full(3, 1.75), np.full(3, 1.75)))
    ego = ego_on(np.stack([np.linspace(0, 4900, 600), np.linspace(0, 690, 600)], axis=1), 0.14)
    begin = time.perf_counter()
    found, _ = lane_tables(Road(lanes), ego, speed=np.full(600, 8.0))
    taken = time.perf_counter() - begin
    print(f"20,000 lanes x 600 samples: {taken:.2f} s, {len(found)} rows")
    assert len(found) == 600
    assert found["lane_index"].to_pylist()[-1] == 19, "the count to the right ends at 19"
