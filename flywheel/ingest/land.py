"""A folder or file of logs becomes a landing batch: every byte as it came, the manifest last.

The batch id is the digest of the names, paths and hashes, so landing the same logs again writes nothing.
"""

import hashlib
import logging
import os
import urllib.parse
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from flywheel.errors import BadData
from flywheel.ingest.discover import group_logs, named
from flywheel.ingest.landed import LandedFile, LandedLog, content_sha256, log_key, manifest_key, read_manifest
from flywheel.ingest.tombstones import Tombstones
from flywheel.store import Store
from flywheel.types import canonical_json, short_id

_log = logging.getLogger(__name__)


def safe_path(path: str) -> str:
    """The path with every character that a store key could trip over percent-encoded."""
    return urllib.parse.quote_from_bytes(os.fsencode(path), safe="/ !'()+,-.=@_~")


def find_logs(logs: Path) -> dict[str, dict[str, Path]]:
    """Log name -> {path inside the log -> file}, sorted; the path is '' for a log that is one file. BadData if there are none."""
    if not logs.exists():
        raise BadData(f"no logs at {logs}: there is no such file or folder")
    if logs.is_file():
        return {safe_path(logs.name): {"": logs}}
    files = {safe_path(file.relative_to(logs).as_posix()): file for file in _files(logs)}
    found = named(group_logs(files), top=safe_path(logs.resolve().name))
    if not found:
        raise BadData(f"no logs in {logs}: it holds no file but notes and hidden ones")
    return {name: {inner: _regular(files[path], top=logs) for inner, path in inside.items()} for name, inside in found.items()}


def _files(folder: Path) -> list[Path]:
    return [Path(base, name) for base, _, names in os.walk(folder) for name in names]


def _regular(file: Path, *, top: Path) -> Path:
    if not file.resolve().is_relative_to(top.resolve()):
        raise BadData(f"{file} is a link that leaves {top}: land the folder it points to, or copy the file")
    if not file.is_file():
        raise BadData(f"{file} is not a regular file: remove it from the folder of logs")
    return file


def file_sha256(file: Path) -> str:
    """SHA-256 (hex) of a file, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def land(store: Store, logs: Path) -> str:
    """The batch id of the logs, all of them landed. Landing them again, or after a kill, copies only what is missing.

    Logs that were removed from the root on request are left out, with a warning; BadData if there are no others.
    """
    found = find_logs(logs)
    files = [(name, path, file) for name, inside in found.items() for path, file in inside.items()]
    seen = {(name, path): _stamp(file) for name, path, file in files}
    hashes = {(name, path): file_sha256(file) for name, path, file in tqdm(files, desc="hash logs", unit="file", disable=None)}
    batch_id = short_id("b", [[name, path, seen[name, path][0], hashes[name, path]] for name, path, _ in files])
    landed = [
        landed_log(batch_id, name, {path: (seen[name, path][0], hashes[name, path]) for path in inside}) for name, inside in found.items()
    ]
    landed = _without_forgotten(store, batch_id, landed)
    kept = {file.key for one in landed for file in one.files}
    wanted = [(file_key(batch_id, name, path), file, seen[name, path]) for name, path, file in files]
    _copy(store, batch_id, [item for item in wanted if item[0] in kept])
    store.put_if_absent(manifest_key(batch_id), canonical_json([log.model_dump(mode="json") for log in landed]))
    return batch_id


def _without_forgotten(store: Store, batch_id: str, landed: list[LandedLog]) -> list[LandedLog]:
    """What may be landed: what the batch's manifest still names where there is one, else every log that was not removed on request."""
    if store.exists(manifest_key(batch_id)):
        return list(read_manifest(store, batch_id))
    tombstones = Tombstones(store)
    kept = [one for one in landed if not tombstones.holds(content_sha256(one.paths(batch_id)))]
    if not kept:
        raise BadData(f"nothing to land: all {len(landed)} logs were removed from {store.uri} on request and may not come back")
    if len(kept) < len(landed):
        _log.warning("%d logs were removed from %s on request: they are not landed again", len(landed) - len(kept), store.uri)
    return kept


def file_key(batch_id: str, name: str, path: str) -> str:
    """Where one file of a log lies."""
    return str(PurePosixPath(log_key(batch_id, name), path))


def landed_log(batch_id: str, name: str, files: dict[str, tuple[int, str]]) -> LandedLog:
    """The manifest's entry of a log, from the size and hash of each path."""
    return LandedLog(
        name=name,
        files=tuple(LandedFile(key=file_key(batch_id, name, path), bytes=size, sha256=sha) for path, (size, sha) in files.items()),
    )


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _copy(store: Store, batch_id: str, wanted: list[tuple[str, Path, tuple[int, int]]]) -> None:
    there = set(store.list(f"landing/{batch_id}/"))
    for key, file, stamp in tqdm([w for w in wanted if w[0] not in there], desc="land", unit="file", disable=None):
        store.put_file(key, file)
        if _stamp(file) != stamp:
            store.delete(key)
            raise BadData(f"{file} changed while it was being landed: wait until its recording has ended, then land again")
