"""Lanelets, stop lines and traffic lights of a CommonRoad scenario as a Road and its Lights."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.commonroad_xml import number, points
from flywheel.ingest.lane_graph import Road
from flywheel.ingest.lane_rows import Light, stop_on
from flywheel.ingest.lanelets import Lane, between

NOT_FOR_CARS = frozenset({"sidewalk", "bicycleLane", "crosswalk", "border", "parking", "restricted"})
COLOURS = {"red": "red", "redYellow": "red", "yellow": "yellow", "green": "green"}


def road_of(root: Any) -> Road | None:
    """The scenario's lanelets for cars, and its crosswalks; None if it has none.

    In a junction are the lanelets that an intersection's incomings lead into, and those of type `intersection`; where the file has
    neither (2018b), geometry decides.
    """
    lanes, crosswalks, inside = [], [], _in_junctions(root)
    for element in root.findall("lanelet"):
        try:
            left, right = points(element.find("leftBound")), points(element.find("rightBound"))
            kinds = {str(kind.text).strip() for kind in element.findall("laneletType")}
            if "crosswalk" in kinds and len(left) and len(right):
                crosswalks.append(np.concatenate([left, right[::-1]]))
            elif not kinds & NOT_FOR_CARS:
                lanes += [lane] if (lane := _lane(element, left, right, inside)) is not None else []
        except BadData as err:
            raise BadData(f"lanelet {str(element.get('id'))[:60]}: {err}") from err
    return Road(lanes, crosswalks=crosswalks) if lanes else None


def _in_junctions(root: Any) -> frozenset[str] | None:
    """The ids of lanelets in junctions; None if the file says nothing about junctions."""
    incomings = root.findall("intersection/incoming")
    ways = [way.get("ref") for one in incomings for name in ("Right", "Straight", "Left") for way in one.findall(f"successors{name}")]
    typed = [lane.get("id") for lane in root.findall("lanelet") if any(k.text == "intersection" for k in lane.findall("laneletType"))]
    return frozenset(map(str, ways + typed)) if incomings or typed else None


def _lane(element: Any, left: NDArray[np.float64], right: NDArray[np.float64], inside: frozenset[str] | None) -> Lane | None:
    shape, name = between(left, right), str(element.get("id"))
    if shape is None:
        return None
    beside = element.find("adjacentRight")
    same = beside is not None and beside.get("drivingDir", "same") == "same"
    lane = Lane(
        name, *shape, in_junction=None if inside is None else name in inside, right_id=str(beside.get("ref")) if same else None,
        successors=tuple(str(s.get("ref")) for s in element.findall("successor")),
    )  # fmt: skip
    line = element.find("stopLine")
    return lane if line is None else _stopping(lane, points(line))


def _stopping(lane: Lane, line: NDArray[np.float64]) -> Lane:
    """The lane with its stop line: at its end where the line has no points."""
    stop = stop_on(lane, line) if len(line) else lane.length_m
    return Lane(lane.lane_id, lane.centre, lane.left_m, lane.right_m, lane.in_junction, lane.right_id, lane.successors, stop)


def lights_of(root: Any, road: Road, *, steps: NDArray[np.int64]) -> dict[str, Light]:
    """The first active light of each lanelet that names one, by lanelet id, with its states at the given steps."""
    cycles = {str(light.get("id")): states for light in root.findall("trafficLight") if (states := _states(light, steps)) is not None}
    found: dict[str, Light] = {}
    for element in root.findall("lanelet"):
        name = str(element.get("id"))
        refs = [str(ref.get("ref")) for ref in (*element.findall("trafficLightRef"), *element.findall("stopLine/trafficLightRef"))]
        light = next((ref for ref in refs if ref in cycles), None)
        if light is not None and name in road.index:
            lane = road.lanes[road.index[name]]
            found[name] = Light(light, lane.length_m if lane.stop_m is None else lane.stop_m, cycles[light])
    return found


def _states(light: Any, steps: NDArray[np.int64]) -> NDArray[np.str_] | None:
    """A light's states: step (t - timeOffset) of its cycle, over and over; None for a light that is off or has no cycle."""
    elements = light.findall("cycle/cycleElement")
    if not elements or str(light.findtext("active", "true")).strip() == "false":
        return None
    durations = np.array([number(e, "duration") for e in elements])
    if not (durations > 0).all() or durations.sum() > 1e9:
        raise BadData(f"traffic light {str(light.get('id'))[:60]}: durations {durations[:8].tolist()} are not positive numbers of steps")
    offset = number(light, "cycle/timeOffset")
    phase = np.mod(steps - (0.0 if np.isnan(offset) else offset), durations.sum())
    colours = np.array([COLOURS.get(str(e.findtext("color", "")).strip(), "") for e in elements])
    return np.asarray(colours[np.clip(np.searchsorted(np.cumsum(durations), phase, side="right"), 0, len(colours) - 1)])
