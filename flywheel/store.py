"""Objects under one root: a folder or `s3://bucket/prefix`. boto3 lives only here.

Keys are relative POSIX paths. Every write is atomic: a reader sees the old object or the new one, never a part.
"""

import contextlib
import io
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, Protocol

from flywheel.errors import BadData, BadTransport
from flywheel.types import sha256_hex

RANGE_BYTES = 8 << 20


class Stat(NamedTuple):
    """What a listing says of an object: its size, a stamp that changes with its content, and when it was last written (ns since 1970)."""

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
    def open(self, key: str) -> IO[bytes]: ...
    def move(self, key: str, to: str) -> None: ...
    def delete(self, key: str) -> None: ...
    def path(self, key: str) -> contextlib.AbstractContextManager[Path]: ...
    def lance(self, key: str) -> tuple[str, dict[str, str] | None]: ...


def open_store(root: str | Path) -> Store:
    """The store at `root`; S3 credentials and AWS_ENDPOINT_URL come from the environment as boto3 reads them."""
    text = str(root)
    return S3Store(text) if text.startswith("s3://") else DiskStore(Path(text))


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

    def _write_beside(self, target: Path, data: bytes) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return temporary

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces the object."""
        target = self._file(key)
        os.replace(self._write_beside(target, data), target)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """True if this call created the object; an existing object is left as it is."""
        target = self._file(key)
        if target.exists():
            return False
        temporary = self._write_beside(target, data)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def put_file(self, key: str, file: Path) -> None:
        """Writes or replaces the object with a file's content, a megabyte at a time."""
        target = self._file(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
        with open(file, "rb") as source, open(temporary, "wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())
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
        base = self.folder / (checked_key(prefix).rpartition("/")[0] if prefix else "")
        found = (Path(folder, name).relative_to(self.folder).as_posix() for folder, _, names in os.walk(base) for name in names)
        return sorted(key for key in found if key.startswith(prefix) and not key.endswith(".tmp"))

    def stats(self, prefix: str = "") -> dict[str, Stat]:
        """Size, stamp and age of every object whose key starts with `prefix`, sorted by key."""
        found = {}
        for key in self.list(prefix):
            with contextlib.suppress(FileNotFoundError):
                status = self._file(key).stat()
                found[key] = Stat(status.st_size, f"{status.st_size}-{status.st_mtime_ns}", status.st_mtime_ns)
        return found

    def open(self, key: str) -> IO[bytes]:
        """The object as a seekable stream; KeyError if there is none."""
        try:
            return self._file(key).open("rb")
        except FileNotFoundError as err:
            raise KeyError(f"no object {key!r} in {self.uri}") from err

    def move(self, key: str, to: str) -> None:
        """Gives the object another key, at once; KeyError if there is none."""
        target = self._file(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(self._file(key), target)
        except FileNotFoundError as err:
            raise KeyError(f"no object {key!r} in {self.uri}") from err

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


class S3Store:
    """Objects in a bucket under a prefix, through boto3 with its standard retries."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self.bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""

    @cached_property
    def client(self) -> Any:
        """The boto3 client; on first use it proves that conditional writes are honoured."""
        import boto3
        from botocore.config import Config

        client = boto3.session.Session().client("s3", config=Config(retries={"mode": "standard", "max_attempts": 6}))
        self._probe_conditional_put(client)
        return client

    def _probe_conditional_put(self, client: Any) -> None:
        key = f"{self.prefix}.probe/{uuid.uuid4().hex}"
        with self._transport("probe"):
            client.put_object(Bucket=self.bucket, Key=key, Body=b"1", IfNoneMatch="*")
            try:
                refused = not self._create(client, key, b"2")
            finally:
                client.delete_object(Bucket=self.bucket, Key=key)
        if not refused:
            raise BadTransport(
                f"{self.uri} ignores If-None-Match: writers could overwrite each other without an error. "
                "Use a store that honours conditional PUT."
            )

    @contextlib.contextmanager
    def _transport(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as err:
            code = err.response.get("Error", {}).get("Code", "")
            if code in ("404", "NoSuchKey", "NotFound"):
                raise KeyError(f"no object {key!r} in {self.uri}") from err
            raise BadTransport(
                f"{self.uri}: {key}: {err}. Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL and the identity's rights."
            ) from err
        except BotoCoreError as err:
            raise BadTransport(f"{self.uri}: {key}: {err}. Is the endpoint up and AWS_ENDPOINT_URL right?") from err

    def _create(self, client: Any, name: str, data: bytes) -> bool:
        from botocore.exceptions import ClientError

        try:
            client.put_object(Bucket=self.bucket, Key=name, Body=data, IfNoneMatch="*")
        except ClientError as err:
            if err.response["ResponseMetadata"]["HTTPStatusCode"] in (409, 412):
                return False
            raise
        return True

    def _name(self, key: str) -> str:
        return self.prefix + checked_key(key)

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces the object."""
        with self._transport(key):
            self.client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """True if this call created the object."""
        with self._transport(key):
            return self._create(self.client, self._name(key), data)

    def put_file(self, key: str, file: Path) -> None:
        """Writes or replaces the object with a file's content (in parts where it is large)."""
        from boto3.exceptions import S3UploadFailedError

        with self._transport(key):
            try:
                self.client.upload_file(str(file), self.bucket, self._name(key))
            except S3UploadFailedError as err:
                raise BadTransport(f"{self.uri}: {key}: {err}. The upload was given up; run again to resume.") from err

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError if there is none."""
        with self._transport(key):
            body: bytes = self.client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"].read()
            return body

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            with self._transport(key):
                self.client.head_object(Bucket=self.bucket, Key=self._name(key))
        except KeyError:
            return False
        return True

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys that start with `prefix`."""
        with self._transport(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            return sorted(item["Key"].removeprefix(self.prefix) for page in pages for item in page.get("Contents", ()))

    def stats(self, prefix: str = "") -> dict[str, Stat]:
        """Size, ETag and age of every object whose key starts with `prefix`, sorted by key."""
        with self._transport(prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            items = [item for page in pages for item in page.get("Contents", ())]
        return {
            item["Key"].removeprefix(self.prefix): Stat(item["Size"], item["ETag"].strip('"'), int(item["LastModified"].timestamp() * 1e9))
            for item in sorted(items, key=lambda item: str(item["Key"]))
        }

    def open(self, key: str) -> IO[bytes]:
        """The object as a seekable stream of range reads; KeyError if there is none."""
        with self._transport(key):
            size = self.client.head_object(Bucket=self.bucket, Key=self._name(key))["ContentLength"]
        return io.BufferedReader(_Ranges(self, key, size), RANGE_BYTES)

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of an object."""
        with self._transport(key):
            found = self.client.get_object(Bucket=self.bucket, Key=self._name(key), Range=f"bytes={start}-{end - 1}")
            data: bytes = found["Body"].read()
            return data

    def move(self, key: str, to: str) -> None:
        """Gives the object another key: copied within the store (in parts where it is large), then removed; KeyError if there is none."""
        with self._transport(key):
            self.client.copy({"Bucket": self.bucket, "Key": self._name(key)}, self.bucket, self._name(to))
            self.client.delete_object(Bucket=self.bucket, Key=self._name(key))

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""
        with self._transport(key):
            self.client.delete_object(Bucket=self.bucket, Key=self._name(key))

    @contextlib.contextmanager
    def path(self, key: str) -> Iterator[Path]:
        """A temporary local file with the object's bytes."""
        with tempfile.TemporaryDirectory(prefix="flywheel-") as folder:
            file = Path(folder, PurePosixPath(key).name)
            with self._transport(key):
                self.client.download_file(self.bucket, self._name(key), str(file))
            yield file

    def lance(self, key: str) -> tuple[str, dict[str, str] | None]:
        """(uri, storage options) for a Lance dataset under this root."""
        endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
        options = {"endpoint": endpoint, "allow_http": "true"} if endpoint.startswith("http://") else {}
        return f"{self.uri}/{checked_key(key)}", options


class _Ranges(io.RawIOBase):
    """An S3 object read by ranges: only what is asked for travels."""

    def __init__(self, store: S3Store, key: str, size: int) -> None:
        self._store, self._key, self._size, self._at = store, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + (0 if whence == io.SEEK_SET else self._at if whence == io.SEEK_CUR else self._size))
        return self._at

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._size)
        data = self._store.read_range(self._key, self._at, end) if end > self._at else b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def media_key(sha256: str, ext: str) -> str:
    """Where content-addressed media lies."""
    return f"media/{sha256[:2]}/{sha256}.{ext}"


def put_media(store: Store, data: bytes, ext: str) -> str:
    """Stores bytes under their own hash and gives the hash back."""
    sha256 = sha256_hex(data)
    store.put_if_absent(media_key(sha256, ext), data)
    return sha256
