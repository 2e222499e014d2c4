"""The files of one clip in a PhysicalAI-Autonomous-Vehicles folder: loose, or members of chunk zips, which are read in place.

Layout (dataset card, developer kit): `labels/<feature>/<feature>.chunk_0000.zip` and `camera/<camera>/<camera>.chunk_0000.zip` with
members `<clip>.<feature>.parquet`, `<clip>.<camera>.mp4` and `<clip>.<camera>.timestamps.parquet`; tables of many clips in
`calibration/<feature>/`, `metadata/` and `reasoning/`. The members may also lie loose in those folders, or in a folder per clip as the
dataset's download tool does.
"""

import contextlib
import errno
import re
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from flywheel.errors import BadData
from flywheel.ingest.drive import Log
from flywheel.scratch import scratch

CLIP = r"[0-9a-zA-Z][0-9a-zA-Z_-]{7,79}"
ROOT = re.compile(
    r"(?P<root>(?:.*/)?)(?:clip_index\.parquet|labels/(?:egomotion|obstacle)(?:\.offline)?/.+|camera/camera_\w+fov/.+"
    rf"|labels/{CLIP}\.egomotion(?:\.offline)?\.parquet|camera/{CLIP}\.camera_\w+\.mp4)"
)
MEMBER = re.compile(rf"(?P<clip>{CLIP})\.(?P<what>[\w.]{{1,80}})\.(?P<ext>parquet|mp4)")
CHUNK = re.compile(r"(?P<feature>[\w.]+?)[._]chunk_(?P<chunk>\d{1,6})\.(?P<ext>zip|parquet)")
SHARED = re.compile(r"(?:metadata|calibration|reasoning)/.+\.parquet")
MAX_MEMBERS, MAX_RATIO = 100_000, 200
MAX_PARQUET_BYTES, MAX_VIDEO_BYTES, MAX_TOTAL_BYTES = 1 << 26, 1 << 32, 1 << 36
PIECE = 1 << 20
DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, struct.error,
    OverflowError, MemoryError,
)  # fmt: skip


class Member(NamedTuple):
    """One file of a clip: its path in the log and, if that is a zip, its name in there."""

    path: str
    inside: str | None


def clip_files(log: Log, clip: str) -> dict[str, Member]:
    """`<what>.<ext>` -> file, for every file of a clip: `egomotion.parquet`, `camera_front_wide_120fov.mp4` ...; loose ones win."""
    found: dict[str, Member] = {}
    for path in sorted(log.paths, key=lambda path: (not path.endswith(".zip"), path)):
        for name in _members(log, path) if path.endswith(".zip") else [path]:
            match = MEMBER.fullmatch(PurePosixPath(name).name)
            if match and match["clip"] == clip:
                found[f"{match['what']}.{match['ext']}"] = Member(path, name if path.endswith(".zip") else None)
    return found


def clips(log: Log) -> dict[str, frozenset[str]]:
    """Clip -> the paths that hold something of it. A zip that cannot be listed is a part of its own, so that reading it says why."""
    homes: dict[str, set[str]] = defaultdict(set)
    broken: dict[str, frozenset[str]] = {}
    for path in sorted(log.paths):
        try:
            names = _members(log, path) if path.endswith(".zip") else [] if SHARED.fullmatch(path) else [path]
        except BadData:
            broken[re.sub(r"[^0-9a-zA-Z_-]", "_", PurePosixPath(path).stem)[:80]] = frozenset({path})
            continue
        for name in names:
            if match := MEMBER.fullmatch(PurePosixPath(name).name):
                homes[match["clip"]].add(path)
    moving = {clip for clip, paths in homes.items() if any(re.search(r"egomotion|camera_", path) for path in paths)}
    return {clip: frozenset(homes[clip] | _beside(log, homes[clip])) for clip in sorted(moving)} | broken


