"""What kind of content bytes are, so that a mutation can meet them where their own parser reads."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath

Files = dict[str, bytes]
Wrap = Callable[[bytes], bytes]

MAGICS = {
    b"\x89MCAP0\r\n": "mcap", b"#ROSBAG V2.0": "bag", b"SQLite format 3\0": "sqlite", b"PAR1": "parquet", b"ARROW1": "feather",
    b"\x1f\x8b": "gz", b"PK\x03\x04": "zip", b"\x93NUMPY": "npy", b"\x89PNG": "image", b"\xff\xd8\xff": "image", b"<?xml": "xml",
    b"\x28\xb5\x2f\xfd": "zstd",
}  # fmt: skip
SUFFIXES = {
    ".json": "json", ".csv": "csv", ".txt": "text", ".log": "text", ".asc": "text", ".xml": "xml", ".toml": "text", ".yaml": "text",
    ".yml": "text", ".dbc": "text", ".pkl": "pickle", ".mp4": "mp4", ".blf": "binary",
}  # fmt: skip


def kind_of(path: str, data: bytes) -> str:
    """One word for the content: by its first bytes, else by how the file is called."""
    found = next((kind for magic, kind in MAGICS.items() if data.startswith(magic)), None)
    if found is None and data[4:8] == b"ftyp":
        return "mp4"
    if found is None and data[:1] == b"\x80" and data[-1:] == b".":
        return "pickle"
    return found or SUFFIXES.get(PurePosixPath(path).suffix.lower(), "binary")


def unwrapped(path: str, data: bytes) -> tuple[str, bytes, Wrap]:
    """(kind, content, how to wrap changed content again) of a gzip or zip file's content; of other bytes themselves."""
    kind = kind_of(path, data)
    if kind == "gz":
        inner = gzip.decompress(data)
        return kind_of(path.removesuffix(".gz"), inner), inner, lambda new: gzip.compress(new, mtime=0)
    if kind == "zip":
        name, inner = first_member(data)
        return kind_of(name, inner), inner, lambda new: with_member(data, name, new)
    return kind, data, lambda new: new


def first_member(archive: bytes) -> tuple[str, bytes]:
    """The first member of a zip archive with any content."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        name = next(info.filename for info in opened.infolist() if info.file_size)
        return name, opened.read(name)


def with_member(archive: bytes, name: str, data: bytes, *, called: str | None = None) -> bytes:
    """The archive with one member's content replaced, and perhaps called otherwise."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            mine = info.filename == name
            entry = zipfile.ZipInfo((called or name) if mine else info.filename)
            entry.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(entry, data if mine else old.read(info))
    return sink.getvalue()
