"""Deterministic ways to spoil a valid log, given as {path: bytes}: the same seed, mutation and number give the same bytes."""

import random
import struct
from collections.abc import Callable
from typing import NamedTuple

from tests.adversarial import bombs, rewrite
from tests.adversarial.kinds import MAGICS, Files, first_member, kind_of, unwrapped, with_member
from tests.adversarial.rewrite_text import encoding

TENTHS = 10
HUGE = (2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1, 2**40, 0)
TEXT = frozenset({"json", "csv", "text", "xml"})
Change = Callable[[bytes, random.Random], bytes]


class Mutation(NamedTuple):
    """One way to spoil a log. kinds: the contents it applies to, None for all; inside: it changes what an archive holds."""

    name: str
    spoil: Callable[[Files, random.Random, int], Files]
    kinds: frozenset[str] | None = None

    def applies(self, files: Files) -> bool:
        """Whether the log holds content that this can spoil."""
        return self.kinds is None or any(_kinds(path, data) & self.kinds for path, data in files.items())


def spoiled(files: Files, mutation: str, *, seed: int, number: int) -> Files:
    """The log after one mutation; it never equals the log."""
    rng = random.Random(f"{seed}/{mutation}/{number}")
    for _ in range(5):
        found = BY_NAME[mutation].spoil(dict(files), rng, number)
        if found != files:
            return found
    return flip(dict(files), rng, number)


def _kinds(path: str, data: bytes) -> frozenset[str]:
    return frozenset({kind_of(path, data), unwrapped(path, data)[0]})


def pick(files: Files, rng: random.Random, kinds: frozenset[str] | None) -> str:
    """A path whose content is of the kinds: first a kind, then a file of it, so that many pictures do not hide one table."""
    by_kind: dict[str, list[str]] = {}
    for path, data in sorted(files.items()):
        for kind in _kinds(path, data):
            if data and (kinds is None or kind in kinds):
                by_kind.setdefault(kind, []).append(path)
    return rng.choice(by_kind[rng.choice(sorted(by_kind))]) if by_kind else rng.choice(sorted(files))


def on_bytes(change: Change, *kinds: str) -> Callable[[Files, random.Random, int], Files]:
    """A change to one file as it lies, or (half the time) to what is packed in it."""
    wanted = frozenset(kinds) or None

    def spoil(files: Files, rng: random.Random, number: int) -> Files:
        path = pick(files, rng, wanted)
        kind, inner, wrap = unwrapped(path, files[path])
        inside = rng.random() < 0.5 if wanted is None or kind_of(path, files[path]) in wanted else True
        files[path] = wrap(change(inner, rng)) if inside and (wanted is None or kind in wanted) else change(files[path], rng)
        return files

    return spoil


