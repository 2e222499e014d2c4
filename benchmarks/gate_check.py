"""Prints what each gate score says of true renders under other conditions and of pictures spoiled on purpose.

    python -m benchmarks.gate_check [--scenes 6] [--photos FOLDER] [--generator bundled]

A good threshold lets nearly all true renders pass and catches nearly all of one kind of spoiled picture in some gate.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks import gate_scenes as scenes
from flywheel.generate.gates import DEFAULT_THRESHOLDS, Sample, Scores, score_batch
from flywheel.generate.images import downsized
from flywheel.types import CONDITIONS, Condition

GATES = ("integrity", "structure", "condition", "change")
Case = tuple[str, Sample]
Table = dict[str, list[Scores]]


def render_cases(seed: int, *, targets_each: int = 3) -> Iterator[Case]:
    """True renders of one street from every source condition to a few targets, and what is spoiled of them."""
    street, rng = scenes.street(seed), np.random.default_rng(seed)
    for source in CONDITIONS:
        parent = street.views[source.name]
        able = [c for c in CONDITIONS if c != source]
        for target in (able[k] for k in rng.choice(len(able), targets_each, replace=False)):
            wrong = able[int(rng.integers(len(able)))]
            good = street.views[target.name]
            outputs = {
                "good: true render of the target": good,
                "copy": parent,
                "copy, recompressed": scenes.recompressed(parent),
                "copy, 6% brighter": scenes.brightened(parent),
                "another street": street.other[target.name],
                "black": np.zeros_like(good),
                "torn": scenes.torn(good),
                "dead band": scenes.dead(good),
                "blurred": scenes.blurred(good),
            }
            outputs |= {f"lost: {name}": street.without[name][target.name] for name in sorted({box.track_id for box in street.boxes})}
            if wrong not in (target, source):
                outputs["wrong condition"] = street.views[wrong.name]
            yield from ((name, Sample(parent, output, source, target, street.boxes)) for name, output in outputs.items())


def photo_cases(folder: Path) -> Iterator[Case]:
    """Photographs (taken as day_clear) redrawn crudely, kept, or swapped for another photograph."""
    files = sorted(folder.glob("*.jpg")) + sorted(folder.glob("*.png"))
    images = [downsized(_photo(file), max_width=320) for file in files[:: max(len(files) // 6, 1)][:6]]
    day, night, fog = Condition(), Condition(lighting="night"), Condition(weather="fog")
    for image, other in zip(images, images[1:] + images[:1], strict=True):
        yield "photo: crude night", Sample(image, scenes.darkened(image), day, night, [])
        yield "photo: crude fog", Sample(image, scenes.fogged(image), day, fog, [])
        yield "photo: copy", Sample(image, image, day, night, [])
        yield "photo: mirrored night", Sample(image, scenes.darkened(image[:, ::-1]), day, night, [])
        yield "photo: torn night", Sample(image, scenes.torn(scenes.darkened(image)), day, night, [])
        yield "photo: another moment", Sample(image, scenes.darkened(other), day, night, [])


def _photo(file: Path) -> scenes.Rgb:
    return np.asarray(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB), np.uint8)


def generator_cases(name: str, seed: int, *, targets_each: int = 3) -> Iterator[Case]:
    """What a generator makes of one street."""
    from importlib.metadata import entry_points

    from flywheel.generate.protocol import GenerateInput, Refused

    engine = next(iter(entry_points(group="flywheel.generators", name=name))).load()()
    street, rng = scenes.street(seed), np.random.default_rng(seed)
    for source in CONDITIONS:
        able = [c for c in CONDITIONS if c != source]
        targets = [able[k] for k in rng.choice(len(able), targets_each, replace=False)]
        parent = street.views[source.name]
        items = [GenerateInput(rgb=parent, source=source, target=t, prompt="", negative_prompt="", seed=seed) for t in targets]
        for item, output in zip(items, engine.generate(items), strict=True):
            if not isinstance(output, Refused):
                yield f"generator {name}", Sample(parent, output, source, item.target, street.boxes)


def scored(cases: list[Case]) -> Table:
    """Scores by kind of case."""
    table: Table = defaultdict(list)
    for start in tqdm(range(0, len(cases), 16), desc="score", disable=None):
        part = cases[start : start + 16]
        for (name, _), scores in zip(part, score_batch([sample for _, sample in part]), strict=True):
            table[name].append(scores)
    return table


def passes(scores: Scores) -> bool:
    """Whether every gate lets it through at the recommended thresholds; a missing score never does."""
    values = [(getattr(scores, gate), DEFAULT_THRESHOLDS[gate]) for gate in GATES]
    return all(value is not None and value >= limit for value, limit in values)


def show(table: Table) -> None:
    """One line a kind: 5%, 50% and 95% of each score, the share each gate rejects, and the share that passes all."""
    print(f"{'case':34} {'n':>5}" + "".join(f" {gate + ' 5/50/95%':>21} {'rej':>4}" for gate in GATES) + f" {'pass':>6}")
    for name, rows in table.items():
        line = f"{name:34} {len(rows):5}"
        for gate in GATES:
            values = [getattr(row, gate) for row in rows]
            held = [v for v in values if v is not None]
            rejected = sum(v is None or v < DEFAULT_THRESHOLDS[gate] for v in values) / len(values)
            text = "/".join(f"{v:.2f}" for v in np.quantile(held, (0.05, 0.5, 0.95))) if held else "missing"
            line += f" {text:>21} {rejected:4.0%}"
        print(line + f" {sum(map(passes, rows)) / len(rows):6.1%}")
    print("recommended thresholds:", DEFAULT_THRESHOLDS)


def main() -> None:
    """Reads the arguments and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--first", type=int, default=9000, help="seed of the first street")
    parser.add_argument("--photos", type=Path, help="folder of front camera photographs by day")
    parser.add_argument("--generator", help="a generator plug-in to score too")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.scenes)
    cases = [case for seed in seeds for case in render_cases(seed)]
    if given.generator:
        cases += [case for seed in seeds for case in generator_cases(given.generator, seed)]
    if given.photos:
        cases += list(photo_cases(given.photos))
    show(scored(cases))


if __name__ == "__main__":
    main()
