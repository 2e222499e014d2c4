"""What a landed batch says of itself: its logs, their files, sizes and hashes. The manifest is written last and never changed."""

from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor

from pydantic import TypeAdapter

from flywheel.errors import BadData
from flywheel.store import Store
from flywheel.types import Record, digest_of

MANIFEST = "_MANIFEST.json"


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


MANIFEST_TYPE = TypeAdapter(tuple[LandedLog, ...])


def log_key(batch_id: str, name: str) -> str:
    """Where a log (a file, or the folder of its files) lies."""
    return f"landing/{batch_id}/{name}"


def manifest_key(batch_id: str) -> str:
    """Where the manifest of a batch lies."""
    return f"landing/{batch_id}/{MANIFEST}"


def content_sha256(files: dict[str, LandedFile]) -> str:
    """The hash of what was recorded, whatever the log is called: the file's, or that of a folder's paths and hashes."""
    return files[""].sha256 if "" in files else digest_of({path: file.sha256 for path, file in files.items()})


def read_manifest(store: Store, batch_id: str) -> tuple[LandedLog, ...]:
    """The logs of a landed batch; BadData if it was never landed to the end."""
    try:
        return MANIFEST_TYPE.validate_json(store.get(manifest_key(batch_id)))
    except KeyError as err:
        raise BadData(f"batch {batch_id} has no manifest in {store.uri}: land its logs (again) first") from err
    except ValueError as err:
        raise BadData(f"{manifest_key(batch_id)}: not a manifest: {err}") from err


def landed_batches(store: Store, *, besides: Container[str] = ()) -> list[str]:
    """Ids of the complete landing batches, those whose manifest is there, less the ones in `besides` (which are not looked at)."""
    found = [batch for batch in store.folders("landing/") if batch not in besides]
    with ThreadPoolExecutor(8) as pool:
        there = pool.map(lambda batch: store.exists(manifest_key(batch)), found)
        return [batch for batch, landed in zip(found, there, strict=True) if landed]
