"""Pairs of pictures to learn from: a folder of the user's own, or the accepted variations of a store beside their parents."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from flywheel.errors import BadData, require
from flywheel.generate.training import TrainOrder
from flywheel.types import Condition, Record, digest_of, sha256_hex

Rgb = NDArray[np.uint8]
FILE = "pairs.jsonl"
HELD_EVERY = 10


class PairLine(Record):
    """One line of `pairs.jsonl`: two pictures of the same place and the conditions they show."""

    source: str
    source_condition: str
    target: str
    target_condition: str


class Lesson(NamedTuple):
    """One pair at the size it is learnt at: (H, W, 3) RGB uint8 pictures and what they show."""

    source: Rgb
    target: Rgb
    before: Condition
    after: Condition


def lessons_of(order: TrainOrder, *, width_px: int, height_px: int) -> list[Lesson]:
    """All pairs of an order at this size; BadData if there is none."""
    size, found = (width_px, height_px), []
    if order.pairs is not None:
        found += list(folder_lessons(order.pairs, size=size))
    if order.root is not None:
        found += list(store_lessons(order.root, size=size))
    if not found:
        raise BadData("no pairs to learn from: give --pairs FOLDER (with a pairs.jsonl) or --root with accepted variations")
    return found


def folder_lessons(folder: Path, *, size: tuple[int, int]) -> Iterator[Lesson]:
    """The pairs that `pairs.jsonl` lists, in its order; BadData naming the line that is wrong."""
    file = folder / FILE
    if not file.is_file():
        raise BadData(f"{file} is missing: write a line a pair with {', '.join(PairLine.model_fields)}")
    for number, text in enumerate(file.read_text().splitlines(), 1):
        if not text.strip():
            continue
        try:
            line = PairLine(**json.loads(text))
            before, after = Condition.parse(line.source_condition), Condition.parse(line.target_condition)
        except (ValueError, TypeError, ValidationError) as err:
            raise BadData(f"{file}, line {number}: {err}") from err
        yield lesson(_read(folder / line.source), _read(folder / line.target), before, after, size=size)


def store_lessons(root: str, *, size: tuple[int, int]) -> Iterator[Lesson]:
    """Accepted variations of a root (single frames, nothing inserted), in order of their ids, each beside its parent."""
    from flywheel.generate.images import read_rgb
    from flywheel.store import open_store
    from flywheel.tables import read_table
    from flywheel.verdicts import accepted_ids

    store = open_store(root)
    wanted = accepted_ids(store)
    for row in read_table(store, "VARIATIONS").to_pylist():
        if row["variation_id"] in wanted and row["status"] == "done" and not row["clip_outputs"] and not row["inserted"]:
            source = read_rgb(store, row["parent_sha256"], row["parent_ext"])
            target = read_rgb(store, row["output_sha256"], row["output_ext"])
            yield lesson(source, target, Condition.parse(row["source_condition"]), Condition.parse(row["target_condition"]), size=size)


def lesson(source: Rgb, target: Rgb, before: Condition, after: Condition, *, size: tuple[int, int]) -> Lesson:
    """A pair made `size` (width, height) large; BadData if the two pictures have other proportions."""
    ratios = [image.shape[1] / image.shape[0] for image in (source, target)]
    if abs(ratios[0] / ratios[1] - 1) > 0.02:
        raise BadData(
            f"a pair's pictures have other proportions ({source.shape[:2]}, {target.shape[:2]}): they cannot show the same pixels"
        )
    cv2 = require("cv2", extra="generate")
    pictures = [np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8) for image in (source, target)]
    return Lesson(pictures[0], pictures[1], before, after)


def _read(file: Path) -> Rgb:
    cv2 = require("cv2", extra="generate")
    pixels: Any = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if pixels is None:
        raise BadData(f"{file} is no image that can be read")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def digest_of_lessons(lessons: list[Lesson]) -> str:
    """One hash over all pixels and conditions: whether a run may be continued with these pairs."""
    return digest_of([[sha256_hex(one.source.tobytes() + one.target.tobytes()), one.before.name, one.after.name] for one in lessons])


def split(lessons: list[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """(to learn from, held out): every tenth pair is held out once there are ten."""
    held = lessons[HELD_EVERY - 1 :: HELD_EVERY]
    return [one for number, one in enumerate(lessons) if number % HELD_EVERY != HELD_EVERY - 1], held
