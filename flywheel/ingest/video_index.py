"""The index of a video file: every frame's time, place and whether it is a keyframe, by demuxing. Nothing is decoded."""

import contextlib
from datetime import UTC, datetime
from fractions import Fraction
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.ingest.images import MAX_PIXELS
from flywheel.ingest.quality import MAX_DURATION_S, T_MAX_NS, T_MIN_NS
from flywheel.ingest.video_boxes import FIRST_BOXES, MAX_SAMPLES, check_boxes, check_matroska, rotation_deg
from flywheel.video_decode import damage, open_video, video_track

MATROSKA = b"\x1aE\xdf\xa3"
# A file that holds less than this share of the time it declares was cut off.
MIN_SHARE = 0.8


class VideoIndex(NamedTuple):
    """One video file's frames in the order they are shown. pts count in time_base seconds; start_t_ns is when the file says it began."""

    ext: str
    width_px: int
    height_px: int
    time_base: Fraction
    start_t_ns: int | None
    pts: NDArray[np.int64]
    offset: NDArray[np.int64]
    bytes: NDArray[np.int64]
    keyframe: NDArray[np.bool_]
    repeats: int

    @property
    def since_first_ns(self) -> NDArray[np.int64]:
        """Time of each frame after the first, ns."""
        whole, rest = np.divmod((self.pts - self.pts[0]) * self.time_base.numerator, self.time_base.denominator)
        return np.asarray(whole * 10**9 + rest * 10**9 // self.time_base.denominator, np.int64)


def video_kind(head: bytes) -> str | None:
    """`mp4` (also mov) or `mkv` (also webm) by a file's first bytes; None for anything else."""
    if head[4:8] in FIRST_BOXES:
        return "mp4"
    return "mkv" if head.startswith(MATROSKA) else None


def index_video(stream: IO[bytes]) -> VideoIndex:
    """The index of a seekable video file; BadData if it is cut off, damaged, too large, or holds no film."""
    av = require("av", extra="ingest")
    ext = video_kind(stream.read(12))
    if ext is None:
        raise BadData("neither mp4, mov nor mkv by its first bytes")
    (check_boxes if ext == "mp4" else check_matroska)(stream)
    turn = rotation_deg(stream) if ext == "mp4" else 0
    size = stream.seek(0, 2)
    stream.seek(0)
    with damage(av, "the video cannot be read"), contextlib.closing(open_video(av, stream, ext)) as container:
        return _index(container, ext, size=size, turned=turn in (90, 270))


def _index(container: Any, ext: str, *, size: int, turned: bool) -> VideoIndex:
    track = video_track(container)
    width, height = track.width, track.height
    if not 0 < width * height <= MAX_PIXELS:
        raise BadData(f"the video declares {width} x {height} pixels; 1 to {MAX_PIXELS} are allowed")
    found = _packets(container, track, size=size)
    order = np.argsort(found[:, 0], kind="stable")
    order = order[np.r_[True, np.diff(found[order, 0]) > 0]]
    pts, offset, count, keyframe = found[order].T
    if not found[:, 3].any():
        raise BadData("the video has no keyframe: nothing can be decoded")
    made = VideoIndex(
        ext, *((height, width) if turned else (width, height)), track.time_base, _start_t_ns(container, track), pts, offset, count,
        keyframe.astype(bool), len(found) - len(order),
    )  # fmt: skip
    _check_length(made, _declared_s(container, track))
    return made


def _packets(container: Any, track: Any, *, size: int) -> NDArray[np.int64]:
    """(N, 4) pts, offset, bytes, keyframe of every packet that is shown, in decoding order."""
    found: list[tuple[int, int, int, bool]] = []
    for packet in container.demux(track):
        if packet.size and not packet.is_discard:
            if packet.pts is None or packet.pos is None:
                raise BadData(f"packet {len(found)} has no presentation time or no place in the file")
            if packet.is_corrupt or packet.pos + packet.size > size:
                raise BadData(f"packet {len(found)} at byte {packet.pos} is damaged or cut off")
            found.append((packet.pts, packet.pos, packet.size, packet.is_keyframe))
        if len(found) > MAX_SAMPLES:
            raise BadData(f"more than {MAX_SAMPLES} frames")
    if not found:
        raise BadData("the video track holds no frame")
    return np.array(found, np.int64)


def _start_t_ns(container: Any, track: Any) -> int | None:
    """When the file says that it was made, if that is a plausible time."""
    text = container.metadata.get("creation_time") or track.metadata.get("creation_time") or ""
    try:
        made = datetime.fromisoformat(text)
    except ValueError:
        return None
    t_ns = round((made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()) * 10**9
    return t_ns if T_MIN_NS < t_ns < T_MAX_NS else None


def _declared_s(container: Any, track: Any) -> float:
    if track.duration:
        return float(track.duration * track.time_base)
    return (container.duration or 0) / 1e6


def _check_length(index: VideoIndex, declared_s: float) -> None:
    span_s = float((int(index.pts[-1]) - int(index.pts[0])) * index.time_base)
    if span_s > MAX_DURATION_S or index.time_base <= 0 or index.time_base.denominator > 10**9:
        raise BadData(f"the frames span {span_s:.0f} s: a clock has jumped")
    per_frame_s = span_s / max(len(index.pts) - 1, 1)
    if declared_s - span_s - per_frame_s > max(1.0, (1 - MIN_SHARE) * declared_s):
        raise BadData(f"the file declares {declared_s:.1f} s of video but holds {span_s + per_frame_s:.1f} s: it is cut off or damaged")


def frame_rows(index: VideoIndex, *, t_ns: NDArray[np.int64], sha256: str, camera: str, kind: str = "rgb") -> pa.Table:
    """FRAMES rows (without drive_id) of a video file, its k-th shown frame at t_ns[k]."""
    same = {"camera": camera, "kind": kind, "media_sha256": sha256, "ext": index.ext}
    columns: dict[str, Any] = {"t_ns": t_ns} | {name: pa.repeat(value, len(t_ns)) for name, value in same.items()}
    columns |= {name: pa.repeat(pa.scalar(getattr(index, name), pa.int32()), len(t_ns)) for name in ("width_px", "height_px")}
    columns |= {"video_offset": index.offset, "video_bytes": index.bytes, "video_pts": index.pts, "keyframe": index.keyframe}
    return pa.table(columns)
