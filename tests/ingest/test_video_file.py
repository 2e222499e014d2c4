"""A lone film becomes a drive of pictures: indexed, never decoded, never encoded anew; and the wheel goes on from it."""

import io
import random
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from flywheel.errors import BadData
from flywheel.generate.plan import plan_batch
from flywheel.generate.protocol import GeneratorInfo
from flywheel.ingest.land import land
from flywheel.ingest.run import IngestReport, ingest_batch
from flywheel.ingest.video_boxes import check_boxes
from flywheel.ingest.video_index import VideoIndex, index_video
from flywheel.mine.ledger import put_ledger
from flywheel.mine.run import mine_batch
from flywheel.publish.collect import collect
from flywheel.publish.recipe import Recipe
from flywheel.store import DiskStore, media_key
from flywheel.tables import read_table
from flywheel.types import sha256_hex
from flywheel.video import still
from tests.ingest.make_video import HEIGHT_PX, WIDTH_PX, make_video, number_in

CREATED, CREATED_NS = "2021-03-04T05:06:07Z", 1_614_834_367 * 10**9


def film(**shape: Any) -> bytes:
    sink = io.BytesIO()
    make_video(sink, **shape)
    return sink.getvalue()


def index(data: bytes) -> VideoIndex:
    return index_video(io.BytesIO(data))


def ingested(folder: Path, logs: Path) -> tuple[DiskStore, str, IngestReport]:
    store = DiskStore(folder / "root")
    batch = land(store, logs)
    return store, batch, ingest_batch(store, batch)


@pytest.fixture
def dashcam(tmp_path: Path) -> tuple[DiskStore, str, Path]:
    file = tmp_path / "dashcam.mp4"
    make_video(file, frames=60, created=CREATED, audio=True)
    store, batch, report = ingested(tmp_path, file)
    assert (report.drives, report.quarantined) == (1, ())
    assert {warning.gate for warning in report.warnings} >= {"clock", "speed"}
    return store, batch, file


def test_a_film_is_a_drive_of_frames(dashcam: tuple[DiskStore, str, Path]) -> None:
    store, _, file = dashcam
    (drive,) = read_table(store, "DRIVES").to_pylist()
    assert (drive["source_format"], drive["clock"], drive["day"], drive["frames"], drive["signal_rows"]) == (
        "video",
        "utc",
        "2021-03-04",
        60,
        0,
    )
    rows = read_table(store, "FRAMES").to_pylist()
    assert [row["t_ns"] for row in rows] == [CREATED_NS + k * 40_000_000 for k in range(60)]
    assert {(row["camera"], row["kind"], row["ext"], row["width_px"], row["height_px"]) for row in rows} == {
        ("front", "rgb", "mp4", WIDTH_PX, HEIGHT_PX)
    }
    assert [number_in(still(store, row).data) for row in rows[::7]] == list(range(60))[::7]
    assert store.get(media_key(rows[0]["media_sha256"], "mp4")) == file.read_bytes()


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_rows_point_at_the_packets_of_the_file(codec: str) -> None:
    whole = film(codec=codec, frames=60, audio=True)
    found = index(whole)
    with av.open(io.BytesIO(whole)) as container:
        packets = {packet.pts: bytes(packet) for packet in container.demux(video=0) if packet.size}
    assert len(found.pts) == len(packets) == 60
    for pts, begin, count in zip(found.pts.tolist(), found.offset.tolist(), found.bytes.tolist(), strict=True):
        assert whole[begin : begin + count] == packets[pts]
    assert np.flatnonzero(found.keyframe).tolist() == [0, 24, 48]


def test_ingest_does_not_look_at_pixels(tmp_path: Path) -> None:
    """A film whose picture data are noise is indexed just as the sound one is: only `still` finds out."""
    whole = film(frames=60)
    sound, noisy = index(whole), bytearray(whole)
    for begin, count in zip(sound.offset.tolist(), sound.bytes.tolist(), strict=True):
        noisy[begin + 6 : begin + count] = random.Random(begin).randbytes(max(count - 6, 0))
    (tmp_path / "noise.mp4").write_bytes(noisy)
    found = index(bytes(noisy))
    assert (found.pts.tolist(), found.offset.tolist(), found.bytes.tolist()) == (
        sound.pts.tolist(),
        sound.offset.tolist(),
        sound.bytes.tolist(),
    )
    store, _, report = ingested(tmp_path, tmp_path / "noise.mp4")
    assert report.drives == 1
    with pytest.raises(BadData):
        still(store, read_table(store, "FRAMES").to_pylist()[30])


def test_without_a_creation_time_the_clock_is_relative(tmp_path: Path) -> None:
    (tmp_path / "a.mkv").write_bytes(film(container="matroska", frames=30))
    store, _, _ = ingested(tmp_path, tmp_path / "a.mkv")
    (drive,) = read_table(store, "DRIVES").to_pylist()
    assert (drive["clock"], drive["day"], drive["t0_ns"]) == ("relative", "2000-01-01", 946_684_800 * 10**9)
    assert index(film(created="1970-01-01T00:00:00Z")).start_t_ns is None


def test_an_edit_list_hides_what_the_film_does_not_show(tmp_path: Path) -> None:
    whole = film(frames=60, gop=12)
    at = whole.index(b"elst") + 16
    shift = struct.unpack(">i", whole[at : at + 4])[0] + 20 * 640  # 20 frames of 1/25 s in 1/16000 s
    found = index(whole[:at] + struct.pack(">i", shift) + whole[at + 4 :])
    assert 38 <= len(found.pts) <= 40
    (tmp_path / "cut.mp4").write_bytes(whole[:at] + struct.pack(">i", shift) + whole[at + 4 :])
    store, _, report = ingested(tmp_path, tmp_path / "cut.mp4")
    rows = read_table(store, "FRAMES").to_pylist()
    assert [number_in(still(store, row).data) for row in rows] == list(range(60 - len(rows), 60))
    assert report.drives == 1


