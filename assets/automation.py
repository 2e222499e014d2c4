"""What makes the wheel turn by itself: new landing batches start runs, a finished batch starts a release, a day renews the timestamp."""

import dagster as dg

from assets.partitions import landed, landing_batches
from assets.resources import Flywheel

BATCH_GROUPS = ("land", "ingest", "mine", "generate", "curate")
WHEEL_GROUPS = ("coverage", "review", "publish", "train", "release", "vehicle")

batch_job = dg.define_asset_job(
    "turn_batch",
    selection=dg.AssetSelection.groups(*BATCH_GROUPS),
    partitions_def=landing_batches,
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


@dg.sensor(job=batch_job, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.STOPPED)
def landing_sensor(context: dg.SensorEvaluationContext, flywheel: Flywheel) -> dg.SensorResult:
    """Turns every complete landing batch that is new into a partition and a run; a batch's id is its run key, so it runs once."""
    known = set(context.instance.get_dynamic_partitions(str(landing_batches.name)))
    batches = landed(flywheel.store())
    new = [batch for batch in batches if batch not in known]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=batch, partition_key=batch) for batch in batches],
        dynamic_partitions_requests=[landing_batches.build_add_request(new)] if new else [],
    )


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, monitored_jobs=[batch_job], request_job=wheel_job)
def after_batch(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """A finished batch turns the rest of the wheel."""
    return dg.RunRequest(run_key=context.dagster_run.run_id)


daily_timestamp = dg.ScheduleDefinition(job=timestamp_job, cron_schedule="17 3 * * *", name="daily_timestamp")

jobs = [batch_job, wheel_job, timestamp_job]
sensors = [landing_sensor, after_batch]
schedules = [daily_timestamp]
