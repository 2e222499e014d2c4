"""Objects in a bucket under a prefix. boto3 lives only here and in `s3_trouble.py`.

A server that answered before and goes away (restarts, is overloaded) is waited for; one that was never there is reported at once.
"""

import contextlib
import io
import itertools
import os
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from flywheel.errors import BadTransport
from flywheel.s3_trouble import is_missing, may_pass, said
from flywheel.store import Stat, checked_key

RANGE_BYTES = 8 << 20
LARGE_BYTES = 64 << 20
PATIENCE_S = 90.0
FIRST_PATIENCE_S = 2.0
LONGEST_PAUSE_S = 5.0

T = TypeVar("T")


class S3Store:
    """A store in `s3://bucket/prefix`, at AWS_ENDPOINT_URL where that is set."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self.bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self._answered = self._proved = False

    @cached_property
    def client(self) -> Any:
        """The boto3 client."""
        import boto3
        from botocore.config import Config

        settings = Config(retries={"mode": "standard", "total_max_attempts": 3}, max_pool_connections=32, connect_timeout=10)
        try:
            return boto3.session.Session().client("s3", config=settings)
        except ValueError as err:
            raise BadTransport(f"{self.uri}: {err}. AWS_ENDPOINT_URL must be like http://host:port") from err

    def _prove_conditions(self) -> None:
        """Before the first write: BadTransport unless a conditional write of a key that is there is refused."""
        if self._proved:
            return
        key = f".probe/{uuid.uuid4().hex}"
        created = self._create(key, b"1")
        refused = not self._create(key, b"2")
        self.delete(key)
        if not (created and refused):
            raise BadTransport(
                f"{self.uri} ignores If-None-Match: writers could overwrite each other without an error. "
                "Use a store that honours conditional PUT."
            )
        self._proved = True

    def _do(self, key: str, work: Callable[[Any], T]) -> T:
        """What `work` gives, tried again for as long as the trouble may pass; BadTransport or KeyError (no such object) otherwise."""
        from botocore.exceptions import BotoCoreError, ClientError

        started = time.monotonic()
        for attempt in itertools.count():
            try:
                found = work(self.client)
            except (BotoCoreError, ClientError) as err:
                if is_missing(err):
                    raise KeyError(f"no object {key!r} in {self.uri}") from err
                waited = time.monotonic() - started
                if not may_pass(err) or waited > (PATIENCE_S if self._answered else FIRST_PATIENCE_S):
                    raise BadTransport(f"{self.uri}: {key or 'its listing'}: {said(err, bucket=self.bucket)}") from err
            else:
                self._answered = True
                return found
            time.sleep(min(LONGEST_PAUSE_S, 0.25 * 2**attempt) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")

    def _create(self, key: str, data: bytes) -> bool:
        """True if this call created the object, also where the server's first yes was lost on the way."""
        from botocore.exceptions import ClientError

        tries = itertools.count()

        def work(client: Any) -> bool:
            again = next(tries)
            try:
                client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data, IfNoneMatch="*")
            except ClientError as err:
                meta = err.response["ResponseMetadata"]
                if meta["HTTPStatusCode"] not in (409, 412):
                    raise
                return bool(again or meta.get("RetryAttempts")) and self._body(client, key) == data
            return True

        return self._do(key, work)

    def _body(self, client: Any, key: str) -> bytes:
        data: bytes = client.get_object(Bucket=self.bucket, Key=self._name(key))["Body"].read()
        return data

    def _name(self, key: str) -> str:
        return self.prefix + checked_key(key)

    def _upload(self, key: str, source: Callable[[], IO[bytes]]) -> None:
        """In parts where it is large; from the beginning again if the trouble outlasts the retries of a part."""
        self._prove_conditions()

        def work(client: Any) -> None:
            with source() as stream:
                client.upload_fileobj(stream, self.bucket, self._name(key))

        self._do(key, work)

    def put(self, key: str, data: bytes) -> None:
        """Writes or replaces the object."""
        self._prove_conditions()
        if len(data) >= LARGE_BYTES:
            self._upload(key, lambda: io.BytesIO(data))
        else:
            self._do(key, lambda client: client.put_object(Bucket=self.bucket, Key=self._name(key), Body=data))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """True if this call created the object."""
        self._prove_conditions()
        return self._create(key, data)

    def put_file(self, key: str, file: Path) -> None:
        """Writes or replaces the object with a file's content (in parts where it is large)."""
        self._upload(key, lambda: file.open("rb"))

    def get(self, key: str) -> bytes:
        """The object's bytes; KeyError if there is none."""
        return self._do(key, lambda client: self._body(client, key))

    def _size(self, key: str) -> int:
        return int(self._do(key, lambda client: client.head_object(Bucket=self.bucket, Key=self._name(key)))["ContentLength"])

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        try:
            self._size(key)
        except KeyError:
            return False
        return True

    def _pages(self, field: str, **query: str) -> Iterator[dict[str, Any]]:
        def work(client: Any) -> tuple[dict[str, Any], ...]:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **query)
            return tuple(item for page in pages for item in page.get(field, ()))

        return iter(self._do("", work))

    def list(self, prefix: str = "") -> list[str]:
        """Sorted keys that start with `prefix`."""
        return sorted(item["Key"].removeprefix(self.prefix) for item in self._pages("Contents", Prefix=self.prefix + prefix))

    def stats(self, prefix: str = "") -> dict[str, Stat]:
        """Size, ETag and age of every object whose key starts with `prefix`, sorted by key."""
        items = sorted(self._pages("Contents", Prefix=self.prefix + prefix), key=lambda item: str(item["Key"]))
        return {
            item["Key"].removeprefix(self.prefix): Stat(item["Size"], item["ETag"].strip('"'), int(item["LastModified"].timestamp() * 1e9))
            for item in items
        }

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Sorted names of the folders right under `prefix` (which ends with '/'), without a look at what they hold."""
        found = self._pages("CommonPrefixes", Prefix=self.prefix + prefix, Delimiter="/")
        return tuple(sorted(item["Prefix"].removeprefix(self.prefix + prefix).rstrip("/") for item in found))

    def open(self, key: str) -> IO[bytes]:
        """The object as a seekable stream of range reads; KeyError if there is none."""
        return io.BufferedReader(_Ranges(self, key, self._size(key)), RANGE_BYTES)

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes `start` to `end` (not included) of the object, fewer where it ends before; KeyError if there is none."""
        from botocore.exceptions import ClientError

        def work(client: Any) -> bytes:
            try:
                found = client.get_object(Bucket=self.bucket, Key=self._name(key), Range=f"bytes={start}-{end - 1}")
            except ClientError as err:
                if err.response["ResponseMetadata"]["HTTPStatusCode"] == 416:  # the object ends before the range begins
                    return b""
                raise
            data: bytes = found["Body"].read()
            return data

        return self._do(key, work) if end > start else b""

    def move(self, key: str, to: str) -> None:
        """Gives the object another key: copied within the store (in parts where it is large), then removed; KeyError if there is none."""
        self._prove_conditions()
        source = {"Bucket": self.bucket, "Key": self._name(key)}
        self._do(key, lambda client: client.copy(source, self.bucket, self._name(to)))
        self.delete(key)

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""
        self._do(key, lambda client: client.delete_object(Bucket=self.bucket, Key=self._name(key)))

    @contextlib.contextmanager
    def path(self, key: str) -> Iterator[Path]:
        """A temporary local file with the object's bytes; KeyError if there is none."""
        with tempfile.TemporaryDirectory(prefix="flywheel-") as folder:
            file = Path(folder, PurePosixPath(key).name)
            with self.open(key) as source, file.open("wb") as copy:
                shutil.copyfileobj(source, copy, RANGE_BYTES)
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
        data = self._store.read_range(self._key, self._at, min(self._at + len(buffer), self._size))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
