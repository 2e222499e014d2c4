"""A generation plan and what became of it, as tables in a terminal."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from flywheel import show

if TYPE_CHECKING:
    from flywheel.generate.effect import Effect
    from flywheel.generate.outlook import Outlook
    from flywheel.generate.plan import Plan

CELLS = ("scenario", "condition", "planned", "severity", "thinness", "demand", "may_pass", "weight", "before", "for_pairs", "why")
EFFECTS = ("scenario", "condition", "real", "before", "planned", "accepted", "rejected", "waiting", "failed", "now", "why")


def show_plan(plan: "Plan") -> None:
    """The cells a plan fills and why, those it may not fill, and how coverage is expected to change."""
    title = f"plan {plan.number} of batch {plan.batch_id}: {len(plan.requests)} of {plan.budget}, drawn by {plan.generator.name}"
    show.emit_rows(plan.chosen(), title=title, as_json=False, columns=CELLS)
    shut = Counter(cell.why for cell in plan.closed)
    show.emit_rows([{"because": why, "cells": count} for why, count in shut.most_common()], title="not asked for", as_json=False)
    if plan.outlook is not None:
        show.emit_rows(plan.outlook.measures, title=f"expected change of coverage ({_rests_on(plan.outlook)})", as_json=False)
    for note in plan.notes:
        show.out.print(f"note: {note}", highlight=False, markup=False)


def show_effect(effect: "Effect") -> None:
    """Coverage before a plan and now: cell by cell with the reasons, then as a whole."""
    name = f"plan {effect.number} of batch {effect.batch_id}, budget {effect.budget}"
    show.emit_rows(effect.cells, title=f"coverage before and now, {name}", as_json=False, columns=EFFECTS)
    title = f"as a whole: {effect.drawn} of {effect.planned} drawn ({_rests_on(effect.now)})"
    show.emit_rows([_change(*pair) for pair in zip(effect.before, effect.now.measures, strict=True)], title=title, as_json=False)


def _change(before: Any, now: Any) -> dict[str, Any]:
    return {
        "what": now.what, "possible": now.possible, "real": now.real, "before": before.before, "now": now.before,
        "if what waits is accepted": now.if_all, "expected": now.expected,
    }  # fmt: skip


def _rests_on(said: "Outlook") -> str:
    rate = (
        "nothing judged yet"
        if said.rate is None
        else f"{said.rate:.0%} of {said.judged} accepted so far, {said.low:.0%} to {said.high:.0%}"
    )
    return f"{rate}; real exposure stays {said.exposure_h:.3g} h"
