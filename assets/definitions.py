"""The code location: every asset, check, job, sensor and schedule, with what they are given."""

import os

import dagster as dg

from assets import automation, curate, generate, ingest, mine, novelty, publish, release, train
from assets.resources import Flywheel

modules = [ingest, mine, novelty, generate, curate, publish, train, release]
assets = [asset for asset in dg.load_assets_from_modules(modules) if isinstance(asset, dg.AssetsDefinition)]
checks = dg.load_asset_checks_from_modules(modules)

defs = dg.Definitions(
    assets=assets,
    asset_checks=checks,
    jobs=automation.jobs,
    sensors=automation.sensors,
    schedules=automation.schedules,
    resources={
        "flywheel": Flywheel(root=os.environ.get("FLYWHEEL_ROOT", "")),
        "inbox": automation.Inbox(settle_s=float(os.environ.get("FLYWHEEL_SETTLE_S", "60"))),
    },
    executor=dg.in_process_executor,
)
