"""Forgetting: first a plan that only reads, then the plan carried out from a note in the root, so that a run cut short is finished later.

The note (`forget/<digest>.json`) names what goes and is itself the last thing to go. In between, in this order: tombstones (from then on
ingest refuses the recordings), tables, plans, words in other rows, landing and quarantine, datasets, notes beside models, media. A run that
finds a note carries it out before anything else. No other stage may write to the root meanwhile: an ingest of another drive with the same
picture could lose it, and mining a drive of the list could write it back.
"""

from pathlib import Path
from typing import Literal

from flywheel.errors import BadData, FlywheelError, MissingExtra
from flywheel.forget.landing import LandedLoss, Recording, landed_losses, take_out, unfinished
from flywheel.forget.rows import Made, drive_rows, made_from, part_keys, planned, replan, scrub, used_media, words_of
from flywheel.forget.rows import take_out as take_out_rows
from flywheel.ingest.gates_twins import Twins
from flywheel.ingest.quarantine import reasons
from flywheel.ingest.tombstones import Tombstones
from flywheel.mine.ledger import put_ledger
from flywheel.models import list_models, model_key, read_model
from flywheel.publish.withdraw import DatasetLoss, dataset_names, losses, pictures, withdraw
from flywheel.store import DiskStore, Store
from flywheel.tables import list_parts
from flywheel.types import Record, canonical_json

NOTES = "forget/"
LINEAGE = "withdrawn.json"
Review = Literal["none", "synced", "run `flywheel review` once"]


class ForgetPlan(Record):
    """All that goes with some drives. again: the landed logs stay and may be ingested anew."""

    drives: tuple[str, ...]
    recordings: tuple[Recording, ...]
    again: bool
    landed: tuple[LandedLoss, ...]
    parts: tuple[str, ...]
    variations: tuple[str, ...]
    events: tuple[str, ...]
    media: tuple[str, ...]
    planned: int
    datasets: tuple[DatasetLoss, ...]
    models: tuple[str, ...]

    @property
    def shared(self) -> tuple[str, ...]:
        """Landed objects that other drives were read from too."""
        return tuple(sorted({key for loss in self.landed for key in loss.shared}))

    @property
    def empty(self) -> bool:
        """Whether there is nothing of the drives in the root."""
        return not (self.landed or self.parts or self.variations or self.datasets)


class Lineage(Record):
    """What is noted beside a model that learned from a withdrawn version: it stays, but says so."""

    model_id: str
    dataset: str
    dataset_digest: str
    replaced_by: str | None
    note: str = "a source of this model's training data was removed on request after it was trained"


def drives_of(store: Store, *, drive: str | None = None, vehicle: str | None = None) -> frozenset[str]:
    """The drive asked for, or every drive of a vehicle; BadData unless exactly one of the two is given."""
    if (drive is None) == (vehicle is None):
        raise BadData("say which: `flywheel forget --drive ID` or `flywheel forget --vehicle ID`")
    if drive is not None:
        return frozenset({drive})
    return frozenset(row["drive_id"] for row in drive_rows(store) if row["vehicle_id"] == vehicle)


def plan_forget(store: Store, drives: frozenset[str], *, again: bool = False) -> ForgetPlan:
    """What would go; nothing is written."""
    rows = [row for row in drive_rows(store) if row["drive_id"] in drives]
    known = [
        Recording(drive_id=row["drive_id"], source_sha256=row["source_sha256"], part=row["source_name"].partition("#")[2]) for row in rows
    ]
    deep = any(recording.part for recording in known) or not drives <= {recording.drive_id for recording in known}
    landed = [] if again or not drives else landed_losses(store, drives, deep=deep)
    recordings = {*known, *(recording for loss in landed for recording in loss.recordings)}
    made = made_from(store, drives)
    media = made.media | (pictures(store, drives) if drives else frozenset())
    data = losses(store, drives) if drives else []
    gone = {(loss.name, version) for loss in data for version in loss.withdrawn}
    models = [read_model(store, model_id) for model_id in list_models(store)]
    return ForgetPlan(
        drives=tuple(sorted(drives)), recordings=tuple(sorted(recordings, key=lambda r: (r.drive_id, r.part))), again=again,
        landed=tuple(landed), parts=tuple(part_keys(store, drives)), variations=tuple(sorted(made.variations)),
        events=tuple(sorted(made.events)), media=tuple(sorted(media)), planned=planned(store, drives), datasets=tuple(data),
        models=tuple(m.model_id for m in models if (m.dataset_name, m.dataset_version) in gone),
    )  # fmt: skip


