"""Whatever an MCAP holds, reading it ends in a drive or in BadData, and never in unbounded memory."""

import io
import struct

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.records import Chunk
from mcap.writer import CompressionType

from flywheel.errors import BadData
from flywheel.ingest.drive import Log
from flywheel.ingest.land import landed_log
from flywheel.ingest.mcap_log import media, read
from flywheel.ingest.mcap_read import MAGIC, MAX_CHUNK_BYTES, read_mcap, unpacked
from flywheel.ingest.spool import Spool
from flywheel.store import DiskStore
from flywheel.types import sha256_hex
from tests.ingest.make_mcap import METADATA, drive_items, write_log


def chunk(kind: str, data: bytes, *, declared: int) -> Chunk:
    """A chunk that declares a size."""
    return Chunk(compression=kind, data=data, message_start_time=0, message_end_time=0, uncompressed_crc=0, uncompressed_size=declared)


def test_an_honest_chunk_is_unpacked() -> None:
    plain = bytes(range(256)) * 100
    for kind, data in (("zstd", zstandard.compress(plain)), ("lz4", lz4.frame.compress(plain)), ("", plain)):
        assert unpacked(chunk(kind, data, declared=len(plain))) == plain


@pytest.mark.parametrize(("kind", "pack"), [("zstd", zstandard.compress), ("lz4", lz4.frame.compress)])
def test_a_decompression_bomb_is_stopped_where_it_exceeds_what_it_declares(kind: str, pack: object) -> None:
    bomb = pack(bytes(50_000_000))  # type: ignore[operator]
    assert len(bomb) < 500_000
    with pytest.raises(BadData, match="declares 1000 bytes but holds more"):
        unpacked(chunk(kind, bomb, declared=1000))
    with pytest.raises(BadData, match="at most"):
        unpacked(chunk(kind, bomb, declared=MAX_CHUNK_BYTES + 1))
    with pytest.raises(BadData, match="holds 1000"):
        unpacked(chunk(kind, pack(bytes(1000)), declared=2000))  # type: ignore[operator]


def test_an_unknown_compression_is_named() -> None:
    with pytest.raises(BadData, match="'brotli'"):
        unpacked(chunk("brotli", b"x", declared=1))


def test_records_that_declare_more_than_the_file_holds_are_refused() -> None:
    for opcode in range(1, 16):
        file = MAGIC + bytes([opcode]) + struct.pack("<Q", 1 << 62) + b"\xff" * 40
        with pytest.raises(BadData, match="damaged or cut off"):
            list(read_mcap(io.BytesIO(file), size=len(file)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A short drive without checksums or compression, so that damage reaches every decoder."""
    items = sorted(drive_items(1.0, 10.0, camera=True), key=lambda item: item[1])
    thinned = [item for k, item in enumerate(items) if not item[0].startswith(("/ego", "/imu")) or k % 9 == 0]
    file = tmp_path_factory.mktemp("plain") / "a.mcap"
    return write_log(file, thinned, metadata=METADATA, compression=CompressionType.NONE, crcs=False).read_bytes()


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6), st.floats(0.5, 1))
def test_any_damage_ends_in_a_drive_or_in_bad_data(
    plain: bytes, tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[float, int]], keep: float
) -> None:
    spoilt = bytearray(plain)
    for place, value in flips:
        spoilt[int(place * len(spoilt))] = value
    folder = tmp_path_factory.getbasetemp()
    data = bytes(spoilt if keep > 0.6 else spoilt[: int(keep * len(spoilt))])
    store = DiskStore(folder)
    store.put("landing/b/spoilt.mcap", data)
    log = Log(store=store, batch_id="b", landed=landed_log("b", "spoilt.mcap", {"": (len(data), sha256_hex(data))}))
    spool = Spool(folder, drive_id="d")
    try:
        spool.fill(read(log))
        spool.finish()
        assert sum(1 for _ in media(log)) == spool.tally.rows["FRAMES"]
    except BadData as err:
        assert str(err)
    finally:
        spool.close()
