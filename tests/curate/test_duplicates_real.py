"""The duplicate threshold on real frames: a tenth of a second apart is no duplicate, another gamma is one."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from flywheel.curate.rules import Thresholds
from flywheel.encoder import embed

FRAMES = Path(os.environ.get("FLYWHEEL_REAL_DATA", "../shared/data"), "pandaset_002", "camera", "front_camera")


@pytest.mark.skipif(not FRAMES.is_dir(), reason=f"no real recordings at {FRAMES} (set FLYWHEEL_REAL_DATA)")
def test_the_threshold_parts_neighbours_from_copies() -> None:
    every = sorted(FRAMES.glob("*.jpg"))
    pictures = [cv2.imread(str(file)) for file in every[:60:5] + every[1:61:5]]
    images = [cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (640, 360), interpolation=cv2.INTER_AREA) for picture in pictures]
    copies = [(255 * (image / 255) ** 1.2).astype(np.uint8) for image in images[:12]]
    vectors = embed(images + copies)
    neighbours = (vectors[:12] * vectors[12:24]).sum(1)
    same = (vectors[:12] * vectors[24:]).sum(1)
    assert neighbours.max() < Thresholds().duplicate_cosine < same.min()
