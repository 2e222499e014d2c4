"""The picture behind a FRAMES row. An image is given as it is stored; a frame of a video is decoded on demand, exactly that one.

A video is an elementary stream (`h264`, `h265`: the row's packet is decoded from the last keyframe before it) or a file (`mp4`, `mkv`:
found by its pts through the file's index, with range reads). Its picture is a lossless PNG, the same bytes each time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from flywheel.errors import BadData, require
from flywheel.nal import AV_NAMES, Codec
from flywheel.store import Store, media_key, put_media
from flywheel.types import sha256_hex
from flywheel.video_decode import FILE_FORMATS, damage, of_file, of_segment

Row = Mapping[str, Any]
COLUMNS = ("t_ns", "camera", "kind", "media_sha256", "ext", "video_offset", "video_bytes", "video_pts", "keyframe")


class Still(NamedTuple):
    """An encoded image and the hash of its bytes."""

    sha256: str
    ext: str
    data: bytes


def is_video(row: Row) -> bool:
    """Whether a FRAMES row stands for a frame of a video."""
    return row.get("video_bytes") is not None


def still(store: Store, row: Row, *, keep: bool = False) -> Still:
    """The picture of one FRAMES row; `keep` puts a decoded one among the store's media. KeyError if its media are gone, else BadData."""
    return next(frames(store, [row], keep=keep))[1]


def frames(store: Store, rows: Iterable[Row], *, keep: bool = False) -> Iterator[tuple[Row, Still]]:
    """The picture of each row. The rows of one video are decoded in one pass, so they come grouped by video and in rising time."""
    videos: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in rows:
        if is_video(row):
            videos.setdefault((row["media_sha256"], row["ext"]), {}).setdefault(row["video_offset"], []).append(row)
        else:
            yield row, Still(row["media_sha256"], row["ext"], store.get(media_key(row["media_sha256"], row["ext"])))
    for (sha256, ext), wanted in videos.items():
        for first, frame in _decoded(store, media_key(sha256, ext), ext, [same[0] for same in wanted.values()]):
            data = _png(frame)
            shown = Still(put_media(store, data, "png") if keep else sha256_hex(data), "png", data)
            yield from ((row, shown) for row in wanted[first["video_offset"]])


def attempts(store: Store, rows: Iterable[Row], *, keep: bool = False) -> Iterator[tuple[Row, Still | str]]:
    """As `frames`, but a row whose picture cannot be had comes with the reason, and the others go on."""
    videos: dict[str, dict[int, Row]] = {}
    for row in rows:
        videos.setdefault(row["media_sha256"], {})[id(row)] = row
    for left in videos.values():
        try:
            for row, found in frames(store, list(left.values()), keep=keep):
                del left[id(row)]
                yield row, found
        except (BadData, KeyError):
            yield from ((row, _attempt(store, row, keep=keep)) for row in left.values())


def _attempt(store: Store, row: Row, *, keep: bool) -> Still | str:
    try:
        return still(store, row, keep=keep)
    except (BadData, KeyError) as err:
        return str(err.args[0])


def pictured(store: Store, rows: Sequence[Row], *, keep: bool = False) -> tuple[list[Row], list[tuple[Row, str]]]:
    """The rows in their order, those of a video turned into rows of the image they show; and the rows without one, with the reason."""
    found = {id(row): shown for row, shown in attempts(store, [row for row in rows if is_video(row)], keep=keep)}
    blank = dict.fromkeys(("video_offset", "video_bytes", "video_pts", "keyframe"))
    made: list[Row] = []
    lost: list[tuple[Row, str]] = []
    for row in rows:
        shown = found.get(id(row))
        if isinstance(shown, str):
            lost.append((row, shown))
        else:
            made.append({**row, **blank, "media_sha256": shown.sha256, "ext": shown.ext} if shown else row)
    return made, lost


def _decoded(store: Store, key: str, ext: str, rows: list[Row]) -> Iterator[tuple[Row, Any]]:
    av = require("av", extra="ingest")
    with damage(av, f"{key} cannot be decoded"), store.open(key) as stream:
        if ext in AV_NAMES:
            yield from of_segment(av, stream, cast(Codec, ext), sorted(rows, key=lambda row: int(row["video_offset"])), key)
        elif ext in FILE_FORMATS:
            yield from of_file(av, stream, ext, sorted(rows, key=lambda row: int(row["video_pts"])), key)
        else:
            raise BadData(f"{key}: no video that can be decoded here")


def _png(frame: Any) -> bytes:
    """PNG bytes of a frame, turned upright as its display matrix says. The conversion to RGB is bit-exact; the bytes are OpenCV's."""
    cv2, numpy = require("cv2", extra="ingest"), require("numpy", extra="ingest")
    flags = require("av.video.reformatter", extra="ingest").Interpolation
    pixels = frame.to_ndarray(format="bgr24", interpolation=int(flags.BICUBIC | flags.ACCURATE_RND | flags.BITEXACT))
    done, data = cv2.imencode(".png", numpy.ascontiguousarray(numpy.rot90(pixels, k=round(frame.rotation / 90))))
    if not done:
        raise BadData(f"a frame of {frame.width} x {frame.height} pixels cannot be written as PNG")
    return bytes(data)
