"""The multi-view layout of Cosmos-Transfer2.5: `videos/<camera>/<drive>_<n>.mp4`, seven cameras, clips cut from one recording.

Clip n+1 begins with the last picture of clip n: on the published example these two differ by the encoder's noise (1.4 of 255 levels on
average) while neighbours within a clip differ by 4 to 12. So the clips of a drive are one recording, and that picture has one row.
`control_input_*` are drawings of map and boxes, not what a camera saw; they and the captions stay in landing.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.quality import T_MIN_NS
from flywheel.ingest.video_index import VideoIndex, frame_rows, index_video, video_kind

ROOT = re.compile(r"(?P<root>(?:.*/)?)(?:videos|control_input_\w+|captions)/ftheta_camera_\w+/[^/]+_\d+\.(?:mp4|json)")
CLIP = re.compile(r"videos/(?:ftheta_)?(?:camera_)?(?P<camera>\w{1,60})/(?P<drive>[\w.%-]{1,100})_(?P<number>\d{1,4})\.mp4")
DAY = "2000-01-01"
# Pictures of one camera closer than this are one picture.
SAME_NS = 1_000_000


class Clip(NamedTuple):
    """One camera's clip: its number within the drive, and its file."""

    camera: str
    number: int
    path: str


def camera_name(folder: str) -> str:
    """`front_wide` of `front_wide_120fov`: the name without its field of view."""
    return re.sub(r"_\d+fov$", "", folder)


def clips(log: Log) -> dict[str, list[Clip]]:
    """Drive name -> its clips by camera and number; BadData if two folders mean the same camera."""
    found: dict[str, list[Clip]] = defaultdict(list)
    for path in sorted(log.paths):
        if match := CLIP.fullmatch(path):
            found[match["drive"]].append(Clip(camera_name(match["camera"]), int(match["number"]), path))
    for drive, parts in found.items():
        if len({(clip.camera, clip.number) for clip in parts}) < len(parts):
            raise BadData(f"{drive}: two folders under videos/ hold the same camera's clip")
        parts.sort()
    return dict(found)


def matches(log: Log) -> bool:
    """Whether the log is a folder with clips in this layout, the first of them a film."""
    if log.is_file:
        return False
    first = next((path for path in sorted(log.paths) if CLIP.fullmatch(path)), None)
    return first is not None and video_kind(log.head(first, size=12)) is not None


def parts(log: Log) -> dict[str, frozenset[str]]:
    """One part a drive; a folder of one drive is that drive."""
    drives = clips(log)
    if len(drives) == 1:
        return {"": frozenset(log.paths)}
    return {drive: frozenset(p for p in log.paths if re.search(rf"/{re.escape(drive)}_\d+\.\w+$", p)) for drive in drives}


def read(log: Log) -> Iterator[Item]:
    """FRAMES of all cameras in rising time, and when each camera spoke."""
    ((drive, mine),) = clips(log).items()
    indexes = {clip: _index(log, clip) for clip in mine}
    tables = {camera: camera_table(log, indexes, camera) for camera in cameras(mine)}
    yield DriveFacts(vehicle_id=drive, place="unknown", day=DAY, clock="relative")
    yield Rows("FRAMES", pa.concat_tables(tables.values()).sort_by([("t_ns", "ascending"), ("camera", "ascending")]))
    for camera, table in tables.items():
        yield Beats(f"camera/{camera}", table["t_ns"].to_numpy())
    yield from findings(log, mine)


def cameras(mine: list[Clip]) -> list[str]:
    """The cameras of some clips, sorted."""
    return sorted({clip.camera for clip in mine})


def _index(log: Log, clip: Clip) -> VideoIndex:
    try:
        with log.local(clip.path) as file, file.open("rb") as stream:
            index = index_video(stream)
    except BadData as err:
        raise BadData(f"{clip.path}: {err}") from err
    if index.ext != "mp4":
        raise BadData(f"{clip.path} is no mp4 but {index.ext} by its content")
    return index


def step_ns(indexes: dict[Clip, VideoIndex]) -> int:
    """From the start of a clip to the start of the next: from the first to the last picture of the longest one."""
    return max(int(index.since_first_ns[-1]) for index in indexes.values())


def camera_table(log: Log, indexes: dict[Clip, VideoIndex], camera: str) -> pa.Table:
    """One camera's rows; the picture that a clip shares with the one before it has its row there."""
    step, first, last = step_ns(indexes), min(clip.number for clip in indexes), -1
    tables = []
    for clip, index in [(clip, indexes[clip]) for clip in sorted(indexes) if clip.camera == camera]:
        t_ns: NDArray[np.int64] = T_MIN_NS + (clip.number - first) * step + index.since_first_ns
        table = frame_rows(index, t_ns=t_ns, sha256=log.file(clip.path).sha256, camera=camera)
        tables.append(table.filter(pa.array(t_ns > last + SAME_NS)))
        last = int(t_ns[-1])
    return pa.concat_tables(tables)


def findings(log: Log, mine: list[Clip]) -> Iterator[Finding]:
    """What a user of this drive must know."""
    text = "the clips do not say when they were recorded: times count from 2000-01-01T00:00:00Z"
    if len({clip.number for clip in mine}) > 1:
        text += "; each clip is taken to begin with the last picture of the one before, which has one row, as in the published recording"
    yield warning("clock", text)
    numbers = {camera: [clip.number for clip in mine if clip.camera == camera] for camera in cameras(mine)}
    wanted = range(min(map(min, numbers.values())), max(map(max, numbers.values())) + 1)
    lacking = [f"{camera} {n}" for camera, there in numbers.items() for n in wanted if n not in there]
    if lacking:
        yield warning("clips", f"clips are missing: {', '.join(lacking[:20])}")
    left = sorted({path.split("/")[0] for path in log.paths if not CLIP.fullmatch(path)})
    if left:
        text = f"{', '.join(left)[:300]}: drawings of map and boxes, captions and other files stay in landing; no table holds them"
        yield warning("files", text)


def media(log: Log) -> Iterator[Blob]:
    """The clips as they were landed."""
    for mine in clips(log).values():
        for clip in mine:
            with log.local(clip.path) as file:
                yield Blob(log.file(clip.path).sha256, "mp4", file)
