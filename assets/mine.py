"""Rare events, the exposure they were mined from, and what both say about coverage."""

from collections import Counter
from collections.abc import Iterator

import dagster as dg

from assets.partitions import landing_batches
from assets.report import markdown_table, picture, table_metadata, table_spec
from assets.resources import Flywheel, reported
from flywheel.tables import read_table

OWNERS = ["team:data-engineering"]
DEPS = ["drives", "signals", "tracks", "lights", "lanes", "frames"]
WHAT = {
    "EVENTS": "Rare driving events: scenario, level, interval, peak and actors.",
    "ENCOUNTERS": "One row for each road user met: shortest TTC and THW, PET, DRAC and their like, and when.",
    "EXPOSURE": "What could have been seen: evaluable seconds, metres and encounters per drive, scenario and ODD stratum, or why not.",
}
SPECS = [
    table_spec(name, text, group_name="mine", owners=OWNERS, deps=DEPS, kinds={"numpy"}, partitions_def=landing_batches)
    for name, text in WHAT.items()
]


@dg.multi_asset(name="mine", specs=SPECS, partitions_def=landing_batches)
def mine_tables(context: dg.AssetExecutionContext, flywheel: Flywheel) -> Iterator[dg.MaterializeResult]:
    from flywheel.mine.ledger import put_ledger
    from flywheel.mine.run import mine_batch

    store, batch = flywheel.store(), context.partition_key
    with reported():
        report = mine_batch(store, batch, workers=None)
        put_ledger(store)
    events = read_table(store, "EVENTS", batch_id=batch).to_pylist()
    counts = Counter((row["scenario"], row["level"]) for row in events)
    table = [{"scenario": scenario, "level": level, "events": count} for (scenario, level), count in sorted(counts.items())]
    yield dg.MaterializeResult(
        asset_key="events",
        metadata={**table_metadata(store, "EVENTS", batch_id=batch, rows=len(events)), "by scenario": markdown_table(table)},
    )
    met = len(read_table(store, "ENCOUNTERS", batch_id=batch, columns=["drive_id"]))
    yield dg.MaterializeResult(asset_key="encounters", metadata=table_metadata(store, "ENCOUNTERS", batch_id=batch, rows=met))
    exposure = read_table(store, "EXPOSURE", batch_id=batch).to_pylist()
    context.log.info(f"{report.drives} drives, {len(events)} events")
    yield dg.MaterializeResult(
        asset_key="exposure",
        metadata={
            **table_metadata(store, "EXPOSURE", batch_id=batch, rows=len(exposure)),
            "not evaluable": markdown_table(_why_not(exposure)),
        },
    )


def _why_not(exposure: list[dict[str, object]]) -> list[dict[str, object]]:
    why = Counter((row["scenario"], row["reason"]) for row in exposure if row["status"] == "not_evaluable")
    return [{"scenario": scenario, "reason": reason, "drives": count} for (scenario, reason), count in sorted(why.items(), key=str)]


@dg.asset_check(asset="exposure", description="Not evaluable is not negative: every such row gives its reason and no exposure.")
def not_evaluable_is_explained(flywheel: Flywheel) -> dg.AssetCheckResult:
    rows = read_table(flywheel.store(), "EXPOSURE").to_pylist()
    silent = [row for row in rows if row["status"] == "not_evaluable" and (not row["reason"] or row["exposure_s"] > 0)]
    return dg.AssetCheckResult(passed=not silent, metadata={"rows": len(rows), "unexplained": len(silent)})


@dg.asset(
    deps=["events", "exposure", "decisions"],
    group_name="coverage",
    owners=OWNERS,
    kinds={"python"},
    description="Scenario x ODD over all batches: real exposure and counts with intervals, rarity, synthetic and replays beside them, "
    "gaps, t-wise coverage and what is still unseen.",
)
def coverage(flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.mine.coverage import coverage as cells
    from flywheel.mine.coverage import gaps
    from flywheel.mine.evidence import read_exposure
    from flywheel.mine.plot import coverage_plot
    from flywheel.mine.twise import driven, twise
    from flywheel.mine.unseen import unseen_mass

    with reported():
        store = flywheel.store()
        exposure = read_exposure(store)
        found, what = cells(store, exposure=exposure), driven(exposure)
        pairs = [twise(what, strength=t).model_dump(exclude={"gaps", "against"}) for t in (2, 3)]
        unseen = [one.model_dump() for one in unseen_mass(store)]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found),
            "map": picture(coverage_plot(found)),
            "gaps": markdown_table([cell.model_dump() for cell in gaps(found)[:60]]),
            "t-wise": markdown_table(pairs),
            "unseen": markdown_table(unseen),
        }
    )
