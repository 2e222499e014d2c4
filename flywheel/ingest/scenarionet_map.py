"""Maps and lights of ScenarioNet scenes: lanes are a centre line with widths or a polygon; lights are kept by the lane they govern.

`in_junction` comes from Waymo's `interpolating`, from a lane type that says UNSTRUCTURE, or, in nuScenes, from a lane without a polygon
(a lane connector); where none of these is there, geometry decides (`Road.in_junction`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.lane_graph import Road
from flywheel.ingest.lane_rows import Light, stop_on
from flywheel.ingest.lanelets import Lane, along, within

Array = NDArray[np.float64]
DRIVABLE = ("LANE_SURFACE", "LANE_FREEWAY", "LANE_UNKNOWN", "LANE_BUS")
MAX_POINTS = 5_000_000
# Waymo and MetaDrive words for a light's state; flashing ones are none of our three.
STATES = (("STOP", "red"), ("RED", "red"), ("CAUTION", "yellow"), ("YELLOW", "yellow"), ("GO", "green"), ("GREEN", "green"))


def points_of(said: Any) -> Array:
    """(k, 2) points of a polyline or polygon; BadData if it is no list of points."""
    try:
        points = np.asarray([list(point)[:2] for point in said] if isinstance(said, list) else said, np.float64)
    except (TypeError, ValueError) as err:
        raise BadData(f"not a list of points: {err}") from err
    if points.ndim != 2 or points.shape[1] < 2:
        return np.empty((0, 2))
    return points[:, :2]


def road_of(features: Mapping[str, Any], *, dataset: str) -> Road | None:
    """The lanes and crosswalks of a scene's map_features; None if it has no lane."""
    lanes, crosswalks, count = [], [], 0
    for name, said in features.items():
        kind = str(said.get("type", "")) if isinstance(said, dict) else ""
        try:
            if kind.startswith(DRIVABLE) and "BIKE" not in kind:
                count += len(said.get("polyline", ())) + len(said.get("polygon", ()))
                lanes += [lane] if (lane := _lane(str(name), said, kind, dataset=dataset)) is not None else []
            elif kind == "CROSSWALK" and len(ring := points_of(said.get("polygon", []))) > 2:
                crosswalks.append(_finite(ring))
        except (BadData, TypeError, ValueError, AttributeError) as err:
            raise BadData(f"map_features[{str(name)[:60]!r}]: {err}") from err
        if count > MAX_POINTS:
            raise BadData(f"map_features: more than {MAX_POINTS} points")
    return Road(lanes, crosswalks=crosswalks) if lanes else None


def _finite(ring: Array) -> Array:
    if not np.isfinite(ring).all():
        raise BadData("a crosswalk has points that are not finite")
    return ring


def _lane(name: str, said: Mapping[str, Any], kind: str, *, dataset: str) -> Lane | None:
    line, polygon, widths = points_of(said.get("polyline", [])), said.get("polygon"), said.get("width")
    exits = said.get("exit_lanes")
    given = np.asarray(widths, np.float64) if isinstance(widths, np.ndarray) and widths.shape == (len(line), 2) else None
    shape = within(line, points_of(polygon)) if polygon is not None and given is None else along(line, given)
    if shape is None:
        return None
    return Lane(
        name, *shape, in_junction=_junction(said, kind, dataset=dataset), right_id=_neighbour(said.get("right_neighbor")),
        successors=() if exits is None else tuple(str(k) for k in exits),
    )  # fmt: skip


def _junction(said: Mapping[str, Any], kind: str, *, dataset: str) -> bool | None:
    if "UNSTRUCT" in kind:
        return True
    if isinstance(said.get("interpolating"), (bool, int)):
        return bool(said["interpolating"])
    return "polygon" not in said if dataset == "nuscenes" else None


def _neighbour(said: Any) -> str | None:
    """The first right neighbour: an id, or Waymo's record of one."""
    first = said[0] if isinstance(said, (list, tuple)) and said else None
    found = first.get("feature_id") if isinstance(first, dict) else first
    return None if found is None else str(found)


def lights_of(said: Mapping[str, Any], road: Road, *, steps: NDArray[np.int64], dataset: str) -> dict[str, Light]:
    """The lights of dynamic_map_states by the id of the lane they govern, with their states at the given steps.

    A car stops at the recorded stop point; nuPlan records none (its point is a lamp's, drawn 8 m into the lane), so there it is the
    lane's beginning, as where a point is missing.
    """
    found: dict[str, Light] = {}
    for name, light in said.items():
        if not isinstance(light, dict) or not isinstance(light.get("state"), dict):
            raise BadData(f"dynamic_map_states[{str(name)[:60]!r}] is no light")
        lane_id = str(light["lane"]) if light.get("lane") is not None else str(name)
        spoken = light["state"].get("object_state", light["state"].get("traffic_light_state", ()))
        if lane_id in road.index and isinstance(spoken, (list, tuple, np.ndarray)):
            lane, known = road.lanes[road.index[lane_id]], np.array([state_of(s) for s in spoken] or [""])
            states = np.where(steps < len(known), known[np.minimum(steps, len(known) - 1)], "")
            found[lane_id] = Light(str(name), 0.0 if dataset == "nuplan" else _stop(light.get("stop_point"), lane), states)
    return found


def state_of(said: Any) -> str:
    """red, yellow or green; '' for a state that is unknown, dark or flashing."""
    word = "" if said is None else str(said).upper()
    parts = word.replace("TRAFFIC_LIGHT_", "").replace("LANE_STATE_", "").split("_")
    return "" if "FLASHING" in parts else next((state for key, state in STATES if key in parts), "")


def _stop(said: Any, lane: Lane) -> float:
    try:
        point = np.asarray(said, np.float64).ravel()
    except (TypeError, ValueError):
        return 0.0
    return stop_on(lane, point[None, :2]) if len(point) >= 2 and np.isfinite(point).all() and point.any() else 0.0
