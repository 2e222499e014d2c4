"""Camera topics of an MCAP to FRAMES rows: images are hashed and measured, never decoded into new bytes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from flywheel.errors import BadData
from flywheel.ingest.drive import Blob, Finding
from flywheel.ingest.images import ImageInfo, image_info
from flywheel.ingest.mcap_read import Message, MetadataRecord, read_mcap
from flywheel.ingest.mcap_topics import proto
from flywheel.ingest.quality import check_camera, check_times
from flywheel.tables import rows_table
from flywheel.types import sha256_hex

IMAGE_TOPIC = re.compile(r"/camera/([A-Za-z0-9_\-]{1,60})(?:/(depth|segmentation))?")
CALIBRATION_TOPIC = re.compile(r"/camera/([A-Za-z0-9_\-]{1,60})/calibration")
TRANSFORM_TOPICS = frozenset({"/tf", "/tf_static"})
MAX_BAD_SHARE = 0.1


@dataclass
class Cameras:
    """What the camera topics of one log said, gathered message by message."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    calibrations: dict[str, Any] = field(default_factory=dict)
    mounts: dict[str, Any] = field(default_factory=dict)
    first: dict[str, bytes] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def take(self, message: Message) -> bool:
        """Keeps what a camera message says; False if the message is not one."""
        if message.topic in TRANSFORM_TOPICS:
            transform = proto(message, "FrameTransform")
            if transform.parent_frame_id == "ego":
                self.mounts[transform.child_frame_id] = transform
        elif found := CALIBRATION_TOPIC.fullmatch(message.topic):
            self.calibrations[found[1]] = proto(message, "CameraCalibration")
        elif found := IMAGE_TOPIC.fullmatch(message.topic):
            self._take_image(message, camera=found[1], kind=found[2] or "rgb")
        else:
            return False
        return True

    def _take_image(self, message: Message, *, camera: str, kind: str) -> None:
        image = proto(message, "CompressedImage")
        try:
            info = image_info(image.data)
        except BadData as err:
            self.bad.append(f"{message.topic} at {message.t_ns} ns: {err}")
            return
        if kind == "rgb":
            self.first.setdefault(camera, image.data)
        said = {"t_ns": message.t_ns, "camera": camera, "kind": kind, "media_sha256": sha256_hex(image.data), "frame_id": image.frame_id}
        self.rows.append(said | info.model_dump())

    def table(self) -> pa.Table:
        """FRAMES without drive_id."""
        for camera, kind in sorted({(row["camera"], row["kind"]) for row in self.rows}):
            times = [row["t_ns"] for row in self.rows if (row["camera"], row["kind"]) == (camera, kind)]
            check_times(f"/camera/{camera} ({kind})", pa.array(times, pa.int64()).to_numpy())
        rows = [{"drive_id": ""} | self._placed(dict(row)) for row in self.rows]
        return rows_table("FRAMES", rows).drop_columns(["drive_id"])

    def _placed(self, row: dict[str, Any]) -> dict[str, Any]:
        mount, calibration = self.mounts.get(row.pop("frame_id")), self.calibrations.get(row["camera"])
        said = (_intrinsics(calibration, row) if calibration else {}) | (_extrinsics(mount) if mount else {})
        check_camera(f"calibration or mount of camera {row['camera']}", said)
        return row | said

    def findings(self) -> tuple[Finding, ...]:
        """Unreadable images, and cameras that cannot be related to the ego."""
        found = [_warn("calibration", f"camera {name} has no calibration or no mount: its boxes cannot be drawn") for name in self._loose()]
        if self.bad:
            too_many = len(self.bad) > MAX_BAD_SHARE * (len(self.rows) + len(self.bad))
            text = f"{len(self.bad)} unreadable images left out, the first: {self.bad[0]}"
            found.append(Finding(severity="error" if too_many else "warning", gate="images", message=text))
        return tuple(found)

    def _loose(self) -> list[str]:
        loose = {row["camera"] for row in self.rows if row["frame_id"] not in self.mounts or row["camera"] not in self.calibrations}
        return sorted(loose)


def _warn(gate: str, message: str) -> Finding:
    return Finding(severity="warning", gate=gate, message=message)


def _intrinsics(calibration: Any, row: dict[str, Any]) -> dict[str, float]:
    """Pinhole intrinsics in this image's pixels (a depth map may be smaller than the picture it belongs to)."""
    if len(calibration.K) != 9 or not (calibration.width and calibration.height):
        raise BadData(f"/camera/{row['camera']}/calibration: needs width, height and a 3x3 K")
    right, down = row["width_px"] / calibration.width, row["height_px"] / calibration.height
    k = calibration.K
    return {"fx_px": k[0] * right, "cx_px": k[2] * right, "fy_px": k[4] * down, "cy_px": k[5] * down}


def _extrinsics(mount: Any) -> dict[str, float]:
    t, q = mount.translation, mount.rotation
    return {"cam_x_m": t.x, "cam_y_m": t.y, "cam_z_m": t.z, "cam_qw": q.w, "cam_qx": q.x, "cam_qy": q.y, "cam_qz": q.z}


def images(file: Path) -> Iterator[Blob]:
    """The log's readable images, byte for byte as recorded, read anew from the file."""
    for message in read_mcap(file):
        if isinstance(message, MetadataRecord) or not IMAGE_TOPIC.fullmatch(message.topic):
            continue
        data = proto(message, "CompressedImage").data
        info = _readable(data)
        if info:
            yield Blob(sha256_hex(data), info.ext, data)


def _readable(data: bytes) -> ImageInfo | None:
    """The image's header; None for those `Cameras` left out with a finding."""
    try:
        return image_info(data)
    except BadData:
        return None
