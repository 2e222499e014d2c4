"""The scenario catalogue as data: what counts, how severe, which signals it needs, and where the numbers come from.

Every number a detector uses comes from here, so the digest of an entry names exactly what was mined.
"""

from typing import Literal

from flywheel.errors import BadData
from flywheel.types import Level, Record

DETECTOR_VERSION = "1"
MERGE_S = 2.0
EXIT_RATIO = 0.6

Signal = Literal["ego speed", "acceleration", "path", "tracks", "lanes", "lights", "environment", "streams"]


class Threshold(Record):
    """One comparison: `quantity` against `value` in `unit`; all of a level's must hold."""

    quantity: str
    sign: Literal["<=", ">=", "<", ">"]
    value: float
    unit: str


class Scenario(Record):
    """One catalogue entry; `settings` are the fixed numbers of its definition, with the unit in the name."""

    name: str
    row: int
    definition: str
    levels: dict[Level, tuple[Threshold, ...]]
    settings: dict[str, float]
    min_duration_s: float
    merge_s: float = MERGE_S
    exit_ratio: float = EXIT_RATIO
    signals: tuple[Signal, ...]
    peak: str
    peak_unit: str
    source: str
    nearest_tag: str
    detector_version: str = DETECTOR_VERSION

    def limit(self, level: Level, quantity: str) -> float:
        """The threshold of a quantity at a level; KeyError if the level has none."""
        return {threshold.quantity: threshold.value for threshold in self.levels[level]}[quantity]

    def limits(self, quantity: str) -> tuple[float, ...]:
        """The thresholds of a quantity, mildest level first."""
        return tuple(self.limit(level, quantity) for level in sorted(self.levels))


def _grades(quantity: str, sign: Literal["<=", ">="], unit: str, *values: float) -> dict[Level, tuple[Threshold, ...]]:
    names: tuple[Level, ...] = ("L1", "L2", "L3")
    return {name: (Threshold(quantity=quantity, sign=sign, value=value, unit=unit),) for name, value in zip(names, values, strict=False)}


HARD_BRAKING = Scenario(
    name="hard_braking", row=1,
    definition="Longitudinal acceleration at or below the threshold, entered at 3 m/s or more (2 Hz zero-phase low-pass).",
    levels=_grades("acceleration", "<=", "m/s2", -3.0, -4.05, -6.4), settings={"entry_speed_mps": 3.0, "low_pass_hz": 2.0},
    min_duration_s=0.3, signals=("ego speed", "acceleration"), peak="strongest deceleration", peak_unit="m/s2",
    source="-4.05 is nuPlan's comfort bound; 0.65 g is the SHRP2 trigger (unverified); -3.0 project default",
    nearest_tag="nuPlan high_magnitude_jerk; CoC StrongDeceleration",
)  # fmt: skip

CUT_IN = Scenario(
    name="cut_in", row=7,
    definition=(
        "A vehicle from an adjacent lane whose nearest side (its centre less half its width) comes more than 0.3 m inside the ego lane, "
        "ahead of the ego, and which becomes the lead within 50 m. L1: time headway at intrusion; L2: time to collision below "
        "v_rel / 12 + 0.35 s. The ego's own lane change makes none. It ends when "
        "the vehicle's centre is within 0.5 m of the lane's centre, at the latest after 3 s."
    ),
    levels={
        "L1": (Threshold(quantity="headway", sign="<=", value=2.0, unit="s"),),
        "L2": (
            Threshold(quantity="headway", sign="<=", value=2.0, unit="s"),
            Threshold(quantity="ttc_offset", sign="<", value=0.35, unit="s above v_rel / 12 m/s2"),
        ),
    },
    settings={"intrusion_m": 0.3, "max_gap_m": 50.0, "ttc_slope_mps2": 12.0, "settled_m": 0.5, "longest_s": 3.0, "look_back_s": 4.0},
    min_duration_s=0.3, signals=("ego speed", "path", "tracks", "lanes"), peak="time headway at intrusion", peak_unit="s",
    source="UN R157 cut-in model as in esmini ControllerALKS_R157SM", nearest_tag="none in nuPlan (issue 78); WOD-E2E Cut-ins",
)  # fmt: skip

LOW_TTC = Scenario(
    name="low_ttc", row=10,
    definition=(
        "Time to collision with the nearest vehicle or cyclist on the ego's path (boxes overlap laterally, heading within 45 degrees), "
        "closing at 1 m/s or more; the gap runs from front bumper to rear end. Where no map is known the path is the arc of the yaw rate."
    ),
    levels=_grades("ttc", "<=", "s", 3.0, 1.5, 0.95), settings={"closing_mps": 1.0, "aligned_deg": 45.0, "reach_m": 80.0},
    min_duration_s=0.2, signals=("ego speed", "path", "tracks"), peak="shortest time to collision", peak_unit="s",
    source="3.0 SUMO SSM default; 0.95 nuPlan fail bound; 1.5 common (unverified)", nearest_tag="SUMO SSM TTC",
)  # fmt: skip

