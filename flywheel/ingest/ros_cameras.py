"""ROS image topics to FRAMES rows: compressed images stay as recorded; raw ones become PNG, which loses nothing and repeats."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.ingest.drive import Blob, Finding, Item, Picture, Rows, warning
from flywheel.ingest.images import MAX_PIXELS, image_info
from flywheel.ingest.quality import check_camera
from flywheel.ingest.ros_frames import Frames
from flywheel.tables import rows_table
from flywheel.types import sha256_hex

IMAGE, COMPRESSED, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/CameraInfo"
CAMERAS = frozenset({IMAGE, COMPRESSED, INFO})
# The parts of a topic that say how an image is sent, not which camera took it (image_transport, image_proc, depth_image_proc).
TRANSPORT = re.compile(r"image(_[a-z]+)*|compressed\w*|camera_info|theora|ffmpeg")
# Raw encodings: type, channels, and the order in which OpenCV wants those channels (blue first).
ENCODINGS: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "rgb8": ("u1", 3, (2, 1, 0)), "bgr8": ("u1", 3, (0, 1, 2)), "mono8": ("u1", 1, (0,)), "8UC1": ("u1", 1, (0,)),
    "8UC3": ("u1", 3, (0, 1, 2)),
    "rgba8": ("u1", 4, (2, 1, 0, 3)), "bgra8": ("u1", 4, (0, 1, 2, 3)), "mono16": ("u2", 1, (0,)), "16UC1": ("u2", 1, (0,)),
}  # fmt: skip
DEPTH = frozenset({"16UC1"})


def camera_name(topic: str) -> str:
    """The camera's name within a topic: without the parts that say how its images are sent."""
    parts = [part for part in topic.split("/") if part and not TRANSPORT.fullmatch(part)]
    return re.sub(r"[^A-Za-z0-9_\-]", "_", "_".join(parts))[-60:] or "camera"


