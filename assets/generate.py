"""Variations where coverage is thin: a pinned plan, then diffusion, then scores, with provenance beside every output."""

from functools import lru_cache
from importlib.metadata import entry_points

import dagster as dg

from assets.partitions import landing_batches
from assets.report import Metadata, image_grid, markdown_table, table_metadata, table_spec
from assets.resources import Flywheel, reported
from flywheel.generate.protocol import Generator
from flywheel.tables import read_table

OWNERS = ["team:ml-engineering"]


class GenerateConfig(dg.Config):
    """Which generator, and how many variations a batch may cost."""

    generator: str = "bundled"
    budget: int = 32


@lru_cache(maxsize=2)
def load_generator(name: str) -> Generator:
    """An installed generator plug-in by name, resident for the life of the process."""
    found = {entry.name: entry for entry in entry_points(group="flywheel.generators")}
    if name not in found:
        raise dg.Failure(f"no generator named {name!r}; there are: {', '.join(sorted(found))}", allow_retries=False)
    generator: Generator = found[name].load()()
    return generator


@dg.asset(
    deps=["events", "exposure", "frames"],
    partitions_def=landing_batches,
    group_name="generate",
    owners=OWNERS,
    kinds={"json"},
    description="Which frames to redraw under which condition, and why: thin cells first. Pinned, so that a rerun asks for the same.",
)
def generation_plan(context: dg.AssetExecutionContext, flywheel: Flywheel, config: GenerateConfig) -> dg.MaterializeResult:
    from flywheel.generate.plan import plan_batch

    with reported():
        plan = plan_batch(flywheel.store(), context.partition_key, generator=load_generator(config.generator).info, budget=config.budget)
    rows = [
        request.model_dump(include={"scenario", "level", "source_condition", "target_condition", "prompt"}) for request in plan.requests
    ]
    metadata: Metadata = {"dagster/row_count": len(rows), "notes": "\n".join(plan.notes) or "none", "requests": markdown_table(rows[:40])}
    return dg.MaterializeResult(metadata=metadata)


@dg.multi_asset(
    name="generate",
    specs=[
        table_spec(
            "VARIATIONS",
            "Frames redrawn under another condition, with parents, generator, weights, seed, hashes and scores.",
            group_name="generate",
            owners=OWNERS,
            deps=["generation_plan"],
            kinds={"diffusers", "pytorch"},
            partitions_def=landing_batches,
        )
    ],
    partitions_def=landing_batches,
)
def variations(context: dg.AssetExecutionContext, flywheel: Flywheel, config: GenerateConfig) -> dg.MaterializeResult:
    from flywheel.generate.plan import plan_batch
    from flywheel.generate.run import run_plan

    store, batch = flywheel.store(), context.partition_key
    generator = load_generator(config.generator)
    with reported():
        plan = plan_batch(store, batch, generator=generator.info, budget=config.budget)
        report = run_plan(store, plan, generator)
    rows = read_table(store, "VARIATIONS", batch_id=batch).to_pylist()
    done = [row for row in rows if row["status"] == "done"]
    pairs = [image for row in done[:6] for image in ((row["parent_sha256"], row["parent_ext"]), (row["output_sha256"], row["output_ext"]))]
    counts = {name: value for name, value in report.model_dump().items() if isinstance(value, int | float)}
    return dg.MaterializeResult(
        asset_key="variations",
        metadata={
            **table_metadata(store, "VARIATIONS", batch_id=batch, rows=len(rows)),
            **counts,
            "original and variation": image_grid(store, pairs),
        },
    )


@dg.asset_check(asset="variations", description="Every variation names its output or the reason why there is none.")
def variations_say_what_happened(flywheel: Flywheel) -> dg.AssetCheckResult:
    rows = read_table(flywheel.store(), "VARIATIONS").to_pylist()
    silent = [row["variation_id"] for row in rows if not (row["output_sha256"] if row["status"] == "done" else row["reason"])]
    return dg.AssetCheckResult(passed=not silent, metadata={"variations": len(rows), "silent": ", ".join(silent[:10]) or "none"})
