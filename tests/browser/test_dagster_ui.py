"""Dagster's real webserver in a real Chromium: the graph is shown, and a click starts a materialization that succeeds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPO, free_port, wait_http

pytestmark = [pytest.mark.browser, pytest.mark.service, pytest.mark.slow]


@pytest.fixture(scope="module")
def dagster_url(spun, tmp_path_factory) -> Iterator[str]:
    port = free_port()
    env = {**spun.env, "FLYWHEEL_ROOT": str(spun.root)}
    log = (tmp_path_factory.mktemp("dagster") / "log.txt").open("wb")
    command = [str(Path(sys.executable).parent / "dagster"), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, env=env, cwd=REPO, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_http(f"http://127.0.0.1:{port}/server_info", timeout_s=120, process=process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


@pytest.fixture
def page(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        skip = page.get_by_role("button", name="Skip")  # of a welcome that may come at any moment, once per Dagster home
        page.add_locator_handler(skip, lambda button: button.click())
        yield page
        browser.close()


def screenshot(page, name: str) -> None:
    if folder := os.environ.get("FLYWHEEL_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def runs(env: dict[str, str]) -> dict[str, str]:
    code = (
        "import dagster as dg\nwith dg.DagsterInstance.get() as i: print('\\n'.join(f'{r.run_id} {r.status.value}' for r in i.get_runs()))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def test_the_graph_is_shown_left_to_right(dagster_url, page):
    page.goto(f"{dagster_url}/asset-groups")
    page.get_by_text("publish", exact=True).last.wait_for(timeout=60000)
    page.keyboard.press("Alt+e")  # expand all groups
    for name in ("landed_logs", "events", "variations", "dataset", "registration"):
        page.get_by_text(name, exact=True).first.wait_for(timeout=60000)
    time.sleep(2)
    screenshot(page, "dagster_graph")
    left = {
        name: page.get_by_text(name, exact=True).last.bounding_box()["x"] for name in ("landed_logs", "events", "dataset", "registration")
    }
    assert left["landed_logs"] < left["events"] < left["dataset"] < left["registration"]


def test_a_click_starts_a_materialization_that_succeeds(dagster_url, page, spun):
    before = runs(spun.env)
    page.goto(f"{dagster_url}/assets/coverage")
    page.get_by_role("button", name="Materialize").first.click(timeout=60000)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        new = {run: status for run, status in runs(spun.env).items() if run not in before}
        if any(status in ("SUCCESS", "FAILURE") for status in new.values()):
            break
        time.sleep(2)
    assert list(new.values()) == ["SUCCESS"]
    page.reload()
    page.get_by_text("[Show Markdown]").first.click(timeout=60000)
    page.get_by_role("img", name="picture").wait_for(timeout=30000)
    screenshot(page, "dagster_coverage")
