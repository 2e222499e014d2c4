"""One drive as a page and as a Rerun recording: found by its id, complete, self-contained, and safe whatever a log calls itself."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.errors import BadData
from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.look.find import Drive, find_drive, list_drives
from flywheel.look.page import drive_page, in_seconds
from flywheel.look.plots import drive_png
from flywheel.store import DiskStore
from tests.ingest.make_mcap import METADATA, MS, T0_NS, make_mcap

HOSTILE = "<script>alert(1)</script> & town"
run = CliRunner().invoke


def gap(topic: str, t_ns: int, item: object) -> object:
    """No ego state for 1.5 s of the drive."""
    return None if topic == "/ego/state" and 1000 * MS < t_ns - T0_NS < 2500 * MS else item


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DiskStore:
    """A root with two drives; the second one has a gap and a hostile name."""
    folder = tmp_path_factory.mktemp("drives")
    (folder / "logs").mkdir()
    make_mcap(folder / "logs" / "a.mcap", seconds=3)
    make_mcap(folder / "logs" / "b.mcap", seconds=5, metadata=METADATA | {"place": HOSTILE}, change=gap)
    found = DiskStore(folder / "root")
    report = ingest_batch(found, land(found, folder / "logs"))
    assert (report.drives, report.quarantined) == (2, ())
    return found


def drive(store: DiskStore, name: str) -> Drive:
    return find_drive(store, next(row["drive_id"] for row in list_drives(store) if row["source_name"] == name))


def test_a_drive_is_found_by_its_id_or_its_beginning(store: DiskStore) -> None:
    whole = list_drives(store)[0]["drive_id"]
    for wanted in (whole, whole[:10], whole.removeprefix("drive-"), whole.removeprefix("drive-")[:5]):
        assert find_drive(store, wanted).drive_id == whole


def test_an_unknown_id_names_the_ones_that_are_near(store: DiskStore) -> None:
    whole = list_drives(store)[0]["drive_id"]
    wrong = whole[:-1] + ("0" if whole[-1] != "0" else "1")
    cases = ((wrong, [whole, "drive list"]), ("nothing-like-it", ["near it are", whole]), ("drive-", ["2 drives", "more of the id"]))
    for wanted, words in cases:
        with pytest.raises(BadData) as told:
            find_drive(store, wanted)
        assert all(word in str(told.value) for word in words), told.value
    with pytest.raises(BadData, match="flywheel ingest"):
        find_drive(DiskStore(Path(store.folder / "empty")), "drive-1")
    for hostile in ("", "../../etc/passwd", "drive-\x00", "*"):
        with pytest.raises(BadData):
            find_drive(store, hostile)


@pytest.fixture(scope="module")
def page(store: DiskStore) -> str:
    """The page of the second drive."""
    return drive_page(drive(store, "b.mcap"))


def test_the_page_holds_everything_and_asks_nothing_of_the_network(page: str) -> None:
    assert not re.findall(r'(?:src|href|url\()\s*=?\s*["\']?(?:https?:)?//', page), "nothing is fetched"
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; town" in page
    for words in ("Findings", "gaps", "Timeline", "Route", "Clocks", "/imu", "front: ", "clock", "veh-1"):
        assert words in page, words
    assert page.count("data:image/jpeg;base64,") == 6
    assert page.count("<svg") == 2


def test_the_page_of_one_drive_is_always_the_same(store: DiskStore, page: str) -> None:
    assert drive_page(drive(store, "b.mcap")) == page


def test_a_picture_that_is_gone_is_said_and_hides_nothing_else(store: DiskStore, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    make_mcap(tmp_path / "logs" / "a.mcap", seconds=3)
    own = DiskStore(tmp_path / "root")
    ingest_batch(own, land(own, tmp_path / "logs"))
    found = drive(own, "a.mcap")
    for key in own.list("media/"):
        own.delete(key)
    with pytest.raises((KeyError, BadData)):
        own.get("media/gone")
    page = drive_page(found)
    assert "Timeline" in page
    assert page.count('class="error"') >= 6


def test_findings_speak_of_seconds_into_the_drive() -> None:
    assert in_seconds(f"black at {T0_NS + 1500 * MS} ns, 3 of 9", T0_NS) == "black at 1.50 s, 3 of 9"


def test_the_small_picture_is_a_png(store: DiskStore) -> None:
    assert drive_png(drive(store, "a.mcap")).startswith(b"\x89PNG")


def test_the_commands(store: DiskStore, tmp_path: Path) -> None:
    root, whole = ["--root", str(store.folder)], drive(store, "a.mcap").drive_id
    listed = run(app, ["drive", "list", "--json", *root])
    assert listed.exit_code == 0
    shown = run(app, ["drive", "show", whole[:12], "--out", str(tmp_path / "new" / "d.html"), *root])
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "new" / "d.html").read_text().startswith("<!doctype html>")
    wrong = run(app, ["drive", "show", "drive-zz", "--out", str(tmp_path / "no.html"), *root])
    assert (wrong.exit_code, (tmp_path / "no.html").exists()) == (1, False)


def test_the_rerun_recording_holds_path_boxes_pictures_and_signals(store: DiskStore, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="NO RERUN: pip install 'scenario-flywheel[rerun]'")
    out = tmp_path / "d.rrd"
    done = run(app, ["drive", "rrd", drive(store, "b.mcap").drive_id, "--out", str(out), "--root", str(store.folder)])
    assert done.exit_code == 0, done.output
    env = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    rerun = [str(Path(sys.executable).parent / "rerun"), "rrd"]
    assert subprocess.run([*rerun, "verify", str(out)], env=env, capture_output=True).returncode == 0
    told = subprocess.run([*rerun, "print", str(out)], env=env, capture_output=True, text=True, check=True).stdout
    paths = ("/world/tracks", "/world/ego", "/route", "/camera/front", "/signals/speed_mps", "/findings")
    assert [path for path in paths if path not in told] == []


@pytest.mark.browser
def test_a_browser_shows_the_page_without_the_network(page: str, tmp_path: Path, chromium: str) -> None:
    from playwright.sync_api import sync_playwright

    file = tmp_path / "drive.html"
    file.write_text(page)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        tab = browser.new_page(viewport={"width": 1200, "height": 900})
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        tab.goto(file.as_uri())
        drawn = tab.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
        sizes = tab.evaluate("[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().width)")
        tab.set_viewport_size({"width": 420, "height": 800})
        overflow = tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert drawn == [True] * 6
    assert min(sizes) > 400
    assert overflow <= 0, "a narrow window scrolls only inside the timeline"
