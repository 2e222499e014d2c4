"""The FiftyOne App in a real Chromium: the review dataset is drawn, with its labels and fields."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flywheel.store import open_store
from flywheel.tables import read_table

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_S = 240
NEEDED = ("fiftyone", "playwright", "cv2")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: apt-get install --no-install-recommends chromium fonts-dejavu-core"),
    pytest.mark.skipif(not all(importlib.util.find_spec(name) for name in NEEDED), reason=f"needs {NEEDED}"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(1)
    pytest.fail(f"{url} did not answer in {PATIENCE_S} s:\n{log.read_text()}")


@pytest.fixture(scope="module")
def app(spun: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an App serving the review of a spun root; stopped, with its database, at the end."""
    folder, port = tmp_path_factory.mktemp("review"), free_port()
    command = [sys.executable, "-m", "flywheel.curate.review", "--root", spun.root, "--state", folder / "state", "--port", str(port)]
    log = folder / "app.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, cwd=Path(__file__).parents[2])
    try:
        wait_until_up(f"http://127.0.0.1:{port}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


@pytest.fixture
def page(app: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        sheet = browser.new_page(viewport={"width": 1600, "height": 1000})
        sheet.set_default_timeout(PATIENCE_S * 1000)
        sheet.goto(app)
        sheet.wait_for_url("**/datasets/flywheel-review*")  # the session's own view has come; it would replace a page opened before it
        yield sheet
        browser.close()


def shoot(page: Any, name: str) -> None:
    """A screenshot under FLYWHEEL_SCREENSHOTS, if that is set."""
    if folder := os.environ.get("FLYWHEEL_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder, name)))


def test_the_grid_shows_originals_beside_their_variations(app: str, page: Any, spun: Any) -> None:
    rows = read_table(open_store(spun.root), "VARIATIONS").to_pylist()
    page.goto(f"{app}/datasets/flywheel-review?view=side-by-side")
    page.wait_for_selector("[data-cy=fo-grid]")
    page.wait_for_function("document.querySelectorAll('[data-cy=looker]').length >= 3")
    page.keyboard.press("Escape")  # the welcome popover, where there is one
    grid = page.locator("[data-cy=fo-grid]")
    grid.get_by_text(rows[0]["scenario"], exact=True).first.wait_for()
    page.wait_for_timeout(3000)  # the images fade in
    shoot(page, "fiftyone_grid.png")
    shown = grid.inner_text()
    assert "accept" in shown or "reject" in shown
    assert any(row["target_condition"] in shown for row in rows)
    assert page.get_by_text("score_structure").count()


def test_one_variation_opens_with_its_record(app: str, page: Any) -> None:
    page.goto(f"{app}/datasets/flywheel-review?view=side-by-side")
    page.wait_for_selector("[data-cy=looker]")
    page.keyboard.press("Escape")
    page.locator("[data-cy=looker]").first.click()
    page.wait_for_selector("[data-cy=modal]")
    page.locator("[data-cy=modal]").get_by_text("scenario").first.wait_for()
    page.wait_for_timeout(2000)
    shoot(page, "fiftyone_sample.png")
    assert "scenario" in page.locator("[data-cy=modal]").inner_text()
