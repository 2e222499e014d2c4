"""Raw logs become tables: one landing batch a partition, one part a drive, bad drives in quarantine with their reason."""

from collections.abc import Iterator

import dagster as dg

from assets.partitions import landing_batches
from assets.report import Metadata, image_grid, markdown_table, picture, table_metadata, table_spec
from assets.resources import Flywheel, reported
from flywheel.tables import list_parts, read_table
from flywheel.video import COLUMNS, attempts

OWNERS = ["team:data-engineering"]
TABLES = {
    "DRIVES": "One row a drive: where it came from, its clock, its group for splits, and what it holds.",
    "SIGNALS": "Ego motion, IMU, GNSS and environment at the rate of the fastest stream.",
    "TRACKS": "Other road users: boxes in the ego frame with velocity over ground.",
    "LIGHTS": "The traffic light that governs the ego's lane, with the distance to its stop line.",
    "LANES": "What the map says about the ego's lane: offset, width, curvature, junctions.",
    "FRAMES": "Camera frames, content-addressed, with calibration.",
    "SENSORS": "When each sensor spoke: rate, jitter, gaps, order, overlap, and the offset of its own clock.",
    "FINDINGS": "What the quality gates noticed about drives that were ingested nevertheless.",
}
PICTURED_DRIVES = 8
FAMILY_TEXT = {
    "layout": "Nothing of the logs had to be left out or guessed.",
    "signals": "Speeds, accelerations and turning are possible, complete, alive and in SI units.",
    "positions": "Poses and GNSS fixes move as the speed says.",
    "clocks": "Every sensor keeps its rhythm, its order and the drive's time; streams of one motion show it at one time.",
    "cameras": "Pictures are neither black, blurred, blocked nor frozen.",
    "tracks": "Road users neither leap nor deny their velocities.",
    "copies": "No drive is there twice, under whatever name or format.",
}
SPEC = {"group_name": "ingest", "owners": OWNERS, "deps": ["landed_logs"]}


@dg.asset(
    partitions_def=landing_batches,
    group_name="land",
    owners=OWNERS,
    kinds={"mcap", "s3"},
    description="A complete landing batch of raw fleet logs, never changed: moved here from the inbox if a claim says so. "
    "Its manifest, written last, names every file and its hash.",
)
def landed_logs(context: dg.AssetExecutionContext, flywheel: Flywheel) -> dg.MaterializeResult:
    from flywheel.ingest.seal import seal

    with reported():
        logs = seal(flywheel.store(), context.partition_key)
    rows = [{"log": log.name, "files": len(log.files), "MB": sum(f.bytes for f in log.files) / 1e6} for log in logs]
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rows), "logs": markdown_table(rows)})


@dg.multi_asset(
    name="ingest",
    specs=[table_spec(name, text, partitions_def=landing_batches, **SPEC) for name, text in TABLES.items()],
    check_specs=[dg.AssetCheckSpec(f"{family}_gates", asset="drives", description=text) for family, text in FAMILY_TEXT.items()],
    partitions_def=landing_batches,
)
def ingest_tables(context: dg.AssetExecutionContext, flywheel: Flywheel) -> Iterator[dg.MaterializeResult]:
    from flywheel.ingest.run import ingest_batch

    store, batch = flywheel.store(), context.partition_key
    with reported():
        report = ingest_batch(store, batch)
    context.log.info(f"{report.drives} drives, {len(report.quarantined)} in quarantine")
    extra: dict[str, Metadata] = {
        "DRIVES": {
            "drives": report.drives,
            "quarantined": len(report.quarantined),
            "recorded seconds": report.recorded_s,
            "quarantine": markdown_table([item.model_dump() for item in report.quarantined]),
            **_drive_pictures(flywheel, batch),
        },
        "FRAMES": {"frames": _frame_grid(flywheel, batch)},
    }
    for name in TABLES:
        rows = report.rows[name] if name in report.rows else len(read_table(store, name, batch_id=batch, columns=["drive_id"]))
        metadata = table_metadata(store, name, batch_id=batch, rows=rows)
        checks = list(gate_results(flywheel, batch)) if name == "DRIVES" else []
        yield dg.MaterializeResult(asset_key=name.lower(), metadata={**metadata, **extra.get(name, {})}, check_results=checks)


def gate_results(flywheel: Flywheel, batch: str) -> Iterator[dg.AssetCheckResult]:
    """A result for each family of quality gates: a warning for what is kept in FINDINGS, an error for what put a log into quarantine."""
    from flywheel.ingest.quality import family_of
    from flywheel.ingest.table import recordings

    rows = [
        {"family": family_of(f.gate), "drive": r.drive_id or "in quarantine", "log": r.name, **f.model_dump()}
        for r in recordings(flywheel.store(), batch)
        for f in (*r.refusals, *r.findings)
    ]
    for family in FAMILY_TEXT:
        found = [row for row in rows if row["family"] == family]
        refused = any(row["severity"] == "error" for row in found)
        yield dg.AssetCheckResult(
            check_name=f"{family}_gates",
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR if refused else dg.AssetCheckSeverity.WARN,
            metadata={"findings": len(found), "table": markdown_table(found)},
        )


def _drive_pictures(flywheel: Flywheel, batch: str) -> Metadata:
    """Timeline, sensors and route of the batch's first drives."""
    from flywheel.look.find import Drive
    from flywheel.look.plots import drive_png

    rows = sorted(read_table(flywheel.store(), "DRIVES", batch_id=batch).to_pylist(), key=lambda row: str(row["source_name"]))
    drives = [Drive(flywheel.store(), row) for row in rows[:PICTURED_DRIVES]]
    return {drive.drive_id: picture(drive_png(drive)) for drive in drives}


def _frame_grid(flywheel: Flywheel, batch: str) -> dg.MarkdownMetadataValue:
    store = flywheel.store()
    rows = [row for row in read_table(store, "FRAMES", batch_id=batch, columns=list(COLUMNS)).to_pylist() if row["kind"] == "rgb"]
    shown = attempts(store, rows[:: max(1, len(rows) // 8)][:8])
    return image_grid(store, [picture.data for _, picture in shown if not isinstance(picture, str)])


@dg.asset_check(asset="drives", description="No drive of the batch had to be quarantined.")
def nothing_in_quarantine(flywheel: Flywheel) -> dg.AssetCheckResult:
    reasons = [key for key in flywheel.store().list("quarantine/") if key.endswith(".reason.json")]
    return dg.AssetCheckResult(passed=not reasons, severity=dg.AssetCheckSeverity.WARN, metadata={"reasons": "\n".join(reasons) or "none"})


@dg.asset_check(asset="drives", description="Every drive in DRIVES has the rows it claims in SIGNALS.")
def drives_are_whole(flywheel: Flywheel) -> dg.AssetCheckResult:
    store = flywheel.store()
    claimed = {
        row["drive_id"] for row in read_table(store, "DRIVES", columns=["drive_id", "signal_rows"]).to_pylist() if row["signal_rows"]
    }
    found = {key.rsplit("/", 1)[1].removesuffix(".parquet") for key in list_parts(store, "SIGNALS")}
    lost = sorted(claimed - found)
    return dg.AssetCheckResult(passed=not lost, metadata={"drives": len(claimed), "lost": ", ".join(lost) or "none"})