def png(message: Any) -> bytes:
    """A raw image as PNG with the same pixels; BadData for an encoding that is not read, or data that do not fill the image."""
    if message.encoding not in ENCODINGS:
        raise BadData(f"raw images of encoding {str(message.encoding)[:40]!r} are not read; {', '.join(ENCODINGS)} are")
    kind, channels, order = ENCODINGS[message.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    high, wide, step = int(message.height), int(message.width), int(message.step)
    if not 0 < high * wide <= MAX_PIXELS or step < wide * channels * dtype.itemsize or len(message.data) < high * step:
        raise BadData(f"a raw image of {wide} x {high} pixels with {step} bytes a row and {len(message.data)} bytes in all")
    rows = np.asarray(message.data, np.uint8)[: high * step].reshape(high, step)[:, : wide * channels * dtype.itemsize]
    pixels: NDArray[Any] = np.ascontiguousarray(rows).view(dtype).astype(kind).reshape(high, wide, channels)[:, :, list(order)]
    cv2 = require("cv2", extra="ingest")
    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise BadData(f"a raw image of {wide} x {high} pixels cannot be written as PNG")
    return bytes(data)


class Cameras:
    """What the camera topics say, and FRAMES made of it window by window."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self._expected: dict[str, dict[str, int]] = {}
        self._rows: list[dict[str, Any]] = []
        self._infos: dict[str, Any] = {}
        self._doubled: Counter[str] = Counter()
        self._encoded: Counter[tuple[str, str]] = Counter()
        self._loose: set[str] = set()
        self._seen: set[tuple[str, str, int]] = set()

    def expect(self, topic: str, type_name: str, messages: int) -> None:
        """Makes a topic known, with how many messages it will hold (0: not known)."""
        if type_name in (IMAGE, COMPRESSED):
            topics = self._expected.setdefault(camera_name(topic), {})
            topics[topic] = topics.get(topic, 0) + messages

    def take(self, topic: str, type_name: str, t_ns: int, message: Any) -> Picture | None:
        """One message; gives the picture if it holds one for the rgb gates. BadData if it cannot be read."""
        camera = camera_name(topic)
        if type_name == INFO:
            self._infos[camera] = message
            return None
        if self._leader(camera) != topic:
            self._doubled[topic] += 1
            return None
        data, kind = self._data(topic, type_name, message), "depth" if type_name == IMAGE and message.encoding in DEPTH else "rgb"
        if type_name == IMAGE:
            self._encoded[topic, message.encoding] += 1
        if (camera, kind, t_ns) in self._seen:
            raise BadData("a second image of this camera at the same time")
        self._seen.add((camera, kind, t_ns))
        said = {"t_ns": t_ns, "camera": camera, "kind": kind, "media_sha256": sha256_hex(data), "frame_id": message.header.frame_id}
        self._rows.append(said | image_info(data).model_dump() | {"rectified": "rect" in topic})
        return Picture(camera, t_ns, data) if kind == "rgb" else None

    def blob(self, topic: str, type_name: str, message: Any) -> Blob | None:
        """The media object of an image message; None for other messages, and for images that gave no frame."""
        if type_name == INFO or self._leader(camera_name(topic)) != topic:
            return None
        data = self._data(topic, type_name, message)
        return Blob(sha256_hex(data), image_info(data).ext, data)

    def window(self, until_ns: int | None) -> Iterator[Item]:
        """FRAMES up to a time (None: the end)."""
        ready = [row for row in self._rows if until_ns is None or row["t_ns"] <= until_ns]
        self._rows = [row for row in self._rows if until_ns is not None and row["t_ns"] > until_ns]
        self._seen = {(row["camera"], row["kind"], row["t_ns"]) for row in self._rows}
        if ready:
            rows = [{"drive_id": ""} | self._placed(row) for row in ready]
            yield Rows("FRAMES", rows_table("FRAMES", rows).drop_columns(["drive_id"]))

    def findings(self) -> Iterator[Finding]:
        """Cameras that cannot be related to the ego, images kept twice, and raw images that became PNG."""
        for camera in sorted(self._loose):
            yield warning("calibration", f"camera {camera} has no calibration or no mount: its boxes cannot be drawn")
        for topic, count in sorted(self._doubled.items()):
            camera = camera_name(topic)
            yield warning(
                "topics", f"{topic}: {count} images left in landing: {self._leader(camera)} carries the frames of camera {camera}"
            )
        for (topic, encoding), count in sorted(self._encoded.items()):
            yield warning("images", f"{topic}: {count} raw {encoding} images are kept as PNG, without loss")

    def _leader(self, camera: str) -> str:
        """Of a camera's topics the one with the most messages, of equals the first name."""
        topics = self._expected[camera]
        return min(topics, key=lambda topic: (-topics[topic], topic))

    def _data(self, topic: str, type_name: str, message: Any) -> bytes:
        if type_name == IMAGE:
            return png(message)
        data = bytes(message.data)
        image_info(data)
        return data

    def _placed(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the camera's calibration and mount, as far as they are known."""
        frame, rectified = row.pop("frame_id"), row.pop("rectified")
        info, mount = self._infos.get(row["camera"]), self.frames.mount(frame)
        said = _intrinsics(info, row, rectified=rectified) if info is not None else {}
        if mount is not None:
            said |= dict(zip(("cam_x_m", "cam_y_m", "cam_z_m"), map(float, mount.at), strict=True))
            said |= dict(zip(("cam_qw", "cam_qx", "cam_qy", "cam_qz"), map(float, mount.turn), strict=True))
        if mount is None or "fx_px" not in said:
            self._loose.add(row["camera"])
        return row | said


def _intrinsics(info: Any, row: dict[str, Any], *, rectified: bool) -> dict[str, float]:
    """Pinhole intrinsics in this image's pixels (of P for a rectified image, else of K); empty for a camera that is not calibrated."""
    k, p = (np.asarray(getattr(info, name, getattr(info, name.upper(), ())), np.float64).ravel() for name in "kp")
    use, stride = (p, 4) if rectified and len(p) == 12 and p[0] > 0 else (k, 3)
    if len(use) != 3 * stride or not np.isfinite(use).all() or min(use[0], use[stride + 1]) <= 0 or not (info.width and info.height):
        return {}
    right, down = row["width_px"] / info.width, row["height_px"] / info.height
    said = {"fx_px": use[0] * right, "cx_px": use[2] * right, "fy_px": use[stride + 1] * down, "cy_px": use[stride + 2] * down}
    check_camera(f"calibration of camera {row['camera']}", said)
    return {name: float(value) for name, value in said.items()}
