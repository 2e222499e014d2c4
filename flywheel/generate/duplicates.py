"""Is a picture one that was delivered before: fingerprints that survive a codec, grain and another exposure, compared by correlation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require

Rgb = NDArray[np.uint8]
Vector = NDArray[np.float32]
WIDTH, HEIGHT, SMOOTH = 64, 36, 3.0


def fingerprint(rgb: Rgb) -> Vector:
    """(2304,) unit vector: the luma at 64 x 36 less its surroundings; zeros for a picture without any detail."""
    cv2 = require("cv2", extra="generate")
    small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = (small - cv2.GaussianBlur(small, (0, 0), SMOOTH)).ravel()
    length = float(np.linalg.norm(detail))
    return np.asarray(detail / length if length > 1e-3 else np.zeros_like(detail), np.float32)


def novelty(one: Vector, delivered: Sequence[Vector] | NDArray[np.float32]) -> float:
    """1 less the highest correlation with any fingerprint delivered before, in 0..1; 1 where nothing was."""
    if len(delivered) == 0:
        return 1.0
    return float(np.clip(1 - np.max(np.asarray(delivered) @ one), 0, 1))
