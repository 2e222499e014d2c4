"""The picture behind a FRAMES row. An image is given as it is stored; a frame of a video is decoded on demand, exactly that one.

A video is an elementary stream (`h264`, `h265`: the row's packet is decoded from the last keyframe before it) or a file (`mp4`, `mkv`:
found by its pts through the file's index, with range reads). Its picture is a lossless PNG, the same bytes each time.
"""

import contextlib
import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any, NamedTuple, cast

from flywheel.errors import BadData, require
from flywheel.nal import AV_NAMES, SKIPPED_LEADING, Codec, keyframes, parameter_sets, slice_kind
from flywheel.store import Store, media_key, put_media
from flywheel.types import sha256_hex

Row = Mapping[str, Any]
FILE_FORMATS = {"mp4": "mov", "mkv": "matroska"}
MAX_PIXELS = 64_000_000
# How far before a frame decoding begins, in seconds, each tried where the one before did not reach it; then from the file's start.
RUN_UPS_S = (0, 2, 20)
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
    videos: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if is_video(row):
            videos.setdefault((row["media_sha256"], row["ext"]), []).append(row)
        else:
            yield row, Still(row["media_sha256"], row["ext"], store.get(media_key(row["media_sha256"], row["ext"])))
    for (sha256, ext), wanted in videos.items():
        for row, frame in _decoded(store, media_key(sha256, ext), ext, wanted):
            data = _png(frame)
            yield row, Still(put_media(store, data, "png") if keep else sha256_hex(data), "png", data)


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
            yield from _of_segment(av, stream, cast(Codec, ext), sorted(rows, key=lambda row: int(row["video_offset"])), key)
        elif ext in FILE_FORMATS:
            yield from _of_file(av, stream, ext, sorted(rows, key=lambda row: int(row["video_pts"])), key)
        else:
            raise BadData(f"{key}: no video that can be decoded here")


@contextlib.contextmanager
def damage(av: Any, what: str) -> Iterator[None]:
    """Turns what FFmpeg says of damaged content into BadData, seeks to places that cannot be (EINVAL) included."""
    try:
        yield
    except av.FFmpegError as err:
        raise BadData(f"{what}: {err}") from err
    except OSError as err:
        if err.errno != errno.EINVAL:
            raise
        raise BadData(f"{what}: it points to places outside itself") from err


def _of_segment(av: Any, stream: IO[bytes], codec: Codec, rows: list[Row], key: str) -> Iterator[tuple[Row, Any]]:
    """Each row's frame. Decoding begins at the last keyframe before it (at the one before that, for what leads a keyframe)."""
    data = stream.read(max(_end(row) for row in rows))
    if len(data) < _end(rows[-1]):
        raise BadData(f"{key}: {len(data)} bytes, but a row names byte {_end(rows[-1])}: the object is cut off")
    keys = [*keyframes(data, codec)]
    runs: list[tuple[int, list[Row]]] = []
    for row in rows:
        leading = slice_kind(_packet(data, row), codec) in SKIPPED_LEADING[codec]
        begin = ([0, 0] + [at for at in keys if at <= row["video_offset"]])[-2 if leading else -1]
        if not runs or begin < runs[-1][0] or begin > _end(runs[-1][1][-1]):
            runs.append((begin, []))
        runs[-1][1].append(row)
    for begin, wanted in runs:
        yield from _run(av, data, codec, begin, wanted, key)


def _packet(data: bytes, row: Row) -> bytes:
    return data[row["video_offset"] : _end(row)]


def _end(row: Row) -> int:
    return int(row["video_offset"] + row["video_bytes"])


def _run(av: Any, data: bytes, codec: Codec, begin: int, rows: list[Row], key: str) -> Iterator[tuple[Row, Any]]:
    """The frames of rows that follow one another from `begin` on; a frame carries the number of the packet it came in as its pts."""
    decoder = _decoder(av, AV_NAMES[codec])
    wanted: dict[int, Row] = {}
    given = 0
    for number, (packet, row) in enumerate(chain(_packets(av, data, codec, begin, rows), [(b"", None)])):
        if row is not None:
            wanted[number] = row
        for frame in decoder.decode(_numbered(av, packet, number)):
            if frame.pts in wanted:
                given += 1
                yield wanted.pop(frame.pts), frame
    if given < len(rows):
        raise BadData(f"{key}: {len(rows) - given} of {len(rows)} packets from byte {begin} on gave no frame")


def _numbered(av: Any, data: bytes, number: int) -> Any:
    """A packet with its number as pts; None, which makes a decoder give what it holds back, for no data."""
    if not data:
        return None
    packet = av.Packet(data)
    packet.pts = number
    return packet


