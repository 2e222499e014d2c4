"""Argoverse 2 motion forecasting scenarios (one parquet and a map): 11 s of tracks at 10 Hz, in city coordinates.

The track `AV` is the ego: its rows become SIGNALS, those of the others TRACKS. Its point is taken for the rear axle's centre, as in the
sensor logs that scenarios were cut from (there the ego's annotated box sits at that origin too). Objects are recorded as points with a
heading, so sizes are typical of the class and heights put them on the ego's ground; both are named in `derived`.
"""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.av2_map import load_road, map_path
from flywheel.ingest.av2_sensor import LICENCE
from flywheel.ingest.av2_tables import Columns, numbers, parquet_columns, stacked
from flywheel.ingest.drive import Beats, DriveFacts, Item, Log, Rows, warning
from flywheel.ingest.ego_path import MOTION, EgoPath
from flywheel.ingest.lane_rows import lane_tables
from flywheel.ingest.scenes import Boxes, clock_of, on_ground, seen_from, typical_sizes
from flywheel.ingest.signals import Stream, signals_table
from flywheel.subclasses import subclass_of

ROOT = re.compile(r"(?P<root>(?:.*/)?)(?:scenario_[\w-]+\.parquet|log_map_archive_[\w-]+\.json)")
SCENARIO_FILE = re.compile(r"scenario_[\w-]+\.parquet")
EGO = "AV"
STEP_NS = 100_000_000
MAX_STEPS = 100_000
STATE = ("position_x", "position_y", "heading", "velocity_x", "velocity_y")
CLASSES = {
    "vehicle": "car", "bus": "bus", "pedestrian": "pedestrian", "cyclist": "cyclist", "motorcyclist": "cyclist",
}  # fmt: skip
DERIVED = (*MOTION[1:], "TRACKS.z_m", "TRACKS.length_m", "TRACKS.width_m", "TRACKS.height_m")


def matches(log: Log) -> bool:
    """Whether the log is a folder with a scenario's parquet file."""
    return any(SCENARIO_FILE.fullmatch(path) for path in log.paths)


def read(log: Log) -> Iterator[Item]:
    """The drive of a scenario; BadData names the file of what is wrong."""
    path = next(path for path in sorted(log.paths) if SCENARIO_FILE.fullmatch(path))
    wanted = {"track_id": "text", "object_type": "text", "city": "text", "timestep": "time", "start_timestamp": "time", **numbers(*STATE)}
    said = parquet_columns(log, path, wanted)
    ego, velocity, own = _ego(path, said)
    clock = clock_of(ego.times)
    ego = EgoPath(ego.times + clock.shift_ns, ego.origin, ego.heading)
    map_file = map_path(log)
    road = load_road(log, map_file) if map_file else None
    yield DriveFacts(
        vehicle_id="argoverse2", place=str(said["city"][0]), day=clock.day, clock=clock.name, licence=LICENCE, has_map=road is not None,
        derived=(*DERIVED, *(road.derived if road else ())),
    )  # fmt: skip
    tracks = len(np.unique(said["track_id"]))
    text = f"{path} holds {tracks} tracks in {len(own)} rows; one is the ego ({int(own.sum())} rows), which is in SIGNALS, not in TRACKS"
    yield from (*clock.findings, warning("tracks", text))
    signals = ego.signals(velocity=velocity)
    yield Rows("SIGNALS", signals_table([Stream(times=ego.times, columns=signals)]))
    yield Beats("ego", ego.times)
    instants, boxes = _boxes(said, own, ego)
    yield Rows("TRACKS", boxes.table(path, instants))
    yield Beats("tracks", instants)
    if road is not None:
        yield Rows("LANES", lane_tables(road, ego, speed=signals["speed_mps"])[0])


def _ego(path: str, said: Columns) -> tuple[EgoPath, NDArray[np.float64], NDArray[np.bool_]]:
    """The path of the track AV on the file's clock, its world velocities, and which rows are its own."""
    own = said["track_id"] == EGO
    steps = said["timestep"]
    if own.sum() < 2:
        raise BadData(f"{path}: no track {EGO!r} with two states or more: this is no scenario seen from a car")
    if steps.min() < 0 or steps.max() > MAX_STEPS or abs(said["start_timestamp"][0]) > 4e18:
        raise BadData(
            f"{path}: timesteps {steps.min()} to {steps.max()} from {said['start_timestamp'][0]:g} ns are not those of a scenario"
        )
    order = np.flatnonzero(own)[np.argsort(steps[own], kind="stable")]
    if (np.diff(steps[order]) == 0).any():
        raise BadData(f"{path}: track {EGO!r} has two states at one timestep")
    place = np.concatenate([stacked(said, STATE[:2])[order], np.zeros((len(order), 1))], axis=1)
    times = int(said["start_timestamp"][0]) + steps[order] * STEP_NS
    return EgoPath(times, place, said["heading"][order]), stacked(said, STATE[3:])[order], own


def _boxes(said: Columns, own: NDArray[np.bool_], ego: EgoPath) -> tuple[NDArray[np.int64], Boxes]:
    """The instants of the others' states, and their boxes seen from the ego then."""
    kept = {name: column[~own] for name, column in said.items()}
    first_step = int(said["timestep"][own].min())
    instants, at = np.unique(ego.times[0] + (kept["timestep"] - first_step) * STEP_NS, return_inverse=True)
    ids, first, track = np.unique(kept["track_id"], return_index=True, return_inverse=True)
    classes = tuple(CLASSES.get(str(kind), "other") for kind in kept["object_type"][first])
    size = typical_sizes(classes, track)
    centre = np.concatenate([stacked(kept, STATE[:2]), on_ground(size)[:, None]], axis=1)
    world = Boxes(at=at, track=track, ids=tuple(ids.tolist()), classes=classes, centre=centre, heading=kept["heading"], size=size,
                  velocity=stacked(kept, STATE[3:]),
                  subclasses=tuple(subclass_of(str(kind)) for kind in kept["object_type"][first]))  # fmt: skip
    return instants, seen_from(ego.resampled(instants), world)
