"""How near drawings come to the true picture: the sample fleet can render the same instant under every condition.

    python -m benchmarks.paired_truth --seeds 201,202,203 --drives 4 --views 3 --images 156 [--json]

For ordered pairs (source, target) of unseen drives the generator and the classical baseline redraw the source render (and, with
`--against`, other weights of the bundled model: the edition before); all are compared with the render of the target. "Nearer"
counts drawings that are nearer to that truth than the source frame is (or than the other's drawing), by SSIM (scikit-image) and by
the distance of `flywheel.encoder` embeddings. Seeds 1-200 are for training: take others. Both measures are terms of the bundled
model's training loss, and its feature term uses the very network of the encoder, which flatters it. Intervals are 95% percentile
bootstraps over drives (2,000 draws), because pictures of one drive are not independent.
"""

import argparse
import importlib
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from flywheel.encoder import embed
from flywheel.fleet.render import render_many
from flywheel.generate.protocol import GenerateInput, Generator, Refused
from flywheel.types import CONDITIONS
from generators import registry
from generators.dump_scenes import drive_index, dump_of, numbers
from generators.training.scenes import SceneDump, read_dump, write_dump

Rgb = NDArray[np.uint8]
Views = list[tuple[Rgb, ...]]
Generators = dict[str, Generator]
MEASURES = ("ssim", "feature")
TRAINED_ON = range(1, 201)


class Pair(NamedTuple):
    """Which view to redraw, from and to which condition (numbers in CONDITIONS)."""

    view: int
    source: int
    target: int


class Score(NamedTuple):
    """Nearness to the truth (higher is nearer) of the source and of every generator's picture, by each measure."""

    target: int
    drive: int
    ssim: dict[str, float]
    feature: dict[str, float]


def scenes_of(seed: int, number: int, *, views: int, keep: Path | None) -> SceneDump:
    """The drive's dump from the folder `keep`, else newly simulated (and kept there)."""
    index = drive_index(seed=seed, number=number)
    file = keep / f"s{seed:04d}-drive-{index:04d}.json.gz" if keep else None
    if file is not None and file.is_file():
        return read_dump(str(file))
    made = dump_of(seed=seed, index=index, count=views)
    if keep:
        write_dump(made, keep)
    return made


def rendered(seeds: Sequence[int], *, drives: int, views: int, keep: Path | None) -> Views:
    """Every view's renders in the order of CONDITIONS."""
    found: Views = []
    for seed in tqdm(seeds, desc="scenes", disable=None):
        for number in range(drives):
            dump = scenes_of(seed, number, views=views, keep=keep)
            for instant in dump.instants[:views]:
                found.append(tuple(view.rgb for view in render_many(dump.world, instant, CONDITIONS, seed=seed)))
    return found


def pairs_of(views: int, *, images: int, seed: int) -> list[Pair]:
    """A fixed sample of pairs: targets in turn, views and sources spread evenly and shuffled."""
    kinds, rng = len(CONDITIONS), np.random.default_rng(seed)
    order = rng.permutation(views)
    start = rng.integers(0, kinds - 1, kinds)
    found = []
    for k in range(images):
        turn, target = divmod(k, kinds)
        source = (target + 1 + (turn + int(start[target])) % (kinds - 1)) % kinds
        found.append(Pair(view=int(order[(turn + 5 * target) % views]), source=source, target=target))
    return found


def redrawn(generator: Generator, item: GenerateInput) -> Rgb:
    """One drawing; ValueError if the generator refuses it."""
    out = generator.generate([item])[0]
    if isinstance(out, Refused):
        raise ValueError(f"{generator.info.name} refused {item.target.name}: {out.reason}")
    return out


def judged(pair: Pair, source: Rgb, truth: Rgb, *, seed: int, views: int, generators: Generators) -> Score:
    """The pictures' nearness to the true render; `views` is how many views a drive has."""
    ssim: Any = importlib.import_module("skimage.metrics").structural_similarity
    item = GenerateInput(source, CONDITIONS[pair.source], CONDITIONS[pair.target], prompt="", negative_prompt="", seed=seed)
    made = {"source": source, **{name: redrawn(generator, item) for name, generator in generators.items()}}
    vectors = embed([truth, *made.values()])
    return Score(
        target=pair.target, drive=pair.view // views,
        ssim={name: float(ssim(image, truth, channel_axis=2, data_range=255)) for name, image in made.items()},
        feature={name: -float(np.linalg.norm(vectors[k] - vectors[0])) for k, name in enumerate(made, 1)},
    )  # fmt: skip


_READY: Generators = {}


def ready(against: Path | None, generator: str, options: dict[str, int | str], threads: int) -> Generators:
    """The generators of this process, loaded once: the baseline, the edition before (if asked for), the one in question."""
    import torch

    if not _READY:
        torch.set_num_threads(threads)
        before = {"before": registry.load("bundled", weights=against, device="cpu")} if against else {}
        _READY.update({"perturb": registry.load("perturb"), **before, "drawn": registry.load(generator, **options)})
    return _READY


def judged_here(given: argparse.Namespace, pair: Pair, source: Rgb, truth: Rgb, seed: int) -> Score:
    """`judged` by this process's generators."""
    generators = ready(given.against, given.generator, dict(given.option), given.threads)
    return judged(pair, source, truth, seed=seed, views=given.views, generators=generators)


