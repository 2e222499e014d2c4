"""Reads the tables and media of a root and gives the rows of a dataset, still without splits. Nothing is written."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from flywheel.datasets import Refused, Source
from flywheel.errors import BadData
from flywheel.publish.images import image_size
from flywheel.publish.labels import TrackIndex, label_of, scaled
from flywheel.publish.recipe import Recipe
from flywheel.publish.samples import MS, Child, DrivePicks, Pick, pick_drive
from flywheel.store import Store, media_key
from flywheel.tables import SCHEMAS, read_part, read_table, table_key
from flywheel.types import sha256_hex, short_id
from flywheel.variations import frames_of, inserted_in
from flywheel.verdicts import accepted_ids
from flywheel.video import pictured

UNKNOWN = "unknown"
Sizes = dict[str, tuple[int, int]]
_VARIATION_COLUMNS = [name for name in SCHEMAS["VARIATIONS"].names if name != "embedding"]


class Collected(NamedTuple):
    """The rows of a dataset, what was left out, and the drives they come from."""

    rows: list[dict[str, Any]]
    refused: list[Refused]
    sources: list[Source]


def collect(store: Store, recipe: Recipe, *, known: Mapping[str, tuple[int, int]] | None = None) -> Collected:
    """All samples a recipe asks for. `known` gives (width, height) of images that an earlier version already checked."""
    drives = sorted(read_table(store, "DRIVES").to_pylist(), key=lambda row: str(row["drive_id"]))
    events = _by_drive(read_table(store, "EVENTS").to_pylist())
    drawn = _accepted(store) if recipe.include_synthetic else SCHEMAS["VARIATIONS"].empty_table()
    variations = _by_drive([frame for row in drawn.to_pylist() for frame in frames_of(row)])
    conditions = _main_conditions(store)
    found = Collected([], [], [])
    for drive in tqdm(drives, desc="collect samples", unit="drive", disable=None):
        drive_id = drive["drive_id"]
        frames = _frames(store, drive, shown_t_ns={row["t_ns"] for row in variations[drive_id]})
        picks = pick_drive(
            recipe, frames=frames, events=events[drive_id], variations=variations[drive_id],
            condition=conditions.get(drive_id, UNKNOWN),
        )  # fmt: skip
        rows, refused = _drive_rows(store, recipe, drive, _with_pictures(store, picks), dict(known or {}))
        found.rows.extend(rows)
        found.refused.extend(refused)
        if rows:
            found.sources.append(Source(**{field: drive[field] for field in Source.model_fields}))
    rows, doubles = _without_shared_images(found.rows)
    return Collected(rows, sorted(found.refused + doubles, key=lambda r: (r.subject, r.reason)), found.sources)


def _by_drive(rows: list[dict[str, Any]]) -> defaultdict[str, list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["drive_id"]].append(row)
    return found


def _accepted(store: Store) -> pa.Table:
    table = read_table(store, "VARIATIONS", columns=_VARIATION_COLUMNS)
    wanted = pa.array(sorted(accepted_ids(store)), pa.string())
    good = pc.and_(pc.is_in(table["variation_id"], wanted), pc.and_(pc.equal(table["status"], "done"), pc.is_valid(table["output_sha256"])))
    return table.filter(good)


def _main_conditions(store: Store) -> dict[str, str]:
    """The condition each drive spent most exposure under."""
    seconds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in read_table(store, "EXPOSURE", columns=["drive_id", "condition", "exposure_s"]).to_pylist():
        seconds[row["drive_id"]][row["condition"]] += row["exposure_s"]
    return {drive: min(found, key=lambda name: (-found[name], name)) for drive, found in seconds.items()}


def _part(store: Store, name: str, drive: Mapping[str, Any]) -> pa.Table:
    try:
        return read_part(store, table_key(name, batch_id=drive["batch_id"], part=drive["drive_id"]))
    except KeyError:
        return SCHEMAS[name].empty_table()


def _frames(store: Store, drive: Mapping[str, Any], *, shown_t_ns: set[int]) -> list[Mapping[str, Any]]:
    """The rgb frames; those of a video that a variation may have been made from are turned into the still image it names as its parent."""
    table = _part(store, "FRAMES", drive)
    rows: list[dict[str, Any]] = table.filter(pc.equal(table["kind"], "rgb")).to_pylist()
    made, lost = pictured(store, [row for row in rows if row["t_ns"] in shown_t_ns], keep=True)
    return [row for row in rows if row["t_ns"] not in shown_t_ns] + made + [row for row, _ in lost]


def _with_pictures(store: Store, found: DrivePicks) -> DrivePicks:
    """The picks, those of a video with the still image they show (stored); one that cannot be decoded is refused."""
    frames = list({id(pick.frame): pick.frame for pick in found.picks}.values())
    made, lost = pictured(store, frames, keep=True)
    without = {id(row) for row, _ in lost}
    shown = dict(zip((id(frame) for frame in frames if id(frame) not in without), made, strict=True))
    picks = [pick._replace(frame=shown[id(pick.frame)]) for pick in found.picks if id(pick.frame) in shown]
    refused = [*found.refused, *(Refused(subject=row["media_sha256"], reason=f"at {row['t_ns']} ns: {why}") for row, why in lost)]
    return DrivePicks(picks, found.children, refused)


def _drive_rows(
    store: Store, recipe: Recipe, drive: Mapping[str, Any], found: DrivePicks, sizes: Sizes
) -> tuple[list[dict[str, Any]], list[Refused]]:
    media = {(p.frame["media_sha256"], p.frame["ext"]) for p in found.picks}
    media |= {(c.variation["output_sha256"], c.variation["output_ext"]) for c in found.children}
    broken = _measure(store, sorted(m for m in media if m[0] not in sizes), sizes)
    tracks = TrackIndex(_part(store, "TRACKS", drive)) if found.picks else None
    real: dict[tuple[str, str], dict[str, Any]] = {}
    for pick in found.picks:
        if pick.key[0] in sizes and tracks is not None:
            real[pick.key] = _real_row(recipe, drive, pick, tracks, sizes)
    frames = {pick.key: pick.frame for pick in found.picks}
    synthetic = [
        _synthetic_row(child, real[child.parent], sizes, frame=frames[child.parent])
        for child in found.children
        if child.parent in real and child.variation["output_sha256"] in sizes
    ]
    return [*real.values(), *synthetic], [*found.refused, *broken]


def _measure(store: Store, media: list[tuple[str, str]], sizes: Sizes) -> list[Refused]:
    """Adds the size of every sound image to `sizes`; gives the unsound ones back."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(pool.map(lambda item: _size_or_reason(store, *item), media))
    sizes.update({sha256: size for (sha256, _), size in zip(media, found, strict=True) if not isinstance(size, str)})
    return [Refused(subject=sha256, reason=size) for (sha256, _), size in zip(media, found, strict=True) if isinstance(size, str)]


