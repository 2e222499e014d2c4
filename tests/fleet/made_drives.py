"""Drives made by hand for the oracle: an ego and scripted actors on the first place's road, without SUMO."""

from collections.abc import Sequence

from flywheel.fleet.ambient import environment
from flywheel.fleet.drive import Drive
from flywheel.fleet.motion import Profile, along, lateral, profile
from flywheel.fleet.road import places, road_of
from flywheel.fleet.scene import ActorClass
from flywheel.fleet.script import Slot
from flywheel.fleet.simulate import scripted_mover
from flywheel.fleet.stage import Plan, Scripted, Shifts
from flywheel.types import Condition

PLACE = places(1)[0]
ROAD = road_of(PLACE)
SECONDS = 20.0


def steady(speed: float) -> Profile:
    return profile(speed, [], duration_s=SECONDS)


def car(prof: Profile, s_m: float, *, name: str = "other", lane: int = 0, shifts: Shifts = (), cls: ActorClass = "car") -> Scripted:
    """A vehicle whose box's centre is at s at the start."""
    return Scripted(name, cls, along(ROAD, prof, s0_m=s_m, d_of_s=lateral(PLACE.lane_d_m(lane), shifts)))


def made(
    prof: Profile, s_m: float = 200.0, *, others: Sequence[Scripted] = (), condition: str = "day_clear", shifts: Shifts = (), **plan: object
) -> Drive:
    """The drive of an ego on lane 0 (or with `shifts`), at s at the start; `plan` are fields of Plan."""
    ego = along(ROAD, prof, s0_m=s_m, d_of_s=lateral(PLACE.lane_d_m(0), shifts))
    look = Condition.parse(condition)
    whole = Plan("test", PLACE, look, SECONDS, ego, actors=tuple(others), **plan)  # type: ignore[arg-type]
    slot = Slot(index=0, vehicle_id="veh-01", place=0, day="2026-03-02", condition=look, act="quiet", near=False, turn=0)
    movers = tuple(scripted_mover(other) for other in others)
    return Drive(1, slot, whole, ego.since_start(), movers, (), environment(look, seed=1))
