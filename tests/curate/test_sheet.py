"""The contact sheet: what is drawn beside what, in which colour."""

from types import ModuleType

import cv2
import numpy as np
import pytest

from flywheel.curate.decisions import curate_batch, decide
from flywheel.errors import BadData
from flywheel.look.sheet import ACROSS, GREEN, GREY, RED, WIDTH_PX, contact_sheet
from flywheel.store import DiskStore


def sheet(store: DiskStore, **asked: int) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(contact_sheet(store, **asked), np.uint8), cv2.IMREAD_COLOR)  # type: ignore[arg-type]


def edges(image: np.ndarray, *, row: int, rows: int) -> list[tuple[int, ...]]:
    """The colours at the top edge of one row's tiles."""
    top, wide = row * image.shape[0] // rows + 1, image.shape[1] // ACROSS
    return [tuple(int(v) for v in image[top, column * wide + wide // 2]) for column in range(3)]


def test_originals_stand_beside_their_variations_in_the_colour_of_the_verdict(store: DiskStore, handmade: ModuleType) -> None:
    rows = handmade.scenes(store)
    assert edges(sheet(store), row=0, rows=3)[1:] == [GREY, GREY]
    curate_batch(store, handmade.BATCH)
    decide(store, rows[0]["variation_id"], "reject", actor="ada", reason="no rain to be seen")
    image = sheet(store)
    assert image.shape[1] // ACROSS - WIDTH_PX in range(1, 20)
    colours = [edges(image, row=row, rows=3) for row in range(3)]
    assert sorted(colour for row in colours for colour in row[1:]) == sorted([RED, *[GREEN] * 5])
    assert sheet(store, parents=1).shape[0] * 3 == image.shape[0]


def test_a_root_without_variations_says_what_to_do(store: DiskStore) -> None:
    with pytest.raises(BadData, match="flywheel generate"):
        contact_sheet(store)