def _packets(av: Any, data: bytes, codec: Codec, begin: int, rows: list[Row]) -> Iterator[tuple[bytes, Row | None]]:
    """The packets from `begin` to the last row's, with the row where it is one's; parameter sets go in front of the first picture."""
    ahead, at = parameter_sets(data[:begin], codec), begin
    for row in rows:
        parser = av.CodecContext.create(AV_NAMES[codec], "r")
        between = data[at : row["video_offset"]]
        found = [bytes(packet) for packet in (*parser.parse(between), *parser.parse(None))] if between else []
        for packet, owner in (*((packet, None) for packet in found), (_packet(data, row), row)):
            ahead += packet
            if slice_kind(packet, codec) is not None:
                yield ahead, owner
                ahead = b""
        at = _end(row)


def _decoder(av: Any, name: str) -> Any:
    decoder = av.CodecContext.create(name, "r")
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    decoder.thread_count = 1
    return decoder


def open_video(av: Any, stream: IO[bytes], ext: str) -> Any:
    """The container of a video file, read only through the given stream (no other file, no address)."""
    return av.open(stream, format=FILE_FORMATS[ext], metadata_errors="replace", options={"protocol_whitelist": ""})


def video_track(container: Any) -> Any:
    """The first track that is a film (not a cover picture); BadData without one."""
    track = next((s for s in container.streams.video if "attached_pic" not in (s.disposition.name or "")), None)
    if track is None or track.codec_context is None:
        raise BadData("the file has no video track that can be decoded")
    track.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    track.codec_context.thread_count = 1
    return track


def _of_file(av: Any, stream: IO[bytes], ext: str, rows: list[Row], key: str) -> Iterator[tuple[Row, Any]]:
    with contextlib.closing(open_video(av, stream, ext)) as container:
        reader = _Reader(container, video_track(container), key)
        for row in rows:
            yield row, reader.frame(int(row["video_pts"]))


class _Reader:
    """Frames of a file by rising pts. Going on is preferred to seeking while no keyframe lies between."""

    def __init__(self, container: Any, track: Any, key: str) -> None:
        self._container, self._track, self._key = container, track, key
        self._frames: Iterator[Any] = iter(())
        self._last: Any = None

    def frame(self, pts: int) -> Any:
        """The frame shown at exactly this pts; BadData if decoding gives none."""
        if self._last is not None and self._last.pts == pts:
            return self._last
        if self._last is not None and self._keyframe_before(pts) <= self._last.pts and (found := self._advance(pts)) is not None:
            return found
        for run_up_s in (*RUN_UPS_S, None):
            if self._seek(None if run_up_s is None else pts - int(run_up_s / self._track.time_base), pts):
                found = self._advance(pts)
                if found is not None:
                    return found
        raise BadData(f"{self._key}: no frame can be decoded at pts {pts}")

    def _keyframe_before(self, pts: int) -> int:
        entries = self._track.index_entries
        at = entries.search_timestamp(pts)
        return int(entries[at].timestamp) if at >= 0 else pts

    def _advance(self, pts: int) -> Any:
        for frame in self._frames:
            self._last = frame
            if frame.pts is not None and frame.pts >= pts:
                return frame if frame.pts == pts else None
        return None

    def _seek(self, to: int | None, pts: int) -> bool:
        """Stands at the keyframe before `to`; False if that keyframe is shown after `pts`: frames before it cannot be trusted."""
        first = min((entry.timestamp for entry in self._track.index_entries[:1]), default=0)
        self._container.seek(first if to is None else to, stream=self._track)
        packets = self._container.demux(self._track)
        head = next(packets, None)
        self._last = None
        self._frames = (frame for packet in chain([head], packets) for frame in packet.decode()) if head is not None else iter(())
        return head is not None and head.pts is not None and (to is None or head.pts <= pts)


def _png(frame: Any) -> bytes:
    """PNG bytes of a frame, turned upright as its display matrix says; the same on every machine (bit-exact colour conversion)."""
    cv2, numpy = require("cv2", extra="ingest"), require("numpy", extra="ingest")
    flags = require("av.video.reformatter", extra="ingest").Interpolation
    pixels = frame.to_ndarray(format="bgr24", interpolation=int(flags.BICUBIC | flags.ACCURATE_RND | flags.BITEXACT))
    done, data = cv2.imencode(".png", numpy.ascontiguousarray(numpy.rot90(pixels, k=round(frame.rotation / 90))))
    if not done:
        raise BadData(f"a frame of {frame.width} x {frame.height} pixels cannot be written as PNG")
    return bytes(data)
