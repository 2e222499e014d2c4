"""A small MCAP of another maker: poses as transforms, boxes in the map frame, a camera as H.264 or JPEG, fixes; protobuf or JSON."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.CompressedVideo_pb2 import CompressedVideo
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.LocationFix_pb2 import LocationFix
from foxglove_schemas_protobuf.PoseInFrame_pb2 import PoseInFrame
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from google.protobuf.descriptor import FieldDescriptor
from mcap.writer import CompressionType, IndexType, Writer
from mcap_protobuf.schema import build_file_descriptor_set

from tests.ingest.make_mcap import MS, T0_NS, jpeg

SPEED_MPS, RADIUS_M, CAR_MPS = 8.0, 60.0, 5.0
Item = tuple[str, int, Any]


def make_other(
    path: Path, *, seconds: float = 6.0, packets: list[bytes] | None = None, poses: str = "tf", as_json: bool = False, t0_ns: int = T0_NS,
    metadata: dict[str, str] | None = None, indexed: bool = True, boxes_in: str = "map",
) -> Path:  # fmt: skip
    """Writes the log. packets: of a video at 10 Hz in place of images; poses: tf, pose or none."""
    items = sorted(other_items(seconds, packets, poses=poses, boxes_in=boxes_in), key=lambda item: item[1])
    channels: dict[str, int] = {}
    with path.open("wb") as stream:
        index = IndexType.ALL if indexed else IndexType.NONE
        writer = Writer(
            stream, chunk_size=32 * 1024, compression=CompressionType.LZ4,
            index_types=index, use_statistics=indexed, use_summary_offsets=indexed, repeat_channels=indexed, repeat_schemas=indexed,
        )  # fmt: skip
        writer.start(profile="", library="other")
        if metadata:
            writer.add_metadata("about", metadata)
        for topic, t_ns, message in items:
            if topic not in channels:
                channels[topic] = _register(writer, topic, message, as_json=as_json)
            data = json.dumps(plain(message)).encode() if as_json else message.SerializeToString()
            writer.add_message(channels[topic], log_time=t0_ns + t_ns, publish_time=t0_ns + t_ns, data=data)
        writer.finish()
    return path


def _register(writer: Writer, topic: str, message: Any, *, as_json: bool) -> int:
    if as_json:
        schema = writer.register_schema(message.DESCRIPTOR.full_name, "jsonschema", b'{"type": "object"}')
        return int(writer.register_channel(topic, "json", schema))
    data = build_file_descriptor_set(type(message)).SerializeToString()
    return int(writer.register_channel(topic, "protobuf", writer.register_schema(message.DESCRIPTOR.full_name, "protobuf", data)))


def plain(message: Any) -> Any:
    """A message as Foxglove's JSON schemas have it."""
    if message.DESCRIPTOR.name in ("Timestamp", "Duration"):
        return {"sec": message.seconds, "nsec": message.nanos}
    found = {}
    for part, value in message.ListFields():
        values = list(value) if part.is_repeated else [value]
        if part.message_type is not None:
            values = [plain(item) for item in values]
        elif part.type == FieldDescriptor.TYPE_BYTES:
            values = [base64.b64encode(item).decode() for item in values]
        found[part.name] = values if part.is_repeated else values[0]
    return found


def ego_at(t_s: float) -> tuple[float, float, float]:
    """x, y and heading in the map: a circle driven to the left, from 1000 m east."""
    turned = SPEED_MPS * t_s / RADIUS_M
    return 1000 + RADIUS_M * np.sin(turned), RADIUS_M * (1 - np.cos(turned)), turned


def other_items(seconds: float, packets: list[bytes] | None, *, poses: str, boxes_in: str) -> Iterator[Item]:
    """All messages, times from 0."""
    yield "/CAM_FRONT/camera_info", 0, CameraCalibration(frame_id="CAM_FRONT", width=64, height=36, K=[50, 0, 32, 0, 50, 18, 0, 0, 1])
    yield "/tf", 1, _mount()
    for k in range(int(seconds * 50)):
        x, y, heading = ego_at(k / 50)
        if poses == "tf":
            yield "/tf", k * 20 * MS + 2, _transform(x, y, heading)
        elif poses == "pose":
            yield "/pose", k * 20 * MS, _pose(x, y, heading)
        if k % 5 == 0:
            lat, lon = 1.3 + y / 110_574, 103.8 + x / 111_290
            yield "/fix", k * 20 * MS, LocationFix(latitude=lat, longitude=lon)
            yield "/markers", k * 20 * MS + 3, scene(k / 50, boxes_in)
            yield _picture(k // 5, k * 20 * MS + 4, packets)


def _picture(number: int, t_ns: int, packets: list[bytes] | None) -> Item:
    if packets is None:
        return "/CAM_FRONT/image_rect_compressed", t_ns, CompressedImage(frame_id="CAM_FRONT", format="jpeg", data=jpeg(number))
    return "/CAM_FRONT/video", t_ns, CompressedVideo(frame_id="CAM_FRONT", format="h264", data=packets[number % len(packets)])


def _transform(x: float, y: float, heading: float) -> FrameTransform:
    transform = FrameTransform(parent_frame_id="map", child_frame_id="base_link")
    transform.translation.x, transform.translation.y = x, y
    transform.rotation.w, transform.rotation.z = np.cos(heading / 2), np.sin(heading / 2)
    return transform


def _pose(x: float, y: float, heading: float) -> PoseInFrame:
    found = PoseInFrame(frame_id="map")
    found.pose.position.x, found.pose.position.y = x, y
    found.pose.orientation.w, found.pose.orientation.z = np.cos(heading / 2), np.sin(heading / 2)
    return found


def _mount() -> FrameTransform:
    mount = FrameTransform(parent_frame_id="base_link", child_frame_id="CAM_FRONT")
    mount.translation.x, mount.translation.z = 1.5, 1.4
    mount.rotation.w, mount.rotation.x, mount.rotation.y, mount.rotation.z = 0.5, -0.5, 0.5, -0.5
    return mount


def scene(t_s: float, frame: str) -> SceneUpdate:
    """A car that goes east at 5 m/s, a person who stands, and a line that is no object."""
    update = SceneUpdate()
    for name, word, x, y in (("c", "vehicle.car", 1030 + CAR_MPS * t_s, 4.0), ("p", "human.pedestrian.adult", 1010.0, -3.0)):
        entity = update.entities.add(id=name, frame_id=frame)
        entity.metadata.add(key="category", value=word)
        cube: Any = entity.cubes.add()
        cube.pose.position.x, cube.pose.position.y, cube.pose.position.z = x, y, 0.8
        cube.pose.orientation.w, cube.size.x, cube.size.y, cube.size.z = 1.0, 4.5, 1.8, 1.6
    update.entities.add(id="lane", frame_id=frame).lines.add()
    return update