PEDESTRIAN_CROSSING = Scenario(
    name="pedestrian_crossing", row=15,
    definition=(
        "A pedestrian who walks across the ego's predicted path (1.2 m to either side), ahead of the bumper by no more than 4 s of travel "
        "or 8 m. Walking along the road is not crossing. The level is the shortest arrival time while inside."
    ),
    levels=_grades("arrival", "<=", "s", 3.0, 2.0, 1.0),
    settings={"half_width_m": 1.2, "horizon_s": 4.0, "near_m": 8.0, "walking_mps": 0.2, "slowest_mps": 0.1},
    min_duration_s=0.5, signals=("ego speed", "path", "tracks"), peak="shortest arrival time", peak_unit="s",
    source="nuPlan waiting_for_pedestrian_to_cross (8 m); UN R152 (secondary source)", nearest_tag="nuPlan waiting_for_pedestrian_to_cross",
)  # fmt: skip

RED_LIGHT_STOP = Scenario(
    name="red_light_stop", row=22,
    definition="Standing (below 0.3 m/s) for 1 s or more with the front bumper 0 to 5 m before the stop line of a red light.",
    levels=_grades("standing", ">=", "s", 1.0), settings={"standstill_mps": 0.3, "stop_line_m": 5.0},
    min_duration_s=1.0, signals=("ego speed", "lights"), peak="distance to the stop line", peak_unit="m",
    source="nuPlan stopping_at_traffic_light_* (secondary source)", nearest_tag="nuPlan stopping_at_traffic_light_with_lead",
)  # fmt: skip

NIGHT_LANE_CHANGE = Scenario(
    name="night_intersection_lane_change", row=26,
    definition=(
        "A lane change (lane index changes while the lateral speed is 0.1 m/s or more) inside a junction or up to 30 m from one, at night "
        "(sun below -6 degrees or under 20 lx) and in low visibility (under 1000 m, or rain of 1.9 mm/h or more)."
    ),
    levels=_grades("lateral_speed", ">=", "m/s", 0.1),
    settings={"junction_m": 30.0, "sun_deg": -6.0, "illuminance_lx": 20.0, "visibility_m": 1000.0, "rain_mmph": 1.9},
    min_duration_s=1.0, signals=("ego speed", "lanes", "environment"), peak="highest lateral speed", peak_unit="m/s",
    source="composite; bins from OSI; lateral speed from RefAV", nearest_tag="nuPlan changing_lane",
)  # fmt: skip

CURVE_SPEED = Scenario(
    name="curve_speed_adaptation", row=28,
    definition=(
        "Mean longitudinal acceleration of -2.0 to -0.5 m/s2 for 2 s or more without a lead closer than 3 s, then a radius of 200 m or "
        "less within 5 s, with a lateral acceleration of 1.5 to 3.0 m/s2 at the apex. A lead can only be ruled out where there are tracks."
    ),
    levels=_grades("deceleration", ">=", "m/s2", 0.5),
    settings={
        "strongest_mps2": 2.0, "lead_headway_s": 3.0, "radius_m": 200.0, "within_s": 5.0, "apex_low_mps2": 1.5, "apex_high_mps2": 3.0,
        "low_pass_hz": 2.0, "least_speed_mps": 3.0,
    },
    min_duration_s=2.0, signals=("ego speed", "acceleration", "path"), peak="lateral acceleration at the apex", peak_unit="m/s2",
    source="CoC decision Adapt Speed; 3.0 from ISO 11270", nearest_tag="CoC Adapt Speed",
)  # fmt: skip

SENSOR_DROPOUT = Scenario(
    name="sensor_dropout", row=42,
    definition=(
        "A stream that the drive has (ego state, IMU, GNSS or a camera) is silent for more than three of its periods and 0.5 s or more; "
        "from the last sample before to the first after."
    ),
    levels=_grades("gap", ">=", "s", 0.5, 2.0, 5.0), settings={"periods": 3.0},
    min_duration_s=0.5, signals=("streams",), peak="longest gap", peak_unit="s",
    source="openpilot process and camera checks; 3 periods project default", nearest_tag="openpilot commIssue",
)  # fmt: skip

_ALL = (HARD_BRAKING, CUT_IN, LOW_TTC, PEDESTRIAN_CROSSING, RED_LIGHT_STOP, NIGHT_LANE_CHANGE, CURVE_SPEED, SENSOR_DROPOUT)


def catalogue() -> list[Scenario]:
    """All scenarios, in the order of their catalogue rows."""
    return list(_ALL)


def scenario(name: str) -> Scenario:
    """One entry; BadData if there is none of that name."""
    for entry in _ALL:
        if entry.name == name:
            return entry
    raise BadData(f"no scenario {name!r}: the catalogue has {', '.join(entry.name for entry in _ALL)}")
