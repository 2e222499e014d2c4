"""The scores of planted pictures, scene by scene: what calibration and the validity proof both read."""

import json
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.gate_plants import GOOD, Scene, bad_cases, good_cases
from flywheel.generate.duplicates import fingerprint, novelty
from flywheel.generate.gates import score_batch
from flywheel.types import short_id
from generators.train_probe import files_of
from generators.training.scenes import read_dump

Row = dict[str, Any]
Place = tuple[str, str]


class Judged(NamedTuple):
    """One picture's row so far, which scene and target it was made for, and its fingerprint."""

    row: Row
    place: Place
    seen: NDArray[np.float32]


class Delivered:
    """Fingerprints of what was delivered before, each with the scene and the target it was delivered for."""

    def __init__(self) -> None:
        self._seen: list[Any] = []
        self._for: list[Place] = []

    def fresh(self, kind: str, place: Place, seen: Any) -> float:
        """How new a picture is. No plan asks for one scene and target twice, so only a planted duplicate meets its own first delivery."""
        others = [held for held, at in zip(self._seen, self._for, strict=True) if kind == "duplicate" or at != place]
        return novelty(seen, np.asarray(others)) if others else 1.0

    def add(self, place: Place, seen: Any) -> None:
        """Counts a picture as delivered."""
        self._seen.append(seen)
        self._for.append(place)


def rows_of(folder: Path, seeds: Sequence[int], *, each: int, goods: int, bads: bool, workers: int) -> Iterator[Row]:
    """One row a picture: kind, how it was made, and its scores by gate (with `duplicate` last)."""
    files = files_of(folder, list(seeds))
    order = random.Random(1).sample(files, len(files))
    counts = [(file, min(each, len(read_dump(file).instants))) for file in order]
    scenes = [(file, number * len(read_dump(file).instants) // count) for file, count in counts for number in range(count)]
    delivered, judge = Delivered(), partial(_judged, files=tuple(files), goods=goods, bads=bads)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_alone) as pool:
        for found in tqdm(pool.map(judge, scenes), total=len(scenes), desc="scenes", disable=None):
            yield from _compared(found, delivered)


def _alone() -> None:
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _judged(at: tuple[str, int], *, files: tuple[str, ...], goods: int, bads: bool) -> list[Judged]:
    """One scene's pictures, good ones first, with every score that needs no other scene."""
    scene = Scene(read_dump(at[0]), at[1])
    good = good_cases(scene, count=goods)
    cases = [*good, *(bad_cases(scene, _stranger(files, scene), good) if bads else ())]
    name = short_id("scene", [scene.dump.drive, scene.instant.t_ns])
    return [
        Judged(
            {"kind": case.kind, "detail": case.detail, **scores.by_gate}, (name, case.sample.target.name), fingerprint(case.sample.output)
        )
        for case, scores in zip(cases, score_batch([case.sample for case in cases]), strict=True)
    ]


def _stranger(files: Sequence[str], scene: Scene) -> Scene:
    others = [file for file in files if scene.dump.drive not in file]
    return Scene(read_dump(scene.draw.choice(others)), 0)


def _compared(found: Sequence[Judged], delivered: Delivered) -> Iterator[Row]:
    """The rows with how new each picture is; what is good counts as delivered from then on."""
    for one in found:
        fresh = delivered.fresh(one.row["kind"], one.place, one.seen)
        if one.row["kind"] == GOOD:
            delivered.add(one.place, one.seen)
        yield {**one.row, "duplicate": fresh}


def keep(rows: Sequence[Row], file: Path | None) -> None:
    """Writes the rows as JSON lines, if asked to."""
    if file is not None:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
