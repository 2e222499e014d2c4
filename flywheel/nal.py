"""Network abstraction layer units of H.264 (ITU-T H.264 table 7-1) and H.265 (ITU-T H.265 table 7-1), found without decoding."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

Codec = Literal["h264", "h265"]
AV_NAMES: dict[str, str] = {"h264": "h264", "h265": "hevc"}
SLICES = {"h264": range(1, 6), "h265": range(0, 32)}
KEYFRAMES = {"h264": range(5, 6), "h265": range(16, 22)}
# Keyframes after which every picture can be decoded: IDR. After a CRA or BLA its skipped leading pictures (RASL) cannot.
CLEAN = {"h264": range(5, 6), "h265": range(19, 21)}
SKIPPED_LEADING = {"h264": range(0), "h265": range(8, 10)}
PARAMETERS = {"h264": range(7, 9), "h265": range(32, 35)}
START = b"\0\0\1"


class Unit(NamedTuple):
    """One unit: where its start code begins, where its header is, and its type."""

    start: int
    header: int
    kind: int


def units(data: bytes, codec: Codec) -> Iterator[Unit]:
    """The units of an Annex B byte stream in order, found one at a time."""
    at = data.find(START)
    while 0 <= at < len(data) - 3:
        first = data[at + 3]
        yield Unit(at - (at > 0 and data[at - 1] == 0), at + 3, first & 31 if codec == "h264" else first >> 1 & 63)
        at = data.find(START, at + 3)


def slice_kind(data: bytes, codec: Codec) -> int | None:
    """The type of the first unit that holds picture data; None if there is none."""
    return next((unit.kind for unit in units(data, codec) if unit.kind in SLICES[codec]), None)


def parameter_sets(data: bytes, codec: Codec) -> bytes:
    """Every parameter set of an Annex B byte stream, in order, each with its start code."""
    found = [*units(data, codec)]
    ends = [unit.start for unit in found[1:]] + [len(data)]
    return b"".join(data[unit.start : end] for unit, end in zip(found, ends, strict=False) if unit.kind in PARAMETERS[codec])


def keyframes(data: bytes, codec: Codec) -> Iterator[int]:
    """Where the access unit of each keyframe begins, with the parameter sets and messages right before it."""
    at, after_slice = 0, True
    for unit in units(data, codec):
        at = unit.start if after_slice else at
        after_slice = unit.kind in SLICES[codec]
        if unit.kind in KEYFRAMES[codec] and _begins_picture(data, unit, codec):
            yield at


def _begins_picture(data: bytes, unit: Unit, codec: Codec) -> bool:
    """first_mb_in_slice == 0 (H.264 7.3.3) or first_slice_segment_in_pic_flag (H.265 7.3.6.1): the first bit after the header is 1."""
    at = unit.header + (1 if codec == "h264" else 2)
    return at < len(data) and data[at] >= 0x80
