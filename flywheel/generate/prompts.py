"""Prompts written from structured targets, and recipes: functions that return a whole generation setting."""

from collections.abc import Callable

from flywheel.types import CONDITIONS, Condition, Lighting, Record, Weather

LIGHTING_WORDS: dict[Lighting, str] = {
    "day": "in daylight",
    "dusk": "at dusk, dim blue light, headlights on",
    "night": "at night, dark sky, lit by street lamps and headlights",
    "low_sun": "with a low sun ahead, glare and long shadows",
}
WEATHER_WORDS: dict[Weather, str] = {
    "clear": "clear weather, dry road",
    "fog": "dense fog, pale sky, distant objects fading",
    "rain": "heavy rain, wet reflecting road",
    "snow": "falling snow, road and verges covered in snow",
}
SCENARIO_WORDS: dict[str, str] = {
    "hard_braking": "the car brakes hard",
    "cut_in": "a vehicle cuts in from the next lane",
    "low_ttc": "closing in fast on the vehicle ahead",
    "pedestrian_crossing": "a pedestrian crosses the road ahead",
    "red_light_stop": "stopping at a red traffic light",
    "night_intersection_lane_change": "changing lanes close to an intersection",
    "curve_speed_adaptation": "slowing down for a bend",
    "sensor_dropout": "an ordinary street",
    "reference": "an ordinary street",
}
NEGATIVE_PROMPT = "changed road layout, added or missing vehicles, added or missing people, warped lanes, text, watermark, cartoon"


class Recipe(Record):
    """A whole generation setting: which targets, how many variations in a batch and of each key frame."""

    name: str
    targets: tuple[Condition, ...] = CONDITIONS
    budget: int = 24
    per_event: int = 2


def prompt_for(scenario: str, condition: Condition) -> str:
    """The positive prompt for a scenario under a condition; a scenario without words of its own is named as it is."""
    what = SCENARIO_WORDS.get(scenario, scenario.replace("_", " "))
    return (
        f"dashcam photograph, front camera, {what}, {LIGHTING_WORDS[condition.lighting]}, {WEATHER_WORDS[condition.weather]}, "
        "same road, same lanes, same vehicles and people in the same places, photorealistic"
    )


def thin_cells_v1() -> Recipe:
    """Every condition, thinnest scenario x condition cells first."""
    return Recipe(name="thin_cells_v1")


def night_rain_v1() -> Recipe:
    """Rain at night only: the condition where cameras lose most."""
    return Recipe(name="night_rain_v1", targets=(Condition(lighting="night", weather="rain"),))


def adverse_weather_v1() -> Recipe:
    """Fog, rain and snow by day, at dusk and at night."""
    return Recipe(name="adverse_weather_v1", targets=tuple(c for c in CONDITIONS if c.weather != "clear"))


RECIPES: dict[str, Callable[[], Recipe]] = {
    "thin_cells_v1": thin_cells_v1,
    "night_rain_v1": night_rain_v1,
    "adverse_weather_v1": adverse_weather_v1,
}