def _beside(log: Log, paths: set[str]) -> set[str]:
    """Tables of the chunks that a clip is in (or, for loose files, of all chunks), and what is said about all clips."""
    mine = {chunk["chunk"] for path in paths if (chunk := CHUNK.fullmatch(PurePosixPath(path).name))}
    tables = {path: CHUNK.fullmatch(PurePosixPath(path).name) for path in log.paths if SHARED.fullmatch(path)}
    return {path for path, chunk in tables.items() if chunk is None or not mine or chunk["chunk"] in mine}


def _members(log: Log, path: str) -> list[str]:
    with opened(log, path) as archive:
        return [info.filename for info in archive.infolist()]


@contextlib.contextmanager
def opened(log: Log, path: str) -> Iterator[zipfile.ZipFile]:
    """A chunk zip whose list of members was checked; what zipfile trips over becomes BadData."""
    with log.open(path) as stream, damaged(path), zipfile.ZipFile(stream) as archive:
        check_members(path, archive.infolist(), size=log.file(path).bytes)
        yield archive


@contextlib.contextmanager
def damaged(path: str) -> Iterator[None]:
    """Turns what zipfile says of damaged content into BadData, seeks to places that cannot be (EINVAL) included."""
    try:
        yield
    except BadData:
        raise
    except DAMAGE as err:
        raise BadData(f"{path}: damaged zip: {type(err).__name__}: {str(err)[:200]}") from err
    except OSError as err:
        if err.errno != errno.EINVAL:
            raise
        raise BadData(f"{path}: damaged zip: it points to places outside itself") from err


def check_members(path: str, members: list[zipfile.ZipInfo], *, size: int) -> None:
    """BadData for too many members, names that leave a folder or come twice, and declared sizes that no such archive has."""
    names = [member.filename for member in members]
    if len(names) > MAX_MEMBERS or len(set(names)) < len(names):
        raise BadData(f"{path}: {len(names)} members, or one twice")
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if not parts or member.filename.startswith("/") or "\\" in member.filename or ".." in parts or ":" in parts[0]:
            raise BadData(f"{path}: a member is called {member.filename[:100]!r}: names must stay within the archive")
        if member.file_size > max(member.compress_size, 1024) * MAX_RATIO or member.flag_bits & 1:
            raise BadData(f"{path}: {member.filename[:100]} unpacks {member.compress_size} bytes to {member.file_size}, or is encrypted")
    if sum(member.file_size for member in members) > min(MAX_TOTAL_BYTES, size * MAX_RATIO):
        raise BadData(f"{path}: its members unpack to more than {MAX_TOTAL_BYTES} bytes")


def member_bytes(log: Log, member: Member) -> int:
    """The size of a file of a clip, as its landing or its archive declares."""
    if member.inside is None:
        return log.file(member.path).bytes
    with opened(log, member.path) as archive:
        return archive.getinfo(member.inside).file_size


def read_member(log: Log, member: Member, *, limit: int = MAX_PARQUET_BYTES) -> bytes:
    """The bytes of a small file of a clip."""
    if member.inside is None:
        return log.read(member.path, limit=limit)
    with opened(log, member.path) as archive:
        info = archive.getinfo(member.inside)
        if info.file_size > limit:
            raise BadData(f"{member.path}: {member.inside} has {info.file_size} bytes, more than the {limit} allowed here")
        return archive.read(info)


@contextlib.contextmanager
def local_member(log: Log, member: Member) -> Iterator[Path]:
    """A file of a clip as a local one: as landed if it is loose, else copied out under a name of our own into a folder that then goes."""
    if member.inside is None:
        with log.local(member.path) as file:
            yield file
        return
    with scratch("clip") as folder:
        target = folder / "member"
        with opened(log, member.path) as archive:
            info = archive.getinfo(member.inside)
            if info.file_size > MAX_VIDEO_BYTES:
                raise BadData(f"{member.path}: {member.inside} has {info.file_size} bytes, more than the {MAX_VIDEO_BYTES} allowed here")
            with archive.open(info) as source, target.open("wb") as sink:
                while data := source.read(PIECE):
                    sink.write(data)
        yield target
