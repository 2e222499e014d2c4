"""Which function detects what: every family module names its own, a user's Python file may add some."""

from flywheel.errors import BadData, NotEvaluable
from flywheel.mine import (
    conditions,
    crossing,
    ego,
    ego_motion,
    following,
    hidden,
    junctions,
    lane_change,
    road,
    road_things,
    sky,
    swerve,
    tracks,
    vehicle,
)
from flywheel.mine.catalogue import Scenario, user_modules
from flywheel.mine.composite import checked, composite, decided
from flywheel.mine.hits import Detector, Hit
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import Mask

FAMILIES = (
    conditions, ego, junctions, tracks, road, sky, following, lane_change, ego_motion, swerve, vehicle, crossing, hidden, road_things,
)  # fmt: skip


def detectors() -> dict[str, Detector]:
    """Every detector by name."""
    found = {name: detect for family in FAMILIES for name, detect in family.DETECTORS.items()}
    return found | {name: detect for module in user_modules() for name, detect in getattr(module, "DETECTORS", {}).items()}


def detector_of(entry: Scenario) -> Detector:
    """The detector of a catalogue entry: its query's, if it has one; BadData if there is none of that name."""
    if entry.where is not None:
        checked(entry)
        return lambda drive, asked: composite(drive, asked, hits_of=hits_of)
    known = detectors()
    if entry.detected_by not in known:
        raise BadData(f"scenario {entry.name!r}: no detector {entry.detected_by!r}; there are {', '.join(sorted(known))}")
    return known[entry.detected_by]


def hits_of(drive: Drive, entry: Scenario) -> list[Hit]:
    """The hits of a scenario on a drive, worked out once; NotEvaluable with the reason where a signal is missing."""
    if entry.digest not in drive.memo:
        reasons = [reason for reason in (drive.missing(signal) for signal in entry.signals) if reason]
        if reasons:
            raise NotEvaluable(", ".join(reasons))
        drive.memo[entry.digest] = detector_of(entry)(drive, entry)
    found: list[Hit] = drive.memo[entry.digest]
    return found


def seen(drive: Drive, entry: Scenario) -> Mask:
    """At which of the grid's instants an entry could have been seen: where its signals are, and its query has an answer."""
    known = drive.covered(entry.signals)
    return known if entry.where is None else known & decided(drive, entry, hits_of=hits_of)