@pytest.mark.parametrize(("turn", "matrix"), [(90, (0, 1, -1, 0)), (180, (-1, 0, 0, -1)), (270, (0, -1, 1, 0))])
def test_a_turned_film_is_shown_upright(tmp_path: Path, turn: int, matrix: tuple[int, ...]) -> None:
    import cv2

    whole = film(frames=30)
    at = whole.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    turned = whole[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + whole[at + 36 :]
    found = index(turned)
    assert (found.width_px, found.height_px) == ((WIDTH_PX, HEIGHT_PX) if turn == 180 else (HEIGHT_PX, WIDTH_PX))
    (tmp_path / "turned.mp4").write_bytes(turned)
    store, _, _ = ingested(tmp_path, tmp_path / "turned.mp4")
    row = read_table(store, "FRAMES").to_pylist()[11]
    pixels = cv2.imdecode(np.frombuffer(still(store, row).data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None and pixels.shape == (row["height_px"], row["width_px"], 3)
    back = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}[turn]
    assert number_in(bytes(cv2.imencode(".png", cv2.rotate(pixels, back))[1])) == 11


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_film_cut_at_any_tenth_is_bad_data(tmp_path: Path, container: str) -> None:
    make_video(tmp_path / "film", container=container, frames=120, muxer={"movflags": "faststart"} if container == "mp4" else None)
    whole = (tmp_path / "film").read_bytes()
    assert len(index(whole).pts) == 120
    for tenth in range(10):
        with pytest.raises(BadData):
            index(whole[: len(whole) * tenth // 10])


def test_damaged_films_are_bad_data_or_sound(tmp_path: Path) -> None:
    chance, outcomes = random.Random(7), {"rows": 0, "bad": 0}
    for whole in (film(frames=30, audio=True), film(frames=30, container="matroska"), film(frames=30, muxer={"movflags": "frag_keyframe"})):
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(chance.randint(1, 20)):
                data[chance.randrange(min(len(data), chance.choice([200, 4000, len(data)])))] = chance.randrange(256)
            try:
                outcomes["rows"] += len(index(bytes(data)).pts) > 0
            except BadData:
                outcomes["bad"] += 1
    print(outcomes)
    assert sum(outcomes.values()) == 450 and outcomes["bad"] > 50


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize(
    ("moov", "reason"),
    [
        (box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stsz", struct.pack(">III", 0, 4096, 1 << 31)))))), "samples"),
        (box(b"cmov", bytes(20)), "compressed"),
        (struct.pack(">I4s", 1 << 30, b"trak"), "cut off"),
        (struct.pack(">I4s", 4, b"trak"), "cut off"),
    ],
)
def test_hostile_headers_end_before_ffmpeg_sees_them(moov: bytes, reason: str) -> None:
    with pytest.raises(BadData, match=reason):
        check_boxes(io.BytesIO(box(b"ftyp", b"isom") + box(b"moov", moov)))
    with pytest.raises(BadData, match="samples"):
        run = box(b"trun", struct.pack(">III", 0, 1 << 31, 0))
        check_boxes(io.BytesIO(box(b"moov", b"") + box(b"moof", box(b"traf", run))))


def test_what_is_no_film_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="cut off before it was finished"):
        index(box(b"ftyp", b"isom") + box(b"mdat", bytes(1000)))
    with pytest.raises(BadData, match="neither mp4"):
        index(b"RIFF" + bytes(100))
    (tmp_path / "playlist.mp4").write_bytes(b"#EXTM3U\nfile:///etc/passwd\n")
    _, _, report = ingested(tmp_path, tmp_path / "playlist.mp4")
    assert "no known log format" in report.quarantined[0].reason


def test_the_wheel_goes_on_from_a_film(dashcam: tuple[DiskStore, str, Path]) -> None:
    """Mined as not evaluable, its light judged from decoded frames; planned and published as the exact still images."""
    store, batch, _ = dashcam
    report = mine_batch(store, batch)
    assert (report.mined, report.failed, report.condition_sources) == (1, (), {"luma": 1})
    assert "hard_braking" in report.not_evaluable
    put_ledger(store)
    generator = GeneratorInfo(name="g", model_revision="1", weights_sha256="0" * 64, licence="MIT")
    plan = plan_batch(store, batch, generator=generator, budget=4)
    assert len(plan.requests) == 4 and not plan.notes[1:]
    for request in plan.requests:
        data = store.get(media_key(request.parent_sha256, request.parent_ext))
        assert request.parent_ext == "png" and sha256_hex(data) == request.parent_sha256
        assert number_in(data) == (request.t_ns - CREATED_NS) // 40_000_000
    found = collect(store, Recipe(name="r"))
    assert found.rows and not found.refused
    for row in found.rows:
        assert number_in(store.get(media_key(row["media_sha256"], row["ext"]))) == (row["t_ns"] - CREATED_NS) // 40_000_000
        assert (row["ext"], row["width_px"], row["height_px"]) == ("png", WIDTH_PX, HEIGHT_PX)


def test_the_real_dashcam_film(tmp_path: Path, real_data: Path) -> None:
    store, batch, report = ingested(tmp_path, real_data / "udacity_video")
    rows = read_table(store, "FRAMES").to_pylist()
    assert (report.drives, len(rows), {(row["width_px"], row["height_px"]) for row in rows}) == (1, 221, {(960, 540)})
    assert {b["t_ns"] - a["t_ns"] for a, b in pairwise(rows)} == {40_000_000}
    assert mine_batch(store, batch).condition_sources == {"luma": 1}
