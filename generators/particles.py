"""Where rain streaks or snowflakes fall in a picture: the sample fleet's own, placed by a seed."""

import numpy as np
from numpy.typing import NDArray

from flywheel.types import Condition, Weather

# How far particles fall in a second, in image heights: 8 m/s and 1.3 m/s at about 10 m, where a picture of 45 degrees is 8 m high.
FALL: dict[Weather, float] = {"rain": 1.0, "snow": 0.16}


def fallen(opacity: NDArray[np.float32], weather: Weather, t_s: float) -> NDArray[np.float32]:
    """The same particles a while later: a clip has one set, which falls through the picture and comes in again at the top."""
    return np.roll(opacity, round(FALL.get(weather, 0.0) * t_s * len(opacity)), axis=0)


def opacity(
    source: Condition, target: Condition, shape: tuple[int, int], seed: int, *, t_s: float = 0.0
) -> NDArray[np.float32] | None:  # fmt: skip
    """(H, W) opacity in [0, 1] of the particles to add; None where the target has none or the source already has them.

    `t_s` is the time since they were placed: in a clip they fall.
    """
    from flywheel.fleet.weather import flakes, streaks

    if target.weather not in ("rain", "snow") or target.weather == source.weather:
        return None
    rng = np.random.default_rng([seed, 91])
    return fallen((streaks if target.weather == "rain" else flakes)(shape, rng), target.weather, t_s)
