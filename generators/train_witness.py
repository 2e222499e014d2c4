"""Trains the witness: python -m generators.train_witness --scenes DIR [--out FILE] [--seeds 1-50]

Renders views of scene dumps (python -m generators.dump_scenes) with and without a planted change under a few conditions, keeps the
frozen encoder's features of some cells, and fits the head on them. About five minutes on one CPU core.
"""

import argparse
import random
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flywheel.generate import witness
from generators.dump_scenes import numbers
from generators.train_probe import files_of
from generators.training.scenes import RenderJob, read_dump
from generators.training.witness import Cells, fit, lesson


def lessons_of(files: list[str], *, count: int, seed: int) -> Cells:
    """Cells of `count` random views; every second one through a moved camera with another lens."""
    draw, found = random.Random(seed), []
    with tqdm(total=count, desc="rendering and looking", disable=None) as progress:
        while len(found) < count:
            file = draw.choice(files)
            instant, jitter = draw.randrange(len(read_dump(file).instants)), draw.choice((0, 1 + draw.randrange(1000)))
            made = lesson(RenderJob(file=file, instant=instant, jitter=jitter))
            if made is not None:
                found.append(made)
                progress.update()
    return Cells(*(np.concatenate(part) for part in zip(*found, strict=True)))


def main(arguments: list[str] | None = None) -> None:
    """Trains and writes the head."""
    import torch
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=witness.WEIGHTS)
    parser.add_argument("--seeds", type=numbers, default=numbers("1-50"), help="fleet seeds to learn from")
    parser.add_argument("--lessons", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the cells here (npz), or take them from here if they are there")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    if given.keep and given.keep.is_file():
        cells = Cells(**np.load(given.keep))
    else:
        cells = lessons_of(files_of(given.scenes, given.seeds), count=given.lessons, seed=given.seed)
    if given.keep and not given.keep.is_file():
        np.savez(given.keep, **cells._asdict())
    model = fit(cells, epochs=given.epochs, batch=given.batch, seed=given.seed)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, str(given.out))
    given.out.chmod(0o644)


if __name__ == "__main__":
    main()
