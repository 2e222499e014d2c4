"""Which function detects what: every family module names its own, a user's Python file may add some."""

from flywheel.errors import BadData
from flywheel.mine import conditions, crossing, ego, hidden, junctions, road_things, sky, tracks
from flywheel.mine.catalogue import Scenario, user_modules
from flywheel.mine.hits import Detector

FAMILIES = (conditions, ego, junctions, tracks, sky, crossing, hidden, road_things)


def detectors() -> dict[str, Detector]:
    """Every detector by name."""
    found = {name: detect for family in FAMILIES for name, detect in family.DETECTORS.items()}
    return found | {name: detect for module in user_modules() for name, detect in getattr(module, "DETECTORS", {}).items()}


def detector_of(entry: Scenario) -> Detector:
    """The detector of a catalogue entry; BadData if there is none of that name."""
    known = detectors()
    if entry.detected_by not in known:
        raise BadData(f"scenario {entry.name!r}: no detector {entry.detected_by!r}; there are {', '.join(sorted(known))}")
    return known[entry.detected_by]
