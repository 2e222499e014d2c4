"""Versioned datasets with splits that hold."""

import dagster as dg

from assets.report import markdown_table
from assets.resources import Flywheel, reported

OWNERS = ["team:ml-engineering"]


class RecipeConfig(dg.Config):
    """Which dataset recipe to publish."""

    recipe: str = "rare-driving"


@dg.asset(
    deps=["events", "frames", "tracks", "decisions"],
    group_name="publish",
    owners=OWNERS,
    kinds={"lance"},
    description="A dataset version: event frames, reference frames and accepted variations, split by root drive group.",
)
def dataset(flywheel: Flywheel, config: RecipeConfig) -> dg.MaterializeResult:
    from flywheel.datasets import read_manifest
    from flywheel.publish.dataset import publish
    from flywheel.publish.recipe import recipe_named

    store = flywheel.store()
    with reported():
        version = publish(store, recipe_named(config.recipe))
        manifest = read_manifest(store, version.ref)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version.digest),
        metadata={
            "dagster/row_count": version.rows,
            **version.model_dump(),
            "slices": markdown_table([piece.model_dump() for piece in manifest.slices]),
            "pull it with": f"flywheel pull {version.ref} DIR --root {flywheel.resolved()}",
        },
    )


@dg.asset_check(
    asset="dataset", blocking=True, description="Every hash and the digest recompute, and no root group or parent and child cross a split."
)
def dataset_is_sound(flywheel: Flywheel) -> dg.AssetCheckResult:
    from flywheel.publish.dataset import list_datasets, verify

    store = flywheel.store()
    newest = {version.name: version for version in list_datasets(store)}
    problems = [problem for version in newest.values() for problem in verify(store, version.ref)]
    passed = bool(newest) and not problems
    return dg.AssetCheckResult(passed=passed, metadata={"versions checked": len(newest), "problems": "\n".join(problems[:20]) or "none"})
