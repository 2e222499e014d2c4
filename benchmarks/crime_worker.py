"""Asks commonroad-crime: JSON {file, asked: [[ego, other, step], ...]} on stdin, one JSON object an answer on stdout.

Runs in an environment of its own that has commonroad-crime (see crosscheck_crime.py), never in the project's.
"""

import json
import logging
import math
import sys
from itertools import groupby
from typing import Any

import numpy as np
from commonroad.common.file_reader import CommonRoadFileReader
from commonroad_crime.data_structure.configuration import CriMeConfiguration
from commonroad_crime.measure import HW, THW, TTC, ALongReq
from commonroad_crime.utility.solver import compute_lanelet_width_orientation

MEASURES = {"HW": HW, "THW": THW, "TTC": TTC, "ALongReq": ALongReq}


def number(value: Any) -> float | None:
    """A finite number; None for any other (JSON knows no infinity)."""
    return float(value) if value is not None and math.isfinite(value) else None


def state(vehicle: Any, step: int) -> dict[str, Any]:
    """What commonroad-crime made of a vehicle's state at a step: m, m/s and m/s2 along the world's axes."""
    now = vehicle.state_at_time(step)
    return {
        "place": [float(part) for part in now.position], "velocity": [float(now.velocity), float(now.velocity_y)],
        "acceleration": [float(now.acceleration), float(now.acceleration_y)], "length": float(vehicle.obstacle_shape.length),
    }  # fmt: skip


def lane_heading(scenario: Any, ego: dict[str, Any], at: dict[str, Any]) -> float | None:
    """Heading of the ego's lanelet beside a vehicle, as commonroad-crime works it out."""
    network = scenario.lanelet_network
    found = network.find_lanelet_by_position([np.array(ego["place"])])[0]
    return number(compute_lanelet_width_orientation(network.find_lanelet_by_id(found[0]), np.array(at["place"]))[1])


def answers(scenario: Any, ego: int, asked: list[list[int]]) -> list[dict[str, Any]]:
    """Every measure of the ego and each other at each step; a text where commonroad-crime gives up."""
    setup = CriMeConfiguration()
    setup.vehicle.ego_id = ego
    setup.update(ego_id=ego, sce=scenario)
    tools = {name: measure(setup) for name, measure in MEASURES.items()}
    said = []
    for _, other, step in asked:
        row: dict[str, Any] = {"ego": ego, "other": other, "step": step}
        try:
            row |= {name: number(tool.compute(other, step, verbose=False)) for name, tool in tools.items()}
            own, its = state(tools["TTC"].ego_vehicle, step), state(tools["TTC"].other_vehicle, step)
            row |= {"own": own, "its": its, "lane": [lane_heading(scenario, own, own), lane_heading(scenario, own, its)]}
        except Exception as err:  # noqa: BLE001 - whatever stops it is its answer
            row["error"] = f"{type(err).__name__}: {err}"
        said.append(row)
    return said


def main() -> None:
    """Reads what is asked, writes what is answered."""
    logging.disable(logging.CRITICAL)
    asked = json.load(sys.stdin)
    scenario, _ = CommonRoadFileReader(asked["file"]).open(lanelet_assignment=True)
    rows = [answers(scenario, ego, list(part)) for ego, part in groupby(sorted(asked["asked"]), key=lambda one: one[0])]
    sys.stdout.write(json.dumps([row for part in rows for row in part]))


if __name__ == "__main__":
    main()
