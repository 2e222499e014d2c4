"""Which lane the ego is in, what lies ahead on its way, and the light that governs it: LANES and LIGHTS of a recorded path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.ego import FRONT_M
from flywheel.errors import BadData
from flywheel.ingest.ego_path import EgoPath, wrap
from flywheel.ingest.lane_graph import Road
from flywheel.ingest.lanelets import Array, Ints, Lane, arc, headings, inside_polygon, place, spread

AHEAD_M = 200.0
LIGHT_AHEAD_M, LIGHT_BEHIND_M = 100.0, 20.0
CURVE_HALF_M = 4.0
LOOK_S, LOOK_M = 5.0, 20.0
WRONG_WAY_RAD = np.radians(80)
MAX_WORK = 10**9
MAX_CHAIN, MAX_VISITS = 60, 5000


class Light(NamedTuple):
    """A light that governs a lane: where along that lane's centre line it makes one stop, and its state at each ego sample ('' unknown)."""

    light_id: str
    stop_m: float
    states: NDArray[np.str_]


class InLane(NamedTuple):
    """Ego samples that lie in a lane of their direction: samples, lanes, how far along and left of the lane's middle, width."""

    at: Ints
    lane: Ints
    s_m: Array
    offset_m: Array
    width_m: Array


def locate(road: Road, ego: EgoPath) -> InLane:
    """The lane of each ego sample that lies in one that runs its way.

    Of several (lanes overlap in junctions) the one that is most aligned and central wins, with a bonus for the lane that the ego follows
    for the greatest share of its length, and for the lane it was in before.
    """
    found = _candidates(road, ego)
    if not found:
        return InLane(*(np.empty(0, kind) for kind in (np.int64, np.int64, float, float, float)))
    at, lane, s, offset, width, cost = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((cost, at))
    best: list[int] = []
    for group in np.split(order, np.flatnonzero(np.diff(at[order])) + 1):
        bonus = (lane[group] == lane[best[-1]]) * 0.3 if best else 0.0
        best.append(int(group[np.argmin(cost[group] - bonus)]))
    return InLane(*(column[best] for column in (at, lane, s, offset, width)))


def _candidates(road: Road, ego: EgoPath) -> list[tuple[Array, ...]]:
    points = ego.origin[:, :2]
    near = road.around(points.min(axis=0), points.max(axis=0)) if road.lanes else []
    x, y = np.ascontiguousarray(points.T)
    work, found = len(near) * len(points), []
    for k in near:
        box, lane = road.boxes[k], road.lanes[k]
        at = np.flatnonzero((x >= box[0]) & (y >= box[1]) & (x <= box[2]) & (y <= box[3]))
        work += len(at) * len(lane.centre)
        if work > MAX_WORK:
            raise BadData(f"{len(near)} lanes near {len(points)} ego samples are too many to compare; split the recording")
        if len(at):
            found.append(_in_lane(road, k, ego, at))
    return [columns for columns in found if len(columns[0])]


def _in_lane(road: Road, k: int, ego: EgoPath, at: Ints) -> tuple[Array, ...]:
    lane = road.lanes[k]
    placed = place(lane.centre, ego.origin[at, :2])
    off = np.abs(wrap(ego.heading[at] - placed.heading))
    kept = road.holds(k, placed) & (off < WRONG_WAY_RAD)
    s, d = placed.s_m[kept], placed.d_m[kept]
    left, right = (np.interp(s, lane.s_m, side) for side in (lane.left_m, lane.right_m))
    width, offset = left + right, d - (left - right) / 2
    covered = (np.ptp(s) if len(s) else 0.0) / max(lane.length_m, 1.0)
    cost = off[kept] + 0.3 * np.abs(offset) / width - 0.5 * covered
    return at[kept], np.full(len(s), k), s, offset, width, cost


