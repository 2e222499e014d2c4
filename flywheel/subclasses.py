"""What a source says of a road user beyond its class (TRACKS.subclass), and which sources can say what.

`subclass_of` is the one mapping from a source's own word to ours. A word that is not listed stands as it is, in lower case with
underscores, so that a reader fills the column in every row. `tells` is what mining asks before no animal counts as a negative.
"""

import re
from functools import cache

ANIMAL, DEBRIS, DOOR, EMERGENCY = "animal", "debris", "door", "emergency_vehicle"
# nuScenes' categories begin with what our class says already.
CATEGORY = re.compile(r"^(?:vehicle|human_pedestrian|movable_object|static_object)_")
# A source's word (lower case with underscores) to ours: Argoverse 2, PandaSet, nuScenes, MetaDrive, CommonRoad. What warns of works is
# a cone (barrels too), a barrier or a sign; any other sign is a road_sign.
OURS = {
    "dog": ANIMAL, "animals_other": ANIMAL, "animals_bird": ANIMAL,
    "emergencyvehicle": EMERGENCY, "priorityvehicle": EMERGENCY, "emergency_ambulance": EMERGENCY, "emergency_police": EMERGENCY,
    "construction_cone": "cone", "construction_barrel": "cone", "cones": "cone", "pylons": "cone", "traffic_cone": "cone",
    "trafficcone": "cone", "traffic_barrier": "barrier", "road_barriers": "barrier", "temporary_construction_barriers": "barrier",
    "construction_signs": "sign", "signs": "road_sign", "sign": "road_sign",
    "vehicle_construction": "construction_vehicle", "other_vehicle_construction_vehicle": "construction_vehicle",
    "parkedvehicle": "parked_vehicle",
}  # fmt: skip
# What annotators of these formats were told to mark. Other formats tell what the drive at hand shows that they tell.
TOLD = {
    "av2_sensor": frozenset({ANIMAL}),
    "av2_forecast": frozenset[str](),
    "pandaset": frozenset({ANIMAL, EMERGENCY}),
    "scenarionet": frozenset[str](),
    "commonroad": frozenset({EMERGENCY}),
    "physicalai": frozenset({ANIMAL}),
    "dgp": frozenset[str](),
}


@cache
def subclass_of(said: str) -> str | None:
    """Our word for a source's own; None for an empty one."""
    word = re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_")
    short = CATEGORY.sub("", word)
    return OURS.get(word) or OURS.get(short, short) or None


def tells(source_format: str, word: str, *, said: bool) -> bool:
    """Whether a format would say so if there were such a thing; `said` is whether the drive has any subclass at all."""
    return word in TOLD[source_format] if source_format in TOLD else said
