"""The atomic relations a query may ask for: their names, parameters and defaults, after Argoverse 2 scenario mining.

Names and defaults are RefAV's (CainanD/RefAV, atomic_functions.py) where it has them; parameters carry their units here. The subject is
the ego, or the track of the `some` around it; `of` is the ego or a class of other tracks.
"""

from typing import Literal

from pydantic import Field

from flywheel.types import Record

Side = Literal["left", "right"]
Way = Literal["forward", "backward", "left", "right"]


class Relation(Record):
    """What all relations share: the name by which a query asks for one."""

    relation: str


class Stationary(Relation):
    """The subject keeps within 3 m as long as it is seen: parked, not waiting."""


class HasVelocity(Relation):
    """Its speed is within bounds."""

    min_mps: float = 0.5
    max_mps: float = Field(default=1e3, gt=0)


class Accelerating(Relation):
    """Its acceleration along its heading is within bounds (negative: braking); never for what is stationary."""

    min_mps2: float = 0.65
    max_mps2: float = 1e3


class HasLateralAcceleration(Relation):
    """Its acceleration to its left is within bounds (negative: to the right)."""

    min_mps2: float = -1e3
    max_mps2: float = 1e3


class Turning(Relation):
    """It turns one way without a break by 45 degrees or more; 15 at over 5 degrees a second where the log cuts the turn off."""

    direction: Side | None = None
    turned_deg: float = 45.0
    clipped_deg: float = 15.0
    clipped_degps: float = 5.0


class ChangingLanes(Relation):
    """It moves sideways (0.1 m/s or more, to 60 % of that) over a line between two lanes."""

    direction: Side | None = None
    lateral_mps: float = 0.1
    exit_ratio: float = 0.6


class CrossingLaneLine(Relation):
    """The moment in which its lane becomes another one while it moves sideways (ours)."""

    direction: Side | None = None
    lateral_mps: float = 0.1


class NearIntersection(Relation):
    """It is in a junction or so near one along the ego's way. What lies across the ego's way is not seen."""

    within_m: float = Field(default=5.0, ge=0)


class OnIntersection(Relation):
    """It is in a junction on the ego's way."""


class AtPedestrianCrossing(Relation):
    """It is on a crosswalk on the ego's way, or so near one."""

    within_m: float = Field(default=1.0, ge=0)


class InDrivableArea(Relation):
    """Its centre lies between the edges of the road the ego drives."""


class AtStopSign(Relation):
    """The ego's next stop line is so near and ruled by a stop sign."""

    forward_m: float = Field(default=10.0, gt=0)


class NearObjects(Relation):
    """So many others are so near, from box to box."""

    of: str | tuple[str, ...]
    within_m: float = Field(default=10.0, gt=0)
    min_number: int = Field(default=1, ge=1)


class HasObjectsInRelativeDirection(Relation):
    """So many others lie ahead, behind, left or right of it, overlapping its outline widened by `lateral_m`."""

    of: str | tuple[str, ...]
    direction: Way = "forward"
    within_m: float = Field(default=50.0, gt=0)
    lateral_m: float = Field(default=1e3, ge=0)
    min_number: int = Field(default=1, ge=1)


class BeingCrossedBy(Relation):
    """Another's centre crosses one of its sides' lines, prolonged ahead (or another way), at 0.2 m/s or more; until 5 m beyond."""

    of: str | tuple[str, ...]
    direction: Way = "forward"
    forward_m: float = Field(default=10.0, gt=0)
    lateral_m: float = Field(default=5.0, gt=0)
    min_mps: float = 0.2


class Following(Relation):
    """It has the other ahead in its lane: within 25 m of its front, 5 m sideways, headings within 60 degrees."""

    of: str | tuple[str, ...]
    within_m: float = 25.0
    lateral_m: float = 5.0
    min_cos: float = 0.5


class FacingToward(Relation):
    """The other lies within an angle to either side of its heading."""

    of: str | tuple[str, ...]
    within_deg: float = Field(default=22.5, gt=0, le=180)
    within_m: float = 50.0


class HeadingToward(Relation):
    """It moves towards the other: within an angle of the line to it, nearing it at 0.5 m/s or more."""

    of: str | tuple[str, ...]
    within_deg: float = Field(default=22.5, gt=0, le=180)
    min_mps: float = 0.5
    within_m: float = 1e3


class HeadingInRelativeDirectionTo(Relation):
    """It travels the same way as the other (within 45 degrees), the opposite way (over 135) or across."""

    of: str | tuple[str, ...]
    direction: Literal["same", "opposite", "perpendicular"]


class InSameLane(Relation):
    """It is in the lane of the other, counted across the ego's road."""

    of: str | tuple[str, ...]


RELATIONS: dict[str, type[Relation]] = {
    "stationary": Stationary, "has_velocity": HasVelocity, "accelerating": Accelerating,
    "has_lateral_acceleration": HasLateralAcceleration, "turning": Turning, "changing_lanes": ChangingLanes,
    "crossing_lane_line": CrossingLaneLine, "near_intersection": NearIntersection, "on_intersection": OnIntersection,
    "at_pedestrian_crossing": AtPedestrianCrossing, "in_drivable_area": InDrivableArea, "on_drivable_area": InDrivableArea,
    "at_stop_sign": AtStopSign, "near_objects": NearObjects, "has_objects_in_relative_direction": HasObjectsInRelativeDirection,
    "being_crossed_by": BeingCrossedBy, "following": Following, "facing_toward": FacingToward, "heading_toward": HeadingToward,
    "heading_in_relative_direction_to": HeadingInRelativeDirectionTo, "in_same_lane": InSameLane,
}  # fmt: skip