@dataclass(frozen=True)
class Way:
    """A lane and those that follow it, for at least 200 m where the map goes that far: one line, and where each lane begins on it."""

    lanes: tuple[int, ...]
    begins_m: Array
    line: Array
    s_m: Array
    curvature_1pm: Array

    @classmethod
    def of(cls, road: Road, lanes: Sequence[int]) -> "Way":
        """The way along lanes, its line at every metre."""
        parts = [road.lanes[k] for k in lanes]
        begins = np.r_[0.0, np.cumsum([part.length_m for part in parts])][:-1]
        s = np.concatenate([part.s_m + begin for part, begin in zip(parts, begins, strict=True)])
        raw = np.concatenate([part.centre for part in parts])
        grid = np.arange(0.0, max(s[-1], 1.0) + 1.0)
        line = np.stack([np.interp(grid, s, raw[:, axis]) for axis in (0, 1)], axis=1)
        return cls(tuple(lanes), begins, line, grid, _curvature(line, grid))

    def first_ahead(self, marks: Array, s: Array, *, least: float = 0.0) -> Array:
        """For each place s, how far the first mark is that lies at least `least` ahead and at most 200 m; NaN if there is none."""
        gaps = np.where(marks[None] - s[:, None] >= least, marks[None] - s[:, None], np.inf).min(axis=1, initial=np.inf)
        return np.where(gaps <= AHEAD_M, gaps, np.nan)


def _curvature(line: Array, s: Array) -> Array:
    """Curvature at each point: how much the heading turns over 4 m to either side."""
    turn = np.unwrap(headings(line)) if arc(line)[-1] > 0 else np.zeros(len(line) - 1)
    middle = (s[1:] + s[:-1]) / 2
    low, high = np.maximum(s - CURVE_HALF_M, middle[0]), np.minimum(s + CURVE_HALF_M, middle[-1])
    return np.asarray((np.interp(high, middle, turn) - np.interp(low, middle, turn)) / np.maximum(high - low, 1.0))


def way_from(road: Road, lane: int, later: Sequence[int]) -> Way:
    """The way ahead of a lane: it goes on in the lane that the ego takes later, else in the straightest."""
    chain, ahead = [lane], 0.0
    while ahead < AHEAD_M and len(chain) < MAX_CHAIN:
        nexts = [k for k in road.nexts(chain[-1]) if k not in chain]
        if not nexts:
            break
        chain.append(next((k for k in later if k in nexts), nexts[0]))
        ahead += road.lanes[chain[-1]].length_m
    return Way.of(road, chain)


def lane_tables(road: Road, ego: EgoPath, *, speed: Array, lights: Mapping[str, Light] | None = None) -> tuple[pa.Table, pa.Table]:
    """LANES and LIGHTS without drive_id, at the ego samples in a lane; `lights` by the id of the lane they govern, speed (N,) in m/s."""
    inside = locate(road, ego)
    visits = np.split(np.arange(len(inside.at)), np.flatnonzero(np.diff(inside.lane)) + 1) if len(inside.at) else []
    order = [int(inside.lane[rows[0]]) for rows in visits]
    if len(visits) > MAX_VISITS:
        raise BadData(f"the ego changes lanes {len(visits)} times: this map and path do not belong together")
    lanes, governed = [], []
    for n, rows in enumerate(visits):
        way = way_from(road, order[n], tuple(dict.fromkeys(order[n + 1 : n + 1 + MAX_CHAIN])))
        lanes.append(_rows(road, way, inside, rows, speed=speed[inside.at[rows]]))
        governed += _governing(road, way, inside, rows, lights or {})
    times = ego.times[inside.at]
    return _lanes_table(road, times, inside, lanes), _lights_table(ego, governed)


def _rows(road: Road, way: Way, inside: InLane, rows: Ints, *, speed: Array) -> dict[str, Array]:
    s = inside.s_m[rows]
    front = s + FRONT_M
    junction = np.array([road.in_junction(k) for k in way.lanes])
    enters = way.begins_m[junction & ~np.r_[junction[0], junction[:-1]]]
    stops = [begin + stop for k, begin in zip(way.lanes, way.begins_m, strict=True) if (stop := road.lanes[k].stop_m) is not None]
    at_front = np.clip(np.searchsorted(way.begins_m, front, side="right") - 1, 0, len(way.lanes) - 1)
    reach = np.maximum(LOOK_S * speed, LOOK_M)
    return {
        "curvature_1pm": np.interp(s, way.s_m, way.curvature_1pm), "in_junction": junction[0] | junction[at_front],
        "curvature_ahead_1pm": _sharpest(way, s, reach), "junction_m": way.first_ahead(enters, front),
        "stop_line_m": way.first_ahead(np.array(stops, float), front), "crosswalk_m": way.first_ahead(_crosswalks(road, way), front),
    }  # fmt: skip


