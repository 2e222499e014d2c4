"""How near drawings come to the true picture: the sample fleet can render the same instant under every condition.

    python -m benchmarks.paired_truth --seeds 201,202,203 --drives 4 --views 3 --images 156 [--json]

For ordered pairs (source, target) of unseen drives the generator and the classical baseline redraw the source render; both are
compared with the render of the target. "Nearer" counts drawings that are nearer to that truth than the source frame is (or than
the baseline is), by SSIM (scikit-image) and by the distance of `flywheel.encoder` embeddings. Seeds 1-60 made the bundled
weights: take others. Both measures are terms of the bundled model's training loss, and its feature term uses the very network of
the encoder, which flatters it. Pairs of one drive are not independent, so the printed intervals (Wilson) are somewhat narrow.
"""

import argparse
import importlib
import json
import math
import sys
from collections.abc import Sequence
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
MADE = ("source", "perturb", "drawn")
TRAINED_ON = range(1, 61)
COLUMNS = {
    "nearer_ssim": ("ssim", "drawn", "source"), "nearer_feature": ("feature", "drawn", "source"),
    "beats_perturb_ssim": ("ssim", "drawn", "perturb"), "beats_perturb_feature": ("feature", "drawn", "perturb"),
}  # fmt: skip


class Pair(NamedTuple):
    """Which view to redraw, from and to which condition (numbers in CONDITIONS)."""

    view: int
    source: int
    target: int


class Score(NamedTuple):
    """Nearness to the truth (higher is nearer) of the source, the baseline's and the generator's picture, by each measure."""

    target: int
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


def judged(pair: Pair, views: Views, generators: dict[str, Generator], *, seed: int) -> Score:
    """The three pictures' nearness to the true render."""
    ssim: Any = importlib.import_module("skimage.metrics").structural_similarity
    source, truth = views[pair.view][pair.source], views[pair.view][pair.target]
    item = GenerateInput(source, CONDITIONS[pair.source], CONDITIONS[pair.target], prompt="", negative_prompt="", seed=seed)
    made = {"source": source, **{name: redrawn(generator, item) for name, generator in generators.items()}}
    vectors = embed([truth, *(made[name] for name in MADE)])
    return Score(
        target=pair.target,
        ssim={name: float(ssim(made[name], truth, channel_axis=2, data_range=255)) for name in MADE},
        feature={name: -float(np.linalg.norm(vectors[k + 1] - vectors[0])) for k, name in enumerate(MADE)},
    )


def wilson(hits: int, count: int, *, z: float = 1.96) -> tuple[float, float]:
    """The 95% score interval of a share (Wilson 1927); (0, 1) for an empty sample."""
    if count == 0:
        return 0.0, 1.0
    share, spread = hits / count, z * z / count
    middle, half = share + spread / 2, z * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def row_of(name: str, scores: list[Score]) -> dict[str, Any]:
    """Shares with their intervals and mean nearness over some scores."""
    row: dict[str, Any] = {"target": name, "images": len(scores)}
    for column, (measure, one, two) in COLUMNS.items():
        hits = sum(getattr(score, measure)[one] > getattr(score, measure)[two] for score in scores)
        row[column] = hits / max(len(scores), 1)
        row[f"{column}_95"] = wilson(hits, len(scores))
    for made in MADE:
        row[f"ssim_{made}"] = float(np.mean([score.ssim[made] for score in scores])) if scores else math.nan
        row[f"feature_distance_{made}"] = -float(np.mean([score.feature[made] for score in scores])) if scores else math.nan
    return row


def table(rows: list[dict[str, Any]], name: str) -> str:
    """The rows as text; the last one also with its intervals."""
    head = f"{'':19} | {'nearer than source':>18} | {'nearer than perturb':>19} | {'mean SSIM to the truth':>25}"
    names = f"{'target':14} {'n':>4} | {'SSIM':>9} {'feature':>8} | {'SSIM':>10} {'feature':>8} | {'source':>8} {'perturb':>8} {name:>7}"
    lines = [head, names]
    for row in rows:
        lines.append(
            f"{row['target']:14} {row['images']:4} | {row['nearer_ssim']:9.1%} {row['nearer_feature']:8.1%} | "
            f"{row['beats_perturb_ssim']:10.1%} {row['beats_perturb_feature']:8.1%} | "
            f"{row['ssim_source']:8.3f} {row['ssim_perturb']:8.3f} {row['ssim_drawn']:7.3f}"
        )
    for column in COLUMNS:
        low, high = rows[-1][f"{column}_95"]
        lines.append(f"{column}: {rows[-1][column]:.1%}, 95% interval {low:.1%} to {high:.1%}")
    return "\n".join(lines)


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; an error for seeds the bundled weights were trained on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=numbers, default=numbers("201-203"))
    parser.add_argument("--drives", type=int, default=4, help="drives of each seed's fleet")
    parser.add_argument("--views", type=int, default=3, help="instants of each drive")
    parser.add_argument("--images", type=int, default=156, help="pairs to draw; 156 are all ordered pairs once")
    parser.add_argument("--generator", default="bundled")
    parser.add_argument("--keep", type=Path, help="folder for scene dumps, so that a second run needs no simulator")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if set(given.seeds) & set(TRAINED_ON):
        parser.error("seeds 1-60 made the bundled weights; take seeds above 60")
    return given


def main(arguments: list[str] | None = None) -> None:
    """Renders, draws, compares and prints."""
    import torch

    given = parsed(arguments)
    torch.set_num_threads(given.threads)
    views = rendered(given.seeds, drives=given.drives, views=given.views, keep=given.keep)
    generators = {"perturb": registry.load("perturb"), "drawn": registry.load(given.generator)}
    pairs = pairs_of(len(views), images=given.images, seed=given.seeds[0])
    scores = [
        judged(pair, views, generators, seed=number) for number, pair in enumerate(tqdm(pairs, desc="drawing and judging", disable=None))
    ]
    rows = [row_of(c.name, [s for s in scores if s.target == k]) for k, c in enumerate(CONDITIONS)]
    rows = [row for row in rows if row["images"]] + [row_of("all", scores)]
    info = generators["drawn"].info
    facts = {"generator": info.model_dump(mode="json"), "seeds": given.seeds, "drives": given.drives, "views": len(views)}
    if given.json:
        sys.stdout.write(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
        return
    print(f"{info.name} {info.model_revision} (weights {info.weights_sha256[:12]}), seeds {given.seeds}, {len(views)} views")
    print(table(rows, info.name))


if __name__ == "__main__":
    main()
