"""Variations where coverage is thin: a pinned plan, then diffusion, then scores, with provenance beside every output."""

from collections import Counter
from functools import lru_cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import dagster as dg

from assets.partitions import landing_batches
from assets.report import Metadata, image_grid, markdown_table, picture, table_metadata, table_spec
from assets.resources import Flywheel, reported
from flywheel.generate.protocol import Generator, GeneratorInfo
from flywheel.links import link_to
from flywheel.store import Store
from flywheel.tables import read_table

if TYPE_CHECKING:
    from flywheel.generate.plan import Plan

OWNERS = ["team:ml-engineering"]


class GenerateConfig(dg.Config):
    """Which generator and, if not every condition is wanted, which recipe (`flywheel recipes`); how many variations a batch may cost,
    and what share of them again for what the gates turned away."""

    generator: str = "bundled"
    recipe: str = ""
    budget: int = 32
    retries: float = 0.25


class PlanConfig(GenerateConfig):
    """Also: whether to plan again where a batch has a plan already."""

    replan: bool = False


def planned(store: Store, batch: str, config: GenerateConfig, *, info: GeneratorInfo, replan: bool = False) -> "Plan":
    """The batch's plan: the pinned one, or a new one."""
    from flywheel.generate.plan import plan_batch
    from flywheel.generate.recipes import recipe_named

    recipe = recipe_named(config.recipe) if config.recipe else None
    return plan_batch(store, batch, generator=info, budget=config.budget, recipe=recipe, replan=replan)


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
    description="How the budget is divided over scenario x condition cells and pairs of ODD values, which frames fill them, and why. "
    "Pinned, so that a rerun asks for the same.",
)
def generation_plan(context: dg.AssetExecutionContext, flywheel: Flywheel, config: PlanConfig) -> dg.MaterializeResult:
    info = load_generator(config.generator).info
    with reported():
        plan = planned(flywheel.store(), context.partition_key, config, info=info, replan=config.replan)
    return dg.MaterializeResult(metadata=_plan_metadata(plan))


def _plan_metadata(plan: "Plan") -> Metadata:
    from flywheel.generate.plot import plan_plot
    from flywheel.generate.provenance import link_of

    names = {"scenario", "level", "source_condition", "target_condition", "prompt"}
    requests = [request.model_dump(include=names) | {"made from": link_of(request)} for request in plan.requests]
    shut = Counter(cell.why for cell in plan.closed)
    return {
        "dagster/row_count": len(requests),
        "budget": plan.budget,
        "map": picture(plan_plot(plan)),
        "cells": markdown_table([cell.model_dump() for cell in plan.chosen()]),
        "expected change": markdown_table([one.model_dump() for one in plan.outlook.measures] if plan.outlook else []),
        "not asked for": markdown_table([{"because": why, "cells": count} for why, count in shut.most_common()]),
        "notes": "\n".join(plan.notes) or "none",
        "requests": markdown_table(requests[:40]),
    }


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
    from flywheel.generate.effect import effect
    from flywheel.generate.retry import RetryPolicy, retry_rejected
    from flywheel.generate.run import run_plan

    store, batch = flywheel.store(), context.partition_key
    generator = load_generator(config.generator)
    with reported():
        plan = planned(store, batch, config, info=generator.info)
        report = run_plan(store, plan, generator)
        again = retry_rejected(store, plan, generator, policy=RetryPolicy(share=config.retries))
        change = effect(store, plan)
    rows = read_table(store, "VARIATIONS", batch_id=batch).to_pylist()
    done = [row for row in rows if row["status"] == "done"]
    pairs = [image for row in done[:6] for image in ((row["parent_sha256"], row["parent_ext"]), (row["output_sha256"], row["output_ext"]))]
    counts = {name: value for name, value in report.model_dump().items() if isinstance(value, int | float)}
    return dg.MaterializeResult(
        asset_key="variations",
        metadata={
            **table_metadata(store, "VARIATIONS", batch_id=batch, rows=len(rows)),
            **counts,
            "tried again": sum(found.done + found.skipped for found in again),
            "original and variation": image_grid(store, pairs),
            "coverage before and now": markdown_table([cell.model_dump() for cell in change.cells] if change else []),
            "made from": markdown_table([{"variation": row["variation_id"], "frame": link_to(**row)} for row in done[:40]]),
        },
    )


@dg.asset_check(asset="variations", description="Every variation names its output or the reason why there is none.")
def variations_say_what_happened(flywheel: Flywheel) -> dg.AssetCheckResult:
    rows = read_table(flywheel.store(), "VARIATIONS").to_pylist()
    silent = [row["variation_id"] for row in rows if not (row["output_sha256"] if row["status"] == "done" else row["reason"])]
    return dg.AssetCheckResult(passed=not silent, metadata={"variations": len(rows), "silent": ", ".join(silent[:10]) or "none"})


@dg.asset_check(asset="variations", description="As a whole, outputs lie where real frames of their condition lie, and differ as those do.")
def variations_look_like_real_frames(flywheel: Flywheel) -> dg.AssetCheckResult:
    from flywheel.generate.batch_gates import judge_strata

    found = judge_strata(flywheel.store())
    failed = [gate for gate in found if not gate.passed]
    return dg.AssetCheckResult(
        passed=not failed, severity=dg.AssetCheckSeverity.WARN, metadata={"gates": markdown_table([gate.model_dump() for gate in found])}
    )
