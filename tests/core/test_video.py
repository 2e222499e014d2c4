"""The frame that a row names is the frame that comes back: its number is read from the pixels."""

import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pytest

from flywheel.errors import BadData
from flywheel.ingest.packets import Segments
from flywheel.ingest.video_index import frame_rows, index_video
from flywheel.store import DiskStore, Store, media_key, open_store, put_media
from flywheel.video import Row, attempts, frames, pictured, still
from tests.ingest.make_video import elementary, make_video, number_in

T0_NS, STEP_NS = 1_600_000_000 * 10**9, 40_000_000
SHAPES: dict[str, dict[str, Any]] = {
    "h264": {"gop": 12}, "h264 long gop": {"gop": 250, "b_frames": 4}, "h264 open gop": {"open_gop": True, "gop": 12},
    "h264 without b": {"b_frames": 0, "gop": 12},
    "h265": {"codec": "h265", "gop": 12},
    "h265 open gop": {"codec": "h265", "open_gop": True, "gop": 12},
}  # fmt: skip


def film_rows(store: Store, **shape: Any) -> list[Row]:
    """FRAMES rows of a film put into the store; row k shows number k."""
    sink = io.BytesIO()
    make_video(sink, **shape)
    sink.seek(0)
    index = index_video(sink)
    sha256 = put_media(store, sink.getvalue(), index.ext)
    return list(frame_rows(index, t_ns=T0_NS + index.since_first_ns, sha256=sha256, camera="front").to_pylist())


def stream_rows(store: Store, codec: str = "h264", **shape: Any) -> list[Row]:
    """FRAMES rows of an elementary stream put into the store."""
    segments = Segments("h265" if codec == "h265" else "h264")
    for number, packet in elementary(codec, **shape):
        segments.take(T0_NS + number * STEP_NS, packet)
    segments.close()
    rows: list[Row] = []
    for segment in segments.closed():
        put_media(store, segment.data, segment.ext)
        rows += [row | {"camera": "front", "kind": "rgb"} for row in segment.rows]
    return rows


def all_agree(store: DiskStore, rows: list[Row], wanted: list[int]) -> None:
    """In one pass, and one by one in a random order: every picture shows its number, and both ways give the same bytes."""
    passed = {row["t_ns"]: shown for row, shown in frames(store, rows)}
    assert [number_in(passed[row["t_ns"]].data) for row in rows] == wanted
    for row in random.Random(1).sample(rows, len(rows)):
        assert still(store, row) == passed[row["t_ns"]]


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_frame_of_a_film(tmp_path: Path, shape: dict[str, Any], container: str) -> None:
    store = DiskStore(tmp_path)
    rows = film_rows(store, container=container, frames=40, **shape)
    all_agree(store, rows, list(range(40)))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_frame_of_an_elementary_stream(tmp_path: Path, shape: dict[str, Any]) -> None:
    store = DiskStore(tmp_path)
    all_agree(store, stream_rows(store, frames=40, **shape), list(range(40)))


