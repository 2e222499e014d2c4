"""A handmade street: straight road with a junction ahead, parked and moving cars, people, trees, lamps and houses."""

import math

from flywheel.fleet.scene import Actor, Area, Block, Instant, Marking, Post, Signal, Strip, World

JUNCTION_X = 62.0


def street() -> World:
    """A two-way street along x from -60 to 200 m, crossed at x = 62 m; one lane each way, parking bays on the right."""
    half, lane = 9.0, 3.5
    ends = ((-60.0, JUNCTION_X - half), (JUNCTION_X + half, 200.0))
    lanes, walks, markings = [], [], []
    for a, b in ends:
        lanes += [Strip(line=((a, y), (b, y)), width_m=lane) for y in (-1.75, 1.75)]
        lanes += [Strip(line=((a, y), (b, y)), width_m=2.2) for y in (-4.6, 4.6)]
        walks += [Strip(line=((a, y), (b, y)), width_m=3.0) for y in (-7.2, 7.2)]
        markings += [Marking(line=((a, 0.0), (b, 0.0)), dashed=True)]
        markings += [Marking(line=((a, y), (b, y)), width_m=0.12) for y in (-3.5, 3.5)]
    for a, b in ((-80.0, -half), (half, 80.0)):
        lanes += [Strip(line=((x, a), (x, b)), width_m=lane) for x in (JUNCTION_X - 1.75, JUNCTION_X + 1.75)]
        walks += [Strip(line=((x, a), (x, b)), width_m=3.0) for x in (JUNCTION_X - 5.5, JUNCTION_X + 5.5)]
    markings.append(Marking(line=((JUNCTION_X - half - 0.8, -3.4), (JUNCTION_X - half - 0.8, 0.0)), width_m=0.4))
    square = Area(
        outline=tuple(
            (JUNCTION_X + dx, dy)
            for dx, dy in ((-half, -4), (-4, -half), (4, -half), (half, -4), (half, 4), (4, half), (-4, half), (-half, 4))
        )
    )
    crossing = Area(outline=((JUNCTION_X - 8.6, -5.5), (JUNCTION_X - 5.4, -5.5), (JUNCTION_X - 5.4, 5.5), (JUNCTION_X - 8.6, 5.5)))
    heights = (7.5, 14.0, 18.0, 8.5, 12.0)
    blocks = [
        Block(
            x_m=x, y_m=side * (15.0 + 2.5 * (k % 2)), heading_rad=0.0, length_m=15.5, width_m=11.0,
            height_m=heights[(k + (side > 0)) % 5], seed=17 * k + side,
        )
        for side in (-1, 1) for k, x in enumerate((-30, -12, 5, 22, 40, 85, 103, 122, 140, 160))
    ]  # fmt: skip
    posts = [
        Post(kind="tree", x_m=float(x), y_m=side * 8.2, height_m=5.5 + (x % 3), seed=x + side)
        for side in (-1, 1)
        for x in range(-20, 150, 17)
        if abs(x - JUNCTION_X) > 12
    ]
    posts += [
        Post(kind="lamp", x_m=float(x), y_m=side * 6.1, height_m=7.0, seed=x)
        for x, side in ((-10, 1), (12, -1), (32, 1), (50, -1), (78, 1), (100, -1), (125, 1))
    ]
    signals = (
        Signal(light_id="s0", x_m=JUNCTION_X - 8.0, y_m=-6.0, z_m=3.2, facing_rad=0.0),
        Signal(light_id="s1", x_m=JUNCTION_X + 9.0, y_m=1.0, z_m=5.2, facing_rad=0.0),
    )
    return World(lanes=tuple(lanes), sidewalks=tuple(walks), junctions=(square,), crosswalks=(crossing,), markings=tuple(markings),
                 blocks=tuple(blocks), posts=tuple(posts), signals=signals)  # fmt: skip


def user(kind: str, x: float, y: float, *, heading: float = 0.0, speed: float = 0.0, braking: bool = False, seed: int = 0) -> Actor:
    """One road user of usual size."""
    size = {
        "car": (4.5, 1.82, 1.48),
        "truck": (8.5, 2.5, 3.5),
        "bus": (12.0, 2.55, 3.1),
        "pedestrian": (0.6, 0.6, 1.75),
        "cyclist": (1.8, 0.6, 1.75),
    }[kind]
    return Actor(
        actor_id=f"{kind}-{x:g}-{y:g}", cls=kind, x_m=x, y_m=y, heading_rad=heading,  # type: ignore[arg-type]
        length_m=size[0], width_m=size[1], height_m=size[2], speed_mps=speed, braking=braking, seed=seed,
    )  # fmt: skip


def moment(*, step: int = 0, ego_x: float = 0.0) -> Instant:
    """Traffic at one tenth of a second; the ego drives along the right lane."""
    t = step / 10
    actors = [
        user("car", 16.0 + 8 * t * 0.8, -1.75, speed=6.0, braking=True, seed=3),
        user("car", 45.0 - 9 * t, 1.75, heading=math.pi, speed=9.0, seed=8),
    ]
    actors += [user("truck", 75.0 - 8 * t, 1.75, heading=math.pi, speed=8.0, seed=4), user("bus", 47.0, -1.75, speed=0.0, seed=5)]
    actors += [user("car", x, -4.6, seed=20 + k) for k, x in enumerate((9.5, 24.0, 31.0))]
    actors += [user("car", x, 4.6, heading=math.pi, seed=40 + k) for k, x in enumerate((12.0, 19.0, 33.0, 39.5))]
    actors += [
        user("pedestrian", 13.0 + 1.3 * t, -7.0, speed=1.3, seed=1),
        user("pedestrian", 20.0, 2.6 - 1.2 * t, heading=-math.pi / 2, speed=1.2, seed=2),
    ]
    actors += [
        user("pedestrian", 27.0 - 1.2 * t, 7.0, heading=math.pi, speed=1.2, seed=6),
        user("cyclist", 21.0 + 4 * t, -3.1, speed=4.0, seed=7),
    ]
    return Instant(
        t_ns=1_700_000_000_000_000_000 + step * 100_000_000, ego_x_m=ego_x + 0.8 * step, ego_y_m=-1.75, ego_heading_rad=0.0,
        ego_speed_mps=8.0, actors=tuple(actors), lights={"s0": "red", "s1": "red"},
    )  # fmt: skip
