"""The camera of a comma2k19 segment: video.hevc is cut into segments of H.265, its k-th picture taken at the k-th of frame_times.

The recorder encodes without B-frames, so pictures are stored in the order they were taken. Intrinsics are those the dataset publishes for
all its pictures (camera_intrinsics.txt); where the camera sits is stated nowhere, so FRAMES has no extrinsics.
"""

from collections.abc import Iterator

import pyarrow as pa

from flywheel.errors import BadData, require
from flywheel.ingest.comma2k19_arrays import boot_seconds, numbers
from flywheel.ingest.comma2k19_clock import Clock
from flywheel.ingest.drive import Beats, Blob, Item, Log, Rows, warning
from flywheel.ingest.packets import Segment, Segments
from flywheel.ingest.quality import check_times
from flywheel.tables import rows_table
from flywheel.video_decode import damage

VIDEO, TIMES, PREVIEW, CAMERA = "video.hevc", "global_pose/frame_times", "preview.png", "road"
INTRINSICS = {"fx_px": 910.0, "fy_px": 910.0, "cx_px": 582.0, "cy_px": 437.0}
SIZE_PX = (1164, 874)
CHUNK_BYTES = 1 << 20
# How many pictures may lack a time, or times a picture, before the two do not belong together.
MAX_APART = 20


def items(log: Log, clock: Clock) -> Iterator[Item]:
    """FRAMES of the video, or a warning that says why there are none."""
    if VIDEO not in log.paths or TIMES not in log.paths:
        if VIDEO in log.paths or PREVIEW in log.paths:
            why = f"{VIDEO} without {TIMES}" if VIDEO in log.paths else f"{PREVIEW}, a single picture without a time,"
            yield warning("camera", f"{why} is no camera stream and was left in landing")
        return
    count = 0
    for segment in segments(log, clock):
        count += len(segment.rows)
        yield Rows("FRAMES", _rows(segment))
        yield Beats(f"camera/{CAMERA}", pa.array([row["t_ns"] for row in segment.rows], pa.int64()).to_numpy())
    apart = len(numbers(log, TIMES).reshape(-1)) - count
    if apart:
        yield warning("camera", f"{VIDEO} and {TIMES} differ by {abs(apart)} pictures: they were matched from the first one on")


def media(log: Log, clock: Clock) -> Iterator[Blob]:
    """The video's segments."""
    if VIDEO in log.paths and TIMES in log.paths:
        for segment in segments(log, clock):
            yield Blob(segment.sha256, segment.ext, segment.data)


def segments(log: Log, clock: Clock) -> Iterator[Segment]:
    """The segments of video.hevc; BadData if it is damaged, or has far more or fewer pictures than there are times."""
    times = clock.ns(boot_seconds(TIMES, numbers(log, TIMES)))
    check_times(TIMES, times)
    cutter = Segments("h265", name=VIDEO)
    for number, packet in enumerate(_packets(log)):
        if number < len(times):
            cutter.take(int(times[number]), packet)
            yield from cutter.closed()
        elif number > len(times) + MAX_APART:
            raise BadData(f"{VIDEO} holds more than {number} pictures, {TIMES} {len(times)} times: they do not belong together")
    cutter.close()
    yield from cutter.closed()
    if cutter.packets < len(times) - MAX_APART:
        raise BadData(f"{VIDEO} holds {cutter.packets} pictures, {TIMES} {len(times)} times: the video is cut off")


def _packets(log: Log) -> Iterator[bytes]:
    """The pictures' packets of the elementary stream, in its order."""
    av = require("av", extra="ingest")
    with damage(av, f"{VIDEO} cannot be read"), log.stream(VIDEO) as stream:
        parser = av.CodecContext.create("hevc", "r")
        while data := stream.read(CHUNK_BYTES):
            yield from (bytes(packet) for packet in parser.parse(data))
        yield from (bytes(packet) for packet in parser.parse(None))


def _rows(segment: Segment) -> pa.Table:
    rows = [{"drive_id": "", "camera": CAMERA, "kind": "rgb", **_intrinsics(row), **row} for row in segment.rows]
    return rows_table("FRAMES", rows).drop_columns(["drive_id"])


def _intrinsics(row: dict[str, object]) -> dict[str, float]:
    return INTRINSICS if (row["width_px"], row["height_px"]) == SIZE_PX else {}
