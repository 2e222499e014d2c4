"""What to generate for a batch: a budget divided over cells becomes requests, pinned so that a rerun asks for the same.

A plan lies at `plans/<batch>.json`; planning again on purpose writes `plans/<batch>.2.json` and so on, and the last one holds.
"""

import logging
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from flywheel.errors import BadSchema, NotEvaluable
from flywheel.generate.cells import Cell, Closed
from flywheel.generate.choose import Chooser
from flywheel.generate.frames import (
    OFFSETS_NS,
    REFERENCE,
    REFERENCE_FRAMES,
    KeyFrame,
    event_frames,
    front_frames,
    reference_frames,
    with_pictures,
)
from flywheel.generate.ledger import read_ledger
from flywheel.generate.outlook import Outlook, outlook
from flywheel.generate.protocol import GeneratorInfo
from flywheel.generate.recipes import Recipe
from flywheel.generate.request import VariationRequest
from flywheel.generate.shape import Shaper
from flywheel.store import Store
from flywheel.tables import list_parts, read_table
from flywheel.types import CONDITIONS, Condition, Record, canonical_json
from flywheel.video import COLUMNS as VIDEO_COLUMNS

Row = dict[str, Any]
log = logging.getLogger(__name__)


class Plan(Record):
    """Requests for one batch; the cells they fill and why, those that may not be filled, and how coverage is expected to change."""

    batch_id: str
    number: int
    generator: GeneratorInfo
    requests: tuple[VariationRequest, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()
    budget: int = 0
    recipe: str = ""
    closed: tuple[Closed, ...] = ()
    outlook: Outlook | None = None

    def chosen(self) -> list[Cell]:
        """The cells that got something, most first."""
        return sorted((cell for cell in self.cells if cell.planned), key=lambda cell: (-cell.planned, cell.scenario, cell.condition))


def plan_batch(
    store: Store,
    batch_id: str,
    *,
    generator: GeneratorInfo,
    budget: int = 24,
    per_event: int = 2,
    targets: Sequence[Condition] = CONDITIONS,
    recipe: Recipe | None = None,
    replan: bool = False,
    pin: bool = True,
) -> Plan:
    """The batch's plan: the pinned one where there is one, else a new one, pinned unless `pin` is False.

    A plan pinned for another generator or other weights is kept (and logged as a warning) unless `replan`.
    `per_event` counts variations of one key frame; few events give several key frames each. NotEvaluable before mining.
    A `recipe` stands for `per_event` and `targets`, and says whether frames, clips or inserted objects are asked for.
    """
    recipe = recipe or Recipe(name="", targets=tuple(targets), per_event=per_event)
    held = pinned_plan(store, batch_id)
    if held is not None and not replan:
        _warn_other_generator(held, generator)
        if recipe.name and recipe.name != held.recipe:
            said = "batch %s is already planned by recipe %r; %r is not used. Plan again with replan=True."
            log.warning(said, batch_id, held.recipe, recipe.name)
        return held
    plan = _new_plan(
        store,
        batch_id,
        number=held.number + 1 if held else 1,
        generator=generator,
        budget=budget,
        recipe=recipe,
        keep=pin,
    )
    if held is not None and _same_content(plan, held):
        return held
    if not pin:
        return plan
    if store.put_if_absent(plan_key(batch_id, plan.number), canonical_json(plan.model_dump(mode="json"))):
        return plan
    winner = pinned_plan(store, batch_id)
    return winner if winner is not None else plan


def plan_key(batch_id: str, number: int) -> str:
    """Where a batch's plan lies; the first has no number in its name."""
    return f"plans/{batch_id}.json" if number == 1 else f"plans/{batch_id}.{number}.json"


def planned_batches(store: Store) -> list[str]:
    """The batches that have a plan, by name."""
    names = (key.removeprefix("plans/").removesuffix(".json") for key in store.list("plans/"))
    return sorted({re.sub(r"\.\d+$", "", name) for name in names})


def pinned_plan(store: Store, batch_id: str) -> Plan | None:
    """The plan that holds for a batch (the last one pinned), or None; BadSchema if it cannot be read."""
    keys = set(store.list(f"plans/{batch_id}."))
    number = max((n for n in range(1, len(keys) + 1) if plan_key(batch_id, n) in keys), default=0)
    if number == 0:
        return None
    key = plan_key(batch_id, number)
    try:
        return Plan.model_validate_json(store.get(key))
    except ValidationError as err:
        raise BadSchema(f"{key} is not a plan this version can read: {err}. Plan again with replan=True after moving it away.") from err


def _same_content(plan: Plan, held: Plan) -> bool:
    return (plan.generator, plan.requests) == (held.generator, held.requests)


def _warn_other_generator(held: Plan, generator: GeneratorInfo) -> None:
    if held.generator != generator:
        log.warning(
            "batch %s is already planned for %s (weights %.12s); %s (weights %.12s) is not used. Plan again with replan=True.",
            held.batch_id, held.generator.name, held.generator.weights_sha256, generator.name, generator.weights_sha256,
        )  # fmt: skip


def _new_plan(
    store: Store,
    batch_id: str,
    *,
    number: int,
    generator: GeneratorInfo,
    budget: int,
    recipe: Recipe,
    keep: bool,
) -> Plan:
    blank = Plan(batch_id=batch_id, number=number, generator=generator, requests=(), cells=(), budget=budget, recipe=recipe.name)
    frames, notes = _key_frames(store, batch_id, wanted=math.ceil(budget / recipe.per_event), keep=keep)
    shaper = Shaper(store, batch_id, generator=generator, recipe=recipe, keep=keep)
    frames, unable = shaper.able(frames)
    notes += unable
    if recipe.inserts:
        inserted, unplaced = shaper.inserted(frames, budget=budget)
        return blank.model_copy(update={"requests": _in_order(inserted), "notes": (*notes, *unplaced)})
    if not frames:
        return blank.model_copy(update={"notes": tuple(notes)})
    ledger = read_ledger(store, generator=generator)
    chooser = Chooser(ledger, frames, targets=recipe.targets, per_event=recipe.per_event)
    chooser.choose(budget)
    requests = [shaper.request(choice.frame, Condition.parse(choice.target)) for choice in chooser.chosen]
    short = [f"{len(requests)} of {budget}: no frame is left that may be redrawn"] if len(requests) < budget else []
    cells, pictures = chooser.cells(), [choice.picture for choice in chooser.chosen]
    return blank.model_copy(update={
        "requests": _in_order(requests),
        "cells": cells, "closed": chooser.closed(), "notes": (*notes, *ledger.notes, *short),
        "outlook": outlook(ledger, pictures, reach={(cell.scenario, cell.condition) for cell in cells}),
    })  # fmt: skip


def _in_order(requests: Iterable[VariationRequest]) -> tuple[VariationRequest, ...]:
    return tuple(sorted(requests, key=lambda r: (r.drive_id, r.t_ns, r.variation_id)))


def _rows(store: Store, table: str, *columns: str, batch_id: str | None = None) -> list[Row]:
    found: list[Row] = read_table(store, table, batch_id=batch_id, columns=list(columns)).to_pylist()
    return found


def _key_frames(store: Store, batch_id: str, *, wanted: int, keep: bool) -> tuple[list[KeyFrame], list[str]]:
    """About `wanted` key frames of the batch's events, or reference frames when no event has one; and notes about it."""
    there = {name for name in ("DRIVES", "EXPOSURE", "EVENTS") if list_parts(store, name, batch_id=batch_id)}
    barren = not there and bool(store.list(f"landing/{batch_id}/_MANIFEST.json"))  # all logs in quarantine: nothing there to mine
    if not barren and there <= {"DRIVES"}:
        raise NotEvaluable(f"batch {batch_id} has not been mined (no EVENTS or EXPOSURE). Run: flywheel mine")
    frames = front_frames(_rows(store, "FRAMES", "drive_id", *VIDEO_COLUMNS, batch_id=batch_id))
    if not frames:
        return [], ["no drive of this batch has camera frames: nothing to vary"]
    events = sorted(read_table(store, "EVENTS", batch_id=batch_id).to_pylist(), key=lambda e: str(e["event_id"]))
    seen = [event for event in events if event["drive_id"] in frames]
    count = min(max(math.ceil(wanted / max(len(seen), 1)), 1), len(OFFSETS_NS))
    found = [frame for event in seen for frame in event_frames(event, frames[event["drive_id"]], count=count)]
    shown = {frame.event_id for frame in found}
    notes = [f"{len(events) - len(shown)} of {len(events)} events have no camera frame near their peak"] if len(shown) < len(events) else []
    if found:
        found, lost = with_pictures(store, found, frames, keep=keep)
        return found, [*notes, *lost]
    notes.append(f"no event to vary: evenly spaced frames stand in as scenario '{REFERENCE}'")
    each = min(math.ceil(wanted / len(frames)), REFERENCE_FRAMES)
    found = reference_frames(frames, conditions=_drive_conditions(store, batch_id), groups=_groups(store, batch_id), count=each)
    found, lost = with_pictures(store, found, frames, keep=keep)
    return found, [*notes, *lost]


def _groups(store: Store, batch_id: str) -> dict[str, str]:
    return {row["drive_id"]: row["root_group"] for row in _rows(store, "DRIVES", "drive_id", "root_group", batch_id=batch_id)}


def _drive_conditions(store: Store, batch_id: str) -> dict[str, str]:
    """The condition each drive was mined under: the one with the longest exposure."""
    rows: Iterable[Row] = _rows(store, "EXPOSURE", "drive_id", "condition", "exposure_s", batch_id=batch_id)
    longest = sorted(rows, key=lambda row: (row["exposure_s"], row["condition"]))
    return {row["drive_id"]: row["condition"] for row in longest}
