"""Argoverse 2 sensor logs, and Trust-but-Verify ones (without annotations): ego poses, cuboids, map and cameras; lidar is not read.

AV2's ego frame is x forward, y left, z up, with its origin at the rear axle's centre, which rides about 0.33 m above the ground (the
dataset's own figure): so heights grow by 0.33 m here, and the path's points go down as much. The ego annotated in
`annotations_with_ego.feather` (EGO_VEHICLE) is left out of TRACKS. Cuboids stay in the vehicle's own frame, which rolls and pitches by
a degree at most; velocities and the path use its heading alone.
"""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest import av2_cameras as cameras
from flywheel.ingest.av2_map import city_of, load_road, map_path
from flywheel.ingest.av2_tables import PLACE, QUATERNION, feather_columns, numbers, stacked, unit_quaternions
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.ego_path import MOTION, EgoPath, velocities, yaw_of
from flywheel.ingest.lane_rows import lane_tables
from flywheel.ingest.scenes import Boxes, clock_of
from flywheel.ingest.signals import Stream, signals_table
from flywheel.subclasses import subclass_of

Array = NDArray[np.float64]
Times = NDArray[np.int64]

ROOT = re.compile(
    r"(?P<root>(?:.*/)?)(?:city_SE3_egovehicle\.feather|annotations(?:_with_ego)?\.feather|calibration/\w+\.feather"
    r"|map/(?:log_map_archive_[^/]+\.json|[^/]+_ground_height_surface____\w+\.npy|[^/]+___img_Sim2_city\.json)"
    r"|sensors/(?:cameras/\w+/\d+\.(?:jpg|png)|lidar/\d+\.feather))"
)
POSES, ANNOTATIONS = "city_SE3_egovehicle.feather", ("annotations_with_ego.feather", "annotations.feather")
LIDAR_FILE = re.compile(r"sensors/lidar/(\d{1,19})\.feather")
AXLE_HEIGHT_M = 0.33
MAX_GAP_S = 0.25
MAX_POSES = 200_000
BIN_NS = 1_000_000
SIZE = ("length_m", "width_m", "height_m")
LICENCE = "CC-BY-NC-SA-4.0"
# Riders are annotated with what they ride (BICYCLIST ...); a BICYCLE or MOTORCYCLE is the machine alone. All else is `other`.
CLASSES = {
    "REGULAR_VEHICLE": "car", "LARGE_VEHICLE": "truck", "BOX_TRUCK": "truck", "TRUCK": "truck", "TRUCK_CAB": "truck",
    "VEHICULAR_TRAILER": "truck", "BUS": "bus", "SCHOOL_BUS": "bus", "ARTICULATED_BUS": "bus",
    "PEDESTRIAN": "pedestrian", "OFFICIAL_SIGNALER": "pedestrian", "WHEELCHAIR": "pedestrian",
    "BICYCLIST": "cyclist", "MOTORCYCLIST": "cyclist", "WHEELED_RIDER": "cyclist",
}  # fmt: skip
EGO = "EGO_VEHICLE"


def matches(log: Log) -> bool:
    """Whether the log is a folder with Argoverse 2's ego poses."""
    return POSES in log.paths


def read(log: Log) -> Iterator[Item]:
    """The drive of a sensor log; BadData names the file of what is wrong."""
    ego, raw = load_poses(log)
    clock = clock_of(ego.times)
    shift = clock.shift_ns
    ego = EgoPath(ego.times + shift, ego.origin, ego.heading)
    path = map_path(log)
    road = load_road(log, path) if path else None
    boxes, instants, findings = load_boxes(log, ego, shift_ns=shift)
    yield DriveFacts(
        vehicle_id="argoverse2", place=city_of(path), day=clock.day, clock=clock.name, licence=LICENCE, has_map=road is not None,
        derived=(*MOTION, "TRACKS.vx_mps", "TRACKS.vy_mps", *(road.derived if road else ())),
    )  # fmt: skip
    yield from (*clock.findings, *findings)
    signals = ego.signals()
    yield Rows("SIGNALS", signals_table([Stream(times=ego.times, columns=signals)]))
    yield Beats("ego", raw + shift)
    if boxes is not None:
        yield Rows("TRACKS", boxes.table("annotations", instants))
        yield Beats("annotations", instants)
    if road is not None:
        yield Rows("LANES", lane_tables(road, ego, speed=signals["speed_mps"])[0])
    yield from _lidar(log, shift)
    yield from cameras.camera_items(log, ego=ego, instants=instants, shift_ns=shift, height_m=AXLE_HEIGHT_M)


