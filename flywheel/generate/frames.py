"""Which frames to redraw: for each event the camera frames nearest to its peak, or spaced reference frames."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from flywheel.store import Store
from flywheel.types import CONDITIONS, Record
from flywheel.video import is_video, pictured

Row = dict[str, Any]
OFFSETS_NS = (0, -1_000_000_000, 1_000_000_000, -2_000_000_000, 2_000_000_000)
TOLERANCE_NS = 500_000_000
REFERENCE = "reference"
REFERENCE_FRAMES = 8
CONDITION_NAMES = frozenset(c.name for c in CONDITIONS)


class KeyFrame(Record):
    """One frame worth redrawing, with the event it shows; `rank` 0 is the event's best frame."""

    event_id: str
    scenario: str
    level: str
    drive_id: str
    root_group: str
    t_ns: int
    camera: str
    parent_sha256: str
    parent_ext: str
    source_condition: str
    rank: int = 0
    only: tuple[str, ...] = ()  # the conditions under which the event would still be what it is; empty for any
    odd: str = ""  # the stratum the event was in; empty where it is not known

    def content(self) -> Row:
        """The fields a request takes over."""
        return self.model_dump(exclude={"rank", "only", "odd"})


def camera_rank(name: str) -> tuple[int, str]:
    """Sorts cameras: a plain front view, then a front tele view, then anything else; side and rear views last."""
    low = name.lower()
    if any(word in low for word in ("left", "right", "rear", "back", "cross", "side")):
        return 3, low
    if "front" in low:
        return int("tele" in low), low
    return 2, low


def front_frames(frames: Iterable[Row]) -> dict[str, list[Row]]:
    """For each drive the rgb frames of its best front camera, by time; drives without any are absent."""
    by_drive: dict[str, list[Row]] = defaultdict(list)
    for row in frames:
        if row["kind"] == "rgb":
            by_drive[row["drive_id"]].append(row)
    best = {drive: min((row["camera"] for row in rows), key=camera_rank) for drive, rows in by_drive.items()}
    return {
        drive: sorted((row for row in rows if row["camera"] == best[drive]), key=lambda row: row["t_ns"])
        for drive, rows in sorted(by_drive.items())
    }


def _nearest(frames: list[Row], times_ns: np.ndarray[Any, np.dtype[np.int64]], t_ns: int) -> Row | None:
    at = int(np.argmin(np.abs(times_ns - t_ns)))
    return frames[at] if abs(int(times_ns[at]) - t_ns) <= TOLERANCE_NS else None


def event_frames(event: Row, frames: list[Row], *, count: int) -> list[KeyFrame]:
    """Up to `count` distinct frames of an event, the one nearest its peak first; none if the camera was silent then."""
    times_ns = np.array([row["t_ns"] for row in frames], np.int64)
    found: dict[tuple[str, int | None], KeyFrame] = {}
    for offset_ns in OFFSETS_NS:
        frame = _nearest(frames, times_ns, event["t_peak_ns"] + offset_ns)
        if frame is not None and (image := _image(frame)) not in found and len(found) < count:
            found[image] = _key_frame(event, frame, rank=len(found))
    return list(found.values())


def _image(frame: Row) -> tuple[str, int | None]:
    """What tells two images apart: their hash, or the hash of their video and their place in it."""
    return frame["media_sha256"], frame.get("video_offset")


def with_pictures(store: Store, found: list[KeyFrame], frames: dict[str, list[Row]], *, keep: bool) -> tuple[list[KeyFrame], list[str]]:
    """The key frames, those of a video with the still image they show as their parent (stored if `keep`); and notes on those left out."""
    videos = {(drive, row["t_ns"], row["camera"]): row for drive, rows in frames.items() for row in rows if is_video(row)}
    wanted = {place: videos[place] for frame in found if (place := (frame.drive_id, frame.t_ns, frame.camera)) in videos}
    made, lost = pictured(store, list(wanted.values()), keep=keep)
    stills = {(row["drive_id"], row["t_ns"], row["camera"]): row for row in made}
    kept = []
    for frame in found:
        place = (frame.drive_id, frame.t_ns, frame.camera)
        if place in stills:
            kept.append(frame.model_copy(update={"parent_sha256": stills[place]["media_sha256"], "parent_ext": stills[place]["ext"]}))
        elif place not in wanted:
            kept.append(frame)
    return kept, [f"a frame of drive {row['drive_id']} was left out: {reason}" for row, reason in lost]


def _key_frame(event: Row, frame: Row, *, rank: int) -> KeyFrame:
    return KeyFrame(
        **{name: event[name] for name in ("event_id", "scenario", "level", "drive_id", "root_group")},
        source_condition=known_condition(event["condition"]), t_ns=frame["t_ns"], camera=frame["camera"],
        parent_sha256=frame["media_sha256"], parent_ext=frame["ext"], rank=rank,
        only=tuple(event.get("only_conditions") or ()), odd=event.get("odd") or "",
    )  # fmt: skip


def known_condition(name: str) -> str:
    """The condition's own name; a condition nobody could tell is taken as day_clear, the commonest."""
    return name if name in CONDITION_NAMES else "day_clear"


def reference_frames(
    frames: dict[str, list[Row]], *, conditions: dict[str, str], groups: dict[str, str], count: int = REFERENCE_FRAMES
) -> list[KeyFrame]:
    """`count` evenly spaced frames of each drive in which nothing was mined: scenario `reference`, no event, lowest level."""
    return [
        _key_frame(
            {"event_id": "", "scenario": REFERENCE, "level": "L1", "drive_id": drive, "root_group": groups[drive],
             "condition": conditions.get(drive, "")},
            rows[at], rank=rank,
        )
        for drive, rows in frames.items()
        for rank, at in enumerate(_spaced(len(rows), count))
    ]  # fmt: skip


def _spaced(length: int, count: int) -> list[int]:
    return sorted({int((k + 0.5) * length / min(count, length)) for k in range(min(count, length))})
