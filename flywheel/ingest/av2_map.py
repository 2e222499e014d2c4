"""Argoverse 2 vector maps (log_map_archive_*.json): vehicle and bus lanes, junctions, crosswalks."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Log
from flywheel.ingest.lane_graph import Road
from flywheel.ingest.lanelets import Lane, between
from flywheel.ingest.pandaset_pose import load_json

MAP_FILE = re.compile(r"(?:map/)?log_map_archive_(?P<log>[\w-]+?)(?:____(?P<city>[A-Z]+)_city_\d+)?\.json")
# The six cities, by the code of the map's file name and as forecasting files call them.
CITIES = {"ATX": "austin", "DTW": "dearborn", "MIA": "miami", "PAO": "palo-alto", "PIT": "pittsburgh", "WDC": "washington-dc"}


def map_path(log: Log) -> str | None:
    """The path of the log's map, if it has one."""
    return next((path for path in sorted(log.paths) if MAP_FILE.fullmatch(path)), None)


def city_of(path: str | None) -> str:
    """The city that a map's file name tells, or `unknown`."""
    found = MAP_FILE.fullmatch(path) if path else None
    code = found["city"] if found else None
    return CITIES.get(code, code.lower()) if code else "unknown"


def load_road(log: Log, path: str) -> Road:
    """The lanes cars drive on, and the crosswalks; BadData names the file of what is wrong."""
    said = load_json(log, path)
    try:
        lanes = [lane for segment in said["lane_segments"].values() if (lane := _lane(segment)) is not None]
        crossings = [_crossing(crossing) for crossing in said.get("pedestrian_crossings", {}).values()]
        return Road(lanes, crosswalks=crossings)
    except BadData as err:
        raise BadData(f"{path}: {err}") from err
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as err:
        raise BadData(f"{path}: not a map of Argoverse 2: {type(err).__name__}: {str(err)[:200]}") from err


def _points(said: Any) -> NDArray[np.float64]:
    return np.array([[point["x"], point["y"]] for point in said], np.float64).reshape(-1, 2)


def _lane(said: dict[str, Any]) -> Lane | None:
    """None for a bicycle lane and for a lane without length."""
    shape = between(_points(said["left_lane_boundary"]), _points(said["right_lane_boundary"])) if said["lane_type"] != "BIKE" else None
    if shape is None:
        return None
    right = said.get("right_neighbor_id")
    return Lane(
        str(said["id"]), *shape, in_junction=bool(said["is_intersection"]), right_id=None if right is None else str(right),
        successors=tuple(str(k) for k in said.get("successors") or ()),
    )  # fmt: skip


def _crossing(said: dict[str, Any]) -> NDArray[np.float64]:
    """The ring of a crosswalk's two edges."""
    one, other = _points(said["edge1"]), _points(said["edge2"])
    same_way = ((one[-1] - one[0]) * (other[-1] - other[0])).sum() > 0
    ring = np.concatenate([one, other[::-1] if same_way else other])
    if not np.isfinite(ring).all():
        raise BadData("a crosswalk has points that are not finite")
    return ring
