"""Packets become segments byte for byte, cut at keyframes; what cannot be decoded alone is refused or counted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadData
from flywheel.ingest.packets import Segment, Segments, codec_named
from flywheel.nal import Codec, parameter_sets, slice_kind, units
from flywheel.types import sha256_hex
from tests.ingest.make_video import HEIGHT_PX, WIDTH_PX, elementary

T0_NS, STEP_NS = 1_600_000_000 * 10**9, 40_000_000
Packets = list[tuple[int, bytes]]


@pytest.fixture(scope="module")
def h264() -> Packets:
    return elementary("h264", frames=100, gop=20)


@pytest.fixture(scope="module")
def h265() -> Packets:
    return elementary("h265", frames=100, gop=20)


def cut(packets: Packets, codec: Codec = "h264", *, step_ns: int = STEP_NS) -> tuple[list[Segment], Segments]:
    segments = Segments(codec, name="/camera/front")
    found = []
    for number, packet in packets:
        segments.take(T0_NS + number * step_ns, packet)
        found += list(segments.closed())
    segments.close()
    return [*found, *segments.closed()], segments


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_segments_hold_the_packets_byte_for_byte(codec: Codec, request: pytest.FixtureRequest) -> None:
    packets = request.getfixturevalue(codec)
    (segment,), counted = cut(packets, codec)
    assert segment.data == b"".join(data for _, data in packets)
    assert (segment.sha256, segment.ext) == (sha256_hex(segment.data), codec)
    assert (counted.packets, counted.dropped, counted.undecodable) == (100, 0, 0)
    assert [row["t_ns"] for row in segment.rows] == [T0_NS + k * STEP_NS for k in range(100)]
    by_number = dict(packets)
    for number, row in enumerate(segment.rows):
        assert segment.data[row["video_offset"] : row["video_offset"] + row["video_bytes"]] == by_number[number]
        assert (row["width_px"], row["height_px"], row["keyframe"]) == (WIDTH_PX, HEIGHT_PX, number % 20 == 0)


def test_a_segment_ends_at_the_first_keyframe_after_ten_seconds(h264: Packets) -> None:
    segments, _ = cut(h264, step_ns=300_000_000)
    assert [len(segment.rows) for segment in segments] == [40, 40, 20]
    assert all(segment.rows[0]["keyframe"] and segment.rows[0]["video_offset"] == 0 for segment in segments)


def test_a_segment_ends_at_the_first_keyframe_after_its_size(h264: Packets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flywheel.ingest.packets.SEGMENT_BYTES", len(b"".join(data for _, data in h264[:25])))
    assert [len(segment.rows) for segment in cut(h264)[0]] == [40, 40, 20]


def test_packets_before_the_first_keyframe_are_counted(h264: Packets) -> None:
    (segment,), counted = cut(h264[7:])
    assert (counted.dropped, len(segment.rows)) == (13, 80)


def test_a_keyframe_without_parameter_sets_gets_the_last_ones(h264: Packets) -> None:
    def bare(data: bytes) -> bytes:
        return data.replace(parameter_sets(data, "h264"), b"")

    once = [(number, bare(data) if at else data) for at, (number, data) in enumerate(h264)]
    segments, _ = cut(once, step_ns=600_000_000)
    assert len(segments) == 5
    for segment in segments:
        row = segment.rows[0]
        assert parameter_sets(segment.data, "h264") == parameter_sets(h264[0][1], "h264")
        assert row["video_bytes"] == len(dict(once)[(row["t_ns"] - T0_NS) // 600_000_000])
    with pytest.raises(BadData, match="no parameter sets"):
        cut([(number, bare(data)) for number, data in h264])


def length_prefixed(data: bytes, codec: Codec) -> bytes:
    found = [*units(data, codec)]
    ends = [unit.start for unit in found[1:]] + [len(data)]
    bodies = [data[unit.header : end] for unit, end in zip(found, ends, strict=True)]
    return b"".join(len(body).to_bytes(4, "big") + body for body in bodies)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_length_prefixed_packets_are_rewritten_with_start_codes(codec: Codec, request: pytest.FixtureRequest) -> None:
    packets = request.getfixturevalue(codec)
    (segment,), _ = cut([(number, length_prefixed(data, codec)) for number, data in packets], codec)
    (plain,), _ = cut(packets, codec)
    assert [unit.kind for unit in units(segment.data, codec)] == [unit.kind for unit in units(plain.data, codec)]
    assert length_prefixed(segment.data, codec) == length_prefixed(plain.data, codec)
    with pytest.raises(BadData, match="length-prefixed"):
        cut([(0, length_prefixed(packets[0][1], codec)), (1, packets[1][1])], codec)


def test_parameter_sets_in_a_packet_of_their_own_go_with_the_next_picture(h264: Packets) -> None:
    first = h264[0][1]
    alone = parameter_sets(first, "h264")
    segments = Segments("h264")
    segments.take(T0_NS - 1, alone)
    for number, data in [(0, first.replace(alone, b"")), *h264[1:]]:
        segments.take(T0_NS + number * STEP_NS, data)
    segments.close()
    (segment,) = segments.closed()
    assert (len(segment.rows), segment.rows[0]["t_ns"], segment.rows[0]["video_offset"]) == (100, T0_NS, 0)


def test_what_is_wrong_is_said(h264: Packets, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadData, match="neither a start code"):
        cut([(0, b"hello world")])
    with pytest.raises(BadData, match="two pictures at one time"):
        cut([(number // 2, data) for number, data in h264])
    with pytest.raises(BadData, match="time does not advance"):
        cut([(number % 60, data) for number, data in h264], step_ns=10**9)
    with pytest.raises(BadData, match="only H"):
        codec_named("vp9")
    assert (codec_named("HEVC"), codec_named("avc")) == ("h265", "h264")
    monkeypatch.setattr("flywheel.ingest.packets.MAX_BYTES_WITHOUT_KEYFRAME", 2000)
    with pytest.raises(BadData, match="no keyframe in"):
        cut([h264[0], *[(k, h264[1][1] + bytes(100)) for k in range(1, 60)]])


def test_an_absurd_picture_size_is_refused(h264: Packets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flywheel.ingest.packets.MAX_PIXELS", 1000)
    with pytest.raises(BadData, match=f"{WIDTH_PX} x {HEIGHT_PX}"):
        cut(h264)


SOME_BYTES = st.binary(max_size=80)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**62), SOME_BYTES.map(lambda data: b"\0\0\0\1" + data) | SOME_BYTES), max_size=8))
def test_any_bytes_end_in_segments_or_bad_data(packets: Packets) -> None:
    for codec in ("h264", "h265"):
        segments = Segments("h264" if codec == "h264" else "h265")
        try:
            for t_ns, data in packets:
                segments.take(t_ns, data)
            segments.close()
        except BadData:
            continue
        assert all(slice_kind(segment.data, segments.codec) is not None for segment in segments.closed())
