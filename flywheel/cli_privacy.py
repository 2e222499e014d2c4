"""Commands about what may not stay: logs in quarantine, and drives that must be forgotten."""

from typing import Annotated, Any

import typer

from flywheel import show
from flywheel.commands import Json, Root, app, command
from flywheel.state import state_dir
from flywheel.store import Store, open_store

quarantine_app = typer.Typer(help="Logs that could not be ingested, and why.", no_args_is_help=True)
app.add_typer(quarantine_app, name="quarantine")

SHORT = 100


@command(quarantine_app, name="list")
def list_quarantine(root: Root, as_json: Json = False) -> None:
    """What is in quarantine: batch, name, kind, reason, files and bytes."""
    from flywheel.ingest.quarantine import reasons

    rows = [_row(reason) | ({"reason": reason.reason} if as_json else {}) for reason in reasons(open_store(root))]
    show.emit_rows(rows, title="quarantine", as_json=as_json)


@command(quarantine_app, name="show")
def show_quarantine(root: Root, name: str, as_json: Json = False) -> None:
    """The whole reason of a log in quarantine, where its bytes lie, and what to do next."""
    from flywheel.forget.landing import drive_id_of
    from flywheel.ingest.quarantine import reasons_named

    store = open_store(root)
    found = [(reason, drive_id_of(store, reason)) for reason in reasons_named(store, name)]
    rows = [
        _row(reason)
        | {
            "reason": reason.reason,
            "drive_id": drive_id,
            "next": reason.next_step(drive_id=drive_id),
            "landed": [f.key for f in reason.files],
        }
        for reason, drive_id in found
    ]
    if as_json:
        show.emit_json(rows)
        return
    for row in rows:
        landed = row.pop("landed")
        lines = row | {"landed": ", ".join(landed[:5]) + (f" and {len(landed) - 5} more" if len(landed) > 5 else "")}
        show.emit_rows([{"what": what, "value": value} for what, value in lines.items()], title=row["name"], as_json=False)


@command(quarantine_app)
def retry(root: Root, name: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """Ingests logs in quarantine again (one, or all when no name is given), and only these."""
    from flywheel.ingest.quarantine import reasons, reasons_named
    from flywheel.ingest.retry import retry as again

    store = open_store(root)
    show.emit_rows(again(store, reasons_named(store, name) if name else reasons(store)), title="tried again", as_json=as_json)


def _row(reason: Any) -> dict[str, Any]:
    text: str = reason.reason
    short = text if len(text) <= SHORT else f"{text[:SHORT]}..."
    said = {"batch": reason.batch_id, "name": reason.name, "kind": reason.kind, "reason": short}
    return said | {"files": len(reason.files), "bytes": reason.bytes}


@command(app)
def forget(
    root: Root,
    drive: Annotated[str | None, typer.Option(help="One drive.")] = None,
    vehicle: Annotated[str | None, typer.Option(help="Every drive of a vehicle.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this only what would go is shown.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Keep the landed logs and leave no tombstone: they may be ingested anew.")] = False,
    shared: Annotated[str | None, typer.Option(help="Landed files that hold other drives too: keep or drop.")] = None,
    as_json: Json = False,
) -> None:
    """Removes drives and all that descends from them; shows what will go, and does it with --yes."""
    from flywheel.forget.run import drives_of, finish_pending, forget_review, pending, plan_forget
    from flywheel.forget.run import forget as carry_out

    if shared not in (None, "keep", "drop"):
        raise typer.BadParameter("--shared is keep or drop")
    store = open_store(root)
    begun = pending(store)
    if yes and begun:
        show.err.print(f"{finish_pending(store)} removals that were cut short are finished")
    if begun and drive is None and vehicle is None:
        show.emit_rows([{"cut short": len(begun), "done": yes}], title="forget", as_json=as_json)
        return
    plan = plan_forget(store, drives_of(store, drive=drive, vehicle=vehicle), again=again)
    review = "none"
    if yes:
        carry_out(store, plan, drop_shared=None if shared is None else shared == "drop")
        review = forget_review(store, plan, state=state_dir(root)) if not plan.empty else "none"
    _emit(store, plan, done=yes, review=review, vehicle=vehicle, as_json=as_json)


def _emit(store: Store, plan: Any, *, done: bool, review: str, vehicle: str | None, as_json: bool) -> None:
    from flywheel.forget.run import copies, unread

    notes = {} if done else {"copies that stay": copies(store, frozenset(plan.drives))}
    if vehicle is not None:
        notes["logs nobody could read, so perhaps this vehicle's"] = unread(store)
    if as_json:
        show.emit_json({"done": done, "review": review, **plan.model_dump(mode="json"), "notes": notes})
        return
    counts = {
        "drives": plan.drives, "landed logs": [f"{loss.batch_id}/{loss.name}" for loss in plan.landed],
        "landed files": sum(len(loss.keys) for loss in plan.landed), "landed files shared with other drives": len(plan.shared),
        "table parts": len(plan.parts), "events": len(plan.events), "variations": len(plan.variations), "planned variations": plan.planned,
        "media (unless others use them)": len(plan.media),
        **{f"dataset {d.name}": f"{d.samples} samples; {', '.join(d.withdrawn)} withdrawn; now {d.replaced_by}" for d in plan.datasets},
        "models told (they stay)": plan.models, "FiftyOne": review, **{what: found for what, found in notes.items() if found},
    }  # fmt: skip
    title = "nothing of it is in this root" if plan.empty else "forgotten" if done else "this would go; --yes does it"
    lines = [{"what": what, "value": value} for what, value in counts.items() if value or what == "drives"]
    show.emit_rows(lines, title=title, as_json=False)
