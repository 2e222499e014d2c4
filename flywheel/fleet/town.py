"""The still part of a place as a camera sees it (`World`), and the cars parked along the road on one drive."""

from collections.abc import Iterator

import numpy as np

from flywheel.fleet.network import Network
from flywheel.fleet.road import BIKE_M, PARKING_M, SIDE_LANE_M, SIDE_ROAD_M, SIDE_WALK_M, SIDEWALK_M, Place, Road
from flywheel.fleet.scene import Actor, Area, Block, Marking, Post, Signal, Strip, World

BEHIND_M, AHEAD_M = 60.0, 260.0
SLOT_M = 7.0
MAIN_LIGHT, BACK_LIGHT, NORTH_LIGHT, SOUTH_LIGHT = "J-main", "J-back", "J-north", "J-south"


def world_of(place: Place, road: Road, network: Network, *, s0_m: float, s1_m: float) -> World:
    """The place's world between two points of the main road (with some more on both ends)."""
    low = max(float(road.s[0]), np.floor((s0_m - BEHIND_M) / 4) * 4)
    high = min(float(road.s[-1]), np.ceil((s1_m + AHEAD_M) / 4) * 4)
    spans = _spans(network, low, high)
    near = low < network.junction_out_s_m and high > network.junction_in_s_m
    lanes, walks, markings = [], [], []
    for a, b in spans:
        lanes += [Strip(line=road.points(a, b, d), width_m=w) for d, w in _bands(place)]
        walks += [Strip(line=road.points(a, b, side * -place.sidewalk_d_m), width_m=SIDEWALK_M) for side in (-1, 1)]
        markings += _markings(place, road, a, b)
    blocks = [b for b, s in _blocks(place, road) if low <= s <= high]
    posts = [p for p, s in _posts(place, road) if low <= s <= high]
    if not near:
        return World(lanes=tuple(lanes), sidewalks=tuple(walks), markings=tuple(markings), blocks=tuple(blocks), posts=tuple(posts))
    side_lanes, side_walks = _side_roads(place)
    return World(
        lanes=(*lanes, *side_lanes), sidewalks=(*walks, *side_walks), junctions=(Area(outline=network.junction_outline),),
        crosswalks=tuple(Area(outline=ring) for ring in network.crosswalks), markings=(*markings, *_stop_lines(place, network)),
        blocks=tuple(blocks), posts=tuple(posts), signals=_signals(place, network),
    )  # fmt: skip


def _spans(network: Network, low: float, high: float) -> list[tuple[float, float]]:
    cuts = [(low, min(high, network.junction_in_s_m)), (max(low, network.junction_out_s_m), high)]
    return [(a, b) for a, b in cuts if b - a > 1.0]


def _bands(place: Place) -> Iterator[tuple[float, float]]:
    """Centre and width of every paved band of the main road, both directions."""
    for side in (-1.0, 1.0):
        for k in range(place.lanes):
            yield side * (k + 0.5) * place.lane_m, place.lane_m
        yield side * (place.kerb_m + BIKE_M / 2), BIKE_M
        yield side * (place.kerb_m + BIKE_M + PARKING_M / 2), PARKING_M


def _markings(place: Place, road: Road, a: float, b: float) -> list[Marking]:
    rows = [Marking(line=road.points(a, b, 0.0), width_m=0.2)]
    for side in (-1.0, 1.0):
        rows += [Marking(line=road.points(a, b, side * k * place.lane_m), dashed=True) for k in range(1, place.lanes)]
        rows += [Marking(line=road.points(a, b, side * d)) for d in (place.kerb_m, place.kerb_m + BIKE_M)]
    return rows


def _stop_lines(place: Place, network: Network) -> list[Marking]:
    s = network.stop_line_s_m
    mirrored = network.junction_in_s_m + network.junction_out_s_m - s
    far = -(place.kerb_m + BIKE_M)
    return [Marking(line=((s, 0.0), (s, far)), width_m=0.4), Marking(line=((mirrored, 0.0), (mirrored, -far)), width_m=0.4)]


def _side_roads(place: Place) -> tuple[list[Strip], list[Strip]]:
    lanes, walks = [], []
    edge = place.kerb_m + BIKE_M + PARKING_M + SIDEWALK_M
    for way in (-1.0, 1.0):
        for side in (-1.0, 1.0):
            x = place.junction_s_m + side * SIDE_LANE_M / 2
            lanes.append(Strip(line=_column(x, way * edge, way * SIDE_ROAD_M), width_m=SIDE_LANE_M))
            x = place.junction_s_m + side * (SIDE_LANE_M + SIDE_WALK_M / 2)
            walks.append(Strip(line=_column(x, way * edge, way * SIDE_ROAD_M), width_m=SIDE_WALK_M))
    return lanes, walks


def _column(x: float, y0: float, y1: float) -> tuple[tuple[float, float], ...]:
    return tuple((round(x, 3), round(float(y), 3)) for y in np.linspace(y0, y1, 20))


