"""A long drive as an MCAP in the fleet's layout, for the benchmark: the same bytes each time."""

import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from foxglove_schemas_protobuf.CompressedVideo_pb2 import CompressedVideo
from foxglove_schemas_protobuf.LocationFix_pb2 import LocationFix
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from mcap.writer import Writer
from mcap_protobuf.schema import build_file_descriptor_set

T0_NS, MS, SECOND_NS = 1_760_000_000_000_000_000, 10**6, 10**9
METADATA = {"vehicle_id": "bench", "place": "ring-road", "day": "2025-10-09", "clock": "utc", "licence": "CC0-1.0"}
TRACKS, GOP, SPEED_MPS, RADIUS_M, LAT_DEG, LON_DEG = 100, 20, 12.0, 400.0, 48.1, 11.5
JSON_TOPICS = {"/ego/state": "flywheel.VehicleState", "/imu": "flywheel.Imu", "/environment": "flywheel.Environment"}
PROTO_TOPICS = {"/gnss": LocationFix, "/tracks": SceneUpdate, "/camera/front": CompressedVideo}


def make_drive(file: Path, *, seconds: float) -> None:
    """Round and round a circle of 400 m: 100 Hz signals, 10 Hz fixes and 100 tracks, 10 fps video, 1 Hz environment."""
    with file.open("wb") as stream:
        writer = Writer(stream)
        writer.start(profile="", library="benchmark")
        writer.add_metadata("flywheel.drive", METADATA)
        ids = dict(_channels(writer))
        scenes, packets = _scenes(), _packets()
        for k in range(int(seconds * 100)):
            t_ns = T0_NS + k * 10 * MS
            for topic, data in _messages(k, t_ns, scenes, packets):
                writer.add_message(ids[topic], log_time=t_ns, publish_time=t_ns, data=data)
        writer.finish()


def _channels(writer: Writer) -> Iterator[tuple[str, int]]:
    for topic, name in JSON_TOPICS.items():
        yield topic, writer.register_channel(topic, "json", writer.register_schema(name, "jsonschema", b'{"type": "object"}'))
    for topic, kind in PROTO_TOPICS.items():
        schema = writer.register_schema(kind.DESCRIPTOR.full_name, "protobuf", build_file_descriptor_set(kind).SerializeToString())
        yield topic, writer.register_channel(topic, "protobuf", schema)


def _messages(k: int, t_ns: int, scenes: Iterator[bytes], packets: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    turned = SPEED_MPS * k / 100 / RADIUS_M
    x, y = RADIUS_M * np.sin(turned), RADIUS_M * (1 - np.cos(turned))
    shaken = 0.02 * np.sin(k * np.array([0.37, 0.73, 1.1, 0.19]))
    yield "/ego/state", _json(
        speed_mps=SPEED_MPS + shaken[0], ax_mps2=shaken[1], ay_mps2=SPEED_MPS**2 / RADIUS_M + shaken[2],
        yaw_rate_radps=SPEED_MPS / RADIUS_M, steering_rad=0.007 + shaken[3] / 10, brake=0.0, throttle=0.2 + shaken[0], x_m=x, y_m=y,
        heading_rad=(turned + np.pi) % (2 * np.pi) - np.pi,
    )  # fmt: skip
    yield "/imu", _json(ax_mps2=shaken[2], ay_mps2=SPEED_MPS**2 / RADIUS_M + shaken[1], az_mps2=9.81 + shaken[0], yaw_rate_radps=0.03)
    if k % 10 == 0:
        fix = LocationFix(frame_id="gnss", latitude=LAT_DEG + y / 111_200, longitude=LON_DEG + x / (111_200 * np.cos(np.radians(LAT_DEG))))
        fix.timestamp.FromNanoseconds(t_ns)
        yield "/gnss", fix.SerializeToString()
        yield "/tracks", next(scenes)
        video = CompressedVideo(frame_id="camera_front", format="h264", data=next(packets))
        video.timestamp.FromNanoseconds(t_ns)
        yield "/camera/front", video.SerializeToString()
    if k % 100 == 0:
        yield (
            "/environment",
            _json(sun_elevation_deg=40.0, sun_azimuth_rad=1.0, illuminance_lx=5e4, visibility_m=1e4, rain_mmph=0.0, snow_mmph=0.0),
        )


def _json(**values: float) -> bytes:
    return json.dumps({name: round(float(value), 6) for name, value in values.items()}, separators=(",", ":")).encode()


def _scenes() -> Iterator[bytes]:
    """A hundred road users that move to and fro around the ego, every entity as the fleet writes it."""
    update, phase = SceneUpdate(), np.arange(TRACKS) * 0.37
    said: dict[str, str] = {"cls": "car", "vx_mps": "", "vy_mps": "", "visible": "true", "position_sigma_m": "0.2000"}
    for k in range(TRACKS):
        entity = update.entities.add(id=f"{k}", frame_id="ego")
        entity.lifetime.nanos = 100 * MS
        for key, value in said.items():
            entity.metadata.add(key=key, value=value)
        cube: Any = entity.cubes.add()
        cube.pose.orientation.w, cube.size.x, cube.size.y, cube.size.z = 1.0, 4.5, 1.8, 1.6
        cube.color.r, cube.color.g, cube.color.b, cube.color.a = 0.2, 0.6, 1.0, 0.5
    step = 0
    while True:
        x, y = 40 * np.sin(0.02 * step + phase), np.arange(TRACKS) * 0.5 - 25
        vx = 0.02 * 10 * 40 * np.cos(0.02 * step + phase) + SPEED_MPS
        for entity, x_m, y_m, vx_mps in zip(update.entities, x.tolist(), y.tolist(), vx.tolist(), strict=True):
            entity.timestamp.FromNanoseconds(T0_NS + step * 100 * MS)
            place = entity.cubes[0].pose.position
            place.x, place.y, place.z = x_m, y_m, 0.8
            entity.metadata[1].value, entity.metadata[2].value = f"{vx_mps:.4f}", f"{0.03 * x_m:.4f}"
        yield update.SerializeToString(deterministic=True)
        step += 1


def _packets() -> Iterator[bytes]:
    """H.264 packets of 640 x 360 for ever: a minute is encoded once, and every keyframe after it says a number of its own."""
    minute, number = list(_encoded(600)), 0
    while True:
        for keyframe, data in minute:
            number += keyframe
            yield data + (_note(number) if keyframe else b"")


def _encoded(frames: int) -> Iterator[tuple[bool, bytes]]:
    rng = np.random.default_rng(5)
    still = rng.integers(40, 200, (360 // 8, 640 // 8, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    options = {"preset": "veryfast", "threads": "1", "x264-params": f"keyint={GOP}:min-keyint={GOP}:bframes=0:scenecut=0", "crf": "26"}
    with av.open(io.BytesIO(), "w", format="h264") as out:
        stream: Any = out.add_stream("libx264", rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for k in range(frames):
            pixels = np.roll(still, 3 * k, axis=1) + rng.integers(0, 12, still.shape, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                yield packet.is_keyframe, bytes(packet)
        for packet in stream.encode():
            yield packet.is_keyframe, bytes(packet)


def _note(number: int) -> bytes:
    """An SEI unit of user data (H.264, 7.3.2.3.1 and D.1.6): no decoder minds it, and it makes a segment's bytes its own."""
    content = uuid.UUID(int=0x5F << 96).bytes + f"{number:08d}".encode()
    return b"\0\0\0\1\x06\x05" + bytes([len(content)]) + content.replace(b"\0", b"\1") + b"\x80"
