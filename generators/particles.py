"""Where rain streaks or snowflakes fall in a picture: the sample fleet's own, placed by a seed."""

import numpy as np
from numpy.typing import NDArray

from flywheel.types import Condition


def opacity(source: Condition, target: Condition, shape: tuple[int, int], seed: int) -> NDArray[np.float32] | None:
    """(H, W) opacity in [0, 1] of the particles to add; None where the target has none or the source already has them."""
    from flywheel.fleet.weather import flakes, streaks

    if target.weather not in ("rain", "snow") or target.weather == source.weather:
        return None
    rng = np.random.default_rng([seed, 91])
    return (streaks if target.weather == "rain" else flakes)(shape, rng)