def copies(store: Store, drives: frozenset[str]) -> list[str]:
    """Other drives of the root that seem to hold the same recording: they are not removed with it."""
    rows, twins = drive_rows(store), Twins()
    for row in rows:
        twins.add(row["drive_id"], row["fingerprint"] or ())
    mine = [row for row in rows if row["drive_id"] in drives]
    said = [finding.message for row in mine for finding in twins.findings(row["drive_id"], row["fingerprint"] or ())]
    return sorted({row["drive_id"] for row in rows if any(row["drive_id"] in text for text in said)} - drives)


def unread(store: Store) -> list[str]:
    """What may belong to a vehicle without anyone knowing: logs in quarantine, and batches that never finished landing."""
    return sorted({f"{reason.batch_id}/{reason.log_name}" for reason in reasons(store)} | set(unfinished(store)))


def forget(store: Store, plan: ForgetPlan, *, drop_shared: bool | None = None) -> None:
    """Carries a plan out. BadData if landed objects are shared with other drives and nobody said what to do with them."""
    if plan.shared and drop_shared is None:
        raise BadData(
            f"{len(plan.shared)} landed files hold other drives too, for example {plan.shared[0]}: `--shared keep` leaves them in landing "
            "until those drives are forgotten too, `--shared drop` deletes them (the other drives stay, but cannot be read anew)"
        )
    if not plan.empty:
        note = f"{NOTES}{plan.digest}.{'drop' if drop_shared else 'keep'}.json"
        store.put(note, canonical_json(plan.model_dump(mode="json")))
        _carry_out(store, plan, drop_shared=bool(drop_shared))
        store.delete(note)


def pending(store: Store) -> list[str]:
    """Notes of forgettings that were cut short."""
    return store.list(NOTES)


def finish_pending(store: Store) -> int:
    """Carries out what was cut short; how many there were."""
    found = pending(store)
    for note in found:
        _carry_out(store, ForgetPlan.model_validate_json(store.get(note)), drop_shared=note.endswith(".drop.json"))
        store.delete(note)
    return len(found)


def _carry_out(store: Store, plan: ForgetPlan, *, drop_shared: bool) -> None:
    drives = frozenset(plan.drives)
    made = Made(frozenset(plan.variations), frozenset(plan.events), frozenset(plan.media))
    words = words_of(drives, made)
    if not plan.again:
        tombstones = Tombstones(store)
        for recording in plan.recordings:
            tombstones.put(tombstones.mark(recording.source_sha256, recording.part))
    take_out_rows(store, drives, made)
    if list_parts(store, "COVERAGE"):  # its sums counted the drives too
        put_ledger(store)
    replan(store, drives)
    if not plan.again:
        scrub(store, words)
    for loss in plan.landed:
        take_out(store, loss, drop_shared=drop_shared)
    withdrawn = [gone for name in dataset_names(store) if (gone := withdraw(store, name, drives, subjects=words)) is not None]
    _note_models(store, plan, [*plan.datasets, *withdrawn])
    used = set(used_media(store)) if plan.media else set()
    for key in plan.media:
        if key not in used:
            store.delete(key)
    _check_gone(store, drives)


def _note_models(store: Store, plan: ForgetPlan, gone: list[DatasetLoss]) -> None:
    """Leaves a note beside every model that learned from a version that was withdrawn."""
    successors = {(loss.name, version): loss.replaced_by for loss in gone for version in loss.withdrawn}
    for model_id in list_models(store):
        model = read_model(store, model_id)
        if (model.dataset_name, model.dataset_version) in successors:
            after = successors[model.dataset_name, model.dataset_version]
            note = Lineage(model_id=model_id, dataset=model.dataset, dataset_digest=model.dataset_digest, replaced_by=after)
            store.put(model_key(model_id, LINEAGE), canonical_json(note.model_dump(mode="json")))


def _check_gone(store: Store, drives: frozenset[str]) -> None:
    """FlywheelError if something of the drives is in the tables or datasets after all (another stage was writing)."""
    left = [*part_keys(store, drives), *made_from(store, drives).variations, *(loss.name for loss in losses(store, drives))]
    if left:
        raise FlywheelError(
            f"{len(left)} things came back while they were removed, for example {left[0]}: stop other stages, then run again"
        )


def forget_review(store: Store, plan: ForgetPlan, *, state: Path) -> Review:
    """What became of the drives' samples in FiftyOne: copies of their pictures are deleted, and its database is brought up to date."""
    cache = DiskStore(state / "media")
    for key in plan.media:
        cache.delete(key)
    if not (state / "mongo").is_dir():
        return "none"
    try:
        from flywheel.curate.review import sync_review

        sync_review(store, state=state)
    except (MissingExtra, FlywheelError, OSError):
        return "run `flywheel review` once"
    return "synced"
