"""The scores of planted pictures, scene by scene: what calibration and the validity proof both read."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.gate_plants import GOOD, Case, Scene, bad_cases, good_cases, scenes_of
from flywheel.generate.duplicates import fingerprint, novelty
from flywheel.generate.gates import score_batch
from flywheel.types import short_id
from generators.train_probe import files_of

Row = dict[str, Any]


class Delivered:
    """Fingerprints of what was delivered before, each with the scene and the target it was delivered for."""

    def __init__(self) -> None:
        self._seen: list[Any] = []
        self._for: list[tuple[str, str]] = []

    def fresh(self, kind: str, place: tuple[str, str], seen: Any) -> float:
        """How new a picture is. No plan asks for one scene and target twice, so only a planted duplicate meets its own first delivery."""
        others = [held for held, at in zip(self._seen, self._for, strict=True) if kind == "duplicate" or at != place]
        return novelty(seen, np.asarray(others)) if others else 1.0

    def add(self, place: tuple[str, str], seen: Any) -> None:
        """Counts a picture as delivered."""
        self._seen.append(seen)
        self._for.append(place)


def rows_of(folder: Path, seeds: Sequence[int], *, each: int, goods: int, bads: bool) -> Iterator[Row]:
    """One row a picture: kind, how it was made, and its scores by gate (with `duplicate` last)."""
    files = files_of(folder, list(seeds))
    delivered, before = Delivered(), None
    order = random.Random(1).sample(files, len(files))
    for scene in tqdm(scenes_of(order, each=each), total=each * len(files), desc="scenes", disable=None):
        good = good_cases(scene, count=goods)
        stranger = before if before is not None and before.dump.drive != scene.dump.drive else _stranger(files, scene)
        cases = [*good, *(bad_cases(scene, stranger, good) if bads else ())]
        yield from _scored(scene, cases, delivered)
        before = scene


def _stranger(files: Sequence[str], scene: Scene) -> Scene:
    others = [file for file in files if scene.dump.drive not in file]
    return next(scenes_of([scene.draw.choice(others)], each=1))


def _scored(scene: Scene, cases: Sequence[Case], delivered: Delivered) -> Iterator[Row]:
    """Scores of one scene's cases; what is good counts as delivered from then on."""
    name = short_id("scene", [scene.dump.drive, scene.instant.t_ns])
    for case, scores in zip(cases, score_batch([case.sample for case in cases]), strict=True):
        seen, place = fingerprint(case.sample.output), (name, case.sample.target.name)
        fresh = delivered.fresh(case.kind, place, seen)
        if case.kind == GOOD:
            delivered.add(place, seen)
        yield {"kind": case.kind, "detail": case.detail, **scores.by_gate, "duplicate": fresh}


def keep(rows: Sequence[Row], file: Path | None) -> None:
    """Writes the rows as JSON lines, if asked to."""
    if file is not None:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
