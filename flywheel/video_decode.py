"""Exactly the frames that are asked for, out of an elementary stream or a video file, decoded from the nearest keyframe that allows it."""

import contextlib
import errno
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import IO, Any

from flywheel.errors import BadData
from flywheel.nal import AV_NAMES, SKIPPED_LEADING, Codec, keyframes, parameter_sets, slice_kind

Row = Mapping[str, Any]
FILE_FORMATS = {"mp4": "mov", "mkv": "matroska"}
MAX_PIXELS = 64_000_000
# How far before a frame decoding begins, in seconds, each tried where the one before did not reach it; then from the file's start.
RUN_UPS_S = (0, 2, 20)


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


def of_segment(av: Any, stream: IO[bytes], codec: Codec, rows: list[Row], key: str) -> Iterator[tuple[Row, Any]]:
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


def of_file(av: Any, stream: IO[bytes], ext: str, rows: list[Row], key: str) -> Iterator[tuple[Row, Any]]:
    """Each row's frame, by rising pts."""
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
