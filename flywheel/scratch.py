"""Folders for temporary files that do not outlive a killed process for long: the next one of their kind removes them."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW, HELD = ".new", ".held"


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A folder that is gone afterwards. What killed processes left behind for the same purpose goes first."""
    sweep(purpose)
    folder = Path(tempfile.mkdtemp(prefix=f"flywheel-{purpose}-"))
    with (folder / NEW).open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        (folder / NEW).rename(folder / HELD)  # only a locked file ever has this name
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(purpose: str) -> int:
    """Removes the folders of this purpose whose process is gone (nobody holds their lock); how many."""
    left = [held.parent for held in Path(tempfile.gettempdir()).glob(f"flywheel-{purpose}-*/{HELD}") if _unheld(held)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _unheld(file: Path) -> bool:
    try:
        with file.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:  # held by its process, another user's, or just gone
        return False
