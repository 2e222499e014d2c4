"""The truth of a drive: what every rule finds, and which of it hangs on a hair.

A family of scenarios is a module of acts and a module of rules; both are named here and in `script`.
"""

from flywheel.fleet import (
    oracle_rules,
    rules_crossing,
    rules_ego,
    rules_following,
    rules_lane_change,
    rules_road,
    rules_sky,
    rules_things,
    rules_vehicle,
)
from flywheel.fleet.drive import Drive
from flywheel.fleet.oracle import Limits, Rule, Truth, View, view_of

FAMILIES = (oracle_rules, rules_ego, rules_vehicle, rules_following, rules_lane_change, rules_road, rules_sky, rules_crossing, rules_things)
RULES: dict[str, Rule] = {name: rule for family in FAMILIES for name, rule in family.RULES.items()}
# How far limits are moved to see whether an event hangs on a hair.
MARGIN = 0.07


def truth_of(drive: Drive, *, limits: Limits | None = None, view: View | None = None) -> list[Truth]:
    """Every event of a drive under the given limits (the defined ones by default), in order of time."""
    view, limits = view or view_of(drive), limits or Limits()
    found = [event for rule in RULES.values() for event in rule(view, limits)]
    return sorted(found, key=lambda e: (e.start, e.scenario, e.actors))


def graded_truth(drive: Drive, *, margin: float = MARGIN) -> list[Truth]:
    """The truth of a drive. An event is borderline if limits a little stricter or milder would not find it at the same level;

    what only milder limits find is borderline too: sensor noise decides about both.
    """
    view = view_of(drive)
    milder, exact, stricter = (truth_of(drive, limits=Limits().stricter(1 + f), view=view) for f in (-margin, 0.0, margin))
    clear = [e.model_copy(update={"borderline": not (_has(milder, e) and _has(stricter, e))}) for e in exact]
    faint = [e.model_copy(update={"borderline": True}) for e in milder if not any(_meets(e, other) for other in exact)]
    return sorted([*clear, *faint], key=lambda e: (e.start, e.scenario, e.actors))


def _meets(one: Truth, other: Truth) -> bool:
    return one.scenario == other.scenario and one.start <= other.end and other.start <= one.end


def _has(events: list[Truth], wanted: Truth) -> bool:
    return any(_meets(event, wanted) and event.level == wanted.level for event in events)


def is_clear(drive: Drive) -> bool:
    """Whether what the script plants is there beyond doubt, and what it only nearly plants is not there at all."""
    found = graded_truth(drive)
    near = {miss.scenario for miss in drive.plan.near}
    wanted = {drive.slot.act} if drive.slot.act != "quiet" and not drive.slot.near else set()
    return not near & {e.scenario for e in found} and wanted <= {e.scenario for e in found if not e.borderline}
