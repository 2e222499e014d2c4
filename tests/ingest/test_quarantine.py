"""What a person sees of the logs that could not be ingested, and trying them again."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.errors import BadData
from flywheel.ingest import formats
from flywheel.ingest.drive import Blob, DriveFacts, Item, Log, Rows
from flywheel.ingest.land import land
from flywheel.ingest.quarantine import reasons, reasons_named
from flywheel.ingest.retry import retry
from flywheel.ingest.run import committed, ingest_batch
from flywheel.store import DiskStore
from tests.ingest.make_mcap import T0_NS, make_mcap


@pytest.fixture
def held(tmp_path: Path) -> tuple[DiskStore, str]:
    """A batch of a good drive, a damaged one (its landed bytes spoilt afterwards) and a file nobody knows."""
    store = DiskStore(tmp_path / "root")
    logs = tmp_path / "logs"
    logs.mkdir()
    make_mcap(logs / "good.mcap", seconds=1.1, camera=False)
    make_mcap(logs / "spoilt.mcap", seconds=1.2, camera=False)
    (logs / "who.bin").write_bytes(b"who knows" * 100)
    batch_id = land(store, logs)
    whole = store.get(f"landing/{batch_id}/spoilt.mcap")
    store.put("aside", whole)
    store.put(f"landing/{batch_id}/spoilt.mcap", b"damaged")
    ingest_batch(store, batch_id)
    return store, batch_id


def run(store: DiskStore, *words: str) -> str:
    """What the command prints; it must end well."""
    done = CliRunner().invoke(app, [*words, "--root", store.uri], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_list_names_batch_kind_reason_files_and_bytes(held: tuple[DiskStore, str]) -> None:
    store, batch_id = held
    rows = {row["name"]: row for row in json.loads(run(store, "quarantine", "list", "--json"))}
    assert set(rows) == {"spoilt.mcap", "who.bin"}
    assert rows["who.bin"]["batch"] == batch_id
    assert (rows["who.bin"]["kind"], rows["who.bin"]["files"], rows["who.bin"]["bytes"]) == ("BadData", 1, 900)
    assert "no known log format" in rows["who.bin"]["reason"]
    assert "has changed since" in rows["spoilt.mcap"]["reason"]


def test_show_gives_the_whole_reason_and_what_to_do(held: tuple[DiskStore, str]) -> None:
    store, batch_id = held
    (row,) = json.loads(run(store, "quarantine", "show", "who.bin", "--json"))
    assert row["landed"] == [f"landing/{batch_id}/who.bin"]
    assert "mapping.toml" in row["next"]
    assert row["drive_id"].startswith("drive-")
    assert "Land the log again" in " ".join(run(store, "quarantine", "show", "spoilt.mcap").split())


def test_a_name_that_is_not_there_is_told(held: tuple[DiskStore, str]) -> None:
    store, _ = held
    done = CliRunner().invoke(app, ["quarantine", "show", "good.mcap", "--root", store.uri])
    assert done.exit_code == 1
    with pytest.raises(BadData, match=r"there is: spoilt\.mcap, who\.bin"):
        reasons_named(store, "good.mcap")


def test_retry_reads_the_named_log_and_no_other(held: tuple[DiskStore, str], monkeypatch: pytest.MonkeyPatch) -> None:
    store, batch_id = held
    store.put(f"landing/{batch_id}/spoilt.mcap", store.get("aside"))
    opened: list[str] = []
    first = formats.FORMATS[0]
    watched = replace(first, read=lambda log: (opened.append(log.name), first.read(log))[1])
    monkeypatch.setattr(formats, "FORMATS", (watched, *formats.FORMATS[1:]))
    (found,) = retry(store, reasons_named(store, "spoilt.mcap"))
    assert (found.outcome, found.reason, opened) == ("ingested", "", ["spoilt.mcap"])
    assert [reason.name for reason in reasons(store)] == ["who.bin"]
    assert len(committed(store)) == 2


def test_retry_of_everything_keeps_what_is_still_bad(held: tuple[DiskStore, str]) -> None:
    store, batch_id = held
    store.put(f"landing/{batch_id}/spoilt.mcap", store.get("aside"))
    found = {row["name"]: row["outcome"] for row in json.loads(run(store, "quarantine", "retry", "--json"))}
    assert found == {"spoilt.mcap": "ingested", "who.bin": "quarantined"}


def two_parts(log: Log) -> dict[str, frozenset[str]]:
    """A format whose folder holds two drives."""
    return {name: frozenset(path for path in log.paths if path.startswith(name)) for name in ("a", "b")}


def read_part(log: Log) -> Iterator[Item]:
    """A drive whose one file says `good`, and BadData otherwise."""
    if log.read(f"{log.part}/said") != b"good":
        raise BadData(f"{log.part} is not good")
    import pyarrow as pa

    yield DriveFacts(vehicle_id=log.part, place="p", day="2025-10-09", clock="utc")
    yield Rows("SIGNALS", pa.table({"t_ns": [T0_NS + k * 10**8 for k in range(20)], "speed_mps": [float(k) for k in range(20)]}))


def test_parts_of_a_log_are_quarantined_and_tried_by_their_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = formats.Format("pair", lambda log: "a/said" in log.paths, read_part, parts=two_parts)
    monkeypatch.setattr(formats, "FORMATS", (kind,))
    monkeypatch.setattr("flywheel.ingest.land.group_logs", lambda paths: {"pair": {path: path for path in paths}})
    for name, said in (("a", "good"), ("b", "bad")):
        (tmp_path / "logs" / name).mkdir(parents=True)
        (tmp_path / "logs" / name / "said").write_text(said)
    store = DiskStore(tmp_path / "root")
    report = ingest_batch(store, land(store, tmp_path / "logs"))
    assert (report.drives, [q.name for q in report.quarantined]) == (1, ["pair#b"])
    assert [reason.log_name for reason in reasons(store)] == ["pair"]
    for name in ("pair", "pair#b"):
        assert [(r.name, r.outcome) for r in retry(store, reasons_named(store, name))] == [("pair#b", "quarantined")]


@pytest.mark.parametrize("fault", ["nothing", "damage"])
def test_a_drive_whose_pictures_cannot_be_read_again_is_quarantined_and_stops_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def media(log: Log) -> Iterator[Blob]:
        if fault == "damage":
            raise BadData("the second reading found damage")
        return iter(())

    first = formats.FORMATS[0]
    monkeypatch.setattr(formats, "FORMATS", (replace(first, media=media), *formats.FORMATS[1:]))
    monkeypatch.setattr("flywheel.ingest.spool.MAX_MEDIA_BYTES", 0)
    store = DiskStore(tmp_path / "root")
    (tmp_path / "logs").mkdir()
    make_mcap(tmp_path / "logs/a.mcap", seconds=1.1)
    make_mcap(tmp_path / "logs/b.mcap", seconds=1.1, camera=False)
    report = ingest_batch(store, land(store, tmp_path / "logs"))
    assert (report.drives, [q.name for q in report.quarantined]) == (1, ["a.mcap"])
    assert ("were not found" if fault == "nothing" else "second reading") in report.quarantined[0].reason
    assert len(store.list("tables/FRAMES/")) == 0
