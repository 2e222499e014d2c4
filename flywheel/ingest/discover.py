"""Which files of a folder belong to one log: a pure decision over relative paths, the same for a disk and for a bucket's listing."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from flywheel.ingest.formats import FORMATS
from flywheel.ingest.landed import MANIFEST

NOT_LOGS = frozenset({MANIFEST, "truth.json"})
NOT_LOG_STEMS = ("readme", "license", "licence", "copying", "notice")
# Files that tell how to read the logs beside them: a mapping of CSV or CAN columns, a CAN database. They land with each such log.
SIDECAR = re.compile(r"(?:(?P<stem>.+)\.)?mapping\.toml|.+\.dbc")
WITH_SIDECARS = re.compile(r".+\.(csv|txt|log|asc|blf)", re.IGNORECASE)


def is_note(path: str) -> bool:
    """Whether a file is no log by its name: hidden, truth.json, a README or a licence."""
    name = PurePosixPath(path)
    return any(part.startswith(".") for part in name.parts) or name.name in NOT_LOGS or name.stem.lower() in NOT_LOG_STEMS


def group_logs(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Log name -> {path inside the log -> path}, sorted; the inner path is '' for a log that is one file.

    A folder that one of the formats recognises is one log with all its files (the outermost such folder wins); any other file is a log
    by itself, with the sidecars (`mapping.toml`, `<stem>.mapping.toml`, `*.dbc`) of its folder where its kind can use them.
    """
    kept = sorted(path for path in paths if not is_note(path))
    roots = _outermost({root for path in kept if (root := _root(path)) is not None})
    found: dict[str, dict[str, str]] = {}
    sidecars = [path for path in kept if SIDECAR.fullmatch(PurePosixPath(path).name)]
    for path in kept:
        home = next((root for root in roots if root == "." or path.startswith(f"{root}/")), None)
        if home is not None:
            found.setdefault(home, {})[path if home == "." else path.removeprefix(f"{home}/")] = path
        elif path not in sidecars:
            found[path] = _single(path, sidecars)
    return dict(sorted(found.items()))


def _root(path: str) -> str | None:
    """The folder that a format takes this path for a part of."""
    for kind in FORMATS:
        if kind.root is not None and (match := kind.root.fullmatch(path)):
            return match["root"].rstrip("/") or "."
    return None


def _outermost(roots: set[str]) -> list[str]:
    if "." in roots:
        return ["."]
    return sorted(root for root in roots if not any(root.startswith(f"{other}/") for other in roots))


def _single(path: str, sidecars: list[str]) -> dict[str, str]:
    name, folder = PurePosixPath(path), PurePosixPath(path).parent
    if not WITH_SIDECARS.fullmatch(name.name):
        return {"": path}
    mine = [s for s in sidecars if PurePosixPath(s).parent == folder and _serves(PurePosixPath(s).name, name)]
    return {name.name: path} | {PurePosixPath(s).name: s for s in mine} if mine else {"": path}


def _serves(sidecar: str, log: PurePosixPath) -> bool:
    found = SIDECAR.fullmatch(sidecar)
    return found is not None and found["stem"] in (None, log.stem, log.name)


def named(found: Mapping[str, dict[str, str]], *, top: str) -> dict[str, dict[str, str]]:
    """The same logs, where the folder itself is one log called after it."""
    return {top if name == "." else name: inside for name, inside in found.items()}
