"""What light and weather truly were, rows 44 to 48, from the values of the environment at 100 Hz.

A condition lasts 10 s at least (a low sun 1 s); stretches less than 10 s apart are one. Snow: 0.1 mm/h at 2 degrees C or less. Rain:
0.5 / 1.9 / 8.1 mm/h, no snow. Fog: visibility under 1000 / 200 / 50 m, neither snow nor rain. Dusk: the sun is under the horizon; night:
more than 6 degrees under it. Low sun: 0 to 20 degrees high, within 30 degrees of the heading, none of the weathers.
"""

from collections.abc import Iterator

import numpy as np

from flywheel.fleet.motion import RATE_HZ
from flywheel.fleet.oracle import Array, Flags, Limits, Rule, Truth, View, graded, runs

MERGE_S, LEAST_S = 10.0, 10.0


def _air(view: View, name: str) -> Array:
    """One value of the environment over the drive, with what the script changes of it."""
    values = np.full(len(view.s_m), getattr(view.drive.environment, name), np.float64)
    t_s = np.arange(len(values)) / RATE_HZ
    for lay in view.drive.plan.overlays:
        if (lay.topic, lay.column) == ("/environment", name):
            chosen = (t_s >= lay.t0_s) & (t_s < lay.t1_s)
            values[chosen] = lay.values(t_s[chosen], values[chosen])
    return values


def _snows(view: View, limits: Limits) -> Flags:
    return (_air(view, "snow_mmph") >= 0.1 * limits.strict) & (_air(view, "temperature_c") <= 2.0)


def _rains(view: View, limits: Limits) -> Flags:
    return (_air(view, "rain_mmph") >= 0.5 * limits.strict) & ~_snows(view, limits)


def _foggy(view: View, limits: Limits) -> Flags:
    return (_air(view, "visibility_m") < 1000.0 / limits.strict) & ~_snows(view, limits) & ~_rains(view, limits)


def _events(scenario: str, levels: list[Flags], *, least_s: float = LEAST_S) -> Iterator[Truth]:
    """Stretches of the first flag, joined over short pauses, with the most severe level that lasts."""
    spans: list[tuple[int, int]] = []
    for start, end in runs(levels[0]):
        if end - start < least_s * RATE_HZ:
            continue
        if spans and start - spans[-1][1] < MERGE_S * RATE_HZ:
            start = spans.pop()[0]
        spans.append((start, end))
    for span in spans:
        level = graded(levels, span, least_s=least_s)
        if level:
            yield Truth(scenario=scenario, level=level, start=span[0], end=span[1])


def low_sun_glare(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 44."""
    sun, azimuth = _air(view, "sun_elevation_deg"), _air(view, "sun_azimuth_rad")
    ahead = np.cos(azimuth - view.drive.ego.heading_rad) >= np.cos(np.radians(30.0 / limits.strict))
    clear = ~(_snows(view, limits) | _rains(view, limits) | _foggy(view, limits))
    yield from _events("low_sun_glare", [(sun >= 0) & (sun <= 20.0 / limits.strict) & ahead & clear], least_s=1.0)


def night_dusk(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 45."""
    sun = _air(view, "sun_elevation_deg")
    yield from _events("night_dusk", [sun < 0, sun < -6.0 * limits.strict])


def rain(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 46."""
    falls, rains = _air(view, "rain_mmph"), _rains(view, limits)
    yield from _events("rain", [rains & (falls >= least * limits.strict) for least in (0.5, 1.9, 8.1)])


def snow(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 47."""
    yield from _events("snow", [_snows(view, limits)])


def fog(view: View, limits: Limits) -> Iterator[Truth]:
    """Row 48."""
    visibility, foggy = _air(view, "visibility_m"), _foggy(view, limits)
    yield from _events("fog", [foggy & (visibility < most / limits.strict) for most in (1000.0, 200.0, 50.0)])


RULES: dict[str, Rule] = {"low_sun_glare": low_sun_glare, "night_dusk": night_dusk, "rain": rain, "snow": snow, "fog": fog}
