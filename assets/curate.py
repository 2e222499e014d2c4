"""Every variation is accepted or rejected with score, threshold and reason, and laid out for people in FiftyOne."""

from collections import Counter

import dagster as dg

from assets.partitions import landing_batches
from assets.report import markdown_table, table_metadata, table_spec
from assets.resources import Flywheel, reported
from flywheel.tables import read_table

OWNERS = ["team:curation"]


@dg.multi_asset(
    name="curate",
    specs=[
        table_spec(
            "DECISIONS",
            "Append-only verdicts: who (person or rule), when, why, on which version. A missing score rejects.",
            group_name="curate",
            owners=OWNERS,
            deps=["variations"],
            partitions_def=landing_batches,
        )
    ],
    partitions_def=landing_batches,
)
def decisions(context: dg.AssetExecutionContext, flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.curate.decisions import curate_batch

    store, batch = flywheel.store(), context.partition_key
    with reported():
        report = curate_batch(store, batch)
    by_gate = [{"rejected by": gate, "variations": count} for gate, count in report.rejected_by_gate.items()]
    by_condition = [{"condition": name, **tally.model_dump()} for name, tally in report.by_condition.items()]
    return dg.MaterializeResult(
        asset_key="decisions",
        metadata={
            **table_metadata(store, "DECISIONS", batch_id=batch, rows=report.variations),
            "accepted": report.accepted,
            "rejected": report.rejected,
            "by gate": markdown_table(by_gate),
            "by condition": markdown_table(by_condition),
        },
    )


@dg.asset_check(
    asset="decisions", description="Nothing is promoted by a default: every variation has a verdict, and every verdict a variation."
)
def every_variation_is_decided(flywheel: Flywheel) -> dg.AssetCheckResult:
    store = flywheel.store()
    variations = set(read_table(store, "VARIATIONS", columns=["variation_id"])["variation_id"].to_pylist())
    decided = Counter(read_table(store, "DECISIONS", columns=["subject_id"])["subject_id"].to_pylist())
    missing, strange = variations - set(decided), set(decided) - variations
    return dg.AssetCheckResult(
        passed=not missing and not strange,
        metadata={"variations": len(variations), "undecided": len(missing), "without a variation": len(strange)},
    )


@dg.asset(
    deps=["decisions", "frames", "tracks"],
    group_name="review",
    owners=OWNERS,
    kinds={"fiftyone", "mongodb"},
    description="The review queue in FiftyOne: originals grouped with their variations, boxes, scores, verdicts and embeddings.",
)
def review_set(flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.curate.review import sync_review

    with reported():
        report = sync_review(flywheel.store(), state=flywheel.state())
    counts = {name: value for name, value in report.model_dump().items() if isinstance(value, int | float | str)}
    return dg.MaterializeResult(metadata={**counts, "open it with": f"flywheel review --root {flywheel.resolved()}"})
