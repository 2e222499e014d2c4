"""`flywheel spin`: the same assets the UI shows, run stage by stage in this process, with progress."""

import os
import time
from pathlib import Path
from typing import Any

import dagster as dg

from assets.automation import BATCH_GROUPS, WHEEL_GROUPS
from assets.definitions import assets, checks
from assets.partitions import landing_batches
from assets.resources import Flywheel
from flywheel import show
from flywheel.errors import BadData, FlywheelError
from flywheel.state import dagster_home
from flywheel.store import open_store

CONFIGURED = {
    "generate": ("generation_plan", "generate"),
    "publish": ("dataset",),
    "train": ("model", "evaluate"),
    "release": ("registration", "release"),
}


def spin(*, root: str, logs: Path | None, recipe: str, generator: str, budget: int) -> None:
    """Lands `logs` if given, then turns every landed batch and the rest of the wheel; done work is found done and skipped."""
    from flywheel.ingest.landed import landed_batches

    store = open_store(root)
    if logs is not None:
        from flywheel.ingest.land import land

        show.out.print(f"landed {logs} as {land(store, logs)}")
    batches = landed_batches(store)
    if not batches:
        raise BadData(f"{root} has no landing batch. Give logs: flywheel spin --logs DIR --root {root}")
    steps = [(group, batch) for batch in batches for group in BATCH_GROUPS] + [(group, None) for group in WHEEL_GROUPS]
    os.environ["DAGSTER_HOME"] = str(dagster_home(root))
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(landing_batches.name), batches)
        for number, (group, batch) in enumerate(steps, 1):
            started = time.monotonic()
            show.out.print(f"[{number}/{len(steps)}] [bold]{group}[/] {batch or ''}", highlight=False)
            turn(instance, group, batch, root=root, config={"recipe": recipe, "generator": generator, "budget": budget})
            show.out.print(f"      done in {time.monotonic() - started:.1f} s", highlight=False)


def turn(instance: dg.DagsterInstance, group: str, batch: str | None, *, root: str, config: dict[str, Any]) -> None:
    """One stage as a Dagster run; FlywheelError with the failing step's own words if it fails."""
    result = dg.materialize(
        [*assets, *checks],
        selection=dg.AssetSelection.groups(group),
        partition_key=batch,
        instance=instance,
        resources={"flywheel": Flywheel(root=root)},
        run_config={"ops": ops_config(group, config), "loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        raise_on_error=False,
    )
    if not result.success:
        raise FlywheelError(
            f"stage {group} failed: {reasons(result)}. Run `make dev` to see the run; run the same command again to resume."
        )


def ops_config(group: str, config: dict[str, Any]) -> dict[str, Any]:
    """Run configuration for the ops of a group that take one."""
    keys = ("generator", "budget") if group == "generate" else ("recipe",)
    return {op: {"config": {key: config[key] for key in keys}} for op in CONFIGURED.get(group, ())}


def reasons(result: dg.ExecuteInProcessResult) -> str:
    """Why the steps of a failed run failed, in one line."""
    found = []
    for event in result.get_step_failure_events() if hasattr(result, "get_step_failure_events") else result.all_events:
        if event.is_step_failure and event.step_failure_data.error:
            error = event.step_failure_data.error
            metadata = event.step_failure_data.user_failure_data
            found.append(f"{event.step_key}: {metadata.description if metadata else (error.cause or error).message.strip()}")
    return "; ".join(found) or "an asset check that blocks said no"
