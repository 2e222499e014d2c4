"""Detectors of light and weather: low sun (row 44), night and dusk (45), rain (46), snow (47), fog (48).

Their thresholds are those of an event's condition (`signals.Sky`), so both always agree. One event is one stretch of the condition.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from flywheel.errors import NotEvaluable
from flywheel.mine.catalogue import Scenario
from flywheel.mine.hits import Detector, Hit, lowest
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Mask, Reals, graded
from flywheel.mine.signals import Sky
from flywheel.types import WEATHERS


def _stretches(drive: Drive, entry: Scenario, levels: Sequence[Mask], worst: Reals) -> list[Hit]:
    """Hits on the drive's own ten instants a second, at the latest until its end; the peak is where `worst` is smallest."""
    clock = Clock(drive.grid_ns, NS)
    spans, level = graded(levels, levels[0], clock, min_s=entry.min_duration_s, merge_s=entry.merge_s)
    return [replace(hit, t1_ns=min(hit.t1_ns, max(drive.t1_ns, hit.t0_ns))) for hit in lowest(spans, level, clock, worst)]


def _sky(drive: Drive, *names: str) -> Sky:
    """The drive's sky; NotEvaluable where it says none of these."""
    if not any(drive.sky.says(name) for name in names):
        raise NotEvaluable(f"no {' and no '.join(names)}")
    return drive.sky


def _highest(drive: Drive, entry: Scenario, name: str, quantity: str) -> list[Hit]:
    """Hits of rain or snow: the weather of that name, graded by what falls."""
    sky = _sky(drive, name)
    falls, counts = sky.at(drive.grid_ns, name), sky.weather(drive.grid_ns) == WEATHERS.index(quantity)
    masks = [counts & (falls >= limit) for limit in entry.limits(quantity)]
    return [replace(hit, peak=-hit.peak) for hit in _stretches(drive, entry, masks, -np.nan_to_num(falls))]


def rain(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches of rain."""
    return _highest(drive, entry, "rain_mmph", "rain")


def snow(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches of snowfall."""
    return _highest(drive, entry, "snow_mmph", "snow")


def fog(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches of short visibility that neither rain nor snow explains."""
    sky = _sky(drive, "visibility_m")
    view, counts = sky.at(drive.grid_ns, "visibility_m"), sky.weather(drive.grid_ns) == WEATHERS.index("fog")
    return _stretches(drive, entry, [counts & (view < limit) for limit in entry.limits("visibility")], np.nan_to_num(view, nan=np.inf))


def night_dusk(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches of dusk and night; the whole drive where only its pictures are dark."""
    if not drive.sky.known and drive.lighting is not None:
        night = drive.lighting == "night" and drive.t1_ns - drive.t0_ns >= entry.min_duration_s * NS
        return [Hit(drive.t0_ns, drive.t1_ns, drive.t0_ns, 0.0, 2)] if night else []
    sky = _sky(drive, "sun_elevation_deg", "illuminance_lx")
    dark, sun = sky.darkness(drive.grid_ns), sky.at(drive.grid_ns, "sun_elevation_deg")
    height = np.where(np.isnan(sun), sky.at(drive.grid_ns, "illuminance_lx"), sun)
    return _stretches(drive, entry, [dark >= 1, dark >= 2], np.nan_to_num(height))


def low_sun_glare(drive: Drive, entry: Scenario) -> list[Hit]:
    """Stretches in which a low sun stands ahead under a clear sky."""
    sky, ego = _sky(drive, "sun_elevation_deg"), drive.ego
    if ego.pose is None or not sky.says("sun_azimuth_rad"):
        raise NotEvaluable("no heading" if ego.pose is None else "no sun_azimuth_rad")
    heading, known = ego.at(drive.grid_ns, ego.pose[2]), ego.covers(drive.grid_ns)
    glare = known & sky.low_sun(drive.grid_ns, heading)
    off = sky.sun_off_deg(drive.grid_ns, heading)
    return _stretches(drive, entry, [glare], np.where(glare, np.nan_to_num(off, nan=180.0), 180.0))


DETECTORS: dict[str, Detector] = {
    "rain": rain,
    "snow": snow,
    "fog": fog,
    "night_dusk": night_dusk,
    "low_sun_glare": low_sun_glare,
}
