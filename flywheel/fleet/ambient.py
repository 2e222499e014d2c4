"""What the environment sensors read under each condition, and which condition each drive gets."""

import numpy as np

from flywheel.types import CONDITIONS, Condition, Lighting, Record, Weather

# sun elevation (deg), illuminance (lx), hour of the day (UTC)
LIGHT = {"day": (38.0, 40_000.0, 11.0), "dusk": (-3.0, 150.0, 19.0), "night": (-20.0, 3.0, 22.0), "low_sun": (8.0, 16_000.0, 17.5)}
# visibility (m), rain (mm/h), snow (mm/h), share of the daylight that is left
WEATHER = {
    "clear": (20_000.0, 0.0, 0.0, 1.0),
    "fog": (150.0, 0.0, 0.0, 0.4),
    "rain": (800.0, 5.0, 0.0, 0.3),
    "snow": (500.0, 0.0, 2.5, 0.4),
}
LOW_VISIBILITY: tuple[Weather, ...] = ("rain", "fog", "snow")


class Environment(Record):
    """One drive's environment; the sun's azimuth is in the world frame, counter-clockwise from +x."""

    sun_elevation_deg: float
    sun_azimuth_rad: float
    illuminance_lx: float
    visibility_m: float
    rain_mmph: float
    snow_mmph: float
    temperature_c: float


def environment(condition: Condition, *, seed: int) -> Environment:
    """The values for a condition, varied by up to 10 % with the seed; a low sun stands before the ego."""
    rng = np.random.default_rng([seed, 31])
    sun, lux, _ = LIGHT[condition.lighting]
    visibility, rain, snow, left = WEATHER[condition.weather]
    vary = [float(v) for v in rng.uniform(0.9, 1.1, size=4)]
    azimuth = rng.uniform(-0.25, 0.25) if condition.lighting == "low_sun" else rng.uniform(-2.5, -0.8)
    return Environment(
        sun_elevation_deg=round(sun * vary[0], 2), sun_azimuth_rad=round(float(azimuth), 4),
        illuminance_lx=round(lux * (left if condition.lighting != "night" else 1.0) * vary[1], 2),
        visibility_m=round(visibility * vary[2], 1), rain_mmph=round(rain * vary[3], 2), snow_mmph=round(snow * vary[3], 2),
        temperature_c=-1.5 if condition.weather == "snow" else 8.0 if condition.lighting == "night" else 16.0,
    )  # fmt: skip


def shown(air: Environment, planned: Condition) -> Condition:
    """The condition that these values are; a low sun only where one was planned."""
    falls: Weather = "rain" if air.rain_mmph >= 0.5 else "fog" if air.visibility_m < 1000 else "clear"
    weather = "snow" if air.snow_mmph >= 0.1 and air.temperature_c <= 2 else falls
    low = planned.lighting == "low_sun" and air.sun_elevation_deg <= 20 and weather == "clear"
    day: Lighting = "low_sun" if low else "day"
    return Condition(lighting="night" if air.sun_elevation_deg < -6 else "dusk" if air.sun_elevation_deg < 0 else day, weather=weather)


def condition_of(index: int, *, seed: int) -> Condition:
    """The condition of a drive: `day_clear` at two drives of five, the other twelve in turn at the rest."""
    if index % 5 in (0, 2):
        return Condition()
    others = [c for c in CONDITIONS if c.name != "day_clear"]
    rank = index // 5 * 3 + (0, 0, 1, 1, 2)[index % 5]
    order = np.random.default_rng([seed, 5]).permutation(len(others))
    return others[int(order[rank % len(others)])]


def night_low_visibility(turn: int) -> Condition:
    """Night with rain, fog or snow, in turn."""
    return Condition(lighting="night", weather=LOW_VISIBILITY[turn % len(LOW_VISIBILITY)])
