"""Asks the av2 package about one sensor log: JSON {log, t_ns: [...]} (times since the first pose) on stdin, JSON on stdout.

Runs in an environment of its own that has av2 (see crosscheck_av2.py), never in the project's.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from av2.evaluation.forecasting.constants import CATEGORY_TO_VELOCITY_M_PER_S
from av2.evaluation.forecasting.utils import trajectory_type
from av2.geometry.geometry import quat_to_mat
from av2.map.map_api import ArgoverseStaticMap
from matplotlib.path import Path as Ring

FRONT_M, SECONDS, STEP_S = 3.7, 3.0, 0.5


def inside(ring: Any, points: Any) -> Any:
    """Which of the points lie within a polygon."""
    return Ring(np.asarray(ring)[:, :2]).contains_points(points)


def poses(log: Path) -> dict[int, tuple[Any, Any]]:
    """(rotation, place in the city) of the ego by time."""
    rows = pd.read_feather(log / "city_SE3_egovehicle.feather")
    turn = quat_to_mat(rows[["qw", "qx", "qy", "qz"]].to_numpy())
    place = rows[["tx_m", "ty_m", "tz_m"]].to_numpy()
    return {int(t): (turn[k], place[k]) for k, t in enumerate(rows["timestamp_ns"])}


def map_answers(road: ArgoverseStaticMap, axle: Any, front: Any) -> dict[str, Any]:
    """Which lane segments hold the rear axle and the front bumper, whether in a junction, on a crossing, on the drivable area."""
    segments = road.get_scenario_lane_segments()
    holds = {str(lane.id): [inside(lane.polygon_boundary, points)[0] for points in (axle, front)] for lane in segments}
    lanes = [[name for name, part in holds.items() if part[end]] for end in (0, 1)]
    crossed = np.any([inside(one.polygon, front) for one in road.get_scenario_ped_crossings()], axis=0)
    area = np.any([inside(one.xyz, axle) for one in road.get_scenario_vector_drivable_areas()], axis=0)
    junction = [any(road.lane_is_in_intersection(int(name)) for name in part) for part in lanes]
    return {"lanes": lanes, "junction": junction, "on_crossing": bool(crossed[0]), "drivable": bool(area[0])}


def track_answers(log: Path, known: dict[int, tuple[Any, Any]]) -> list[list[Any]]:
    """[track, t_ns, static | linear | non-linear] as av2's forecasting evaluation sorts every track with three seconds to come."""
    rows = pd.read_feather(next(log.glob("annotations*.feather")))
    found = []
    for name, track in rows.groupby("track_uuid"):
        track = track[track["timestamp_ns"].isin(known.keys())].sort_values("timestamp_ns")
        t = track["timestamp_ns"].to_numpy()
        own = zip(t, track[["tx_m", "ty_m", "tz_m"]].to_numpy(), strict=True)
        place = np.array([known[int(now)][0] @ point + known[int(now)][1] for now, point in own])
        ahead = np.arange(1, round(SECONDS / STEP_S) + 1) * int(STEP_S * 1e9)
        for k in range(1, len(t), 10):
            at = np.searchsorted(t, t[k] + ahead - int(5e7))
            if at[-1] >= len(t) or t[k] - t[k - 1] > 15e7:
                continue
            agent = {"name": str(track["category"].iloc[0]), "current_translation_m": place[k], "future_translation_m": place[at],
                     "velocity_m_per_s": (place[k] - place[k - 1]) / (t[k] - t[k - 1]) * 1e9}  # fmt: skip
            found.append([str(name), int(t[k]) - min(known), trajectory_type(agent, CATEGORY_TO_VELOCITY_M_PER_S)])
    return found


def main() -> None:
    """Reads what is asked, writes what is answered."""
    asked = json.load(sys.stdin)
    log = Path(asked["log"])
    road, known = ArgoverseStaticMap.from_json(next((log / "map").glob("log_map_archive*.json"))), poses(log)
    answers = {}
    for now in asked["t_ns"]:
        turn, place = known[min(known) + now]
        answers[str(now)] = map_answers(road, place[None, :2], (turn @ np.array([FRONT_M, 0, 0]) + place)[None, :2])
    sys.stdout.write(json.dumps({"map": answers, "tracks": track_answers(log, known)}))


if __name__ == "__main__":
    main()
