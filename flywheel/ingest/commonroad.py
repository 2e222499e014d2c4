"""CommonRoad scenarios (XML 2018b and 2020a): trajectories of obstacles over lanelets, with traffic lights where there are any.

CommonRoad records traffic but no ego. The motor vehicle that is present longest (of equals the one with the smallest id) stands in as the
ego: `vehicle_id` is `commonroad-stand-in`, a warning names it, and `derived` holds `ego`. Places are the middle of an obstacle; the ego's
rear axle is taken to lie 0.29 of its length behind it. Speeds are the states' own, along their heading; where a state has none they are
differences of places. Heights are typical of the class. Phantom and environment obstacles were not seen by anyone and are left out.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.commonroad_map import lights_of, road_of
from flywheel.ingest.commonroad_xml import Obstacle, obstacles, parse
from flywheel.ingest.drive import Beats, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.ego_path import MOTION, EgoPath, velocities
from flywheel.ingest.lane_rows import lane_tables
from flywheel.ingest.scenes import MAX_BOXES, TYPICAL_SIZE_M, Boxes, axle_of, clock_of, on_ground, seen_from
from flywheel.ingest.signals import Stream, signals_table
from flywheel.subclasses import subclass_of

Array = NDArray[np.float64]

MAGIC = re.compile(rb"<commonRoad[\s>]")
PLACE = re.compile(r"(?:C-)?(?P<place>[A-Z]{3}_[\w.]+?-\d+)_")
MAX_STEP_S, MAX_GAP_S = 10.0, 0.25
CLASSES = {
    "car": "car", "taxi": "car", "priorityVehicle": "car", "parkedVehicle": "car", "truck": "truck", "bus": "bus",
    "pedestrian": "pedestrian", "bicycle": "cyclist", "motorcycle": "cyclist",
}  # fmt: skip
MOTOR = frozenset({"car", "taxi", "priorityVehicle", "truck", "bus", "motorcycle", "unknown"})
DERIVED = ("ego", *MOTION[1:], "x_m", "y_m", "TRACKS.z_m", "TRACKS.height_m")


def matches(log: Log) -> bool:
    """Whether the log is an XML file with a commonRoad element near its beginning."""
    if not log.is_file:
        return False
    head = log.head(size=1 << 16).replace(b"\0", b"")
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t").startswith(b"<") and MAGIC.search(head) is not None


def read(log: Log) -> Iterator[Item]:
    """The drive of a scenario; BadData says what is wrong and where."""
    root = parse(log)
    found = list(obstacles(root))
    ego_of = stand_in(found)
    step_ns = step_of(root)
    clock = clock_of(ego_of.steps * step_ns)
    ego = EgoPath(ego_of.steps * step_ns + clock.shift_ns, axle_of(middle(ego_of), ego_of.heading, size_of(ego_of)), ego_of.heading)
    velocity = along(ego_of) if np.isfinite(ego_of.speed).all() else None
    road = road_of(root)
    yield DriveFacts(
        vehicle_id="commonroad-stand-in", place=place_of(str(root.get("benchmarkID", ""))), day=clock.day, clock=clock.name,
        has_map=road is not None, derived=derived_of(found, ego_of) + (road.derived if road else ()),
    )  # fmt: skip
    yield from (*clock.findings, *_findings(root, found, ego_of, seconds=float(ego.t_s[-1])))
    signals = ego.signals(velocity=velocity)
    yield Rows("SIGNALS", signals_table([Stream(times=ego.times, columns=signals)]))
    yield Beats("ego", ego.times)
    boxes = _boxes([o for o in found if o is not ego_of], ego_of.steps, ego)
    yield Rows("TRACKS", boxes.table("obstacles", ego.times))
    yield Beats("tracks", ego.times[np.unique(boxes.at)])
    if road is not None:
        lights = lights_of(root, road, steps=ego_of.steps)
        lanes, governed = lane_tables(road, ego, speed=signals["speed_mps"], lights=lights)
        yield from (Rows("LANES", lanes), Rows("LIGHTS", governed))


def derived_of(found: list[Obstacle], ego: Obstacle) -> tuple[str, ...]:
    """What this scenario's states do not hold."""
    others = [o for o in found if o is not ego and o.role == "dynamic"]
    said = {
        "speed_mps": not np.isfinite(ego.speed).all(), "heading_rad": ego.turned, "TRACKS.heading_rad": any(o.turned for o in others),
        "TRACKS.vx_mps": any(not np.isfinite(o.speed).all() for o in others),
    }  # fmt: skip
    return (*DERIVED, *(name for name, missing in said.items() if missing))


def step_of(root: Any) -> int:
    """The time step in ns; BadData if it is no length of time."""
    try:
        seconds = float(root.get("timeStepSize", "nan"))
    except ValueError:
        seconds = np.nan
    if not 1e-6 <= seconds <= MAX_STEP_S:
        raise BadData(f"timeStepSize is {root.get('timeStepSize', 'missing')[:40]!r}: expected seconds, up to {MAX_STEP_S:g}")
    return round(seconds * 1e9)


