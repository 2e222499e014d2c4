"""What a source says of a road user beyond its class (TRACKS.subclass), and which sources can say what.

`subclass_of` is the one mapping from a source's own word to ours. A word that is not listed stands as it is, in lower case with
underscores, so that a reader fills the column in every row. `tells` is what mining asks before no animal counts as a negative.
"""

import re
from functools import cache

ANIMAL, DEBRIS, DOOR, EMERGENCY = "animal", "debris", "door", "emergency_vehicle"
# A source's word (lower case with underscores) to ours: Argoverse 2, PandaSet, nuScenes, MetaDrive, CommonRoad, PhysicalAI.
OURS = {
    "dog": ANIMAL, "animals_other": ANIMAL, "animals_bird": ANIMAL,
    "movable_object_debris": DEBRIS,
    "emergencyvehicle": EMERGENCY, "priorityvehicle": EMERGENCY,
    "vehicle_emergency_ambulance": EMERGENCY, "vehicle_emergency_police": EMERGENCY,
    "construction_cone": "cone", "cones": "cone", "pylons": "cone", "traffic_cone": "cone", "movable_object_trafficcone": "cone",
    "construction_barrel": "barrel", "traffic_barrier": "barrier", "movable_object_barrier": "barrier", "road_barriers": "barrier",
    "temporary_construction_barriers": "barrier", "constructionzone": "construction", "signs": "sign",
    "construction_signs": "construction_sign", "mobile_pedestrian_crossing_sign": "sign",
    "vehicle_motorcycle": "motorcycle", "vehicle_bicycle": "bicycle", "vehicle_construction": "construction_vehicle",
    "other_vehicle_construction_vehicle": "construction_vehicle", "parkedvehicle": "parked_vehicle",
}  # fmt: skip
# What annotators of these formats were told to mark. Other formats tell what the drive at hand shows that they tell.
TOLD = {
    "av2_sensor": frozenset({ANIMAL}),
    "av2_forecast": frozenset[str](),
    "pandaset": frozenset({ANIMAL, EMERGENCY}),
    "scenarionet": frozenset[str](),
    "commonroad": frozenset({EMERGENCY}),
    "physicalai": frozenset({ANIMAL}),
}


@cache
def subclass_of(said: str) -> str | None:
    """Our word for a source's own; None for an empty one."""
    word = re.sub(r"[^a-z0-9]+", "_", said.strip().lower()).strip("_")
    return OURS.get(word, word) or None


def tells(source_format: str, word: str, *, said: bool) -> bool:
    """Whether a format would say so if there were such a thing; `said` is whether the drive has any subclass at all."""
    return word in TOLD[source_format] if source_format in TOLD else said