def test_a_fragmented_film_and_uneven_times(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    all_agree(store, film_rows(store, muxer={"movflags": "frag_keyframe+empty_moov"}, container="mov", frames=60), list(range(60)))
    pts = [k * 40 + k % 5 * 7 + k // 20 * 500 for k in range(60)]
    rows = film_rows(store, pts=pts)
    assert [row["t_ns"] - T0_NS for row in rows] == [p * 1_000_000 for p in pts]
    all_agree(store, rows, list(range(60)))


def test_some_rows_only_and_two_videos_at_once(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    rows = stream_rows(store, frames=90, gop=24)
    film = film_rows(store, frames=90)
    for few in (rows[40:44], [rows[3], rows[70]], [rows[80], rows[10], rows[11]]):
        mixed = [*few, *film[50:53]]
        found = {(row["ext"], row["t_ns"]): number_in(shown.data) for row, shown in frames(store, mixed)}
        assert found == {(row["ext"], row["t_ns"]): (row["t_ns"] - T0_NS) // STEP_NS for row in mixed}


def test_a_segment_that_begins_at_an_open_gop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that lead such a keyframe have no row: all others are exact."""
    monkeypatch.setattr("flywheel.ingest.packets.SEGMENT_NS", 10**8)
    store = DiskStore(tmp_path)
    rows = stream_rows(store, "h265", frames=80, open_gop=True)
    assert len({row["media_sha256"] for row in rows}) > 2
    assert 60 < len(rows) < 80
    all_agree(store, rows, [(row["t_ns"] - T0_NS) // STEP_NS for row in rows])


def test_images_are_given_as_stored(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    data = bytes(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1])
    row = {"media_sha256": put_media(store, data, "jpg"), "ext": "jpg", "video_bytes": None}
    assert still(store, row) == (row["media_sha256"], "jpg", data)
    assert still(store, {"media_sha256": row["media_sha256"], "ext": "jpg"}).data == data
    assert pictured(store, [row]) == ([row], [])
    assert pictured(store, [row])[0][0] is row


def test_a_picture_is_stored_only_on_request(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    row = film_rows(store, frames=5)[2]
    shown = still(store, row)
    assert not store.exists(media_key(shown.sha256, "png"))
    assert still(store, row, keep=True) == shown
    assert store.get(media_key(shown.sha256, "png")) == shown.data
    made, _ = pictured(store, [row])
    blank = dict.fromkeys(("video_offset", "video_bytes", "video_pts", "keyframe"))
    assert made == [row | {"media_sha256": shown.sha256, "ext": "png"} | blank]


class _Counting(io.RawIOBase):
    def __init__(self, file: IO[bytes], read: list[int]) -> None:
        self.file, self.count = file, read

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.count.append(len(data))
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.file.close()
        super().close()


class Counted(DiskStore):
    """A store that counts the bytes read through its streams, and has no whole-file read."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.read: list[int] = []

    def open(self, key: str) -> IO[bytes]:
        return _Counting(super().open(key), self.read)  # type: ignore[return-value]

    def path(self, key: str) -> Any:
        raise AssertionError("the whole file was asked for")

    get = path


def test_one_frame_of_a_long_film_reads_a_small_part_of_it(tmp_path: Path) -> None:
    rows = film_rows(DiskStore(tmp_path), frames=400, gop=12, crf=0)
    store = Counted(tmp_path)
    size = (tmp_path / media_key(rows[0]["media_sha256"], "mp4")).stat().st_size
    for number in (390, 200, 3):
        store.read.clear()
        assert number_in(still(store, rows[number]).data) == number
        print(f"frame {number}: {sum(store.read)} of {size} bytes read")
        assert sum(store.read) < 0.3 * size


def test_a_row_given_twice_has_its_picture_twice(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    for rows in (film_rows(store, frames=20), stream_rows(store, frames=20)):
        assert [number_in(shown.data) for _, shown in frames(store, [rows[5], rows[9], dict(rows[5])])] == [5, 5, 9]


@pytest.mark.service
def test_a_film_on_s3_is_read_by_ranges(s3_root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(s3_root)
    rows = film_rows(store, frames=60) + stream_rows(store, frames=60)
    monkeypatch.setattr(type(store), "path", None)
    monkeypatch.setattr(type(store), "get", None)
    assert [number_in(still(store, row).data) for row in rows[::9]] == [(row["t_ns"] - T0_NS) // STEP_NS for row in rows[::9]]


def damaged(store: DiskStore, rows: list[Row]) -> Iterator[list[Row]]:
    key = media_key(rows[0]["media_sha256"], rows[0]["ext"])
    whole = store.get(key)
    store.put(key, whole[: len(whole) // 2])
    yield rows
    store.put(key, b"")
    yield rows
    store.put(key, random.Random(3).randbytes(len(whole)))
    yield rows


@pytest.mark.parametrize("make", [film_rows, stream_rows])
def test_damaged_media_are_bad_data_and_spare_the_others(tmp_path: Path, make: Any) -> None:
    store = DiskStore(tmp_path)
    good = film_rows(store, frames=6, codec="h265")
    for rows in damaged(store, make(store, frames=40)):
        with pytest.raises(BadData, match="media/"):
            still(store, rows[-1])
        found = dict(enumerate(shown for _, shown in attempts(store, [*rows, *good])))
        assert isinstance(found[len(rows) - 1], str)
        assert [number_in(found[len(rows) + k].data) for k in range(6)] == list(range(6))  # type: ignore[union-attr]


def test_media_that_are_gone_are_a_key_error(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    row = film_rows(store, frames=5)[0]
    store.delete(media_key(row["media_sha256"], "mp4"))
    with pytest.raises(KeyError):
        still(store, row)
