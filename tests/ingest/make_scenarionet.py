"""A tiny scene in ScenarioNet's layout, as the converters of Waymo, nuScenes and nuPlan write it: no real data."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from tests.ingest import make_road as road

GREEN_AT = 20
LENGTH_M, HEIGHT_M = 5.0, 1.6
WORDS = {"waymo": ("LANE_STATE_STOP", "LANE_STATE_GO"), "nuplan": ("TRAFFIC_LIGHT_RED", "TRAFFIC_LIGHT_GREEN")}
AXLE_BACK_M = 0.29 * LENGTH_M


def scene(*, dataset: str = "waymo") -> dict[str, Any]:
    """The scene: an ego in the left lane, a car ahead that is seen from step 5 on, a cyclist, a cone; a light that turns green."""
    at_axle = dataset == "nuscenes"
    x0 = road.X0_M + (0.0 if at_axle else AXLE_BACK_M)
    tracks = {
        "ego": track("VEHICLE", road.path(x0, 1.75, road.SPEED_MPS), road.SPEED_MPS, z=0.0 if at_axle else HEIGHT_M / 2),
        "31": track("VEHICLE", road.path(road.X0_M + 20, -1.75, 12.0), 12.0, first=5, source="vehicle.truck" if at_axle else ""),
        "32": track("CYCLIST", road.path(road.X0_M + 10, -4.0, 4.0), 4.0),
        "33": track("TRAFFIC_CONE", road.path(90.0, -6.0, 0.0), 0.0),
        "34": track("PEDESTRIAN", road.path(90.0, 8.0, 0.0), 0.0, first=road.COUNT),
    }
    if at_axle:
        for said in tracks.values():
            said["state"]["velocity"][-1] = 0.0
    meta = {
        "dataset": dataset, "ts": (np.arange(road.COUNT) * road.STEP_S).astype(np.float32), "sdc_id": "ego", "coordinate": "waymo",
        "scenario_id": "made", "number_summary": {"num_object_types": {"VEHICLE", "CYCLIST"}}, "moved": np.float64(40.0),
    }  # fmt: skip
    if at_axle:
        meta |= {"map": "boston-seaport", "date": "2018-08-28"}
    return {
        "id": "made", "version": f"{dataset}-made", "length": road.COUNT, "metadata": meta, "tracks": tracks,
        "dynamic_map_states": {} if at_axle else {"13": light(*WORDS[dataset])}, "map_features": features(dataset),
    }  # fmt: skip


def track(kind: str, line: Any, speed: float, *, z: float = HEIGHT_M / 2, first: int = 0, source: str = "") -> dict[str, Any]:
    """One track; before step `first` it is not valid and its numbers are zeros."""
    valid = np.arange(road.COUNT) >= first
    size = {"length": LENGTH_M, "width": 2.0, "height": HEIGHT_M}
    return {
        "type": kind, "metadata": {"type": source, "track_length": road.COUNT},
        "state": {
            "position": np.c_[line, np.full(road.COUNT, z)] * valid[:, None], "heading": np.full(road.COUNT, road.TURN) * valid,
            "velocity": np.tile(road.velocity(speed), (road.COUNT, 1)) * valid[:, None], "valid": valid,
            **{name: np.full(road.COUNT, value) * valid for name, value in size.items()},
        },
    }  # fmt: skip


def light(stop: str, go: str) -> dict[str, Any]:
    """The light of the junction's lane: unknown at step 0, then red, then green."""
    states = [None, *[stop] * (GREEN_AT - 1), *[go] * (road.COUNT - GREEN_AT)]
    return {
        "type": "TRAFFIC_LIGHT",
        "state": {"object_state": states},
        "lane": 13,
        "stop_point": np.r_[road.world([[101.0, 1.75]])[0], 0.0],
    }


def features(dataset: str) -> dict[str, Any]:
    """The map: Waymo's lines with widths, nuScenes' with polygons and lane connectors, nuPlan's with polygons."""
    found: dict[str, Any] = {"90": {"type": "ROAD_LINE_BROKEN_SINGLE_WHITE", "polyline": road.edge("12", left=True)}}
    for name, (_, _, _, junction, right, after) in road.LANES.items():
        lane: dict[str, Any] = {"type": "LANE_SURFACE_STREET", "polyline": road.middle(name)}
        if dataset == "waymo":
            lane |= {
                "interpolating": junction, "exit_lanes": [int(a) for a in after], "width": np.full((5, 2), road.LANE_M / 2, np.float32),
                "right_neighbor": [{"feature_id": right}] if right else [],
            }  # fmt: skip
        elif not (dataset == "nuscenes" and junction):
            lane["polygon"] = np.concatenate([road.edge(name, left=True), road.edge(name, left=False)[::-1]]).tolist()
        found[name] = lane
    found["7"] = {"type": "CROSSWALK", "polygon": road.crosswalk()}
    return found


def make_scenarionet(folder: Path, *, dataset: str = "waymo", protocol: int = 4) -> Path:
    """Writes the scene's pickle into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"sd_{dataset}_made.pkl").write_bytes(pickle.dumps(scene(dataset=dataset), protocol=protocol))
    return folder
