"""A drive as an MCAP log: foxglove protobuf for what viewers know, JSON for the rest. Equal drives give equal bytes."""

import heapq
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel import foxglove
from flywheel.errors import require
from flywheel.fleet import sensors
from flywheel.fleet.drive import TRACK_HZ, Drive, world
from flywheel.fleet.drive import instants as instants_of
from flywheel.fleet.scene import Camera, Instant
from flywheel.foxglove import encoded, proto, stamp

Message = tuple[int, str, bytes]
LICENCE, LIBRARY, JPEG_QUALITY, LABEL_EVERY = "CC0-1.0", "flywheel-fleet", 92, 10
NUMBER, NULLABLE = {"type": "number"}, {"type": ["number", "null"]}
FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "/ego/state": ("VehicleState", dict.fromkeys(
        ("speed_mps", "ax_mps2", "ay_mps2", "yaw_rate_radps", "steering_rad", "brake", "throttle", "x_m", "y_m", "heading_rad"), NUMBER)),
    "/imu": ("Imu", dict.fromkeys(("ax_mps2", "ay_mps2", "az_mps2", "yaw_rate_radps", "roll_rate_radps"), NUMBER)),
    "/environment": ("Environment", dict.fromkeys(
        ("sun_elevation_deg", "sun_azimuth_rad", "illuminance_lx", "visibility_m", "rain_mmph", "snow_mmph", "temperature_c"), NUMBER)),
    "/vehicle": ("Vehicle", dict.fromkeys(("wheel_speed_mps", "engaged", "driver_override", "fcw", "aeb", "abs", "esc"), NUMBER)),
    "/lights": ("TrafficLight", {"light_id": {"type": "string"}, "state": {"enum": ["red", "yellow", "green"]}, "stop_line_m": NULLABLE}),
    "/lane": ("LaneContext", {
        "lane_id": {"type": "string"}, "lane_index": {"type": "integer"}, "offset_m": NUMBER, "width_m": NUMBER, "curvature_1pm": NUMBER,
        "in_junction": {"type": "boolean"},
        "curvature_ahead_1pm": NULLABLE, "junction_m": NULLABLE, "stop_line_m": NULLABLE, "crosswalk_m": NULLABLE,
        "lanes": {"type": "integer"}, "lane_ends_m": NULLABLE, "road_left_m": NULLABLE, "road_right_m": NULLABLE,
        "speed_limit_mps": NUMBER, "control": {"enum": ["light", "stop", "yield", None]},
    }),
}  # fmt: skip
PROTOBUF = {
    "/gnss": "LocationFix", "/tracks": "SceneUpdate", "/tf": "FrameTransform", "/camera/front": "CompressedImage",
    "/camera/front/calibration": "CameraCalibration",
    "/camera/front/depth": "CompressedImage", "/camera/front/segmentation": "CompressedImage",
}  # fmt: skip


def _json(topic: str, rows: Iterator[sensors.Row]) -> Iterator[Message]:
    for t_ns, values in rows:
        yield t_ns, topic, json.dumps(values, separators=(",", ":"), allow_nan=False).encode()


def _gnss(rows: Iterator[sensors.Row]) -> Iterator[Message]:
    for t_ns, values in rows:
        yield t_ns, "/gnss", foxglove.fix(t_ns, lat_deg=values["lat_deg"], lon_deg=values["lon_deg"], variance_m2=sensors.GNSS_SIGMA_M**2)


def _tracks(rows: Iterator[tuple[int, list[dict[str, Any]]]]) -> Iterator[Message]:
    for t_ns, boxes in rows:
        yield t_ns, "/tracks", foxglove.boxes(t_ns, list(boxes))


def quaternion(camera: Camera) -> tuple[float, float, float, float]:
    """(w, x, y, z) that turns optical axes (right, down, forward) into ego axes for a camera pitched downwards."""
    half = camera.pitch_rad / 2
    forward = np.array([0.5, -0.5, 0.5, -0.5])
    w0, y0 = np.cos(half), np.sin(half)
    w, x, y, z = forward
    return (float(w0 * w - y0 * y), float(w0 * x + y0 * z), float(w0 * y + y0 * w), float(w0 * z - y0 * x))


def _fixed(t_ns: int, camera: Camera) -> Iterator[Message]:
    """Calibration and mounting of the camera, once."""
    calibration = proto("CameraCalibration")(
        frame_id="camera_front", width=camera.width_px, height=camera.height_px, distortion_model="plumb_bob"
    )
    stamp(calibration.timestamp, t_ns)
    calibration.D.extend([0.0] * 5)
    calibration.K.extend([camera.fx_px, 0, camera.cx_px, 0, camera.fy_px, camera.cy_px, 0, 0, 1])
    calibration.R.extend([1, 0, 0, 0, 1, 0, 0, 0, 1])
    calibration.P.extend([camera.fx_px, 0, camera.cx_px, 0, 0, camera.fy_px, camera.cy_px, 0, 0, 0, 1, 0])
    yield t_ns, "/camera/front/calibration", encoded(calibration)
    mount = proto("FrameTransform")(parent_frame_id="ego", child_frame_id="camera_front")
    stamp(mount.timestamp, t_ns)
    mount.translation.x, mount.translation.z = camera.x_m, camera.z_m
    mount.rotation.w, mount.rotation.x, mount.rotation.y, mount.rotation.z = quaternion(camera)
    yield t_ns, "/tf", encoded(mount)


