"""Makes a sample fleet: one MCAP log a drive, and what truly happened in `truth.json`, which is written last."""

from dataclasses import dataclass

from flywheel.fleet.drive import drive_of, instants, world
from flywheel.fleet.scene import Instant, World
from flywheel.types import Condition


@dataclass(frozen=True)
class DriveScenes:
    """What a camera could see on one drive: the still world and its moments at 10 Hz."""

    stem: str
    vehicle_id: str
    place: str
    day: str
    kind: str
    condition: Condition
    world: World
    instants: list[Instant]


def drive_scenes(*, seed: int, index: int, drives: int) -> DriveScenes:
    """The scenes of one drive of a fleet, as `make_fleet` draws them; ValueError for an index outside the fleet."""
    if not 0 <= index < drives:
        raise ValueError(f"drive {index} is not one of {drives}")
    drive = drive_of(seed=seed, index=index)
    return DriveScenes(
        drive.stem, drive.slot.vehicle_id, drive.place.name, drive.slot.day, drive.plan.kind, drive.plan.condition, world(drive), instants(drive)
    )  # fmt: skip
