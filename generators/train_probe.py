"""Trains the condition probe: python -m generators.train_probe --scenes DIR [--out FILE] [--bundled 59-60]

Renders scene dumps (python -m generators.dump_scenes) under all conditions, spoils most of the pictures as a camera, a codec or a
redrawing may, embeds them and fits a linear softmax. Drives of the seeds in --held-out take no part in the fit and give the
figures. About ten minutes on one CPU core.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flywheel import condition_probe, encoder
from flywheel.types import CONDITIONS
from generators.dump_scenes import numbers
from generators.training.probe import augmented, confusion, fit, shares
from generators.training.scenes import RenderJob, read_dump, render_job

Images = list[NDArray[np.uint8]]
KINDS = np.arange(len(CONDITIONS))


def files_of(folder: Path, seeds: list[int]) -> list[str]:
    """The scene dumps (`s<seed>-...`) of these seeds, in name order."""
    return [str(file) for file in sorted(folder.glob("s*.json.gz")) if int(file.name[1:5]) in seeds]


def jobs_of(files: list[str], *, views: int) -> list[RenderJob]:
    """`views` views a drive, spread over its instants; every second one through a moved camera with another lens."""
    jobs = []
    for number, file in enumerate(files):
        count = len(read_dump(file).instants)
        jobs += [RenderJob(file=file, instant=(7 * number + count * k // views) % count, jitter=(number + k) % 2) for k in range(views)]
    return jobs


def embedded(jobs: list[RenderJob], *, spoiled: float, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(vectors (N, 1280), labels (N,)) of the jobs under all conditions; this share of the pictures is spoiled first."""
    rng, found = np.random.default_rng(seed), []
    for job in tqdm(jobs, desc="rendering and embedding", disable=None):
        images = [augmented(image, rng) if rng.random() < spoiled else image for image in render_job(job)]
        found.append(encoder.embed(images))
    return np.concatenate(found), np.tile(KINDS, len(jobs))


def drawn(jobs: list[RenderJob]) -> Iterator[tuple[Images, NDArray[np.int64]]]:
    """What the bundled generator makes of one random source a view, for all other targets, with the targets' labels."""
    from flywheel.generate.protocol import GenerateInput, Refused
    from generators.bundled import BundledGenerator

    generator, rng = BundledGenerator(device="cpu"), np.random.default_rng(11)
    for number, job in enumerate(tqdm(jobs, desc="drawing with the bundled model", disable=None)):
        images, source = render_job(job), int(rng.integers(len(CONDITIONS)))
        items = [
            GenerateInput(images[source], CONDITIONS[source], target, prompt="", negative_prompt="", seed=number)
            for target in CONDITIONS
            if target != CONDITIONS[source]
        ]
        yield [out for out in generator.generate(items) if not isinstance(out, Refused)], KINDS[source != KINDS]


def report(name: str, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Figures and confusion matrix of the written probe."""
    chances = condition_probe.predict(vectors)
    tqdm.write(f"{name}: {shares(chances, labels)}\n{confusion(chances, labels)}")


def save(layer: dict[str, Any], out: Path) -> None:
    """Writes the layer as safetensors."""
    from safetensors.numpy import save_file

    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(layer, str(out))
    out.chmod(0o644)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=condition_probe.WEIGHTS)
    parser.add_argument("--seeds", type=numbers, default=numbers("1-50"))
    parser.add_argument("--held-out", type=numbers, default=numbers("51-60"))
    parser.add_argument("--views", type=int, default=1, help="views of each drive")
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bundled", type=numbers, help="also judge drawings of the bundled model on held-out drives of these seeds")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Trains, writes, and prints the figures on held-out drives."""
    import torch

    given = parsed(arguments)
    torch.set_num_threads(given.threads)
    train = jobs_of(files_of(given.scenes, given.seeds), views=given.views)
    tests = jobs_of(files_of(given.scenes, given.held_out), views=given.views)
    layer = fit(*embedded(train, spoiled=0.6, seed=given.seed), weight_decay=given.weight_decay)
    save(layer, given.out)
    condition_probe.WEIGHTS = given.out
    for name, share in (("held-out renders", 0.0), ("held-out renders, spoiled", 1.0)):
        report(name, *embedded(tests, spoiled=share, seed=given.seed + 1))
    if given.bundled:
        pairs = list(drawn(jobs_of(files_of(given.scenes, given.bundled), views=given.views)))
        made, wanted = encoder.embed([image for images, _ in pairs for image in images]), np.concatenate([kinds for _, kinds in pairs])
        report("bundled model's drawings", made, wanted)


if __name__ == "__main__":
    main()