def _signals(place: Place, network: Network) -> tuple[Signal, ...]:
    beside, a, b = place.kerb_m + BIKE_M + 0.4, network.junction_in_s_m, network.junction_out_s_m
    over = (place.lanes / 2) * place.lane_m
    x, side = place.junction_s_m, SIDE_LANE_M + 0.6
    rows = [
        (MAIN_LIGHT, a + 0.5, -beside, 2.9, 0.0), (MAIN_LIGHT, b, -over, 5.4, 0.0),
        (BACK_LIGHT, b - 0.5, beside, 2.9, np.pi), (BACK_LIGHT, a, over, 5.4, np.pi),
        (NORTH_LIGHT, x - side, place.kerb_m + 7.0, 2.9, -np.pi / 2), (SOUTH_LIGHT, x + side, -place.kerb_m - 7.0, 2.9, np.pi / 2),
    ]  # fmt: skip
    return tuple(Signal(light_id=n, x_m=round(x, 3), y_m=round(y, 3), z_m=z, facing_rad=round(f, 6)) for n, x, y, z, f in rows)


def _blocks(place: Place, road: Road) -> Iterator[tuple[Block, float]]:
    """Buildings in two rows behind the sidewalks, with an opening for the side road."""
    rng = np.random.default_rng([place.seed, 1])
    for side in (-1.0, 1.0):
        s = 0.0
        while s < place.length_m:
            length, depth = float(rng.uniform(11, 26)), float(rng.uniform(9, 14))
            setback, height, gap, seed = rng.uniform(1.5, 6), rng.uniform(5, 21), rng.uniform(1, 9), int(rng.integers(1 << 31))
            d = side * (place.kerb_m + BIKE_M + PARKING_M + SIDEWALK_M + setback + depth / 2)
            stretch = max(1.0 - float(np.interp(s + length / 2, road.s, road.curvature_1pm)) * (d - side * depth / 2), 0.35)
            middle = s + length / 2 / stretch
            s += (length + gap) / stretch
            if abs(middle - place.junction_s_m) < length / 2 + 10.0:
                continue
            x, y, heading = (float(v) for v in road.pose(middle, d))
            yield (
                Block(
                    x_m=round(x, 3), y_m=round(y, 3), heading_rad=round(heading, 6), length_m=round(length, 2), width_m=round(depth, 2),
                    height_m=round(float(height), 2), seed=seed,
                ),
                middle,
            )  # fmt: skip


def _posts(place: Place, road: Road) -> Iterator[tuple[Post, float]]:
    """Trees and lamps along the kerb of both sidewalks."""
    rng = np.random.default_rng([place.seed, 2])
    inner = place.kerb_m + BIKE_M + PARKING_M + 0.45
    for side in (-1.0, 1.0):
        for k, s in enumerate(np.arange(6.0, place.length_m, 11.0)):
            at, height, seed = float(s + rng.uniform(-2, 2)), float(rng.uniform(4.5, 8)), int(rng.integers(1 << 31))
            lamp = k % 3 == 0
            if abs(at - place.junction_s_m) < 14.0 or (not lamp and rng.random() < 0.3):
                continue
            x, y, _ = (float(v) for v in road.pose(at, side * inner))
            yield (
                Post(
                    kind="lamp" if lamp else "tree", x_m=round(x, 3), y_m=round(y, 3), height_m=7.5 if lamp else round(height, 2), seed=seed
                ),
                at,
            )


def parked_cars(place: Place, road: Road, *, seed: int, clear_s_m: tuple[float, ...]) -> tuple[Actor, ...]:
    """Cars and vans standing in the parking strips on one drive; none near the junction or where a script needs room."""
    rng = np.random.default_rng([seed, 3])
    found = []
    for side in (-1.0, 1.0):
        for k, slot in enumerate(np.arange(20.0, place.length_m - 20.0, SLOT_M)):
            draw, van, length, shift, tint = (
                rng.random(),
                rng.random() < 0.18,
                rng.uniform(4.1, 4.9),
                rng.uniform(-0.4, 0.4),
                int(rng.integers(1 << 31)),
            )
            s = float(slot + shift)
            if draw > 0.55 or abs(s - place.junction_s_m) < 24.0 or any(abs(s - c) < 4.5 for c in clear_s_m):
                continue
            x, y, heading = (float(v) for v in road.pose(s, side * -place.parking_d_m))
            size = (5.7, 2.0, 2.5) if van else (round(float(length), 2), 1.8, 1.5)
            found.append(
                Actor(
                    actor_id=f"parked.{'l' if side > 0 else 'r'}{k}", cls="truck" if van else "car", x_m=round(x, 3), y_m=round(y, 3),
                    heading_rad=round(heading + (np.pi if side > 0 else 0.0), 6), length_m=size[0], width_m=size[1], height_m=size[2],
                    speed_mps=0.0, seed=tint,
                )
            )  # fmt: skip
    return tuple(found)