def media(log: Log) -> Iterator[Blob]:
    """The log's images byte for byte."""
    return cameras.images(log)


def load_poses(log: Log) -> tuple[EgoPath, Times]:
    """The ego's path on the log's own clock, at most one pose a millisecond (poses stand in pairs nanoseconds apart), and all times."""
    said = feather_columns(log, POSES, {"timestamp_ns": "time", **numbers(*QUATERNION, *PLACE)})
    times = said["timestamp_ns"]
    if not 2 <= len(times) <= MAX_POSES:
        raise BadData(f"{POSES}: {len(times)} poses; 2 to {MAX_POSES} are read")
    if np.abs(times.astype(np.float64)).max() > 4e18:
        raise BadData(f"{POSES}: timestamps up to {times.max()} are no nanoseconds")
    order = np.argsort(times, kind="stable")
    kept = order[np.unique(times[order] // BIN_NS, return_index=True)[1]]
    heading = yaw_of(unit_quaternions(POSES, said)[kept])
    return EgoPath(times[kept], stacked(said, PLACE)[kept] - [0, 0, AXLE_HEIGHT_M], heading), times


def load_boxes(log: Log, ego: EgoPath, *, shift_ns: int) -> tuple[Boxes | None, Times, tuple[Finding, ...]]:
    """Every cuboid but the ego's, the instants they belong to, and what there is to say about them."""
    path = next((name for name in ANNOTATIONS if name in log.paths), None)
    if path is None:
        return None, np.empty(0, np.int64), (warning("tracks", "no annotations: this log has no tracks"),)
    said = feather_columns(
        log, path, {"timestamp_ns": "time", "track_uuid": "text", "category": "text", **numbers(*SIZE, *QUATERNION, *PLACE)}
    )
    if len(said["timestamp_ns"]) and np.abs(said["timestamp_ns"].astype(np.float64)).max() > 4e18:
        raise BadData(f"{path}: timestamps up to {said['timestamp_ns'].max()} are no nanoseconds")
    of_ego = said["category"] == EGO
    tracks, own = len(np.unique(said["track_uuid"])), int(of_ego.sum())
    text = f"{path} holds {tracks} tracks; one of them is the ego itself ({own} cuboids), which is left out of TRACKS"
    findings = (warning("tracks", text),) if own else ()
    turns = unit_quaternions(path, said)
    kept = {name: column[~of_ego] for name, column in said.items()}
    instants, at = np.unique(kept["timestamp_ns"] + shift_ns, return_inverse=True)
    return _boxes(kept, turns[~of_ego], at, ego.resampled(instants)), instants, findings


def _boxes(said: dict[str, NDArray[np.generic]], turns: Array, at: Times, ego: EgoPath) -> Boxes:
    ids, first, track = np.unique(said["track_uuid"], return_index=True, return_inverse=True)
    centre = np.stack([said[name] for name in PLACE], axis=1).astype(np.float64) + [0, 0, AXLE_HEIGHT_M]
    ground = ego.to_world(centre, at=at)[:, :2]
    velocity = velocities(track, ego.t_s[at], ground, max_gap_s=MAX_GAP_S) if len(at) else np.empty((0, 2))
    return Boxes(
        at=at, track=track, ids=tuple(ids.tolist()), classes=tuple(CLASSES.get(str(c), "other") for c in said["category"][first]),
        centre=centre, heading=yaw_of(turns), size=np.stack([said[name] for name in SIZE], axis=1).astype(np.float64),
        velocity=ego.turn(velocity, at=at), subclasses=tuple(subclass_of(str(c)) for c in said["category"][first]),
    )  # fmt: skip


def _lidar(log: Log, shift_ns: int) -> Iterator[Beats]:
    times = sorted(int(found[1]) + shift_ns for path in log.paths if (found := LIDAR_FILE.fullmatch(path)))
    if times:
        yield Beats("lidar", np.array(times, np.int64))
