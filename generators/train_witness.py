"""Trains the witness: python -m generators.train_witness --scenes DIR [--out FILE] [--seeds 1-50,101-165] [--device cuda] [--minutes 8]

Renders views of scene dumps (python -m generators.dump_scenes) with and without planted changes under a few conditions, in `--workers`
processes, and trains on what is there so far until the time or the steps are over. Half precision keeps the file small.
"""

import argparse
import random
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flywheel.generate import witness
from generators.dump_scenes import numbers
from generators.train_probe import files_of
from generators.training.scenes import RenderJob, read_dump, render_all
from generators.training.witness import Lesson, Lessons, fit, lesson


def jobs_of(files: list[str], *, seed: int) -> Iterator[RenderJob]:
    """Random views without end; three of four through a moved camera with another lens."""
    draw = random.Random(seed)
    while True:
        file = draw.choice(files)
        instant, jitter = draw.randrange(len(read_dump(file).instants)), draw.choice((0, *(1 + draw.randrange(10_000) for _ in range(3))))
        yield RenderJob(file=file, instant=instant, jitter=jitter)


def lessons_of(jobs: Iterable[RenderJob], *, workers: int) -> Generator[Lesson]:
    """The lessons of the jobs; views that teach nothing are left out."""
    yield from (made for made in render_all(jobs, workers=workers, make=lesson) if made is not None)


def write(net: Any, file: Path) -> None:
    """Writes the weights, in half precision."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    held = {name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()}
    save_file({name: value.cpu().contiguous() for name, value in held.items()}, str(file))
    file.chmod(0o644)


def main(arguments: list[str] | None = None) -> None:
    """Trains and writes the network."""
    import torch

    from flywheel.generate import witness_net

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=witness.WEIGHTS)
    parser.add_argument("--seeds", type=numbers, default=numbers("1-50,101-165"), help="fleet seeds to learn from")
    parser.add_argument("--views", type=int, default=1200, help="lessons to hold at most (5 MB of device memory each)")
    parser.add_argument("--first", type=int, default=100, help="lessons to wait for before the fit begins")
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--pairs", type=int, default=32, help="windows of pairs a step")
    parser.add_argument("--begin", type=Path, help="go on from these weights, instead of from random ones")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(arguments)
    end = time.monotonic() + 60 * given.minutes
    torch.set_num_threads(given.threads)
    bank = Lessons(given.views, device=given.device)
    bank.start(lessons_of(jobs_of(files_of(given.scenes, given.seeds), seed=given.seed), workers=given.workers))
    bank.wait(given.first)
    torch.manual_seed(given.seed)
    net = witness.trained(given.begin) if given.begin else witness_net.Net()
    write(fit(bank, net=net, pairs=given.pairs, end=end, steps=given.steps, rate=given.rate), given.out)
    bank.stop()
    tqdm.write(f"{bank.filled} lessons; {given.out}")


if __name__ == "__main__":
    main()
