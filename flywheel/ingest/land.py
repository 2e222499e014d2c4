"""A folder or file of logs becomes a landing batch: every byte as it came, the manifest last.

A log is a file (`*.mcap`, or anything else) or a sequence folder (one with camera/, annotations/, lidar/ or meta/ and no loose files).
The batch id is the digest of the names, paths and hashes, so landing the same logs again writes nothing.
"""

import hashlib
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter
from tqdm import tqdm

from flywheel.errors import BadData
from flywheel.store import Store
from flywheel.types import Record, canonical_json, digest_of, short_id

MANIFEST = "_MANIFEST.json"
SEQUENCE_FOLDERS = frozenset({"camera", "annotations", "lidar", "meta"})
NOT_LOGS = frozenset({MANIFEST, "truth.json"})
NOT_LOG_STEMS = ("readme", "license", "licence", "copying", "notice")


class LandedFile(Record):
    """One object of a log: its key in the store, size and hash."""

    key: str
    bytes: int
    sha256: str


class LandedLog(Record):
    """One log of a batch. A log that is a folder has the files' paths after `landing/<batch>/<name>/`."""

    name: str
    files: tuple[LandedFile, ...]

    def paths(self, batch_id: str) -> dict[str, LandedFile]:
        """Path inside the log -> file; a log that is one file has the single path ''."""
        base = f"{log_key(batch_id, self.name)}/"
        return {file.key.removeprefix(base) if file.key.startswith(base) else "": file for file in self.files}

    def source_sha256(self, batch_id: str) -> str:
        """The hash of what was recorded, whatever the log is called: the file's, or that of a folder's paths and hashes."""
        paths = self.paths(batch_id)
        return paths[""].sha256 if "" in paths else digest_of({path: file.sha256 for path, file in paths.items()})


MANIFEST_TYPE = TypeAdapter(tuple[LandedLog, ...])


def safe_path(path: str) -> str:
    """The path with every character that a store key could trip over percent-encoded."""
    return urllib.parse.quote_from_bytes(os.fsencode(path), safe="/ !'()+,-.=@_~")


def log_key(batch_id: str, name: str) -> str:
    """Where a log (a file, or the folder of its files) lies."""
    return f"landing/{batch_id}/{name}"


def is_sequence(folder: Path) -> bool:
    """Whether the folder is one log: recognisable subfolders and no loose files that could be logs themselves."""
    entries = list(folder.iterdir())
    return any(e.is_dir() and e.name in SEQUENCE_FOLDERS for e in entries) and not any(e.is_file() and not is_note(e) for e in entries)


def is_note(file: Path) -> bool:
    """Whether a file is no log by its name: hidden, truth.json, a README or a licence."""
    return file.name.startswith(".") or file.name in NOT_LOGS or file.stem.lower() in NOT_LOG_STEMS


def find_logs(logs: Path) -> dict[str, dict[str, Path]]:
    """Log name -> {path inside the log -> file}, sorted; the path is '' for a log that is one file. BadData if there are none."""
    if not logs.exists():
        raise BadData(f"no logs at {logs}: there is no such file or folder")
    if logs.is_file():
        return {safe_path(logs.name): {"": logs}}
    if is_sequence(logs):
        return {safe_path(logs.resolve().name): _inside(logs, top=logs)}
    found = dict(_walk(logs, top=logs))
    if not found:
        raise BadData(f"no logs in {logs}: expected .mcap files or sequence folders (camera/, annotations/, lidar/, meta/)")
    return dict(sorted(found.items()))


def _walk(folder: Path, *, top: Path) -> Iterator[tuple[str, dict[str, Path]]]:
    for entry in sorted(folder.iterdir()):
        name = safe_path(entry.relative_to(top).as_posix())
        if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
            yield from [(name, _inside(entry, top=top))] if is_sequence(entry) else _walk(entry, top=top)
        elif not entry.is_dir() and not is_note(entry):
            yield name, {"": _regular(entry, top=top)}


def _inside(folder: Path, *, top: Path) -> dict[str, Path]:
    files = (Path(base, name) for base, _, names in os.walk(folder) for name in names)
    kept = (file for file in files if not file.name.startswith("."))
    return {safe_path(file.relative_to(folder).as_posix()): _regular(file, top=top) for file in sorted(kept)}


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
    """The batch id of the logs, all of them landed. Landing them again, or after a kill, copies only what is missing."""
    found = find_logs(logs)
    files = [(name, path, file) for name, inside in found.items() for path, file in inside.items()]
    seen = {(name, path): _stamp(file) for name, path, file in files}
    hashes = {(name, path): file_sha256(file) for name, path, file in tqdm(files, desc="hash logs", unit="file", disable=None)}
    batch_id = short_id("b", [[name, path, seen[name, path][0], hashes[name, path]] for name, path, _ in files])
    landed = [
        _landed(batch_id, name, {path: (seen[name, path][0], hashes[name, path]) for path in inside}) for name, inside in found.items()
    ]
    _copy(store, batch_id, [(_key(batch_id, name, path), file, seen[name, path]) for name, path, file in files])
    store.put_if_absent(f"landing/{batch_id}/{MANIFEST}", canonical_json([log.model_dump(mode="json") for log in landed]))
    return batch_id


def _key(batch_id: str, name: str, path: str) -> str:
    return str(PurePosixPath(log_key(batch_id, name), path))


def _landed(batch_id: str, name: str, files: dict[str, tuple[int, str]]) -> LandedLog:
    return LandedLog(
        name=name, files=tuple(LandedFile(key=_key(batch_id, name, path), bytes=size, sha256=sha) for path, (size, sha) in files.items())
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


def read_manifest(store: Store, batch_id: str) -> tuple[LandedLog, ...]:
    """The logs of a landed batch; BadData if it was never landed to the end."""
    try:
        return MANIFEST_TYPE.validate_json(store.get(f"landing/{batch_id}/{MANIFEST}"))
    except KeyError as err:
        raise BadData(f"batch {batch_id} has no manifest in {store.uri}: land its logs (again) first") from err
    except ValueError as err:
        raise BadData(f"landing/{batch_id}/{MANIFEST}: not a manifest: {err}") from err
