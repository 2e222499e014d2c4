"""The reference model, its evaluation slice by slice, and what it still fails."""

from collections.abc import Iterator

import dagster as dg

from assets.publish import RecipeConfig
from assets.report import markdown_table, picture, table_metadata, table_spec
from assets.resources import Flywheel, reported
from flywheel.tables import read_table

OWNERS = ["team:ml-engineering"]


@dg.asset(
    deps=["dataset"],
    group_name="train",
    owners=OWNERS,
    kinds={"pytorch"},
    description="A small reference model trained on the newest dataset version; its id is the digest of data, configuration and code.",
)
def model(flywheel: Flywheel, config: RecipeConfig) -> dg.MaterializeResult:
    from flywheel.train.run import train_model

    with reported():
        trained = train_model(flywheel.store(), config.recipe)
    return dg.MaterializeResult(data_version=dg.DataVersion(trained.model_id), metadata=trained.model_dump(mode="json"))


@dg.multi_asset(
    name="evaluate",
    specs=[
        dg.AssetSpec(
            "evaluation",
            deps=["model"],
            group_name="train",
            owners=OWNERS,
            kinds={"pytorch", "matplotlib"},
            description="Metrics per slice (scenario x condition), real and synthetic apart, with intervals and a plot.",
        ),
        table_spec(
            "DEMANDS", "What the model still fails: read by planning at the next spin.", group_name="train", owners=OWNERS, deps=["model"]
        ),
    ],
)
def evaluate(flywheel: Flywheel, config: RecipeConfig) -> Iterator[dg.MaterializeResult]:
    from flywheel.train.evaluate import evaluate_model, evaluation_plot
    from flywheel.train.run import train_model

    store = flywheel.store()
    with reported():
        trained = train_model(store, config.recipe)
        found = evaluate_model(store, trained)
    metadata = {"status": found.status, "slices": markdown_table([piece.model_dump() for piece in found.slices])}
    yield dg.MaterializeResult(asset_key="evaluation", metadata={**metadata, "plot": picture(evaluation_plot(store, trained))})
    demands = read_table(store, "DEMANDS", batch_id=trained.model_id)
    yield dg.MaterializeResult(
        asset_key="demands",
        metadata={
            **table_metadata(store, "DEMANDS", batch_id=trained.model_id, rows=demands.num_rows),
            "demands": markdown_table(demands.to_pylist()),
        },
    )
