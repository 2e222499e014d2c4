"""The rows of drives in every table and plan, and the words in other rows that name them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.generate.clips import shots
from flywheel.generate.plan import Plan
from flywheel.generate.provenance import manifest_key, provenance_key
from flywheel.ingest.quarantine import MAX_REASON, Reason, reason_key, reasons
from flywheel.store import Store, media_key
from flywheel.tables import SCHEMAS, list_parts, read_part, read_table, to_parquet
from flywheel.types import canonical_json
from flywheel.variations import media_of

REMOVED = "(removed)"
# What names the media of a variation: outputs, and the frames they were made from (of FRAMES, or stills of a video, which no other
# table names).
VARIATION_MEDIA = ["output_sha256", "output_ext", "parent_sha256", "parent_ext", "clip_t_ns", "clip_parents", "clip_outputs"]
# Ids and hashes as they are written into texts.
WORDS = re.compile(r"(?:drive|event|var|variation|sample)-[0-9a-f]{16,64}|\b[0-9a-f]{64}\b")
# Texts in which one drive's rows may name another drive.
TEXTS = {"FINDINGS": "message", "DECISIONS": "reason", "VARIATIONS": "reason", "EXPOSURE": "reason"}


class Made(NamedTuple):
    """What was made from drives: variation ids, event ids, and the media that they and their frames name."""

    variations: frozenset[str]
    events: frozenset[str]
    media: frozenset[str]


def part_keys(store: Store, drives: frozenset[str]) -> list[str]:
    """Table parts that are a drive's own; DRIVES first, so that a drive half removed does not exist."""
    own = [key for key in store.list("tables/") if key.rpartition("/")[2].removesuffix(".parquet") in drives]
    return sorted(own, key=lambda key: (not key.startswith("tables/DRIVES/"), key))


def made_from(store: Store, drives: frozenset[str]) -> Made:
    """What descends from drives."""
    variations = _of_drives(store, "VARIATIONS", drives, ["variation_id", *VARIATION_MEDIA])
    frames = _of_drives(store, "FRAMES", drives, ["media_sha256", "ext"])
    events = _of_drives(store, "EVENTS", drives, ["event_id"])
    media = {media_key(row["media_sha256"], row["ext"]) for row in frames}
    for named in (pair for row in variations for pair in media_of(row)):
        media |= set(_keys(*named))
    plans = (Plan.model_validate_json(store.get(key)) for key in store.list("plans/"))
    shown = [shot for plan in plans for request in plan.requests if request.drive_id in drives for shot in shots(request)]
    media |= {media_key(shot.parent_sha256, shot.parent_ext) for shot in shown}
    return Made(frozenset(row["variation_id"] for row in variations), frozenset(row["event_id"] for row in events), frozenset(media))


def _of_drives(store: Store, name: str, drives: frozenset[str], columns: list[str]) -> list[dict[str, Any]]:
    wanted = pa.array(sorted(drives), pa.string())
    found: list[dict[str, Any]] = []
    for key in list_parts(store, name):
        table = read_part(store, key, columns=["drive_id", *columns])
        found += table.filter(pc.is_in(table["drive_id"], wanted)).select(columns).to_pylist()
    return found


def used_media(store: Store) -> Iterator[str]:
    """Keys of all media that the tables of a root name now, part by part."""
    for key in list_parts(store, "FRAMES"):
        table = read_part(store, key, columns=["media_sha256", "ext"])
        for row in table.group_by(["media_sha256", "ext"]).aggregate([]).to_pylist():
            yield from _keys(row["media_sha256"], row["ext"])
    for key in list_parts(store, "VARIATIONS"):
        for row in read_part(store, key, columns=VARIATION_MEDIA).to_pylist():
            for named in media_of(row):
                yield from _keys(*named)


def _keys(sha256: str, ext: str) -> tuple[str, str, str]:
    """Where media and their papers lie."""
    return media_key(sha256, ext), provenance_key(sha256), manifest_key(sha256)


def take_out(store: Store, drives: frozenset[str], made: Made) -> None:
    """Deletes the drives' own parts, and rewrites every other part that holds rows of theirs."""
    for key in part_keys(store, drives):
        store.delete(key)
    for name, column, values in (("VARIATIONS", "drive_id", drives), ("EVENTS", "drive_id", drives), ("EXPOSURE", "drive_id", drives),
                                 ("DECISIONS", "subject_id", made.variations)):  # fmt: skip
        wanted = pa.array(sorted(values), pa.string())
        for key in list_parts(store, name):
            table = read_part(store, key)
            kept = table.filter(pc.invert(pc.is_in(table[column], wanted)))
            if len(kept) < len(table):
                _put(store, name, key, kept)


def _put(store: Store, name: str, key: str, table: pa.Table) -> None:
    if len(table):
        store.put(key, to_parquet(name, table))
    else:
        store.delete(key)


def replan(store: Store, drives: frozenset[str]) -> list[str]:
    """Takes requests for the drives out of every plan; the keys of the plans that held some."""
    changed = []
    for key in store.list("plans/"):
        plan = Plan.model_validate_json(store.get(key))
        kept = tuple(request for request in plan.requests if request.drive_id not in drives)
        if len(kept) < len(plan.requests):
            changed.append(key)
            store.put(key, canonical_json(plan.model_copy(update={"requests": kept}).model_dump(mode="json")))
    return changed


def planned(store: Store, drives: frozenset[str]) -> int:
    """How many planned variations are of the drives."""
    plans = (Plan.model_validate_json(store.get(key)) for key in store.list("plans/"))
    return sum(request.drive_id in drives for plan in plans for request in plan.requests)


def scrub(store: Store, words: frozenset[str]) -> None:
    """Blacks out ids and hashes in texts about other drives: findings, decisions, reasons."""
    for name, column in TEXTS.items():
        for key in list_parts(store, name):
            table = read_part(store, key)
            said = table[column].to_pylist()
            clean = [None if text is None else scrubbed(text, words) for text in said]
            if clean != said:
                at = table.column_names.index(column)
                store.put(key, to_parquet(name, table.set_column(at, SCHEMAS[name].field(column), pa.array(clean, pa.string()))))
    for reason in reasons(store):
        clean_reason = scrubbed(reason.reason, words)[:MAX_REASON]
        if clean_reason != reason.reason:
            new = Reason.model_validate(reason.model_dump() | {"reason": clean_reason})
            store.put(reason_key(reason.batch_id, reason.name), canonical_json(new.model_dump(mode="json")))


def scrubbed(text: str, words: frozenset[str]) -> str:
    """The text without the ids among `words`."""
    return WORDS.sub(lambda match: REMOVED if match[0] in words else match[0], text)


def drive_rows(store: Store) -> list[dict[str, Any]]:
    """The DRIVES rows, as far as forgetting needs them."""
    columns = ["drive_id", "batch_id", "source_name", "source_sha256", "vehicle_id", "fingerprint"]
    rows: list[dict[str, Any]] = read_table(store, "DRIVES", columns=columns).to_pylist()
    return rows


def words_of(drives: Iterable[str], made: Made) -> frozenset[str]:
    """Everything that other texts may call the drives and what was made from them."""
    hashes = {key.rpartition("/")[2].partition(".")[0] for key in made.media}
    return frozenset({*drives, *made.variations, *made.events, *hashes})
