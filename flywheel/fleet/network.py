"""The SUMO network of a place: plain XML written from the road's geometry, compiled by netconvert."""

import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from flywheel.errors import BadData, require
from flywheel.fleet.road import BIKE_M, PARKING_M, SIDE_LANE_M, SIDE_ROAD_M, SIDE_WALK_M, SIDEWALK_M, Place, road_of
from flywheel.types import Record

MAIN_SPEED_MPS, SIDE_SPEED_MPS = 16.67, 11.11
FIRST_LANE = 3  # SUMO lanes of a main edge from the right: sidewalk, parking strip, bicycle lane, driving lanes
MAIN = ("main_a", "main_b", "back_a", "back_b")
Line = tuple[tuple[float, float], ...]


class Network(Record):
    """A compiled network and what the rest of the fleet needs to know of it (metres along the main road)."""

    path: str
    stop_line_s_m: float
    junction_in_s_m: float
    junction_out_s_m: float
    junction_outline: Line
    crosswalks: tuple[Line, ...]
    ego_links: tuple[int, ...]


def _lane(index: int, width_m: float, rule: str) -> str:
    return f'<lane index="{index}" width="{width_m}" {rule}/>'


def _main_edge(name: str, start: str, end: str, shape: Line, place: Place) -> str:
    lanes = [
        _lane(0, SIDEWALK_M, 'allow="pedestrian"'),
        _lane(1, PARKING_M, 'disallow="all"'),
        _lane(2, BIKE_M, 'allow="bicycle"'),
        *(_lane(FIRST_LANE + i, place.lane_m, 'allow="passenger truck bus"') for i in range(place.lanes)),
    ]
    text = " ".join(f"{x},{y}" for x, y in shape)
    head = f'<edge id="{name}" from="{start}" to="{end}" priority="3" numLanes="{len(lanes)}" speed="{MAIN_SPEED_MPS}" shape="{text}">'
    return head + "".join(lanes) + "</edge>"


def _side_edge(name: str, start: str, end: str) -> str:
    lanes = _lane(0, SIDE_WALK_M, 'allow="pedestrian"') + _lane(1, SIDE_LANE_M, 'allow="passenger truck bus bicycle"')
    return f'<edge id="{name}" from="{start}" to="{end}" priority="2" numLanes="2" speed="{SIDE_SPEED_MPS}">{lanes}</edge>'


def _nodes(place: Place) -> str:
    x, y, _ = road_of(place).pose(place.length_m)
    rows = [
        ("W", 0.0, 0.0, "priority"), ("E", float(x), float(y), "priority"), ("J", place.junction_s_m, 0.0, "traffic_light"),
        ("S", place.junction_s_m, -SIDE_ROAD_M, "priority"), ("N", place.junction_s_m, SIDE_ROAD_M, "priority"),
    ]  # fmt: skip
    return "<nodes>" + "".join(f'<node id="{n}" x="{a:.3f}" y="{b:.3f}" type="{t}"/>' for n, a, b, t in rows) + "</nodes>"


def _edges(place: Place) -> str:
    road, j = road_of(place), place.junction_s_m
    first, second = road.points(0.0, j, 0.0, step_m=20.0), road.points(j, place.length_m, 0.0)
    rows = [
        _main_edge("main_a", "W", "J", first, place), _main_edge("main_b", "J", "E", second, place),
        _main_edge("back_a", "J", "W", first[::-1], place), _main_edge("back_b", "E", "J", second[::-1], place),
        _side_edge("south_in", "S", "J"), _side_edge("north_out", "J", "N"),
        _side_edge("north_in", "N", "J"), _side_edge("south_out", "J", "S"),
    ]  # fmt: skip
    return "<edges>" + "".join(rows) + "</edges>"


def _connections(place: Place) -> str:
    """Everybody drives straight on, so nobody's path crosses the ego's on green."""
    lanes = range(FIRST_LANE - 1, FIRST_LANE + place.lanes)
    links = [(a, b, i) for a, b in (("main_a", "main_b"), ("back_b", "back_a")) for i in lanes]
    links += [("south_in", "north_out", 1), ("north_in", "south_out", 1)]
    arms = ("main_a back_a", "main_b back_b", "south_in south_out", "north_in north_out")
    rows = [f'<connection from="{a}" to="{b}" fromLane="{i}" toLane="{i}"/>' for a, b, i in links]
    rows += [f'<crossing node="J" edges="{arm}" width="4" priority="1"/>' for arm in arms]
    return "<connections>" + "".join(rows) + "</connections>"


def _compile(place: Place, folder: Path) -> Path:
    sumo_home = Path(require("sumo", extra="fleet").SUMO_HOME)
    parts = {"nod": _nodes(place), "edg": _edges(place), "con": _connections(place)}
    for kind, text in parts.items():
        (folder / f"{place.name}.{kind}.xml").write_text(text)
    out = folder / f"{place.name}.net.xml"
    command = [str(sumo_home / "bin" / "netconvert"), "--no-turnarounds", "--offset.disable-normalization", "--no-warnings", "-o", str(out)]
    for kind, option in (("nod", "-n"), ("edg", "-e"), ("con", "-x")):
        command += [option, str(folder / f"{place.name}.{kind}.xml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not out.is_file():
        raise BadData(f"netconvert could not build place {place.name}: {done.stderr.strip()[-400:]}")
    return out


def _read(path: Path) -> Network:
    net = require("sumolib", extra="fleet").net.readNet(str(path), withInternal=True, withPedestrianConnections=True)
    incoming = net.getEdge("main_a").getLane(FIRST_LANE).getShape()[-1][0]
    outgoing = net.getEdge("main_b").getLane(FIRST_LANE).getShape()[0][0]
    links = {c.getTLLinkIndex() for lane in net.getEdge("main_a").getLanes() for c in lane.getOutgoing() if c.getTLLinkIndex() >= 0}
    crossings = [edge for edge in net.getEdges(withInternal=True) if edge.getFunction() == "crossing"]
    outlines = [_outline(e.getLane(0).getShape(), e.getLane(0).getWidth()) for e in sorted(crossings, key=lambda e: str(e.getID()))]
    return Network(
        path=str(path), stop_line_s_m=round(incoming - 0.5, 3), junction_in_s_m=round(incoming, 3), junction_out_s_m=round(outgoing, 3),
        junction_outline=tuple((round(x, 3), round(y, 3)) for x, y in net.getNode("J").getShape()),
        crosswalks=tuple(outlines), ego_links=tuple(sorted(links)),
    )  # fmt: skip


def _outline(line: list[tuple[float, float]], width_m: float) -> Line:
    """The four corners of a straight band of a given width."""
    (x0, y0), (x1, y1) = line[0], line[-1]
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-6)
    nx, ny = -(y1 - y0) / length * width_m / 2, (x1 - x0) / length * width_m / 2
    ring = ((x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny), (x0 - nx, y0 - ny))
    return tuple((round(x, 3), round(y, 3)) for x, y in ring)


@lru_cache(maxsize=1)
def _folder() -> "TemporaryDirectory[str]":
    """One folder a process; it goes when the process ends."""
    return TemporaryDirectory(prefix="flywheel-fleet-", dir=tempfile.gettempdir())


@lru_cache(maxsize=8)
def network_of(place: Place) -> Network:
    """The compiled network of a place, built once a process; BadData when netconvert refuses it."""
    return _read(_compile(place, Path(_folder().name)))
