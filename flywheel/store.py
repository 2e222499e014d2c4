"""Objects under one root: a folder (here) or `s3://bucket/prefix` (`store_s3.py`, the only place of boto3).

Keys are relative POSIX paths. Every write is atomic: a reader sees the old object or the new one, never a part.
"""

import contextlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol

from flywheel.errors import BadData, BadTransport
from flywheel.types import sha256_hex

UNFINISHED = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


class Stat(NamedTuple):
    """What a listing says of an object: its size, a stamp that changes with its content, and when it was last written (ns since 1970).

    The stamp outlives a move on disk. The time is the store's own: on disk that of the inode, which no uploader can set.
    """

    bytes: int
    stamp: str
    written_t_ns: int


class Store(Protocol):
    """What a root can do; errors are BadTransport, a missing object is KeyError."""

    uri: str

    def put(self, key: str, data: bytes) -> None: ...
    def put_if_absent(self, key: str, data: bytes) -> bool: ...
    def put_file(self, key: str, file: Path) -> None: ...
    def get(self, key: str) -> bytes: ...
    def exists(self, key: str) -> bool: ...
    def list(self, prefix: str = "") -> list[str]: ...
    def stats(self, prefix: str = "") -> dict[str, Stat]: ...
    def folders(self, prefix: str) -> tuple[str, ...]: ...
    def read_range(self, key: str, start: int, end: int) -> bytes: ...
    def open(self, key: str) -> IO[bytes]: ...
    def move(self, key: str, to: str) -> None: ...
    def delete(self, key: str) -> None: ...
    def path(self, key: str) -> contextlib.AbstractContextManager[Path]: ...
    def lance(self, key: str) -> tuple[str, dict[str, str] | None]: ...


def open_store(root: str | Path) -> Store:
    """The store at `root`; S3 credentials and AWS_ENDPOINT_URL come from the environment as boto3 reads them."""
    text = str(root)
    if text.startswith("s3://"):
        from flywheel.store_s3 import S3Store

        return S3Store(text)
    return DiskStore(Path(text))


def checked_key(key: str) -> str:
    """The key itself, or BadData if it could leave the root."""
    parts = PurePosixPath(key).parts
    if not key or key.startswith("/") or ".." in parts or "\\" in key or "\0" in key:
        raise BadData(f"unsafe object key {key!r}: keys are relative paths without '..'")
    return key


class DiskStore:
    """Objects as files: written beside their place, synced, then renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser().resolve()
        self.uri = str(self.folder)

    def _file(self, key: str) -> Path:
        return self.folder / checked_key(key)

    @contextlib.contextmanager
    def _beside(self, key: str) -> Iterator[tuple[IO[bytes], Path, Path]]:
        """A temporary file to write, its path and the object's; synced at the end, and gone whatever happens."""
        target = self._file(key)
        temporary = target.parent / f".{target.name[:150]}.{uuid.uuid4().hex}.tmp"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                yield file, temporary, target
        except OSError as err:
            raise BadTransport(f"{self.uri}: {key}: {err}. Is the disk writable, and is there room on it?") from err
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces the object."""
        with self._beside(key) as (file, temporary, target):
            file.write(data)
            _synced(file)
            os.replace(temporary, target)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """True if this call created the object; an existing object is left as it is."""
        if self._file(key).exists():
            return False
        with self._beside(key) as (file, temporary, target):
            file.write(data)
            _synced(file)
            try:
                os.link(temporary, target)
            except FileExistsError:
                return False
        return True

    def put_file(self, key: str, file: Path) -> None:
        """Writes or replaces the object with a file's content, a megabyte at a time."""
        with open(file, "rb") as source, self._beside(key) as (copy, temporary, target):
            shutil.copyfileobj(source, copy, 1 << 20)
            _synced(copy)
            os.replace(temporary, target)

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError if there is none."""
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError as err:
            raise KeyError(f"no object {key!r} in {self.uri}") from err

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self._file(key).is_file()

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys that start with `prefix`; unfinished writes are not listed."""
        return sorted(self._walk(prefix))

    def _walk(self, prefix: str) -> Iterator[str]:
        base = self.folder / (checked_key(prefix).rpartition("/")[0] if prefix else "")
        for folder, _, names in os.walk(base):
            inside = Path(folder).relative_to(self.folder).as_posix()
            keys = (name if inside == "." else f"{inside}/{name}" for name in names if not UNFINISHED.fullmatch(name))
            yield from (key for key in keys if key.startswith(prefix))

    def stats(self, prefix: str = "") -> dict[str, Stat]:
        """Size, stamp and age of every regular file whose key starts with `prefix`, sorted by key; links are not followed."""
        found = {}
        for key in self.list(prefix):
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(f"{self.folder}/{key}")
                if stat.S_ISREG(status.st_mode):
                    found[key] = Stat(status.st_size, f"{status.st_size}-{status.st_mtime_ns}", status.st_ctime_ns)
        return found

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Sorted names of the folders right under `prefix` (which ends with '/'), without a look at what they hold."""
        try:
            return tuple(sorted(entry.name for entry in os.scandir(self._file(prefix)) if entry.is_dir()))
        except FileNotFoundError:
            return ()

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of the object, fewer where it ends before; KeyError if there is none."""
        with self.open(key) as stream:
            stream.seek(start)
            return stream.read(end - start)

    def open(self, key: str) -> IO[bytes]:
        """The object as a seekable stream; KeyError if there is none."""
        try:
            return self._file(key).open("rb")
        except FileNotFoundError as err:
            raise KeyError(f"no object {key!r} in {self.uri}") from err

    def move(self, key: str, to: str) -> None:
        """Gives the object another key, at once; KeyError if there is none."""
        target = self._file(to)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._file(key), target)
        except FileNotFoundError as err:
            raise KeyError(f"no object {key!r} in {self.uri}") from err
        except OSError as err:
            raise BadTransport(f"{self.uri}: {key}: {err}. Is the disk writable?") from err

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""
        self._file(key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def path(self, key: str) -> Iterator[Path]:
        """A local file with the object's bytes, to read only."""
        if not self.exists(key):
            raise KeyError(f"no object {key!r} in {self.uri}")
        yield self._file(key)

    def lance(self, key: str) -> tuple[str, dict[str, str] | None]:
        """(uri, storage options) for a Lance dataset under this root."""
        return str(self._file(key)), None


def _synced(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def media_key(sha256: str, ext: str) -> str:
    """Where content-addressed media lies."""
    return f"media/{sha256[:2]}/{sha256}.{ext}"


def put_media(store: Store, data: bytes, ext: str) -> str:
    """Stores bytes under their own hash and gives the hash back."""
    sha256 = sha256_hex(data)
    store.put_if_absent(media_key(sha256, ext), data)
    return sha256
