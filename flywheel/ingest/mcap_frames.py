"""Camera topics of an MCAP to FRAMES rows and media: images and video packets are hashed and measured, never decoded into new bytes."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Blob, Finding, Item, Picture, Rows, warning
from flywheel.ingest.images import image_info
from flywheel.ingest.mcap_mounts import Mounts
from flywheel.ingest.mcap_names import CALIBRATION, camera_of
from flywheel.ingest.mcap_proto import foxglove_name, payloads_of, proto, stamp_ns
from flywheel.ingest.mcap_read import Batch
from flywheel.ingest.packets import Segment, Segments, codec_named
from flywheel.ingest.quality import check_camera, check_times
from flywheel.tables import rows_table
from flywheel.types import sha256_hex

MAX_BAD_SHARE = 0.1
# A segment's first packet need not be its earliest picture.
REORDERED_NS = 10**9
MAX_SEEN = 64
Row = dict[str, Any]


@dataclass
class Video:
    """One video topic: its open segment, since when it is open, and the frame its camera is mounted in."""

    topic: str
    segments: Segments | None = None
    open_ns: int | None = None
    frame_id: str = ""

    def take(self, t_ns: int, message: Any) -> Iterator[Segment]:
        """Takes a packet; gives the segments that are finished by it."""
        if self.segments is None:
            self.segments = Segments(codec_named(message.format), name=self.topic)
        self.frame_id, self.open_ns = message.frame_id, t_ns if self.open_ns is None else self.open_ns
        self.segments.take(t_ns, message.data)
        for segment in self.segments.closed():
            self.open_ns = t_ns
            yield segment

    def close(self) -> Iterator[Segment]:
        """The last segment."""
        self.open_ns = None
        if self.segments is not None:
            self.segments.close()
            yield from self.segments.closed()


@dataclass
class Cameras:
    """The sink of all camera topics. Pictures go out at once, rows when their window is whole and, of a video, their segment closed."""

    named: Mapping[str, tuple[str, str]]
    mounts: Mounts
    calibrations: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    videos: dict[str, Video] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)
    taken: int = 0
    loose: set[str] = field(default_factory=set)
    seen: dict[tuple[Any, ...], dict[str, float]] = field(default_factory=dict)

    def take(self, batch: Batch) -> Iterator[Item]:
        """Takes calibrations, images or packets of one topic."""
        name, topic = foxglove_name(batch.channel) or "", batch.channel.topic
        messages = [proto(topic, int(t), name, data) for t, data in zip(batch.t_ns, payloads_of(batch, name), strict=True)]
        stamps = np.array([stamp_ns(message.timestamp) for message in messages], np.int64)
        yield Beats(topic, batch.t_ns, stamps if stamps.all() else None)
        if name == CALIBRATION:
            self._calibrate(topic, messages[-1])
            return
        check_times(topic, np.r_[[self.last[topic]] if topic in self.last else [], batch.t_ns].astype(np.int64))
        self.last[topic] = int(batch.t_ns[-1])
        for t_ns, message in zip(batch.t_ns.tolist(), messages, strict=True):
            self.taken += 1
            if name == "CompressedVideo":
                video = self.videos.setdefault(topic, Video(topic))
                yield from self._segments(video, video.take(t_ns, message))
            else:
                yield from self._image(topic, t_ns, message)

    def learn(self, batch: Batch) -> None:
        """Takes the first calibrations ahead of their time: they hold before they were first said."""
        for t_ns, data in zip(batch.t_ns.tolist(), payloads_of(batch, CALIBRATION), strict=True):
            self._calibrate(batch.channel.topic, proto(batch.channel.topic, t_ns, CALIBRATION, data))

    def _calibrate(self, topic: str, calibration: Any) -> None:
        """A calibration holds for the frame it names and for the camera its topic names."""
        self.calibrations[f"frame {calibration.frame_id}"] = calibration
        self.calibrations[f"camera {camera_of(topic)}"] = calibration

    def _image(self, topic: str, t_ns: int, message: Any) -> Iterator[Item]:
        camera, kind = self.named[topic]
        try:
            info = image_info(message.data)
        except BadData as err:
            self.bad.append(f"{topic} at {t_ns} ns: {err}")
            return
        if kind == "rgb":
            yield Picture(camera, t_ns, message.data)
        sha256 = sha256_hex(message.data)
        yield Blob(sha256, info.ext, message.data)
        said = {"t_ns": t_ns, "camera": camera, "kind": kind, "media_sha256": sha256, "frame_id": message.frame_id}
        self.rows.append(said | info.model_dump())

    def _segments(self, video: Video, found: Iterable[Segment]) -> Iterator[Blob]:
        camera, kind = self.named[video.topic]
        for segment in found:
            self.rows += [{"camera": camera, "kind": kind, "frame_id": video.frame_id, **row} for row in segment.rows]
            yield Blob(segment.sha256, segment.ext, segment.data)

    def cut(self, until_ns: int | None) -> Iterator[Item]:
        """FRAMES rows before a time, and before the first packet of any segment that is still open."""
        if until_ns is None:
            for video in self.videos.values():
                yield from self._segments(video, video.close())
        open_ns = [video.open_ns - REORDERED_NS for video in self.videos.values() if video.open_ns is not None]
        limit = min([*open_ns, 1 << 62 if until_ns is None else until_ns])
        ready = [row for row in self.rows if row["t_ns"] < limit]
        self.rows = [row for row in self.rows if row["t_ns"] >= limit]
        if ready:
            yield Rows("FRAMES", self.table(ready))

    def table(self, rows: list[Row]) -> pa.Table:
        """FRAMES without drive_id."""
        return rows_table("FRAMES", [self._placed({"drive_id": "", **row}) for row in rows]).drop_columns(["drive_id"])

    def _placed(self, row: Row) -> Row:
        frame_id = row.pop("frame_id")
        mount = self.mounts.in_ego(frame_id)
        calibration = self.calibrations.get(f"frame {frame_id}") or self.calibrations.get(f"camera {row['camera']}")
        if mount is None or calibration is None:
            self.loose.add(row["camera"])
        inner = (calibration.width, calibration.height, *calibration.K) if calibration else ()
        key = (row["width_px"], row["height_px"], tuple((mount or {}).values()), inner)
        if key not in self.seen:
            said = (_intrinsics(calibration, row) if calibration else {}) | (mount or {})
            check_camera(f"calibration or mount of camera {row['camera']}", said)
            self.seen = {**(self.seen if len(self.seen) < MAX_SEEN else {}), key: said}
        return row | self.seen[key]

    def findings(self) -> Iterable[Finding]:
        """Unreadable images, and cameras that cannot be related to the ego."""
        for name in sorted(self.loose):
            text = f"camera {name} has no calibration or no mount: its boxes cannot be drawn"
            yield warning("calibration", text)
        if self.bad:
            too_many = len(self.bad) > MAX_BAD_SHARE * self.taken
            text = f"{len(self.bad)} unreadable images left out, the first: {self.bad[0]}"
            yield Finding(severity="error" if too_many else "warning", gate="images", message=text)
        yield from self._lost_packets()

    def _lost_packets(self) -> Iterator[Finding]:
        for topic, video in sorted(self.videos.items()):
            lost = (video.segments.dropped, video.segments.undecodable) if video.segments else (0, 0)
            if any(lost):
                text = f"{topic}: {lost[0]} packets before the first keyframe left out, {lost[1]} that need a picture which is not there"
                yield warning("video", text)


def _intrinsics(calibration: Any, row: Row) -> dict[str, float]:
    """Pinhole intrinsics in this image's pixels (a depth map may be smaller than the picture it belongs to)."""
    if len(calibration.K) != 9 or not (calibration.width and calibration.height):
        raise BadData(f"calibration of camera {row['camera']}: needs width, height and a 3x3 K")
    right, down = row["width_px"] / calibration.width, row["height_px"] / calibration.height
    k = calibration.K
    return {"fx_px": k[0] * right, "cx_px": k[2] * right, "fy_px": k[4] * down, "cy_px": k[5] * down}
