"""A mined event taken along: what an excerpt holds is mined again as the same event; its tags are valid; pictures and pages are whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import BadData
from flywheel.fleet.make import make_drive
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.look.event import Excerpt, excerpt, find_event
from flywheel.look.event_page import event_page
from flywheel.look.event_picture import event_png
from flywheel.look.excerpt import write_excerpt
from flywheel.look.openlabel import openlabel, openlabel_json
from flywheel.look.rrd import write_rrd
from flywheel.mine.run import mine_batch
from flywheel.store import DiskStore
from flywheel.tables import read_table

SAME = ("scenario", "level", "t0_ns", "t1_ns", "t_peak_ns", "condition", "params_sha256")


def mined(root: Path, logs: Path) -> DiskStore:
    store = DiskStore(root)
    batch = land(store, logs)
    assert ingest_batch(store, batch).drives == 1
    mine_batch(store, batch)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DiskStore]:
    """One drive of the sample fleet, in which a car cuts in."""
    folder = tmp_path_factory.mktemp("event")
    (folder / "fleet").mkdir()
    make_drive(folder / "fleet", seed=11, index=1, camera=False)
    yield mined(folder / "root", folder / "fleet")


@pytest.fixture(scope="module")
def event(store: DiskStore) -> Excerpt:
    (row,) = [row for row in read_table(store, "EVENTS").to_pylist() if row["scenario"] == "cut_in"]
    return excerpt(store, find_event(store, row["event_id"][:12]))


def test_an_excerpt_holds_ten_seconds_before_and_five_after(event: Excerpt) -> None:
    times = event.table("SIGNALS", "t_ns")["t_ns"].to_numpy()
    assert abs((event.event["t0_ns"] - times[0]) / 1e9 - 10) < 0.02 and abs((times[-1] - event.event["t1_ns"]) / 1e9 - 5) < 0.02
    assert event.table("TRACKS", "track_id").column_names == ["track_id"]


def test_an_excerpt_is_a_log_in_which_the_event_is_found_again(event: Excerpt, tmp_path: Path) -> None:
    count = write_excerpt(event, tmp_path / "logs" / "one.mcap")
    write_excerpt(event, tmp_path / "again.mcap")
    assert count > 3000 and (tmp_path / "logs" / "one.mcap").read_bytes() == (tmp_path / "again.mcap").read_bytes()
    again = read_table(mined(tmp_path / "root", tmp_path / "logs"), "EVENTS").to_pylist()
    (found,) = [row for row in again if row["scenario"] == "cut_in"]
    assert {name: found[name] for name in SAME} == {name: event.event[name] for name in SAME}
    assert found["peak"] == pytest.approx(event.event["peak"], abs=1e-3)


def test_tags_are_valid_openlabel_and_name_what_happened(event: Excerpt) -> None:
    tags = json.loads(openlabel_json(event))["openlabel"]["tags"].values()
    names = {tag["type"] for tag in tags}
    assert {"MotionCutIn", "cut_in", "RoadUserVehicle"} <= names


def test_tags_that_are_no_openlabel_are_refused(event: Excerpt, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(found: Excerpt) -> dict[str, Any]:
        whole = openlabel(found)
        del whole["openlabel"]["metadata"]["schema_version"]
        return whole

    monkeypatch.setattr("flywheel.look.openlabel.openlabel", broken)
    with pytest.raises(BadData, match="schema_version"):
        openlabel_json(event)


def test_page_picture_and_recording(event: Excerpt, tmp_path: Path) -> None:
    page = event_page(event)
    assert "cut_in" in page and "What was looked for" in page and "<script" not in page
    assert event_png(event).startswith(b"\x89PNG")
    write_rrd(event, tmp_path / "event.rrd")
    assert (tmp_path / "event.rrd").stat().st_size > 100_000


def test_an_unknown_event_names_what_is_near(store: DiskStore) -> None:
    with pytest.raises(BadData, match="near it are: event-"):
        find_event(store, "event-zzz")
