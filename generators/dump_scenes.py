"""Dumps scenes of sample fleets for training: python -m generators.dump_scenes --out DIR --seeds 1-74,101-165

Training needs no traffic simulator then, only these files.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from flywheel.fleet.make import drive_scenes
from generators.training.scenes import SceneDump, write_dump


def numbers(text: str) -> list[int]:
    """`1-3,7` as [1, 2, 3, 7]; ValueError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def drive_index(*, seed: int, number: int) -> int:
    """Which drive of a fleet to take: other scripts for every seed, another place for each of up to three drives."""
    return (7 * seed + 2 * number) % 24


def dump_of(*, seed: int, index: int, count: int) -> SceneDump:
    """`count` instants, evenly spread over one drive of the fleet with this seed."""
    scenes = drive_scenes(seed=seed, index=index, drives=index + 1)
    chosen = [scenes.instants[round((k + 0.5) * (len(scenes.instants) - 1) / count)] for k in range(count)]
    return SceneDump(drive=f"s{seed:04d}-{scenes.stem}", world=scenes.world, instants=tuple(chosen))


def main(arguments: list[str] | None = None) -> None:
    """Writes one file a drive; a drive whose file is there is left as it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=numbers, default=numbers("1-74,101-165"), help="for example 1-60 or 3,5,9")
    parser.add_argument("--drives", type=int, default=3, help="drives of each fleet")
    parser.add_argument("--instants", type=int, default=20, help="instants of each drive")
    given = parser.parse_args(arguments)
    pairs = [(seed, drive_index(seed=seed, number=number)) for seed in given.seeds for number in range(given.drives)]
    for seed, index in tqdm(pairs, desc="dumping scenes", disable=None):
        if not (given.out / f"s{seed:04d}-drive-{index:04d}.json.gz").exists():
            write_dump(dump_of(seed=seed, index=index, count=given.instants), given.out)


if __name__ == "__main__":
    main()
