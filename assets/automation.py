"""What makes the wheel turn by itself: uploaded logs start runs, a finished batch starts a release, a day renews the timestamp."""

import os
import time

import dagster as dg

from assets.partitions import landing_batches
from assets.resources import Flywheel

BATCH_GROUPS = ("land", "ingest", "mine", "generate", "curate")
WHEEL_GROUPS = ("coverage", "review", "publish", "train", "release", "vehicle")
MOST_RUNS = 5


class Inbox(dg.ConfigurableResource):
    """When a log in the inbox counts as uploaded: its files unchanged between two looks, and last written settle_s ago or longer."""

    settle_s: float = 60.0
    batch_logs: int = 500


batch_job = dg.define_asset_job(
    "turn_batch",
    selection=dg.AssetSelection.groups(*BATCH_GROUPS),
    description="One landing batch from raw logs to curated variations.",
)
wheel_job = dg.define_asset_job(
    "turn_wheel",
    selection=dg.AssetSelection.groups(*WHEEL_GROUPS),
    description="From all curated batches to a dataset version, a model, its evaluation, a signed release and a vehicle's update.",
)
timestamp_job = dg.define_asset_job(
    "renew_timestamp",
    selection=dg.AssetSelection.assets("ota_timestamp"),
    description="Signs a fresh TUF timestamp so that vehicles do not refuse stale metadata.",
)


@dg.sensor(
    job=batch_job, minimum_interval_seconds=int(os.environ.get("FLYWHEEL_SENSOR_S", "30")), default_status=dg.DefaultSensorStatus.STOPPED
)
def landing_sensor(context: dg.SensorEvaluationContext, flywheel: Flywheel, inbox: Inbox) -> dg.SensorResult:
    """Turns what was uploaded to `inbox/` into batches, a partition and a run each. A batch's id is its run key, so it runs once; a run
    that failed before its batch had landed is asked for again. Batches landed by `flywheel ingest --logs` get a run too."""
    from flywheel.ingest.claims import look
    from flywheel.ingest.landed import landed_batches

    store = flywheel.store()
    found = look(store, now_t_ns=time.time_ns(), cursor=context.cursor or "", settle_s=inbox.settle_s, batch_logs=inbox.batch_logs)
    known = set(context.instance.get_dynamic_partitions(str(landing_batches.name)))
    landed = landed_batches(store, besides=known.union(found.open))
    context.log.info(f"{len(found.new)} batches claimed, {len(found.open)} open, {found.waiting} logs in the inbox not settled")
    if found.unlandable:
        context.log.warning(f"{len(found.unlandable)} names that cannot be landed; rename them: {found.unlandable[:5]!r}")
    new = [batch for batch in (*found.open, *landed) if batch not in known]
    keys = {batch: run_key(context.instance, batch) for batch in found.open} | {batch: batch for batch in landed}
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, partition_key=batch) for batch, key in keys.items() if key],
        dynamic_partitions_requests=[landing_batches.build_add_request(new)] if new else [],
        cursor=found.cursor,
    )


def run_key(instance: dg.DagsterInstance, batch: str) -> str | None:
    """The key of the run that a claimed batch needs: another one after every failure, None after MOST_RUNS of them."""
    ended = dg.RunsFilter(job_name=batch_job.name, tags={"dagster/partition": batch}, statuses=[dg.DagsterRunStatus.FAILURE])
    failed = instance.get_runs_count(ended)
    return None if failed >= MOST_RUNS else f"{batch}-{failed}" if failed else batch


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, monitored_jobs=[batch_job], request_job=wheel_job)
def after_batch(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """A finished batch turns the rest of the wheel."""
    return dg.RunRequest(run_key=context.dagster_run.run_id)


daily_timestamp = dg.ScheduleDefinition(job=timestamp_job, cron_schedule="17 3 * * *", name="daily_timestamp")

jobs = [batch_job, wheel_job, timestamp_job]
sensors = [landing_sensor, after_batch]
schedules = [daily_timestamp]