def _size_or_reason(store: Store, sha256: str, ext: str) -> tuple[int, int] | str:
    try:
        data = store.get(media_key(sha256, ext))
        if sha256_hex(data) != sha256:
            return "its bytes do not have the hash they are stored under"
        return image_size(data)
    except KeyError:
        return "the image is missing from the store"
    except BadData as err:
        return str(err)


def _sample_id(row: Mapping[str, Any]) -> str:
    return short_id("sample", {key: row[key] for key in ("drive_id", "t_ns", "camera", "scenario", "media_sha256", "synthetic")})


def _real_row(recipe: Recipe, drive: Mapping[str, Any], pick: Pick, tracks: TrackIndex, sizes: Sizes) -> dict[str, Any]:
    frame = pick.frame
    width, height = sizes[frame["media_sha256"]]
    labels = tracks.labels(frame, tolerance_ns=recipe.label_tolerance_ms * MS, max_distance_m=recipe.max_distance_m)
    row = {
        "root_group": drive["root_group"], "parent_sample_id": None, "drive_id": drive["drive_id"], "event_id": pick.event_id,
        "scenario": pick.scenario, "level": pick.level, "condition": pick.condition, "synthetic": False, "generator": "",
        "t_ns": frame["t_ns"], "camera": frame["camera"], "width_px": width, "height_px": height,
        "ext": frame["ext"], "media_sha256": frame["media_sha256"],
        "labels": scaled(labels, width_ratio=width / frame["width_px"], height_ratio=height / frame["height_px"]),
    }  # fmt: skip
    return {"sample_id": _sample_id(row), **row}


def _synthetic_row(child: Child, parent: Mapping[str, Any], sizes: Sizes, *, frame: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a variation: its parent's labels, and that of an object that was drawn in."""
    made = child.variation
    ratio = parent["width_px"] / frame["width_px"], parent["height_px"] / frame["height_px"]
    added = scaled(label_of(inserted_in(made), frame), width_ratio=ratio[0], height_ratio=ratio[1])
    labels = None if parent["labels"] is None else sorted([*parent["labels"], *(added or [])], key=lambda label: label["distance_m"])
    width, height = sizes[made["output_sha256"]]
    row = {
        **parent, "root_group": made["root_group"], "parent_sample_id": parent["sample_id"], "condition": made["target_condition"],
        "synthetic": True, "generator": made["generator"], "width_px": width, "height_px": height,
        "ext": made["output_ext"], "media_sha256": made["output_sha256"],
        "labels": scaled(labels, width_ratio=width / parent["width_px"], height_ratio=height / parent["height_px"]),
    }  # fmt: skip
    return {**row, "sample_id": _sample_id(row)}


def _without_shared_images(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Refused]]:
    """Rows whose image stands in one root group only: equal bytes in two groups (a dead camera) would cross splits."""
    owner: dict[str, str] = {}
    for row in sorted(rows, key=lambda r: (bool(r["synthetic"]), str(r["root_group"]))):
        owner.setdefault(row["media_sha256"], row["root_group"])
    kept = [row for row in rows if owner[row["media_sha256"]] == row["root_group"]]
    ids = {row["sample_id"] for row in kept}
    kept = [row for row in kept if row["parent_sample_id"] is None or row["parent_sample_id"] in ids]
    ids = {row["sample_id"] for row in kept}
    reason = "the same image bytes stand in another root group, or its parent's do"
    refused = [Refused(subject=row["sample_id"], reason=reason) for row in rows if row["sample_id"] not in ids]
    unique = {row["sample_id"]: row for row in kept}
    return list(unique.values()), refused
