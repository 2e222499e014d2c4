"""A tiny CommonRoad scenario, 2020a with a traffic light or 2018b without: no real data."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as et

from tests.ingest import make_road as road

LENGTH_M = 5.0
AXLE_BACK_M = 0.29 * LENGTH_M
RED_STEPS, GREEN_STEPS = 20, 30


def scenario(*, version: str = "2020a") -> et.Element:
    """The scenario's root: obstacle 40 drives the ego's way all the time, 41 ahead of it for a part, a parked car, a phantom."""
    root = et.Element("commonRoad", benchmarkID="ZAM_Made-1_2_T-1", commonRoadVersion=version, timeStepSize=str(road.STEP_S))
    for name in road.LANES:
        _lanelet(root, name, version)
    if version == "2020a":
        _junction(root)
        phantom = et.SubElement(root, "phantomObstacle", id="49")
        et.SubElement(phantom, "occupancySet")
    _obstacle(root, "40", version, x=road.X0_M + AXLE_BACK_M, y=1.75, speed=road.SPEED_MPS, count=road.COUNT)
    _obstacle(root, "41", version, x=road.X0_M + 20, y=-1.75, speed=12.0, count=road.COUNT - 10)
    _obstacle(root, "42", version, x=90.0, y=-6.0, speed=0.0, count=1, role="static", kind="parkedVehicle")
    return root


def _lanelet(root: et.Element, name: str, version: str) -> None:
    _, _, _, _, right, after = road.LANES[name]
    lane = et.SubElement(root, "lanelet", id=name)
    for side in ("left", "right"):
        bound = et.SubElement(lane, f"{side}Bound")
        for x, y in road.edge(name, left=side == "left"):
            _point(bound, x, y)
    for lane_after in after:
        et.SubElement(lane, "successor", ref=lane_after)
    if right:
        et.SubElement(lane, "adjacentRight", ref=right, drivingDir="same")
    if version == "2020a" and name == "11":
        line = et.SubElement(lane, "stopLine")
        for x, y in road.world([[road.STOP_M, 0.0], [road.STOP_M, road.LANE_M]]):
            _point(line, x, y)
        et.SubElement(lane, "laneletType").text = "urban"
        et.SubElement(lane, "trafficLightRef", ref="60")


def _junction(root: et.Element) -> None:
    light = et.SubElement(root, "trafficLight", id="60")
    cycle = et.SubElement(light, "cycle")
    for colour, steps in (("red", RED_STEPS), ("green", GREEN_STEPS)):
        element = et.SubElement(cycle, "cycleElement")
        et.SubElement(element, "duration").text = str(steps)
        et.SubElement(element, "color").text = colour
    et.SubElement(cycle, "timeOffset").text = "5"
    incoming = et.SubElement(et.SubElement(root, "intersection", id="70"), "incoming", id="71")
    et.SubElement(incoming, "incomingLanelet", ref="11")
    et.SubElement(incoming, "successorsStraight", ref="13")


def _point(parent: et.Element, x: float, y: float) -> None:
    point = et.SubElement(parent, "point")
    et.SubElement(point, "x").text, et.SubElement(point, "y").text = repr(float(x)), repr(float(y))


def _obstacle(root: et.Element, name: str, version: str, *, role: str = "dynamic", kind: str = "car", **way: Any) -> None:
    element = et.SubElement(root, f"{role}Obstacle" if version == "2020a" else "obstacle", id=name)
    if version != "2020a":
        et.SubElement(element, "role").text = role
    et.SubElement(element, "type").text = kind
    box = et.SubElement(et.SubElement(element, "shape"), "rectangle")
    et.SubElement(box, "length").text, et.SubElement(box, "width").text = str(LENGTH_M), "1.8"
    line = road.path(way["x"], way["y"], way["speed"], count=way["count"])
    states = [et.SubElement(element, "initialState")]
    if way["count"] > 1:
        trajectory = et.SubElement(element, "trajectory")
        states += [et.SubElement(trajectory, "state") for _ in range(way["count"] - 1)]
    for k, state in enumerate(states):
        _point(et.SubElement(state, "position"), *line[k])
        for tag, value in (("orientation", road.TURN), ("time", k), ("velocity", way["speed"])):
            et.SubElement(et.SubElement(state, tag), "exact").text = str(value)


def make_commonroad(folder: Path, *, version: str = "2020a") -> Path:
    """Writes the scenario's XML into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    et.ElementTree(scenario(version=version)).write(folder / f"ZAM_Made-1_2_T-1_{version}.xml", encoding="utf-8", xml_declaration=True)
    return folder
