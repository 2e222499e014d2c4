"""A lone dashcam film (mp4, mov, mkv): one drive of one front camera. It has pictures only, so nothing about motion can be evaluated."""

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.quality import T_MIN_NS
from flywheel.ingest.video_index import VideoIndex, frame_rows, index_video, video_kind

CAMERA = "front"
UNKNOWN = "unknown"


def matches(log: Log) -> bool:
    """Whether the log is one mp4, mov or mkv file."""
    return log.is_file and video_kind(log.head(size=12)) is not None


def read(log: Log) -> Iterator[Item]:
    """FRAMES of the film. Time runs from the file's own creation time, else from 2000-01-01."""
    with log.local() as file, file.open("rb") as stream:
        index = index_video(stream)
    t_ns = index.since_first_ns + (T_MIN_NS if index.start_t_ns is None else index.start_t_ns)
    yield facts(log.source_sha256, t_ns, known=index.start_t_ns is not None)
    yield Rows("FRAMES", frame_rows(index, t_ns=t_ns, sha256=log.source_sha256, camera=CAMERA))
    yield Beats(f"camera/{CAMERA}", t_ns)
    yield from findings(index)


def facts(source_sha256: str, t_ns: NDArray[np.int64], *, known: bool) -> DriveFacts:
    """A film names no vehicle and no place, so each is a split group of its own."""
    day = datetime.fromtimestamp(int(t_ns[0]) // 10**9, UTC).date().isoformat()
    return DriveFacts(vehicle_id=f"{UNKNOWN}-{source_sha256[:12]}", place=UNKNOWN, day=day, clock="utc" if known else "relative")


def findings(index: VideoIndex) -> Iterator[Finding]:
    """What a user of this drive must know."""
    text = (
        "the file says only when it was made (creation_time): times count from there, and how far that is from UTC is unknown"
        if index.start_t_ns is not None
        else "the file does not say when it was recorded: times count from 2000-01-01T00:00:00Z"
    )
    yield warning("clock", text)
    if index.repeats:
        yield warning("frames", f"{index.repeats} frames at the same instant as another have no row")


def media(log: Log) -> Iterator[Blob]:
    """The film as it was landed."""
    ext = video_kind(log.head(size=12)) or ""
    with log.local() as file:
        yield Blob(log.source_sha256, ext, file)
