"""Which vehicle, place and day an MCAP is of: from its own metadata record, or, for other makers' logs, from what can be told."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import ValidationError

from flywheel.errors import BadData
from flywheel.ingest.drive import WORD, DriveFacts, Finding, warning
from flywheel.ingest.mcap_read import MetadataRecord

METADATA = "flywheel.drive"
FACTS = ("vehicle_id", "place", "day", "clock", "licence")
UNKNOWN_VEHICLE, UNKNOWN_PLACE = "unknown-vehicle", "unknown-place"
VEHICLE_KEY = re.compile(r"(vehicle|car|robot|ego|platform)([_\- .]?(id|name|identifier|number))?", re.IGNORECASE)
LICENCE_KEY = re.compile(r"licen[cs]e", re.IGNORECASE)


def of_fleet(records: Sequence[MetadataRecord]) -> dict[str, str] | None:
    """The last metadata record of the fleet's kind."""
    return next((record.values for record in reversed(records) if record.name == METADATA), None)


def stated(metadata: dict[str, str], **more: object) -> DriveFacts:
    """What the fleet's metadata record says, and what the reader knows besides; BadData if it is malformed."""
    try:
        return DriveFacts.model_validate({name: metadata[name] for name in FACTS if name in metadata} | more)
    except ValidationError as err:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise BadData(f"metadata record {METADATA!r}: {wrong}") from err


def assumed(
    records: Sequence[MetadataRecord], *, t0_ns: int, place: str | None, relative: bool, **more: object
) -> Iterator[DriveFacts | Finding]:
    """What can be told of another maker's log, and a warning that says so. place: from its fixes, None without any."""
    vehicle = _first(records, VEHICLE_KEY)
    day = str(np.datetime64(t0_ns, "ns").astype("datetime64[D]"))
    said = {"vehicle_id": vehicle or UNKNOWN_VEHICLE, "place": place or UNKNOWN_PLACE, "day": day, "licence": _first(records, LICENCE_KEY)}
    yield DriveFacts.model_validate(said | {"clock": "relative" if relative else "utc"} | more)
    text = (
        f"no metadata record {METADATA!r}: vehicle {said['vehicle_id']!r} {'from another record' if vehicle else 'is not known'}, place "
        f"{said['place']!r} {'from the fixes' if place else 'is not known'}, day {day} from the first message; its split group follows"
    )
    yield warning("facts", text)


def _first(records: Sequence[MetadataRecord], key: re.Pattern[str]) -> str | None:
    """The first value of all records whose key matches and that is a plain word."""
    found = (v.strip() for record in records for k, v in sorted(record.values.items()) if key.fullmatch(k))
    return next((value for value in found if WORD.fullmatch(value)), None)
