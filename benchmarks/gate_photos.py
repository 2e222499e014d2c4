"""Does the witness work where it was not trained: python -m benchmarks.gate_photos --root ROOT

Takes the variations of a root (real photographs, say), and asks the witness three things: the variations as they are; the same with one
labelled object painted out (Telea's inpainting, which fills a hole from its rim); and each parent with another parent's variation. What
is painted out or exchanged ought to be turned away. There are no true renders of photographs, so how many good ones pass stays unknown.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from flywheel.errors import BadData
from flywheel.gate_limits import read_limits
from flywheel.generate.gates import Sample
from flywheel.generate.images import Boxes, downsized, read_rgb
from flywheel.generate.request import VariationRequest
from flywheel.generate.witness import witnessed
from flywheel.geometry import ImageBox
from flywheel.store import Store, open_store
from flywheel.tables import read_table
from flywheel.types import Condition

SIDE_MIN_PX, WIDE_MAX, RIM_PX = 12, 0.3, 2


def samples(store: Store) -> list[Sample]:
    """The drawn variations, each with its parent and its labels."""
    batches = {row["drive_id"]: row["batch_id"] for row in read_table(store, "DRIVES", columns=["drive_id", "batch_id"]).to_pylist()}
    boxes = {batch: Boxes(store, batch) for batch in set(batches.values())}
    rows = [row for row in read_table(store, "VARIATIONS").to_pylist() if row["status"] == "done" and not row["inserted"]]
    if not rows:
        raise BadData(f"there are no variations in {store.uri}: run `flywheel generate` first")
    return [_sample(store, row, boxes[batches[row["drive_id"]]]) for row in rows]


def _sample(store: Store, row: dict[str, Any], boxes: Boxes) -> Sample:
    output = read_rgb(store, row["output_sha256"], row["output_ext"])
    whole = read_rgb(store, row["parent_sha256"], row["parent_ext"])
    place: dict[str, Any] = {name: row[name] for name in ("drive_id", "t_ns", "camera")}
    held = boxes.of(VariationRequest.model_construct(**place), scale=output.shape[1] / whole.shape[1])
    parent = downsized(whole, max_width=output.shape[1])
    return Sample(parent, output, Condition.parse(row["source_condition"]), Condition.parse(row["target_condition"]), held)


def painted_out(sample: Sample, box: ImageBox) -> Sample:
    """The variation with the inside of a box filled from its rim."""
    hole = np.zeros(sample.output.shape[:2], np.uint8)
    top, left = max(int(box.y0_px) - RIM_PX, 0), max(int(box.x0_px) - RIM_PX, 0)
    hole[top : int(box.y1_px) + 1 + RIM_PX, left : int(box.x1_px) + 1 + RIM_PX] = 255
    return sample._replace(output=np.asarray(cv2.inpaint(sample.output, hole, 5, cv2.INPAINT_TELEA), np.uint8))


def without(sample: Sample, *, most: int) -> list[Sample]:
    """Up to `most` pictures that each lack one of the nearest labelled objects of a fair size."""
    sides = [(box, box.x1_px - box.x0_px, box.y1_px - box.y0_px) for box in sample.boxes]
    able = [box for box, wide, high in sides if min(wide, high) >= SIDE_MIN_PX and wide < WIDE_MAX * sample.output.shape[1]]
    return [painted_out(sample, box) for box in able[:most]]


def exchanged(found: Sequence[Sample]) -> list[Sample]:
    """Each parent with a variation of another parent."""
    others = [next((o for o in found if not np.array_equal(o.parent, one.parent)), None) for one in found]
    return [one._replace(output=other.output) for one, other in zip(found, others, strict=True) if other is not None]


def show(name: str, found: Sequence[Sample]) -> None:
    """One line: how many the witness turns away, and its scores."""
    floors = read_limits().floors
    if not found:
        return print(f"{name:12} none")
    scores = np.array([(said.labels, said.content) for said in witnessed(found)])
    away = int((scores < [floors["labels"], floors["content"]]).any(axis=1).sum())
    low, middle, high = np.quantile(scores.min(axis=1), [0, 0.5, 1])
    print(f"{name:12} {len(found):5} turned away {away:5} ({away / len(found):6.1%})   score {low:.3f} to {high:.3f}, median {middle:.3f}")


def main() -> None:
    """Reads the arguments and prints three lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--objects", type=int, default=3, help="objects to paint out of each variation, at most")
    given = parser.parse_args()
    found = samples(open_store(given.root))
    show("as drawn", found)
    show("painted out", [spoiled for sample in found for spoiled in without(sample, most=given.objects)])
    show("exchanged", exchanged(found))


if __name__ == "__main__":
    main()
