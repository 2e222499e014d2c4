"""Sends hostile logs to worker processes that last, with a time limit for each; a worker that dies or hangs is replaced and counted."""

import contextlib
import itertools
import json
import os
import pickle
import random
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.adversarial import bombs
from tests.adversarial.mutate import MUTATIONS
from tests.adversarial.seeds import seeds

REPO = Path(__file__).resolve().parents[2]
FATES = ("ingested", "quarantined", "unexpected", "unsound", "crashed", "over time", "over memory", "escaped")
GOOD = ("ingested", "quarantined")
LIMIT_S = 20.0
START_S = 60.0
WORKER = (sys.executable, "-m", "tests.adversarial.worker")
LIMIT_BYTES = 1 << 30


class Case(NamedTuple):
    """One hostile log: which seed is spoiled, how, and the number among its kind."""

    log: str
    mutation: str
    number: int
    seed: int


class Result(NamedTuple):
    """What became of a case."""

    case: Case
    fate: str
    why: str
    seconds: float
    memory: int


def cases(inputs: int, *, seed: int, logs: Sequence[str] | None = None, mutations: Sequence[str] | None = None) -> list[Case]:
    """As many cases: each mutation of each seed once, in an order drawn by the seed, then each once more, so that any number is spread."""
    chosen = [(log, files) for log, files in seeds().items() if logs is None or log in logs]
    pairs = [(log, m.name) for m in MUTATIONS for log, files in chosen if m.applies(files) and (mutations is None or m.name in mutations)]
    random.Random(seed).shuffle(pairs)
    endless = ((log, name, number) for number in itertools.count() for log, name in pairs)
    return [Case(log, name, number, seed) for log, name, number in itertools.islice(endless, inputs if pairs else 0)]


class Worker:
    """One worker process and its folder."""

    def __init__(self, folder: Path, seed_file: Path, *, command: Sequence[str] = WORKER, limit_s: float = LIMIT_S) -> None:
        self.folder, self.seed_file, self.command, self.limit_s = folder, seed_file, command, limit_s
        self.process: subprocess.Popen[str] | None = None
        self.fresh = True

    def __call__(self, case: Case) -> Result:
        """What became of a case; the process is started anew where it is gone, and killed where it takes too long."""
        process = self._running()
        limit_s, self.fresh = self.limit_s + (START_S if self.fresh else 0), False
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(case._asdict()) + "\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], limit_s)
            line = process.stdout.readline() if ready else None
        except BrokenPipeError:
            line = ""
        if not line:
            return self._lost(case, hung=line is None)
        found = json.loads(line)
        fate = "over memory" if found["memory"] > LIMIT_BYTES else "over time" if found["seconds"] > self.limit_s else found["fate"]
        return Result(case, fate, found["why"], found["seconds"], found["memory"])

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            quiet = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._errors.open("a") as errors:
                self.process = subprocess.Popen(
                    [*self.command, str(self.folder), str(self.seed_file)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=REPO, env=quiet,
                )  # fmt: skip
            self.fresh = True
        return self.process

    @property
    def _errors(self) -> Path:
        return self.folder.with_suffix(".err")

    def _lost(self, case: Case, *, hung: bool) -> Result:
        code = self.close()
        errors = self._errors.read_text(errors="replace")[-400:]
        shutil.rmtree(self.folder, ignore_errors=True)
        why = f"no answer within {self.limit_s:g} s" if hung else f"the worker died ({code}): {errors}"
        return Result(case, "over time" if hung else "crashed", why, self.limit_s if hung else 0.0, 0)

    def close(self) -> int | None:
        """Ends the process; gives its exit code, None if there was none."""
        if self.process is None:
            return None
        ended, self.process = self.process, None
        ended.kill()
        for pipe in (ended.stdin, ended.stdout):
            with contextlib.suppress(OSError):  # what could not be written any more is of no use
                if pipe:
                    pipe.close()
        return ended.wait()


def run(wanted: Sequence[Case], *, workers: int = 2) -> Iterator[Result]:
    """What became of each case, as they come."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="flywheel-hostile-", dir=place) as top:
        seed_file = Path(top, "seeds.pickle")
        seed_file.write_bytes(pickle.dumps((seeds(), bombs.prepare())))
        crew = [Worker(Path(top, f"worker-{k}"), seed_file) for k in range(workers)]
        with contextlib.ExitStack() as stack:
            for worker in crew:
                stack.callback(worker.close)
            yield from _spread(wanted, crew)


def _spread(wanted: Sequence[Case], crew: list[Worker]) -> Iterator[Result]:
    found: list[Result] = []
    news = threading.Condition()
    left = iter(wanted)
    lock = threading.Lock()

    def work(worker: Worker) -> None:
        while True:
            with lock:
                case = next(left, None)
            if case is None:
                return
            result = worker(case)
            with news:
                found.append(result)
                news.notify()

    threads = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in crew]
    for thread in threads:
        thread.start()
    for k in range(len(wanted)):
        with news:
            while len(found) <= k:
                if not news.wait(timeout=1) and not any(thread.is_alive() for thread in threads) and len(found) <= k:
                    raise RuntimeError("the workers ended before the cases did")
            result = found[k]
        yield result


def tally(results: Sequence[Result], *, by: str) -> list[dict[str, Any]]:
    """One row for each `log` or `mutation`: how many had which fate, the slowest and the largest."""
    rows = []
    for name in sorted({getattr(r.case, by) for r in results}):
        mine = [r for r in results if getattr(r.case, by) == name]
        fates = Counter(r.fate for r in mine)
        rows.append(
            {by: name, "inputs": len(mine)} | {fate: fates[fate] for fate in FATES}
            | {"slowest_s": round(max(r.seconds for r in mine), 2), "most_mb": round(max(r.memory for r in mine) / 1e6)}
        )  # fmt: skip
    return rows
