"""Mines drives in several fresh Python processes: no fork of a parent that holds threads, no `__main__` tricks.

A worker is `python -m flywheel.mine.workers ROOT BATCH`; it reads the ids of drives from stdin and says how each went, a line each.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from tempfile import TemporaryFile
from typing import IO

import flywheel
from flywheel.errors import FlywheelError
from flywheel.store import open_store

Outcome = tuple[str, str | None]
FEWEST = 16
# One thread each, as many workers as cores; and glibc keeps what arrays free for the next ones (asking anew costs a fifth of the time).
ALONE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1"),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}  # fmt: skip


def sensible(wanted: int | None, *, drives: int) -> int:
    """How many processes a batch gets: as asked, by default one a core; no more than keep one another busy."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores if wanted is None else wanted, drives // FEWEST))


def mined_apart(root: str, batch_id: str, drive_ids: Sequence[str], *, workers: int) -> Iterator[Outcome]:
    """(drive, why it could not be mined or None) as drives are done; a drive that kills its worker is one of them.

    FlywheelError with a worker's last words if it fails for another reason.
    """
    todo: SimpleQueue[str] = SimpleQueue()
    done: SimpleQueue[Outcome | BaseException | None] = SimpleQueue()
    for drive_id in drive_ids:
        todo.put(drive_id)
    with ThreadPoolExecutor(workers) as pool:
        for _ in range(workers):
            pool.submit(_tend, root, batch_id, todo, done)
        left = workers
        while left:
            said = done.get()
            if isinstance(said, BaseException):
                _empty(todo)
                raise said
            if said is None:
                left -= 1
            else:
                yield said


def _empty(todo: "SimpleQueue[str]") -> None:
    while not todo.empty():
        _next(todo)


def _next(todo: "SimpleQueue[str]") -> str | None:
    try:
        return todo.get_nowait()
    except Empty:
        return None


def _tend(root: str, batch_id: str, todo: "SimpleQueue[str]", done: "SimpleQueue[Outcome | BaseException | None]") -> None:
    """Feeds one worker drive by drive, and starts another where one was killed; None at the end."""
    try:
        while not todo.empty():
            _feed(root, batch_id, todo, done)
        done.put(None)
    except Exception as err:  # noqa: BLE001 - raised again by the thread that waits
        done.put(err)


def _feed(root: str, batch_id: str, todo: "SimpleQueue[str]", done: "SimpleQueue[Outcome | BaseException | None]") -> None:
    with TemporaryFile() as words:
        process = _start(root, batch_id, words)
        assert process.stdin and process.stdout
        try:
            while drive_id := _next(todo):
                if not (said := _ask(process, drive_id)):
                    if process.wait() >= 0:
                        words.seek(0)
                        raise FlywheelError(f"{drive_id}: a mining worker failed: {words.read().decode(errors='replace').strip()[-1500:]}")
                    done.put((drive_id, f"its worker was killed (signal {-process.returncode})"))
                    return
                done.put((drive_id, json.loads(said)))
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def _ask(process: "subprocess.Popen[str]", drive_id: str) -> str:
    """What the worker says of a drive; nothing if it is dead."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(drive_id + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return ""
    return process.stdout.readline()


def _start(root: str, batch_id: str, words: IO[bytes]) -> "subprocess.Popen[str]":
    home = str(next(iter(flywheel.__path__)).rpartition("/")[0])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, **ALONE, "PYTHONPATH": path}
    command = [sys.executable, "-m", "flywheel.mine.workers", root, batch_id]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True, env=env)


def main(root: str, batch_id: str) -> None:
    """A worker's life: mines the drives it is told of, one after another."""
    from flywheel.mine.run import mined_drive
    from flywheel.tables import read_table

    store = open_store(root)
    for line in sys.stdin:
        (row,) = read_table(store, "DRIVES", batch_id=batch_id, part=line.strip()).to_pylist()
        sys.stdout.write(json.dumps(mined_drive(store, batch_id, row)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
