"""DGP scenes (TRI; DDAD): ego poses and 3D boxes of the lidar, and camera images. Point clouds and 2D boxes are not read.

The scene's vehicle frame is taken for the ego frame: x forward, y left, z up. Velocities are derived from the boxes in the world.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.dgp_scene import (
    BOXES_3D,
    SCENE_FILE,
    Annotation,
    Annotations,
    Calibration,
    Entry,
    Scene,
    class_names,
    load,
    scene_path,
)  # fmt: skip
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Item, Log, Picture, Rows, warning
from flywheel.ingest.ego_path import MOTION, SPEED_WINDOW_S, EgoPath, velocities
from flywheel.ingest.images import image_info
from flywheel.ingest.quality import check_camera, check_times
from flywheel.ingest.scenes import Boxes, Clock, clock_of
from flywheel.ingest.signals import Stream, signals_table
from flywheel.subclasses import subclass_of
from flywheel.tables import rows_table
from flywheel.types import sha256_hex

Array = NDArray[np.float64]
Times = NDArray[np.int64]

ROOT = re.compile(rf"(?P<root>(?:.*/)?){SCENE_FILE.pattern}")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLASSES = {
    "Car": "car", "Truck": "truck", "Trailer": "truck", "Bus/RV/Caravan": "bus", "Bus": "bus", "Person": "pedestrian",
    "Pedestrian": "pedestrian", "Bicycle": "cyclist", "Motorcycle": "cyclist",
}  # fmt: skip
FRAME_NOTE = "the scene does not say where on the vehicle its frame lies: it is taken for the ego frame (rear axle, on the ground)"


def matches(log: Log) -> bool:
    """Whether the log is a folder with a DGP scene file."""
    return any(SCENE_FILE.fullmatch(path) for path in log.paths)


def read(log: Log) -> Iterator[Item]:
    """The drive of a scene; BadData names the file of what is wrong."""
    scene = load(log, scene_path(log), Scene)
    calibration = load(log, f"calibration/{scene.samples[0].calibration_key}.json", Calibration)
    times, clock = sample_times(scene)
    sweeps = sorted((e for e in scene.data if e.datum.point_cloud), key=lambda e: times[e.key])
    ego, instants = ego_path(sweeps, calibration, times)
    window_s = max(SPEED_WINDOW_S, 1.5 * float(np.median(np.diff(ego.t_s))))
    yield DriveFacts(
        vehicle_id=f"dgp-{log.source_sha256[:12]}", place="unknown", day=clock.day, clock=clock.name,
        derived=(*MOTION, "TRACKS.vx_mps", "TRACKS.vy_mps"),
    )  # fmt: skip
    yield from (*clock.findings, warning("frame", FRAME_NOTE))
    yield Rows("SIGNALS", signals_table([Stream(times=instants, columns=ego.signals(window_s=window_s))]))
    yield Beats("lidar", instants)
    if boxes := load_boxes(log, scene, sweeps, calibration, ego):
        yield Rows("TRACKS", boxes.table("bounding_box_3d", instants))
    yield from camera_items(log, scene, calibration, times)


def media(log: Log) -> Iterator[Blob]:
    """The images byte for byte."""
    for entry in load(log, scene_path(log), Scene).data:
        if entry.datum.image:
            data = log.read(entry.datum.image.filename)
            yield Blob(sha256_hex(data), image_info(data).ext, data)


def sample_times(scene: Scene) -> tuple[dict[str, int], Clock]:
    """Time of each datum by its key, ns, and what it counts. Anonymised scenes lie centuries away: those begin at 2000-01-01."""
    micros = {e.key: (_aware(e.id.timestamp) - EPOCH) // timedelta(microseconds=1) for e in scene.data}
    if len(micros) < len(scene.data):
        raise BadData("two data of the scene have the same key")
    first = min(micros.values())
    base = first if abs(first) < 1 << 52 else 0
    since = {key: (value - first + base) * 1000 for key, value in micros.items()}
    clock = clock_of(np.array([*since.values()], np.int64))
    return {key: value + clock.shift_ns for key, value in since.items()}, clock


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def ego_path(sweeps: list[Entry], calibration: Calibration, times: dict[str, int]) -> tuple[EgoPath, Times]:
    """Where the vehicle was at each lidar sweep: the lidar's pose in the world, less its place on the vehicle."""
    names = {entry.id.name for entry in sweeps}
    if len(sweeps) < 2 or len(names) != 1:
        raise BadData(f"{len(sweeps)} sweeps of lidars {sorted(names)}: two or more of one lidar are needed for the ego's path")
    instants = np.array([times[entry.key] for entry in sweeps], np.int64)
    check_times("lidar", instants)
    origins, headings = [], []
    for entry in sweeps:
        assert entry.datum.point_cloud is not None
        pose, (place, turn) = entry.datum.point_cloud.pose, _mounted(calibration, entry.id.name)
        vehicle = pose.turn @ turn.T
        origins.append(pose.place - vehicle @ place)
        headings.append(np.arctan2(vehicle[1, 0], vehicle[0, 0]))
    return EgoPath(instants, np.array(origins), np.array(headings)), instants


