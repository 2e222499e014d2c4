"""Which logs of the inbox have been uploaded to the end: pure decisions over a listing of `inbox/`, the same for a disk and a bucket.

A log is ready when none of its files has changed since the look before, all were last written some time ago, and no file beside them
has a name that uploads in progress have. What a look saw is remembered as text, the cursor: eight bytes a log.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from flywheel.errors import BadData
from flywheel.ingest.discover import folders, group_logs, is_note, named
from flywheel.ingest.land import safe_path
from flywheel.store import Stat, checked_key
from flywheel.types import canonical_json

INBOX = "inbox/"
NS = 1_000_000_000
# Names under which the usual tools upload: browsers, FileZilla, WinSCP, aria2, scripts. What is left of them is the name to come.
GROWING = re.compile(
    r"\.?(.+?)(?:\.(?:part|partial|tmp|temp|crdownload|download|filepart|aria2|uploading|incomplete|swp)|~)", re.IGNORECASE
)
DIGEST_BYTES = 8


class Upload(NamedTuple):
    """One log in the inbox: (path inside the log -> object, as listed), and whether an upload into it is visibly under way."""

    name: str
    files: dict[str, tuple[str, Stat]]
    growing: bool
    written_t_ns: int

    @property
    def digest(self) -> bytes:
        """Eight bytes that change when a file of the log comes, goes or changes."""
        said = [self.name, self.written_t_ns, self.growing, [[inner, key, list(stat)] for inner, (key, stat) in self.files.items()]]
        return hashlib.sha256(canonical_json(said)).digest()[:DIGEST_BYTES]


def landable(keys: Iterable[str]) -> tuple[list[str], list[str]]:
    """The keys that can be landed, and those whose names no store can hold (the folder markers of a bucket are neither)."""
    good: list[str] = []
    bad: list[str] = []
    for key in keys:
        if not key.endswith("/"):
            (good if _is_safe(key) else bad).append(key)
    return good, bad


def _is_safe(key: str) -> bool:
    try:
        checked_key(key).encode()
    except (BadData, UnicodeEncodeError):
        return False
    return all(part not in ("", ".") for part in key.split("/"))


def uploads(stats: Mapping[str, Stat]) -> Iterator[Upload]:
    """The logs of a listing whose keys are all landable. Each folder right under the inbox is looked at by itself: it may be a log,
    or hold logs, but what lies beside it never becomes a part of it."""
    paths = sorted((key.removeprefix(INBOX) for key in stats), key=lambda path: (_top(path), path))
    coming = {path: match[1] for path in paths if (match := GROWING.fullmatch(path.rpartition("/")[2]))}
    growing = {folder for path in coming for folder in folders(path)[1:]} | {_beside(path, name) for path, name in coming.items()}
    hidden_t_ns: dict[str, int] = {}
    for path in filter(is_note, paths):
        for folder in folders(path)[1:]:
            hidden_t_ns[folder] = max(hidden_t_ns.get(folder, 0), stats[INBOX + path].written_t_ns)
    for top, inside in groupby(paths, key=_top):
        for name, files in _logs(top, set(inside) - set(coming)).items():
            found = {safe_path(inner): (INBOX + path, stats[INBOX + path]) for inner, path in files.items()}
            yield Upload(
                name=safe_path(name), files=found, growing=not growing.isdisjoint({name, *files.values()}),
                written_t_ns=max([stat.written_t_ns for _, stat in found.values()] + [hidden_t_ns.get(name, 0)]),
            )  # fmt: skip


def _logs(top: str, paths: set[str]) -> dict[str, dict[str, str]]:
    """The logs right under the inbox (top '') or in one of its folders, by their names in the inbox."""
    found = group_logs(paths)
    if top == "" and "." in found:  # loose files do not make the whole inbox one log
        return {path: {"": path} for path in found["."].values()}
    return named(found, top=top)


def _top(path: str) -> str:
    return path.partition("/")[0] if "/" in path else ""


def _beside(path: str, name: str) -> str:
    return f"{path[: -len(path.rpartition('/')[2])]}{name}"


def ready(found: Iterable[Upload], *, seen: frozenset[bytes] | None, now_t_ns: int, settle_s: float) -> list[Upload]:
    """The logs that are complete, as far as one can see. seen: the digests of the look before; None where there is none to ask."""
    return [
        upload
        for upload in found
        if not upload.growing and now_t_ns - upload.written_t_ns >= settle_s * NS and (seen is None or upload.digest in seen)
    ]


def write_cursor(found: Iterable[Upload]) -> str:
    """What to remember of a look: the digests of its logs."""
    return base64.b64encode(b"".join(sorted(upload.digest for upload in found))).decode()


def read_cursor(cursor: str | None) -> frozenset[bytes]:
    """The digests that `write_cursor` wrote; none from a cursor that is not ours, so that every log is looked at twice."""
    try:
        data = base64.b64decode(cursor or "", validate=True)
    except ValueError:
        return frozenset()
    return frozenset(data[k : k + DIGEST_BYTES] for k in range(0, len(data), DIGEST_BYTES))
