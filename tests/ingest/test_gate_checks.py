"""The quality gates as Dagster shows them: a check for each family, over the batch that was materialized, and a picture of each drive."""

from pathlib import Path

import dagster as dg

from assets import ingest as module
from assets.ingest import FAMILY_TEXT, ingest_tables, landed_logs
from assets.partitions import landing_batches
from assets.resources import Flywheel
from flywheel.ingest.land import land
from flywheel.ingest.quality import FAMILIES, family_of
from flywheel.store import DiskStore
from tests.ingest.make_mcap import MS, T0_NS, make_mcap


def hole(topic: str, t_ns: int, item: object) -> object:
    """Nothing of the ego's own for more than a second."""
    return None if topic in ("/ego/state", "/imu", "/gnss", "/environment") and 1000 * MS < t_ns - T0_NS < 2500 * MS else item


def materialize(tmp_path: Path, logs: Path) -> dg.ExecuteInProcessResult:
    store = DiskStore(tmp_path / "root")
    batch = land(store, logs)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(str(landing_batches.name), [batch])
        resources = {"flywheel": Flywheel(root=str(tmp_path / "root"))}
        return dg.materialize(
            [landed_logs, ingest_tables, *dg.load_asset_checks_from_modules([module])],
            partition_key=batch, instance=instance, resources=resources,
        )  # fmt: skip


def test_every_family_has_a_check_that_names_drive_and_message(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    make_mcap(logs / "clean.mcap", camera=False)
    make_mcap(logs / "hole.mcap", seconds=4, change=hole)
    make_mcap(logs / "short.mcap", seconds=0.5, camera=False)
    result = materialize(tmp_path, logs)
    checks = {e.check_name.removesuffix("_gates"): e for e in result.get_asset_check_evaluations() if e.check_name.endswith("_gates")}
    assert set(checks) == set(FAMILIES) == set(FAMILY_TEXT)
    failed = {name: check.severity.value for name, check in checks.items() if not check.passed}
    assert failed == {"signals": "WARN", "clocks": "ERROR"}, "a gap is a warning; a drive too short to use is an error of its batch"
    assert "hole.mcap" in str(checks["signals"].metadata["table"].value)
    assert "in quarantine" in str(checks["clocks"].metadata["table"].value)
    drives = next(e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey("drives"))
    metadata = drives.step_materialization_data.materialization.metadata
    pictures = [str(value.value) for name, value in metadata.items() if name.startswith("drive-")]
    assert [text.startswith("![picture](data:image/png;base64,") for text in pictures] == [True, True]


def test_every_gate_has_one_family() -> None:
    gates = [gate for named in FAMILIES.values() for gate in named]
    assert len(gates) == len(set(gates))
    assert (family_of("gaps"), family_of("sync"), family_of("what a new reader says")) == ("signals", "clocks", "layout")
