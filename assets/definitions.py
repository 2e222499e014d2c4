"""The code location: every asset, check, job, sensor and schedule, with one resource."""

import dagster as dg

from assets import automation, curate, generate, ingest, mine, publish, release, train
from assets.resources import Flywheel

modules = [ingest, mine, generate, curate, publish, train, release]

defs = dg.Definitions(
    assets=dg.load_assets_from_modules(modules),
    asset_checks=dg.load_asset_checks_from_modules(modules),
    jobs=automation.jobs,
    sensors=automation.sensors,
    schedules=automation.schedules,
    resources={"flywheel": Flywheel(root=dg.EnvVar("FLYWHEEL_ROOT").get_value() or "")},
    executor=dg.in_process_executor,
)