def _sharpest(way: Way, s: Array, reach: Array) -> Array:
    """The curvature of largest size between s and s + reach."""
    low, high = np.searchsorted(way.s_m, s), np.searchsorted(way.s_m, s + reach, side="right")
    pieces = (way.curvature_1pm[min(a, len(way.s_m) - 1) : max(b, a + 1)] for a, b in zip(low, high, strict=True))
    return np.array([piece[np.argmax(np.abs(piece))] if len(piece) else way.curvature_1pm[-1] for piece in pieces])


def _crosswalks(road: Road, way: Way) -> Array:
    """Where the way comes onto a crosswalk."""
    grid = np.linspace(0.0, way.s_m[-1], int(2 * way.s_m[-1]) + 2)
    points = spread(way.line, len(grid))
    low, high = points.min(axis=0), points.max(axis=0)
    near = [ring for ring in road.crosswalks if (ring.min(axis=0) <= high).all() and (ring.max(axis=0) >= low).all()]
    starts = [grid[np.flatnonzero(np.diff(np.r_[False, inside_polygon(points, ring)].astype(int)) > 0)] for ring in near]
    return np.concatenate([np.empty(0), *starts])


def _governing(road: Road, way: Way, inside: InLane, rows: Ints, lights: Mapping[str, Light]) -> list[tuple[Ints, Array, Light]]:
    """(ego samples, distance from the front bumper to the stop, light): the first light of the way from 20 m behind to 100 m ahead."""
    found = [(begin + lights[name].stop_m, lights[name]) for k, begin in zip(way.lanes, way.begins_m, strict=True)
             if (name := road.lanes[k].lane_id) in lights]  # fmt: skip
    open_, front, result = np.ones(len(rows), bool), inside.s_m[rows] + FRONT_M, []
    for stop, light in sorted(found, key=lambda item: item[0]):
        gap = stop - front
        mine = open_ & (gap >= -LIGHT_BEHIND_M) & (gap <= LIGHT_AHEAD_M)
        open_ &= ~mine
        result.append((inside.at[rows[mine]], gap[mine], light))
    return result


def _lanes_table(road: Road, times: Ints, inside: InLane, parts: Sequence[dict[str, Array]]) -> pa.Table:
    index = {k: road.lane_index(k) for k in set(inside.lane.tolist())}
    columns = {
        "t_ns": pa.array(times, pa.int64()), "lane_id": pa.array([road.lanes[k].lane_id for k in inside.lane], pa.string()),
        "lane_index": pa.array([index[k] for k in inside.lane.tolist()], pa.int32()),
        "offset_m": pa.array(inside.offset_m), "width_m": pa.array(inside.width_m),
    }  # fmt: skip
    for name in ("curvature_1pm", "in_junction", "curvature_ahead_1pm", "junction_m", "stop_line_m", "crosswalk_m"):
        kind = pa.bool_() if name == "in_junction" else pa.float64()
        columns[name] = pa.array(np.concatenate([part[name] for part in parts]) if parts else [], kind, from_pandas=True)
    return pa.table(columns)


def _lights_table(ego: EgoPath, governed: Sequence[tuple[Ints, Array, Light]]) -> pa.Table:
    rows = [(int(ego.times[k]), light.light_id, str(light.states[k]), float(gap))
            for at, gaps, light in governed for k, gap in zip(at, gaps, strict=True) if light.states[k]]  # fmt: skip
    t, ids, states, gaps = zip(*sorted(rows), strict=True) if rows else ((), (), (), ())
    return pa.table(
        {"t_ns": pa.array(t, pa.int64()), "light_id": pa.array(ids, pa.string()), "state": pa.array(states, pa.string()),
         "stop_line_m": pa.array(gaps, pa.float64())}
    )  # fmt: skip


def stop_on(lane: Lane, points: Array) -> float:
    """Where along a lane's centre line the middle of a stop line (or a single point) lies."""
    return float(place(lane.centre, np.atleast_2d(points)[:, :2].mean(axis=0)[None]).s_m[0])
