"""Scripts made by light and weather on otherwise quiet drives: all along, or from or until some moment of the drive.

The environment is sampled once a second, so whatever changes does so on a whole second.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from flywheel.fleet.motion import profile
from flywheel.fleet.stage import NearMiss, Overlay, Plan, Stage
from flywheel.types import Condition, Lighting, Weather

RAIN_MMPH = {"L1": (0.7, 1.5), "L2": (2.5, 6.5), "L3": (10.0, 20.0)}
VISIBILITY_M = {"L1": (300.0, 800.0), "L2": (70.0, 160.0), "L3": (25.0, 42.0)}
DRY = {"rain_mmph": 0.0, "snow_mmph": 0.0, "visibility_m": 20_000.0}


def _lay(column: str, value: float, t0_s: float = 0.0, t1_s: float = 1e6) -> Overlay:
    """One value of the environment held between two times."""
    return Overlay("/environment", column, t0_s, t1_s, lambda t, before: np.full_like(t, round(value, 3)))


def _drive(stage: Stage, kind: str, *lays: Overlay, why: str = "") -> Plan:
    """A quiet drive along the road under a sky."""
    v0, lane = stage.pick(11, 14), int(stage.rng.integers(stage.place.lanes))
    ego = stage.ego(profile(v0, [], duration_s=stage.duration_s), lane=lane, at=(0.0, stage.pick(180, 330)))
    near = (NearMiss(scenario=kind, t0_s=0.0, t1_s=stage.duration_s, why=why),) if why else ()
    name = f"near_{kind}" if why else kind
    return replace(stage.plan(name, ego), overlays=lays, near=near, fellows=stage.company(lane, speed_mps=v0)[:2])


def _partly(stage: Stage, without: dict[str, float]) -> tuple[Overlay, ...]:
    """Nothing, or what makes the condition begin (or end) somewhere in the drive."""
    mode, begins, ends = int(stage.rng.integers(3)), float(stage.rng.integers(5, 12)), float(stage.rng.integers(13, 20))
    span = {0: None, 1: (0.0, begins), 2: (ends, 1e6)}[mode]
    return tuple(_lay(column, value, *span) for column, value in without.items()) if span else ()


def _shower(stage: Stage, column: str, value: float) -> tuple[Overlay, ...]:
    """Eight seconds of something."""
    t0 = float(stage.rng.integers(6, 12))
    return (_lay(column, value, t0, t0 + 8.0),)


def rain(stage: Stage, level: str) -> Plan:
    """Light, moderate or heavy rain."""
    return _drive(stage, "rain", _lay("rain_mmph", stage.pick(*RAIN_MMPH[level])), *_partly(stage, DRY))


def near_rain(stage: Stage) -> Plan:
    """A drizzle, or a shower of 8 s."""
    if stage.turn % 8 == 2:
        return _drive(stage, "rain", _lay("rain_mmph", stage.pick(0.3, 0.42)), why="a drizzle of about 0.4 mm/h, under 0.5")
    return _drive(stage, "rain", *_shower(stage, "rain_mmph", 3.0), why="a shower of 8 s, under 10 s")


def fog(stage: Stage, level: str) -> Plan:
    """Light, thick or dense fog."""
    return _drive(stage, "fog", _lay("visibility_m", stage.pick(*VISIBILITY_M[level])), *_partly(stage, DRY))


def near_fog(stage: Stage) -> Plan:
    """A haze, or a bank of fog of 8 s."""
    if stage.turn % 8 == 2:
        return _drive(stage, "fog", _lay("visibility_m", stage.pick(1150, 1300)), why="haze: visibility over 1100 m")
    return _drive(stage, "fog", *_shower(stage, "visibility_m", 300.0), why="a bank of fog of 8 s, under 10 s")


def snow(stage: Stage, level: str) -> Plan:
    """Snowfall."""
    return _drive(stage, "snow", _lay("snow_mmph", stage.pick(0.4, 3.0)), *_partly(stage, DRY))


def near_snow(stage: Stage) -> Plan:
    """A few flakes, or a flurry of 8 s."""
    freezing = _lay("temperature_c", -1.0)
    if stage.turn % 8 == 2:
        return _drive(stage, "snow", freezing, _lay("snow_mmph", stage.pick(0.06, 0.085)), why="flakes: under 0.1 mm/h")
    return _drive(stage, "snow", freezing, *_shower(stage, "snow_mmph", 1.0), why="a flurry of 8 s, under 10 s")


def night_dusk(stage: Stage, level: str) -> Plan:
    """Dusk or night, or the sun goes down, or comes up, during the drive."""
    return _drive(stage, "night_dusk", *_partly(stage, {"sun_elevation_deg": 0.8}))


def near_night_dusk(stage: Stage) -> Plan:
    """The sun is just above the horizon, behind the ego."""
    return _drive(stage, "night_dusk", _lay("sun_elevation_deg", stage.pick(0.4, 1.2)), why="the sun is still above the horizon")


def low_sun_glare(stage: Stage, level: str) -> Plan:
    """A low sun ahead until the road bends away from it or it rises; or it comes out of the clouds."""
    return _drive(stage, "low_sun_glare", *_partly(stage, {"sun_elevation_deg": 24.0}))


def near_low_sun_glare(stage: Stage) -> Plan:
    """The sun is a little too high, or a little too far to the side."""
    if stage.turn % 8 == 2:
        return _drive(
            stage,
            "low_sun_glare",
            _lay("sun_elevation_deg", stage.pick(23, 26)),
            _lay("sun_azimuth_rad", 0.1),
            why="the sun is over 22 degrees high",
        )
    side = float(np.radians(stage.pick(36, 42))) * -np.sign(stage.place.turn_rad)
    return _drive(
        stage, "low_sun_glare", _lay("sun_elevation_deg", 9.0), _lay("sun_azimuth_rad", side), why="the sun is over 35 degrees to the side"
    )


def _under(turn: int, near: bool, *, lighting: Lighting = "day", weather: Weather = "clear") -> Condition:
    """The condition that the act asks for; near misses have a plain day."""
    return Condition() if near else Condition(lighting=lighting, weather=weather)


def _dark(turn: int, near: bool) -> Condition:
    """Dusk and night in turn."""
    return _under(turn, near, lighting="dusk" if turn % 2 == 0 else "night")


PLANTED: dict[str, tuple[Callable[[Stage, str], Plan], tuple[str, ...]]] = {
    "rain": (rain, ("L2", "L1", "L3")),
    "fog": (fog, ("L2", "L1", "L3")),
    "snow": (snow, ("L1",)),
    "night_dusk": (night_dusk, ("L1", "L2")),
    "low_sun_glare": (low_sun_glare, ("L1",)),
}
NEAR: dict[str, Callable[[Stage], Plan]] = {
    "rain": near_rain,
    "fog": near_fog,
    "snow": near_snow,
    "night_dusk": near_night_dusk,
    "low_sun_glare": near_low_sun_glare,
}
CHOSEN: dict[str, Callable[[int, bool], Condition]] = {
    "rain": partial(_under, weather="rain"),
    "fog": partial(_under, weather="fog"),
    "snow": partial(_under, weather="snow"),
    "night_dusk": _dark,
    "low_sun_glare": partial(_under, lighting="low_sun"),
}
