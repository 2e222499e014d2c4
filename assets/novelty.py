"""What is unlike the rest: pictures embedded batch by batch, ranked by novelty over all of them; seconds ranked by surprise."""

import dagster as dg

from assets.partitions import landing_batches
from assets.report import image_grid, markdown_table, table_metadata, table_spec
from assets.resources import Flywheel, reported
from flywheel.tables import read_table

OWNERS = ["team:curation"]
SHOWN = 8


@dg.multi_asset(
    name="embed",
    specs=[
        table_spec(
            "EMBEDDINGS",
            "A few pictures of each drive as vectors of the packaged image encoder.",
            group_name="mine",
            owners=OWNERS,
            deps=["frames"],
            kinds={"torch"},
            partitions_def=landing_batches,
        )
    ],
    partitions_def=landing_batches,
)
def embeddings(context: dg.AssetExecutionContext, flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.mine.embeddings import embed_batch

    store, batch = flywheel.store(), context.partition_key
    with reported():
        report = embed_batch(store, batch)
    rows = len(read_table(store, "EMBEDDINGS", batch_id=batch, columns=["drive_id"]))
    metadata = {**table_metadata(store, "EMBEDDINGS", batch_id=batch, rows=rows), "drives": report.drives, "frames lost": report.lost}
    return dg.MaterializeResult(asset_key="embeddings", metadata=metadata)


@dg.asset(
    deps=["embeddings"],
    group_name="coverage",
    owners=OWNERS,
    kinds={"numpy"},
    description="Pictures over all batches by how unlike they are to all others of their place and of the fleet, and near duplicates.",
)
def novelty(flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.mine.novelty import drives_by_novelty, most_novel, rank

    store = flywheel.store()
    with reported():
        table = rank(store)
    metadata = {
        "dagster/row_count": len(table),
        "near duplicates": sum(row["cluster_size"] > 1 for row in table.to_pylist()),
        "drives": markdown_table([row.model_dump() for row in drives_by_novelty(store)[:20]]),
        "most novel": image_grid(store, [still.data for still in most_novel(store, SHOWN)]),
    }
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    deps=["signals", "tracks"],
    group_name="coverage",
    owners=OWNERS,
    kinds={"numpy"},
    description="Seconds in which a classical and a learned prediction disagree, or the human did what neither foresaw.",
)
def surprise(flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.mine.surprise import most_surprising, rank

    store = flywheel.store()
    with reported():
        report = rank(store)
    return dg.MaterializeResult(metadata={**report.model_dump(), "seconds": markdown_table(most_surprising(store, 20))})