def all_judged(given: argparse.Namespace, pairs: list[Pair], views: Views) -> list[Score]:
    """Scores of the pairs, by as many processes as asked for."""
    work = [(given, pair, views[pair.view][pair.source], views[pair.view][pair.target], number) for number, pair in enumerate(pairs)]
    show = {"total": len(work), "desc": "drawing and judging", "disable": None}
    if given.workers < 2:
        return [judged_here(*one) for one in tqdm(work, **show)]
    with ProcessPoolExecutor(given.workers, mp_context=get_context("spawn")) as pool:
        return list(tqdm(pool.map(judged_here, *zip(*work, strict=True)), **show))


def interval(values: NDArray[np.float64], drives: NDArray[np.int64], *, draws: int = 2000) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of a mean, whole drives drawn anew (seeded); (nan, nan) for no value."""
    if not len(values):
        return math.nan, math.nan
    _, place = np.unique(drives, return_inverse=True)
    sums, counts = np.bincount(place, weights=values), np.bincount(place)
    drawn = np.random.default_rng(0).integers(len(sums), size=(draws, len(sums)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def row_of(name: str, scores: list[Score]) -> dict[str, Any]:
    """Shares and mean gains of the drawing over each other picture, with intervals, and everyone's mean nearness."""
    row: dict[str, Any] = {"target": name, "images": len(scores)}
    drives = np.array([score.drive for score in scores])
    for measure in MEASURES:
        held = {made: np.array([getattr(score, measure)[made] for score in scores]) for made in scores[0].ssim}
        row |= {f"{measure}_{made}": float(values.mean()) for made, values in held.items()}
        for other in held.keys() - {"drawn"}:
            nearer, gain = (held["drawn"] > held[other]).astype(float), held["drawn"] - held[other]
            row |= {f"{measure}_over_{other}": float(nearer.mean()), f"{measure}_over_{other}_95": interval(nearer, drives)}
            row |= {f"{measure}_gain_{other}": float(gain.mean()), f"{measure}_gain_{other}_95": interval(gain, drives)}
    return row


def table(rows: list[dict[str, Any]], others: list[str]) -> str:
    """The rows as text: mean SSIM of all pictures, then for every other picture how often the drawing is nearer, and the gain."""
    made = [*others, "drawn"]
    lines = ["mean SSIM to the truth", f"{'target':14} {'n':>4} " + " ".join(f"{name:>8}" for name in made)]
    lines += [f"{row['target']:14} {row['images']:4} " + " ".join(f"{row[f'ssim_{name}']:8.3f}" for name in made) for row in rows]
    for other in others:
        lines += ["", f"drawn against {other}", f"{'target':14} {'nearer by SSIM':>22} {'gain in SSIM':>27} {'nearer by feature':>22}"]
        lines += [f"{row['target']:14} {_share(row, 'ssim', other)} {_gain(row, other)} {_share(row, 'feature', other)}" for row in rows]
    return "\n".join(lines)


def _share(row: dict[str, Any], measure: str, other: str) -> str:
    low, high = row[f"{measure}_over_{other}_95"]
    return f"{row[f'{measure}_over_{other}']:6.1%} ({low:6.1%} {high:6.1%})"


def _gain(row: dict[str, Any], other: str) -> str:
    low, high = row[f"ssim_gain_{other}_95"]
    return f"{row[f'ssim_gain_{other}']:+8.4f} ({low:+.4f} {high:+.4f})"


def option(text: str) -> tuple[str, int | str]:
    """`name=3` as ("name", 3); values that are no whole number stay text."""
    name, _, value = text.partition("=")
    return name, int(value) if value.isdigit() else value


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; an error for seeds the bundled weights were trained on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=numbers, default=numbers("201-203"))
    parser.add_argument("--drives", type=int, default=4, help="drives of each seed's fleet")
    parser.add_argument("--views", type=int, default=3, help="instants of each drive")
    parser.add_argument("--images", type=int, default=156, help="pairs to draw; 156 are all ordered pairs once")
    parser.add_argument("--generator", default="bundled")
    parser.add_argument("--option", type=option, action="append", default=[], help="an option of the generator, such as particles=1")
    parser.add_argument("--against", type=Path, help="weights of another edition of the bundled model")
    parser.add_argument("--keep", type=Path, help="folder for scene dumps, so that a second run needs no simulator")
    parser.add_argument("--threads", type=int, default=2, help="threads a process")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw and judge")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if set(given.seeds) & set(TRAINED_ON):
        parser.error("seeds 1-200 are for training; take seeds above 200")
    return given


def main(arguments: list[str] | None = None) -> None:
    """Renders, draws, compares and prints."""
    given = parsed(arguments)
    views = rendered(given.seeds, drives=given.drives, views=given.views, keep=given.keep)
    scores = all_judged(given, pairs_of(len(views), images=given.images, seed=given.seeds[0]), views)
    kinds = [(c.name, [s for s in scores if s.target == k]) for k, c in enumerate(CONDITIONS)]
    rows = [row_of(name, some) for name, some in [*kinds, ("all", scores)] if some]
    info = registry.load(given.generator, **dict(given.option)).info
    facts = {"generator": info.model_dump(mode="json"), "seeds": given.seeds, "drives": given.drives, "views": len(views)}
    if given.json:
        sys.stdout.write(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
        return
    print(f"{info.name} {info.model_revision} (weights {info.weights_sha256[:12]}), seeds {given.seeds}, {len(views)} views")
    print(table(rows, ["source", *(name for name in scores[0].ssim if name not in ("source", "drawn"))]))


if __name__ == "__main__":
    main()
