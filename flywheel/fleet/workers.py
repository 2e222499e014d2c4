"""Runs the drives of a fleet in several fresh Python processes: no fork of a parent that holds threads, no `__main__` tricks.

A worker is `python -m flywheel.fleet.workers OUT SEED CAMERA INDEX...`; it writes files, and one line a finished drive.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import flywheel
from flywheel.errors import FlywheelError


def run_jobs(out: Path, *, indices: Sequence[int], seed: int, camera: bool, workers: int) -> list[dict[str, Any]]:
    """The parts of all drives in order; FlywheelError with the worker's last words if one fails."""
    from tqdm import tqdm

    from flywheel.fleet.make import make_drive

    with tqdm(total=len(indices), desc="fleet", unit="drive", disable=None) as bar:
        if workers > 1:
            with ThreadPoolExecutor(workers) as pool:
                shares = [indices[k::workers] for k in range(workers)]
                jobs = [pool.submit(_watch, out, share, seed=seed, camera=camera, bar=bar) for share in shares]
                for job in jobs:
                    job.result()
        parts = []
        for index in indices:
            parts.append(make_drive(out, seed=seed, index=index, camera=camera))
            bar.update(int(workers == 1))
    return parts


def _watch(out: Path, share: Sequence[int], *, seed: int, camera: bool, bar: Any) -> None:
    """Runs one worker to its end."""
    words = [str(out), str(seed), str(int(camera)), *(str(index) for index in share)]
    for _ in _lines([sys.executable, "-m", "flywheel.fleet.workers", *words]):
        bar.update(1)


def _lines(command: list[str]) -> Iterator[str]:
    """What a command writes to stdout, line by line; FlywheelError with its stderr if it fails, and it never outlives us."""
    root = str(Path(flywheel.__file__).parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"), "PYTHONPATH": path}
    with TemporaryFile() as words:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, text=True, env=env)
        try:
            assert process.stdout
            yield from process.stdout
            if process.wait():
                words.seek(0)
                last = words.read().decode(errors="replace").strip()[-1500:]
                raise FlywheelError(f"a fleet worker failed ({process.returncode}): {last}")
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


def main(words: list[str]) -> None:
    """A worker's life: makes its drives and says so after each."""
    from flywheel.fleet.make import make_drive

    out, seed, camera = Path(words[0]), int(words[1]), words[2] == "1"
    for index in map(int, words[3:]):
        make_drive(out, seed=seed, index=index, camera=camera)
        sys.stdout.write(json.dumps({"done": index}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