def _image(topic: str, t_ns: int, pixels: NDArray[Any], *, ending: str) -> Message:
    cv2 = require("cv2", extra="fleet")
    options = [int(cv2.IMWRITE_JPEG_QUALITY), JPEG_QUALITY] if ending == "jpeg" else []
    done, data = cv2.imencode(".jpg" if ending == "jpeg" else ".png", pixels, options)
    assert done, topic
    return t_ns, topic, foxglove.image(t_ns, data.tobytes(), frame_id="camera_front", ending=ending)


def _frames(drive: Drive, scenes: list[Instant], camera: Camera) -> Iterator[Message]:
    """Pictures at 10 Hz; depth (centimetres, 65535 where there is none) and classes at 1 Hz."""
    from flywheel.fleet.render import render

    still = world(drive)
    for k, scene in enumerate(scenes):
        drawn = render(still, scene, drive.condition_at(k / TRACK_HZ), camera=camera, seed=drive.slot.index * 1000 + k)
        yield _image("/camera/front", scene.t_ns, np.ascontiguousarray(drawn.rgb[..., ::-1]), ending="jpeg")
        if k % LABEL_EVERY == 0:
            depth = np.nan_to_num(drawn.depth_m * 100.0, nan=65535.0, posinf=65535.0)
            yield _image("/camera/front/depth", scene.t_ns, np.clip(np.rint(depth), 0, 65535).astype(np.uint16), ending="png")
            yield _image("/camera/front/segmentation", scene.t_ns, drawn.segmentation, ending="png")


def messages(drive: Drive, *, camera: Camera | None) -> Iterator[Message]:
    """All messages of a drive in time order."""
    scenes = instants_of(drive)
    streams = [
        _json("/ego/state", sensors.state_rows(drive)), _json("/imu", sensors.imu_rows(drive)), _gnss(sensors.gnss_rows(drive)),
        _json("/environment", sensors.environment_rows(drive)), _json("/vehicle", sensors.vehicle_rows(drive)),
        _tracks(sensors.track_rows(drive, scenes)),
        _json("/lights", sensors.light_rows(drive)), _json("/lane", sensors.lane_rows(drive)),
    ]  # fmt: skip
    if camera is not None:
        streams += [_fixed(drive.t0_ns, camera), _frames(drive, scenes, camera)]
    yield from heapq.merge(*streams, key=lambda message: message[0])


def _channels(writer: Any, topics: list[str]) -> dict[str, int]:
    register_schema: Callable[[Any, Any], int] = require("mcap_protobuf.schema", extra="fleet").register_schema
    ids = {}
    for topic in topics:
        if topic in PROTOBUF:
            ids[topic] = writer.register_channel(topic, "protobuf", register_schema(writer, proto(PROTOBUF[topic])))
            continue
        name, fields = FIELDS[topic]
        schema = {"title": f"flywheel.{name}", "type": "object", "properties": fields, "required": list(fields)}
        number = writer.register_schema(f"flywheel.{name}", "jsonschema", json.dumps(schema).encode())
        ids[topic] = writer.register_channel(topic, "json", number)
    return ids


def write_drive(drive: Drive, folder: Path, *, camera: Camera | None) -> Path:
    """Writes `<stem>.mcap` (zstd chunks) and gives its path; the file appears whole or not at all."""
    mcap = require("mcap.writer", extra="fleet")
    path, part = folder / f"{drive.stem}.mcap", folder / f".{drive.stem}.mcap.part"
    topics = [*FIELDS, *(t for t in PROTOBUF if camera is not None or t in ("/gnss", "/tracks"))]
    with part.open("wb") as sink:
        writer = mcap.Writer(sink, compression=mcap.CompressionType.ZSTD)
        writer.start(profile="", library=LIBRARY)
        identity = {
            "vehicle_id": drive.slot.vehicle_id,
            "place": drive.place.name,
            "day": drive.slot.day,
            "clock": "utc",
            "licence": LICENCE,
        }
        writer.add_metadata("flywheel.drive", identity)
        channels = _channels(writer, topics)
        for sequence, (t_ns, topic, data) in enumerate(messages(drive, camera=camera)):
            writer.add_message(channels[topic], log_time=t_ns, publish_time=t_ns, data=data, sequence=sequence)
        writer.finish()
    part.replace(path)
    return path
