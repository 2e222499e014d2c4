"""Which vehicle, place and day an MCAP is of: from its own metadata record, or, for other makers' logs, from what can be told."""

from collections.abc import Sequence

from pydantic import ValidationError

from flywheel.errors import BadData
from flywheel.ingest.drive import DriveFacts
from flywheel.ingest.mcap_read import MetadataRecord

METADATA = "flywheel.drive"
FACTS = ("vehicle_id", "place", "day", "clock", "licence")


def stated(metadata: dict[str, str], *, has_map: bool) -> DriveFacts:
    """What the fleet's metadata record says; BadData if it is malformed."""
    try:
        return DriveFacts.model_validate({name: metadata[name] for name in FACTS if name in metadata} | {"has_map": has_map})
    except ValidationError as err:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise BadData(f"metadata record {METADATA!r}: {wrong}") from err


def of_fleet(records: Sequence[MetadataRecord]) -> dict[str, str] | None:
    """The last metadata record of the fleet's kind."""
    return next((record.values for record in reversed(records) if record.name == METADATA), None)
