"""A mined event as ASAM OpenLABEL 1.0 scenario tags, checked against the standard's own JSON schema.

Tags of behaviour, road users and ODD use the words of the OpenLABEL scenario ontology; what that does not know (our scenario, its level,
its peak) is tagged in an ontology of our own.
"""

from collections.abc import Iterator
from typing import Any

from flywheel.errors import BadData, require
from flywheel.look.event import Excerpt
from flywheel.mine.catalogue import scenario
from flywheel.types import canonical_json

ASAM = "https://openlabel.asam.net/V1-0-0/ontologies/openlabel_ontology_scenario_tags.ttl"
OURS = "https://github.com/scenario-flywheel/scenario-flywheel/blob/main/flywheel/mine/scenarios"
# Behaviour of the scenario's name, as far as the ontology has a word for it.
MOTION = {
    "cut_in": ("MotionCutIn",), "cut_out_reveal": ("MotionCutOut",), "hard_braking": ("MotionDecelerate",),
    "hard_acceleration": ("MotionAccelerate",), "lead_brakes": ("MotionDecelerate",), "u_turn": ("MotionUTurn",),
    "pedestrian_crossing": ("MotionCross", "MotionWalk"), "jaywalker_night": ("MotionCross", "MotionWalk"),
    "cyclist_crossing": ("MotionCross",), "crossing_near_miss": ("MotionCross",), "red_light_stop": ("MotionStop",),
    "unprotected_left": ("MotionTurnLeft",), "low_grip_slip": ("MotionSlide",), "cyclist_close_pass": ("MotionOvertake",),
    "curve_speed_adaptation": ("MotionDecelerate",), "oncoming_incursion": ("MotionTowards",), "wrong_way_vehicle": ("MotionTowards",),
}  # fmt: skip
WEATHER = {"rain": ("WeatherRain",), "snow": ("WeatherSnow",), "fog": ("ParticulatesWater",)}
LIGHTING = {
    "day": ("IlluminationDay",), "night": ("IlluminationLowLight", "LowLightNight"), "dusk": ("IlluminationLowLight", "LowLightAmbient"),
    "low_sun": ("IlluminationDay", "SunPositionFront"),
}  # fmt: skip
USERS = {
    "car": ("RoadUserVehicle", "VehicleCar"), "truck": ("RoadUserVehicle", "VehicleTruck"), "bus": ("RoadUserVehicle", "VehicleBus"),
    "pedestrian": ("RoadUserHuman", "HumanPedestrian"), "cyclist": ("RoadUserHuman", "HumanCyclist", "VehicleCycle"),
    "animal": ("RoadUserAnimal",),
    "emergency_vehicle": ("RoadUserVehicle", "VehicleEmergency"), "motorcycle": ("RoadUserVehicle", "VehicleMotorcycle"),
}  # fmt: skip


def openlabel(event: Excerpt) -> dict[str, Any]:
    """The document: one tag for each thing there is to say."""
    row, drive = event.event, event.row
    return {"openlabel": {
        "metadata": {
            "schema_version": "1.0.0", "name": row["event_id"], "annotator": f"scenario-flywheel {row['detector_version']}",
            "tagged_file": drive["source_name"], "comment": scenario(row["scenario"]).definition,
        },
        "ontologies": {"0": ASAM, "1": OURS},
        "tags": {str(number): tag for number, tag in enumerate(_tags(event))},
    }}  # fmt: skip


def _tags(event: Excerpt) -> Iterator[dict[str, Any]]:
    row, drive = event.event, event.row
    yield _text("scenarioUniqueReference", row["event_id"])
    yield _text("scenarioName", row["scenario"])
    yield _text("scenarioParentReference", row["drive_id"])
    if drive["licence"]:
        yield _text("licenseURI", drive["licence"])
    lighting, _, weather = row["condition"].rpartition("_")
    for name in (*MOTION.get(row["scenario"], ()), *LIGHTING.get(lighting, ()), *WEATHER.get(weather, ())):
        yield {"type": name, "ontology_uid": "0"}
    yield from ({"type": name, "ontology_uid": "0"} for name in _users(event))
    texts = {name: row[name] for name in ("level", "params_sha256")}
    yield {"type": row["scenario"], "ontology_uid": "1", "tag_data": {
        "text": [{"name": name, "val": value, "type": "value"} for name, value in texts.items()],
        "num": [{"name": f"peak, {row['peak_unit']}", "val": row["peak"], "type": "value"}],
        "vec": [{"name": "t0_ns, t1_ns", "val": [str(row["t0_ns"]), str(row["t1_ns"])], "type": "values"}],
    }}  # fmt: skip


def _text(name: str, value: str) -> dict[str, Any]:
    return {"type": name, "ontology_uid": "0", "tag_data": {"text": [{"name": name, "val": value, "type": "value"}]}}


def _users(event: Excerpt) -> list[str]:
    """Tags of the road users that took part."""
    tracks = event.table("TRACKS", "track_id", "cls", "subclass").to_pylist()
    kinds = {kind for row in tracks if row["track_id"] in event.event["actors"] for kind in (row["cls"], row["subclass"])}
    return sorted({name for kind in kinds for name in USERS.get(kind, ())})


def openlabel_json(event: Excerpt) -> bytes:
    """The document as JSON, validated by openlabel-checker; BadData with what is wrong if it is not sound."""
    checker = require("openlabel_checker.core", extra="mine")
    data = canonical_json(openlabel(event))
    issues = [
        f"{issue.path}: {issue.message}" for issue in checker.check_text(data.decode(), "event").issues if issue.severity.value != "info"
    ]
    if issues:
        raise BadData(f"{event.event['event_id']}: no valid OpenLABEL: {'; '.join(issues[:5])}")
    return data
