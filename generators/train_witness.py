"""Trains the witness: python -m generators.train_witness --scenes DIR --work DIR [--out FILE] [--seeds 1-50]

Renders views of scene dumps (python -m generators.dump_scenes) with and without planted changes under a few conditions, keeps the
frozen encoder's feature maps in the working folder (what is there already is not made again), and fits the head on them. About
ten minutes on one CPU core.
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flywheel.generate import witness
from generators.dump_scenes import numbers
from generators.train_probe import files_of
from generators.training.scenes import RenderJob, read_dump
from generators.training.witness import Lesson, fit, lesson


def jobs_of(files: list[str], *, seed: int) -> Iterator[RenderJob]:
    """Random views without end; every second one through a moved camera with another lens."""
    draw = random.Random(seed)
    while True:
        file = draw.choice(files)
        instant, jitter = draw.randrange(len(read_dump(file).instants)), draw.choice((0, 1 + draw.randrange(1000)))
        yield RenderJob(file=file, instant=instant, jitter=jitter)


def lessons_of(files: list[str], *, count: int, seed: int, work: Path) -> list[Lesson]:
    """`count` lessons, kept one file each."""
    work.mkdir(parents=True, exist_ok=True)
    held = [file for job, _ in zip(jobs_of(files, seed=seed), range(count), strict=False) if (file := _kept(job, work))]
    return [Lesson(**np.load(file)) for file in held]


def _kept(job: RenderJob, work: Path) -> Path | None:
    """The file of a lesson, made if it is not there; None for a view that teaches nothing."""
    file = work / f"{job.digest[:16]}.npz"
    if not file.is_file() and (made := lesson(job)) is not None:
        unfinished = file.with_suffix(".tmp.npz")
        np.savez(unfinished, **made._asdict())
        unfinished.rename(file)
    return file if file.is_file() else None


def main(arguments: list[str] | None = None) -> None:
    """Trains and writes the head."""
    import torch
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="where feature maps are kept (8 MB a view)")
    parser.add_argument("--out", type=Path, default=witness.WEIGHTS)
    parser.add_argument("--seeds", type=numbers, default=numbers("1-50"), help="fleet seeds to learn from")
    parser.add_argument("--views", type=int, default=240)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--pairs", type=int, default=12, help="pairs of pictures a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    lessons = lessons_of(files_of(given.scenes, given.seeds), count=given.views, seed=given.seed, work=given.work)
    tqdm.write(f"{len(lessons)} of {given.views} views have a change that can be seen")
    model = fit(lessons, steps=given.steps, pairs=given.pairs, seed=given.seed)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, str(given.out))
    given.out.chmod(0o644)


if __name__ == "__main__":
    main()
