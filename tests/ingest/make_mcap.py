"""Small MCAP drives in the fleet's layout, with a hook to spoil any message."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.LocationFix_pb2 import LocationFix
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from mcap.writer import CompressionType, Writer
from mcap_protobuf.schema import build_file_descriptor_set

T0_NS = 1_760_000_000_000_000_000  # 9 Oct 2025
MS = 1_000_000
METADATA = {"vehicle_id": "veh-1", "place": "town-a", "day": "2025-10-09", "clock": "utc", "licence": "CC0-1.0"}

Item = tuple[str, int, Any]
Change = Callable[[str, int, Any], Any]


def write_log(path: Path, items: list[Item], *, metadata: dict[str, str] | None, compression: CompressionType, crcs: bool = True) -> Path:
    """Writes (topic, t_ns, JSON dict or protobuf message) items in the order given."""
    channels: dict[str, int] = {}
    with path.open("wb") as stream:
        writer = Writer(stream, chunk_size=64 * 1024, compression=compression, enable_crcs=crcs)
        writer.start(profile="", library="test")
        if metadata is not None:
            writer.add_metadata("flywheel.drive", metadata)
        for topic, t_ns, item in items:
            if topic not in channels:
                channels[topic] = register(writer, topic, item)
            data = json.dumps(item).encode() if isinstance(item, dict) else item.SerializeToString()
            writer.add_message(channels[topic], log_time=t_ns, publish_time=t_ns, data=data)
        writer.finish()
    return path


def register(writer: Writer, topic: str, item: Any) -> int:
    """The channel id of a topic whose first message is `item`."""
    if isinstance(item, dict):
        names = {"/ego/state": "VehicleState", "/imu": "Imu", "/environment": "Environment", "/lights": "TrafficLight", "/lane": "Lane"}
        schema = writer.register_schema(f"flywheel.{names.get(topic, 'Other')}", "jsonschema", b'{"type": "object"}')
        return int(writer.register_channel(topic, "json", schema))
    data = build_file_descriptor_set(type(item)).SerializeToString()
    schema = writer.register_schema(item.DESCRIPTOR.full_name, "protobuf", data)
    return int(writer.register_channel(topic, "protobuf", schema))


def make_mcap(
    path: Path,
    *,
    seconds: float = 2.0,
    speed_mps: float = 10.0,
    camera: bool = True,
    change: Change | None = None,
    metadata: dict[str, str] | None = METADATA,
    compression: CompressionType = CompressionType.ZSTD,
) -> Path:
    """A straight drive with two tracks. `change(topic, t_ns, item)` gives the item to write instead, or None to leave it out."""
    items = sorted(drive_items(seconds, speed_mps, camera=camera), key=lambda item: item[1])
    kept = [(topic, t, new) for topic, t, item in items if (new := change(topic, t, item) if change else item) is not None]
    return write_log(path, kept, metadata=metadata, compression=compression)


def drive_items(seconds: float, speed_mps: float, *, camera: bool) -> Iterator[Item]:
    """All messages of a drive."""
    for k in range(int(seconds * 100) + 1):
        t, x = T0_NS + k * 10 * MS, speed_mps * k / 100
        zero = {"ay_mps2": 0.0, "yaw_rate_radps": 0.0}
        state = {"speed_mps": speed_mps, "ax_mps2": 0.1, "steering_rad": 0.0, "brake": 0.0, "throttle": 0.2, "x_m": x, "y_m": 0.0}
        yield "/ego/state", t, state | zero | {"heading_rad": 0.0}
        yield "/imu", t + 2 * MS, {"ax_mps2": 0.11, "az_mps2": 9.81} | zero
        if k % 10 == 0:
            yield from ten_hertz(t)
        if k % 100 == 0:
            yield "/environment", t + MS, environment()
    if camera:
        yield from camera_items(seconds)


def environment() -> dict[str, float]:
    """A clear day."""
    sky = {"sun_elevation_deg": 40.0, "sun_azimuth_rad": 1.0, "illuminance_lx": 50_000.0}
    return sky | {"visibility_m": 10_000.0, "rain_mmph": 0.0, "snow_mmph": 0.0}


def ten_hertz(t_ns: int) -> Iterator[Item]:
    """The messages that come ten times a second."""
    yield "/gnss", t_ns + 3 * MS, LocationFix(latitude=48.1, longitude=11.5)
    yield "/tracks", t_ns, scene()
    yield "/lights", t_ns, {"light_id": "l1", "state": "green", "stop_line_m": 30.0}
    lane = {"lane_id": "e1_0", "lane_index": 0, "offset_m": 0.1, "width_m": 3.5, "curvature_1pm": 0.0, "in_junction": False}
    yield "/lane", t_ns, lane | {"junction_m": 42.0, "curvature_ahead_1pm": None}


def scene() -> SceneUpdate:
    """A car ahead, turned by 90 degrees, and a pedestrian."""
    update = SceneUpdate()
    for name, cls, x, yaw in (("7", "car", 20.0, np.pi / 2), ("8", "pedestrian", 12.0, 0.0)):
        entity = update.entities.add(id=name, frame_id="ego")
        said = {"cls": cls, "vx_mps": "1.5", "vy_mps": "-0.5", "visible": "true", "position_sigma_m": "0.2"}
        for key, value in said.items():
            entity.metadata.add(key=key, value=value)
        cube = entity.cubes.add()
        cube.pose.position.x, cube.pose.position.y, cube.pose.position.z = x, 2.0, 0.8
        cube.pose.orientation.w, cube.pose.orientation.z = np.cos(yaw / 2), np.sin(yaw / 2)
        cube.size.x, cube.size.y, cube.size.z = 4.5, 1.8, 1.6
    return update


def jpeg(seed: int, *, width: int = 64, height: int = 36) -> bytes:
    """A small noisy picture."""
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def camera_items(seconds: float) -> Iterator[Item]:
    """A front camera at 10 Hz with depth at 1 Hz, half as large."""
    mount = FrameTransform(parent_frame_id="ego", child_frame_id="camera_front")
    mount.translation.x, mount.translation.z = 1.6, 1.5
    mount.rotation.w, mount.rotation.x, mount.rotation.y, mount.rotation.z = 0.5, -0.5, 0.5, -0.5
    k = [50.0, 0.0, 32.0, 0.0, 52.0, 18.0, 0.0, 0.0, 1.0]
    yield "/camera/front/calibration", T0_NS, CameraCalibration(frame_id="camera_front", width=64, height=36, K=k)
    yield "/tf", T0_NS, mount
    for k10 in range(int(seconds * 10)):
        t = T0_NS + k10 * 100 * MS + 5 * MS
        yield "/camera/front", t, CompressedImage(frame_id="camera_front", format="jpeg", data=jpeg(k10))
        if k10 % 10 == 0:
            depth = cv2.imencode(".png", np.full((18, 32), 1234, np.uint16))[1].tobytes()
            yield "/camera/front/depth", t, CompressedImage(frame_id="camera_front", format="png", data=depth)