def truncate(files: Files, rng: random.Random, number: int) -> Files:
    """Each file cut at each tenth in turn: the number says which."""
    paths = sorted(files)
    path, tenth = paths[(number // TENTHS) % len(paths)], number % TENTHS
    files[path] = files[path][: len(files[path]) * tenth // TENTHS]
    return files


def _flip(data: bytes, rng: random.Random) -> bytes:
    spoilt = bytearray(data or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        # Half the flips go to the first and last 512 bytes, where headers and footers lie.
        near = rng.random() < 0.5
        at = rng.randrange(len(spoilt)) if not near else rng.choice((rng.randrange(512), -1 - rng.randrange(512))) % len(spoilt)
        spoilt[at] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _zeros(data: bytes, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 16, 512, 4096, len(data)))
    return data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]


def _magic(data: bytes, rng: random.Random) -> bytes:
    other = rng.choice([*MAGICS, b"\0\0\0\0\0\0\0\0", b"MDF     ", b"%PDF-1.7", b"<html>", b"\x00asm"])
    return other + data[len(other) if rng.random() < 0.7 else 0 :]


def _huge(data: bytes, rng: random.Random) -> bytes:
    """An integer of 4 or 8 bytes anywhere, mostly near the start or the end, becomes huge."""
    value, form = rng.choice(HUGE), rng.choice(("<I", ">I", "<Q", ">Q"))
    packed = struct.pack(form, value & ((1 << (8 * struct.calcsize(form))) - 1))
    at = rng.choice(
        (rng.randrange(max(len(data), 1)), rng.randrange(min(max(len(data), 1), 256)), max(len(data) - 1 - rng.randrange(64), 0))
    )
    return data[:at] + packed + data[at + len(packed) :]


def _float(data: bytes, rng: random.Random) -> bytes:
    """Some 8 or 4 bytes become NaN, an infinity or an enormous number."""
    for _ in range(rng.choice((1, 4, 32))):
        packed = struct.pack(rng.choice(("<d", ">d", "<f")), rng.choice((float("nan"), float("inf"), float("-inf"), 1e38)))
        at = rng.randrange(max(len(data), 1)) // 4 * 4 if rng.random() < 0.5 else rng.randrange(max(len(data), 1))
        data = data[:at] + packed + data[at + len(packed) :]
    return data


def _splice(data: bytes, rng: random.Random) -> bytes:
    """A piece is doubled, moved or taken out."""
    a, b = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return rng.choice((data[:b] + data[a:], data[:a] + data[b:], data[a:b] + data[:a] + data[b:], data * 2, data[::-1]))


def _atoms(data: bytes, rng: random.Random) -> bytes:
    """The size, the version or an entry count of an MP4 atom becomes absurd, or an atom changes its name."""
    names = (
        b"moov",
        b"trak",
        b"mdia",
        b"stbl",
        b"stsz",
        b"stco",
        b"stts",
        b"stsc",
        b"stss",
        b"mdat",
        b"avcC",
        b"hvcC",
        b"mvhd",
        b"elst",
        b"ctts",
    )
    found = [at for name in names if (at := data.find(name)) > 4]
    at = rng.choice(found) if found else 4
    value = struct.pack(">I", rng.choice((0, 1, 7, 2**31 - 1, 2**32 - 1, rng.randrange(2**32))))
    where = rng.choice((at - 4, at + 4, at + 8, at + 12, at))
    return data[:where] + value + data[where + 4 :]


def flip(files: Files, rng: random.Random, number: int) -> Files:
    """Random bits of one file."""
    return on_bytes(_flip)(files, rng, number)


def gone(files: Files, rng: random.Random, number: int) -> Files:
    """A file is missing, empty, or holds what another one should."""
    path, other = rng.choice(sorted(files)), rng.choice(sorted(files))
    how = rng.choice(("missing", "empty", "swapped")) if len(files) > 1 else "empty"
    if how == "missing":
        del files[path]
    elif how == "empty":
        files[path] = b""
    else:
        files[path], files[other] = files[other], files[path]
    return files


def renamed(files: Files, rng: random.Random, number: int) -> Files:
    """A file gets a name that is long, odd, or written as an escape."""
    path = rng.choice(sorted(files))
    names = (
        "..%2f..%2fescaped",
        "a" * 200,
        "ü\u202e\u0301.json",
        "-rf",
        "a\nb",
        "con",
        " ",
        "~",
        "$(touch escaped)",
        "%00",
        "..\\..\\escaped",
        "#1",
    )
    head, _, tail = path.rpartition("/")
    files[f"{head}/{rng.choice(names)}".lstrip("/") + (f".{tail.rpartition('.')[2]}" if rng.random() < 0.5 else "")] = files.pop(path)
    return files


def many(files: Files, rng: random.Random, number: int) -> Files:
    """A folder full of files that are no part of it, or a very deep one."""
    top = rng.choice(sorted(files)).rpartition("/")[0]
    data = files[rng.choice(sorted(files))][:64]
    extra = {f"{top}/extra/{k}.bin".lstrip("/"): data for k in range(200)} if rng.random() < 0.5 else {"/".join(["d"] * 90) + "/x": data}
    return files | extra


def bombed(kind: str) -> Callable[[Files, random.Random, int], Files]:
    """A file (one packed that way, where there is one) becomes a decompression bomb."""

    def spoil(files: Files, rng: random.Random, number: int) -> Files:
        path = pick(files, rng, frozenset({kind}))
        files[path] = bombs.bomb(kind)
        return files

    return spoil


def traversing(files: Files, rng: random.Random, number: int) -> Files:
    """A zip with names that lead out; where there is a zip, with its own content under such a name."""
    path = pick(files, rng, frozenset({"zip"}))
    _, inner, _ = unwrapped(path, files[path])
    if kind_of(path, files[path]) == "zip" and rng.random() < 0.6:
        name, data = first_member(files[path])
        files[path] = with_member(files[path], name, data, called=rng.choice((f"../../{name}", f"/tmp/{name}", f"a/../../../{name}", "..")))
    else:
        files[path] = bombs.traversing_zip(inner)
    return files


def _replaced(make: Callable[[random.Random], bytes]) -> Change:
    return lambda data, rng: make(rng)


MUTATIONS: tuple[Mutation, ...] = (
    Mutation("truncate", truncate), Mutation("flip", flip), Mutation("zeros", on_bytes(_zeros)), Mutation("magic", on_bytes(_magic)),
    Mutation("huge", on_bytes(_huge)), Mutation("float", on_bytes(_float)), Mutation("splice", on_bytes(_splice)), Mutation("gone", gone),
    Mutation("renamed", renamed), Mutation("many", many), Mutation("traversal", traversing),
    *(Mutation(f"{kind}_bomb", bombed(kind)) for kind in ("gz", "zip", "zstd", "lz4", "bz2")),
    Mutation("pickle", on_bytes(_replaced(bombs.pickle_bomb), "pickle"), frozenset({"pickle"})),
    Mutation("npy", on_bytes(_replaced(bombs.absurd_npy), "npy"), frozenset({"npy"})),
    Mutation("deep_json", on_bytes(_replaced(bombs.deep_json), "json"), frozenset({"json"})),
    Mutation("entities", on_bytes(bombs.xml_entities, "xml"), frozenset({"xml"})),
    Mutation("atoms", on_bytes(_atoms, "mp4"), frozenset({"mp4"})),
    Mutation("encoding", on_bytes(encoding, *sorted(TEXT)), TEXT),
    Mutation("nan", on_bytes(rewrite.nan, *sorted(rewrite.KINDS)), rewrite.KINDS),
    Mutation("clock", on_bytes(rewrite.clock, *sorted(rewrite.KINDS)), rewrite.KINDS),
    Mutation("double", on_bytes(rewrite.double, *sorted(rewrite.KINDS)), rewrite.KINDS),
    Mutation("schema", on_bytes(rewrite.schema, *sorted(rewrite.KINDS)), rewrite.KINDS),
)  # fmt: skip
BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}
