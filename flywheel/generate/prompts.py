"""Prompts written from structured targets: scenario, condition, the actors in the frame. Equal targets give equal words.

A description says what the picture shall show, an instruction what shall change, and an object's words what shall be drawn into a
mask. Text encoders of the CLIP kind read 77 tokens: the light and the weather come first, so that what is cut off matters least.
"""

from collections import Counter
from collections.abc import Sequence

from flywheel.generate.inserts import PlannedObject
from flywheel.generate.protocol import GeneratorInfo
from flywheel.geometry import ImageBox
from flywheel.types import Condition, Lighting, Record, Weather

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
# What a picture of the target must not show: what the other lightings and weathers look like.
NOT_LIGHTING: dict[Lighting, str] = {
    "day": "night, dark sky", "dusk": "bright noon", "night": "daylight, bright sky", "low_sun": "overcast, night",
}  # fmt: skip
NOT_WEATHER: dict[Weather, str] = {
    "clear": "rain, fog, snow", "fog": "clear view, blue sky", "rain": "dry road, blue sky", "snow": "green grass, dry road",
}  # fmt: skip
SCENARIO_WORDS: dict[str, str] = {
    "hard_braking": "the car brakes hard",
    "hard_acceleration": "pulling away fast",
    "hard_cornering": "a sharp bend",
    "swerve": "swerving around something",
    "cut_in": "a vehicle cuts in from the next lane",
    "cut_out_reveal": "the vehicle ahead moves out and reveals a slow one",
    "lead_brakes": "the vehicle ahead brakes",
    "low_ttc": "closing in fast on the vehicle ahead",
    "low_thw": "close behind the vehicle ahead",
    "crossing_near_miss": "a vehicle crosses close ahead",
    "pedestrian_crossing": "a pedestrian crosses the road ahead",
    "cyclist_crossing": "a cyclist crosses the road ahead",
    "cyclist_close_pass": "passing a cyclist",
    "vru_occlusion_reveal": "a pedestrian steps out from behind a parked car",
    "jaywalker_night": "a pedestrian crosses away from any crosswalk",
    "dense_crowd": "many pedestrians",
    "parked_car_door": "a parked car's open door",
    "red_light_stop": "stopping at a red traffic light",
    "unprotected_left": "turning left across oncoming traffic",
    "night_intersection_lane_change": "changing lanes close to an intersection",
    "curve_speed_excess": "a sharp bend",
    "curve_speed_adaptation": "slowing down for a bend",
    "merge": "lanes merging",
    "construction_nudge": "traffic cones and barriers of road works",
    "stationary_object": "a stationary vehicle in the lane",
    "debris": "debris on the road",
    "emergency_vehicle": "an emergency vehicle with flashing lights",
    "wrong_way_vehicle": "a vehicle coming the wrong way",
    "oncoming_incursion": "an oncoming vehicle over the centre line",
    "animal": "an animal on the road",
    "speed_bump_pothole": "an uneven road",
    "sensor_dropout": "an ordinary street",
    "reference": "an ordinary street",
}
NEGATIVE_PROMPT = "changed road layout, added or missing vehicles, added or missing people, warped lanes, text, watermark, cartoon"
NOT_OBJECT = "several objects, floating, cropped, deformed, text, watermark, cartoon"
PLURALS = {
    "pedestrian": "pedestrians",
    "cyclist": "cyclists",
    "car": "cars",
    "truck": "trucks",
    "bus": "buses",
    "motorcycle": "motorcycles",
}
NUMBERS = ("no", "one", "two", "three", "four", "five")


class Prompt(Record):
    """What to show and what not to show."""

    positive: str
    negative: str


def actors_in(boxes: Sequence[ImageBox]) -> dict[str, int]:
    """How many of each class a frame shows, by name; classes we have no words for are left out."""
    return dict(sorted(Counter(box.cls for box in boxes if box.cls in PLURALS).items()))


def actors_words(actors: dict[str, int]) -> str:
    """Actors as words: `one car, two pedestrians`; empty for none."""
    many = {cls: NUMBERS[count] if count < len(NUMBERS) else "many" for cls, count in actors.items() if count}
    return ", ".join(f"{many[cls]} {cls if actors[cls] == 1 else PLURALS[cls]}" for cls in many)


def prompt_for(scenario: str, condition: Condition, actors: dict[str, int] | None = None) -> str:
    """The description of a scenario under a condition; a scenario without words of its own is named as it is."""
    what = SCENARIO_WORDS.get(scenario, scenario.replace("_", " "))
    who = actors_words(actors or {})
    looks = f"dashcam photograph, front camera, {LIGHTING_WORDS[condition.lighting]}, {WEATHER_WORDS[condition.weather]}, {what}, "
    return f"{looks}{who + ', ' if who else ''}same road, same lanes, everything in the same place, photorealistic"


def instruction_for(source: Condition, target: Condition) -> str:
    """What shall change from the source to the target, and that nothing else shall."""
    light = f"make it {LIGHTING_WORDS[target.lighting]}" if target.lighting != source.lighting else ""
    weather = f"turn the weather into {WEATHER_WORDS[target.weather]}" if target.weather != source.weather else ""
    change = " and ".join(part for part in (light, weather) if part) or "make it look the same"
    return f"{change}, keep the road, the lanes and every vehicle and person where they are"


def object_words(planned: PlannedObject, condition: Condition) -> str:
    """The words for an object to be drawn into a frame under the condition it shows."""
    return f"{planned.words}, {LIGHTING_WORDS[condition.lighting]}, {WEATHER_WORDS[condition.weather]}, dashcam photograph, photorealistic"


def negative_for(target: Condition) -> str:
    """What a picture of the target must not show."""
    return f"{NOT_LIGHTING[target.lighting]}, {NOT_WEATHER[target.weather]}, {NEGATIVE_PROMPT}"


def prompts_for(
    info: GeneratorInfo, *, scenario: str, source: Condition, target: Condition, actors: dict[str, int], insert: PlannedObject | None = None
) -> Prompt:  # fmt: skip
    """The prompts in the words that the engine listens to (its parameter `prompts`; a description where it names none)."""
    if insert is not None:
        return Prompt(positive=object_words(insert, target), negative=NOT_OBJECT)
    if info.parameters.get("prompts") == "instruction":
        return Prompt(positive=instruction_for(source, target), negative=negative_for(target))
    return Prompt(positive=prompt_for(scenario, target, actors), negative=negative_for(target))
