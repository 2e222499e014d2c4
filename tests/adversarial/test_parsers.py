"""Each parser alone, on any damage to what it reads and on any bytes at all: an answer or BadData, and nothing else."""

import io
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel import nal
from flywheel.errors import BadData
from flywheel.ingest.can_frames import DAMAGE as CAN_DAMAGE
from flywheel.ingest.can_frames import safe_blf
from flywheel.ingest.images import image_info, look
from flywheel.ingest.landed import MANIFEST_TYPE
from flywheel.ingest.mapping import parse as parse_mapping
from flywheel.ingest.mcap_read import read_mcap
from flywheel.ingest.packets import codec_named, picture_size
from flywheel.ingest.quarantine import Reason
from flywheel.ingest.trim import TrimPolicy
from flywheel.ingest.unpickle import frame_columns, gunzip
from flywheel.ingest.unpickle_plain import plain_objects
from flywheel.ingest.video_boxes import check_boxes, check_matroska, rotation_deg
from tests.adversarial.kinds import unwrapped
from tests.adversarial.seeds import seeds
from tests.ingest.make_mcap import jpeg
from tests.ingest.make_video import elementary

H264 = codec_named("h264")


def piece(log: str, ending: str) -> bytes:
    """The first file of a seed with this ending, unpacked."""
    path = next(path for path in sorted(seeds()[log]) if path.endswith(ending))
    return unwrapped(path, seeds()[log][path])[1]


@cache
def whole(name: str) -> bytes:
    """A sound input of a parser."""
    made: dict[str, Callable[[], bytes]] = {
        "jpeg": lambda: jpeg(1), "png": lambda: PNG, "mapping": lambda: piece("can", "mapping.toml"),
        "frame pickle": lambda: piece("pandaset", "cuboids/00.pkl.gz"), "plain pickle": lambda: piece("scenarionet", ".pkl"),
        "gzip": lambda: seeds()["pandaset"]["seq/annotations/cuboids/00.pkl.gz"], "mp4": lambda: piece("video", ".mp4"),
        "matroska": lambda: MKV, "blf": lambda: piece("can_blf", ".blf"), "mcap": lambda: piece("mcap", ".mcap"),
        "h264": lambda: elementary(frames=3)[0][1],
        "policy": lambda: b'{"trim_start_m": 200, "trim_end_m": 200, "video": "keep"}',
        "manifest": lambda: b'[{"name": "a", "files": [{"key": "landing/b/a", "bytes": 1, "sha256": "00"}]}]',
        "reason": lambda: b'{"batch_id": "b", "name": "a", "kind": "BadData", "reason": "x", "files": []}',
    }  # fmt: skip
    return made[name]()


PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000010000000100802000000909168360000000049454e44ae426082")
MKV = bytes.fromhex("1a45dfa39f4286810142f7810142f2810442f381084282847765626d42878104428581021853806701ffffffffffffff")


def turned(parse: Callable[[bytes], object], *errors: type[Exception]) -> Callable[[bytes], object]:
    """A parser whose callers turn these errors into BadData."""

    def read(data: bytes) -> object:
        try:
            return parse(data)
        except errors as err:
            raise BadData(str(err)) from err

    return read


PARSERS: dict[str, tuple[str, Callable[[bytes], object]]] = {
    "image_info of jpeg": ("jpeg", image_info), "image_info of png": ("png", image_info), "look": ("jpeg", look),
    "mapping": ("mapping", lambda data: parse_mapping(data, where="mapping.toml")), "frame_columns": ("frame pickle", frame_columns),
    "plain_objects": ("plain pickle", plain_objects), "gunzip": ("gzip", lambda data: gunzip(data, limit=1 << 20)),
    "check_boxes": ("mp4", lambda data: check_boxes(io.BytesIO(data))), "rotation": ("mp4", lambda data: rotation_deg(io.BytesIO(data))),
    "matroska": ("matroska", lambda data: check_matroska(io.BytesIO(data))),
    "blf": ("blf", turned(lambda data: list(safe_blf(io.BytesIO(data))), *CAN_DAMAGE)),
    "mcap": ("mcap", lambda data: list(read_mcap(io.BytesIO(data), size=len(data)))),
    "picture_size": ("h264", lambda data: picture_size(data, H264, name="c")),
    "keyframes": ("h264", lambda data: list(nal.keyframes(data, H264))),
    "policy": ("policy", turned(TrimPolicy.model_validate_json, ValueError)),
    "manifest": ("manifest", turned(MANIFEST_TYPE.validate_json, ValueError)),
    "reason": ("reason", turned(Reason.model_validate_json, ValueError)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PARSERS))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0, 1), near_start=st.booleans(), any_bytes=st.binary(max_size=200),
)  # fmt: skip
def test_a_parser_ends_in_an_answer_or_bad_data(
    name: str, flips: list[tuple[float, int]], keep: float, near_start: bool, any_bytes: bytes
) -> None:
    kind, parse = PARSERS[name]
    spoilt = bytearray(whole(kind))
    for place, value in flips:
        spoilt[int(place * (min(len(spoilt), 200) if near_start else len(spoilt)))] = value
    cut = len(spoilt) if keep > 0.5 else int(2 * keep * len(spoilt))
    for data in (bytes(spoilt[:cut]), any_bytes, whole(kind)[:16] + any_bytes):
        try:
            parse(data)
        except BadData as err:
            assert str(err)


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_a_parser_reads_what_is_sound(name: str) -> None:
    kind, parse = PARSERS[name]
    parse(whole(kind))
