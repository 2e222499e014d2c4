"""When and where a drive was, as every format says it: the UTC day, the place to a tenth of a degree, metres around a fix."""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EARTH_RADIUS_M = 6_371_008.8  # the mean radius, where a sphere is good enough
# WGS 84: equatorial radius and first eccentricity squared.
WGS84_A_M, WGS84_E2 = 6_378_137.0, 6.694379990141e-3


def day_of(t_ns: int) -> str:
    """The UTC day of a time."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=t_ns // 1000)).date().isoformat()


def tenth_of_a_degree(lat_deg: float, lon_deg: float) -> str:
    """The name of the place around a fix."""
    return f"lat{lat_deg:.1f}_lon{lon_deg:.1f}"


def metres(lat_deg: Array, lon_deg: Array, *, origin: tuple[float, float]) -> Array:
    """(N, 2) metres east and north of the origin (degrees), in the plane that touches the WGS 84 ellipsoid there."""
    sine = np.sin(np.radians(origin[0]))
    across = WGS84_A_M / np.sqrt(1 - WGS84_E2 * sine**2)
    along = across * (1 - WGS84_E2) / (1 - WGS84_E2 * sine**2)
    east = np.radians((lon_deg - origin[1] + 180) % 360 - 180) * across * np.cos(np.radians(origin[0]))
    return np.stack([east, np.radians(lat_deg - origin[0]) * along], axis=-1)
