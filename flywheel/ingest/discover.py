"""Which files of a folder belong to one log: a pure decision over relative paths, the same for a disk and for a bucket's listing."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from flywheel.ingest.formats import FORMATS
from flywheel.ingest.landed import MANIFEST

NOT_LOGS = frozenset({MANIFEST, "truth.json", "dataset_summary.pkl", "dataset_mapping.pkl"})
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
    kept = _without_bag_notes(sorted(path for path in paths if not is_note(path)))
    roots = {root for path in kept if (root := _root(path)) is not None}
    found: dict[str, dict[str, str]] = {}
    sidecars = _sidecars(kept)
    for path in kept:
        home = next((folder for folder in folders(path) if folder in roots), None)
        if home is not None:
            found.setdefault(home, {})[path if home == "." else path.removeprefix(f"{home}/")] = path
        elif not SIDECAR.fullmatch(PurePosixPath(path).name):
            found[path] = _single(path, sidecars)
    return dict(sorted(found.items()))


def _without_bag_notes(paths: list[str]) -> list[str]:
    """The paths without the metadata.yaml that ROS 2 writes beside MCAP files: each of those says all of that itself."""
    homes = {path.rpartition("/")[0] for path in paths if path.endswith(".mcap")}
    return [path for path in paths if not (path.rpartition("/")[2] == "metadata.yaml" and path.rpartition("/")[0] in homes)]


def folders(path: str) -> list[str]:
    """Every folder that a path is in, the outermost ('.') first."""
    return [".", *(path[:k] for k, letter in enumerate(path) if letter == "/")]


def _root(path: str) -> str | None:
    """The folder that a format takes this path for a part of."""
    for kind in FORMATS:
        if kind.root is not None and (match := kind.root.fullmatch(path)):
            return match["root"].rstrip("/") or "."
    return None


def _sidecars(paths: Iterable[str]) -> dict[tuple[str, str | None], list[str]]:
    """(folder, name or stem of the log it serves; None: every log of the folder) -> sidecars."""
    found: dict[tuple[str, str | None], list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if match := SIDECAR.fullmatch(name):
            found.setdefault((folder, match["stem"]), []).append(name)
    return found


def _single(path: str, sidecars: Mapping[tuple[str, str | None], list[str]]) -> dict[str, str]:
    folder, slash, name = path.rpartition("/")
    if not WITH_SIDECARS.fullmatch(name):
        return {"": path}
    mine = sorted({found for serves in (None, name, PurePosixPath(name).stem) for found in sidecars.get((folder, serves), ())})
    return {name: path} | {found: f"{folder}{slash}{found}" for found in mine} if mine else {"": path}


def named(found: Mapping[str, dict[str, str]], *, top: str) -> dict[str, dict[str, str]]:
    """The same logs, where the folder itself is one log called after it."""
    return {top if name == "." else name: inside for name, inside in found.items()}