def place_of(benchmark: str) -> str:
    """The map of a benchmark id: USA_US101-3 of USA_US101-3_3_T-1."""
    found = PLACE.match(benchmark)
    return found["place"][:80] if found else re.sub(r"[^\w.+-]+", "-", benchmark)[:80].strip("-") or "unknown"


def stand_in(found: list[Obstacle]) -> Obstacle:
    """The obstacle that stands in as the ego; BadData if nothing moves."""
    moving = [o for o in found if o.role == "dynamic" and len(o.steps) > 1]
    motor = [o for o in moving if o.kind in MOTOR] or moving
    if not motor:
        raise BadData(f"none of {len(found)} obstacles has a trajectory: there is no drive in this scenario")
    return min(motor, key=lambda o: (-len(o.steps), int(o.name) if o.name.isdecimal() else 0, o.name))


def middle(obstacle: Obstacle) -> Array:
    """(n, 3) middles of an obstacle that stands on the ground, whose height is 0."""
    return np.concatenate([obstacle.place, on_ground(size_of(obstacle))[:, None]], axis=1)


def size_of(obstacle: Obstacle) -> Array:
    """(n, 3) sizes, the height typical of the class."""
    height = TYPICAL_SIZE_M[CLASSES.get(obstacle.kind, "other")][2]
    return np.tile([*obstacle.size_m, height], (len(obstacle.steps), 1))


def along(obstacle: Obstacle) -> Array:
    """(n, 2) world velocities: the speed along the heading."""
    return np.stack([obstacle.speed * np.cos(obstacle.heading), obstacle.speed * np.sin(obstacle.heading)], axis=1)


def _findings(root: Any, found: list[Obstacle], ego: Obstacle, *, seconds: float) -> Iterator[Finding]:
    """Who stands in, and what is left out."""
    who = f"no ego is recorded: obstacle {ego.name} ({ego.kind}), present longest ({seconds:.1f} s), stands in as the ego"
    yield warning("ego", who)
    unseen = len(root.findall("phantomObstacle")) + len(root.findall("environmentObstacle"))
    sets = sum(o.sets for o in found)
    apart = sum(int((~np.isin(o.steps, ego.steps)).sum()) for o in found if o is not ego and o.role == "dynamic")
    for count, text in (
        (unseen, "phantom or environment obstacles are left out: nobody saw them"),
        (sets, "obstacles are partly known as sets of places; those states are left out"),
        (apart, "states of other obstacles at times without the ego are left out"),
    ):
        if count:
            yield warning("tracks", f"{count} {text}")


def _at(obstacle: Obstacle, steps: NDArray[np.int64]) -> Obstacle:
    """The obstacle at the ego's steps: a static one stands there all the time."""
    if obstacle.role == "static" and len(obstacle.steps):
        rows = np.zeros(len(steps), np.int64)
        still = np.zeros(len(steps))
        return obstacle._replace(steps=steps, place=obstacle.place[rows], heading=obstacle.heading[rows], speed=still)
    kept = np.isin(obstacle.steps, steps)
    return obstacle._replace(
        steps=obstacle.steps[kept], place=obstacle.place[kept], heading=obstacle.heading[kept], speed=obstacle.speed[kept]
    )


def _boxes(others: list[Obstacle], steps: NDArray[np.int64], ego: EgoPath) -> Boxes:
    """The others' boxes seen from the ego."""
    if sum(len(steps) if o.role == "static" else len(o.steps) for o in others) > MAX_BOXES:
        raise BadData(f"more than {MAX_BOXES} states of obstacles")
    seen = [o for other in others if len((o := _at(other, steps)).steps)]
    names = tuple(o.name for o in seen)
    track = np.repeat(np.arange(len(seen)), [len(o.steps) for o in seen])
    columns = {"steps": (), "place": (2,), "heading": ()}
    step, place, heading = (np.concatenate([np.empty((0, *shape)), *(getattr(o, name) for o in seen)]) for name, shape in columns.items())
    at = np.searchsorted(steps, step)
    velocity = np.concatenate([np.empty((0, 2)), *(along(o) for o in seen)])
    unknown = ~np.isfinite(velocity).all(axis=1)
    if unknown.any():
        velocity[unknown] = velocities(track, ego.t_s[at], place, max_gap_s=MAX_GAP_S)[unknown]
    size = np.concatenate([np.empty((0, 3)), *(size_of(o) for o in seen)])
    world = Boxes(
        at=at, track=track, ids=names, classes=tuple(CLASSES.get(o.kind, "other") for o in seen), heading=heading, size=size,
        centre=np.concatenate([place, on_ground(size)[:, None]], axis=1), velocity=velocity,
        subclasses=tuple(subclass_of(o.kind) for o in seen),
    )  # fmt: skip
    return seen_from(ego, world)