def _mounted(calibration: Calibration, name: str) -> tuple[Array, Array]:
    found = calibration.mount(name)
    if found is None:
        raise BadData(f"calibration: no extrinsics of {name}")
    return found[1].place, found[1].turn


def load_boxes(log: Log, scene: Scene, sweeps: list[Entry], calibration: Calibration, ego: EgoPath) -> Boxes | None:
    """The 3D boxes of every sweep in the ego frame; None for a scene without any."""
    seen: list[tuple[int, Annotation]] = []
    for sweep, entry in enumerate(sweeps):
        assert entry.datum.point_cloud is not None
        if path := entry.datum.point_cloud.annotations.get(BOXES_3D):
            seen += [(sweep, annotation) for annotation in load(log, path, Annotations).annotations]
    if not seen:
        return None
    place, turn = _mounted(calibration, sweeps[0].id.name)
    at = np.array([k for k, _ in seen], np.int64)
    boxes = [annotation.box for _, annotation in seen]
    centre = np.array([turn @ box.pose.place + place for box in boxes])
    ahead = np.array([(turn @ box.pose.turn)[:, 0] for box in boxes])
    ids, first, track = np.unique(np.array([str(a.instance_id) for _, a in seen]), return_index=True, return_inverse=True)
    gap_s = 2.5 * float(np.median(np.diff(ego.t_s)))
    velocity = velocities(track, ego.t_s[at], ego.to_world(centre, at=at)[:, :2], max_gap_s=gap_s)
    names = class_names(log, scene.ontologies)
    return Boxes(
        at=at, track=track, ids=tuple(ids.tolist()), classes=tuple(CLASSES.get(names.get(seen[k][1].class_id, ""), "other") for k in first),
        centre=centre, heading=np.arctan2(ahead[:, 1], ahead[:, 0]), velocity=ego.turn(velocity, at=at),
        size=np.array([[box.length, box.width, box.height] for box in boxes]),
        subclasses=tuple(subclass_of(names.get(seen[k][1].class_id, "")) for k in first),
    )  # fmt: skip


def camera_items(log: Log, scene: Scene, calibration: Calibration, times: dict[str, int]) -> Iterator[Item]:
    """Each image as a Picture, then FRAMES and when each camera fired."""
    rows = []
    for entry in sorted((e for e in scene.data if e.datum.image), key=lambda e: (times[e.key], e.id.name)):
        assert entry.datum.image is not None
        data = log.read(entry.datum.image.filename)
        said = {"drive_id": "", "t_ns": times[entry.key], "camera": entry.id.name, "kind": "rgb", "media_sha256": sha256_hex(data)}
        rows.append(said | _info(entry.datum.image.filename, data) | _calibrated(calibration, entry.id.name))
        yield Picture(entry.id.name, times[entry.key], data)
    if rows:
        yield Rows("FRAMES", rows_table("FRAMES", rows).drop_columns(["drive_id"]))
    for camera in sorted({str(row["camera"]) for row in rows}):
        yield Beats(f"camera/{camera}", np.array([row["t_ns"] for row in rows if row["camera"] == camera], np.int64))


def _info(path: str, data: bytes) -> dict[str, object]:
    try:
        return image_info(data).model_dump()
    except BadData as err:
        raise BadData(f"{path}: {err}") from err


def _calibrated(calibration: Calibration, camera: str) -> dict[str, float]:
    found = calibration.mount(camera)
    if found is None:
        return {}
    inner, pose = found
    said = {"fx_px": inner.fx, "fy_px": inner.fy, "cx_px": inner.cx, "cy_px": inner.cy}
    said |= dict(zip(("cam_x_m", "cam_y_m", "cam_z_m"), pose.place.tolist(), strict=True))
    said |= dict(zip(("cam_qw", "cam_qx", "cam_qy", "cam_qz"), pose.quaternion.tolist(), strict=True))
    check_camera(f"calibration of {camera}", said)
    return said
