"""The landing sensor: its ticks one by one, and live, in a real Dagster with a webserver and a daemon."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from assets.automation import MOST_RUNS, Inbox, batch_job, landing_sensor
from assets.partitions import landing_batches
from assets.resources import Flywheel
from flywheel.ingest.land import land
from flywheel.ingest.run import committed
from flywheel.ingest.seal import seal
from flywheel.store import open_store
from tests.conftest import REPO, flywheel_env, free_port, wait_http
from tests.ingest.make_mcap import make_mcap


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def tick(instance: dg.DagsterInstance, root: Path, *, cursor: str | None, settle_s: float = 0.0) -> dg.SensorResult:
    """One evaluation, with what the daemon does afterwards: the new partitions are added."""
    resources = {"flywheel": Flywheel(root=str(root)), "inbox": Inbox(settle_s=settle_s, batch_logs=2)}
    found = landing_sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources))
    assert isinstance(found, dg.SensorResult)
    for request in found.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return found


def asked(found: dg.SensorResult) -> list[tuple[str | None, str | None]]:
    return [(request.run_key, request.partition_key) for request in found.run_requests or ()]


def test_ticks_claim_settled_logs_once(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for name in ("a.mcap", "veh/b.mcap", "veh/c.mcap", "veh/d.mcap.part"):
        store.put(f"inbox/{name}", name.encode())
    assert asked(tick(instance, tmp_path, cursor=None, settle_s=3600)) == []
    first = tick(instance, tmp_path, cursor=None)
    assert asked(first) == [] and first.cursor
    second = tick(instance, tmp_path, cursor=first.cursor)
    batches = [batch for _, batch in asked(second)]
    assert asked(second) == [(batch, batch) for batch in batches] and len(batches) == 2
    assert sorted(instance.get_dynamic_partitions(str(landing_batches.name))) == sorted(map(str, batches))
    before = store.list()
    for cursor in (first.cursor, second.cursor, None):  # the same tick twice, the next one, a sensor that was reset
        again = tick(instance, tmp_path, cursor=cursor)
        assert asked(again) == asked(second) and not again.dynamic_partitions_requests
    assert store.list() == before
    for batch in map(str, batches):
        seal(store, batch)
    third = tick(instance, tmp_path, cursor=second.cursor)
    assert asked(third) == [] and store.list("inbox/") == ["inbox/veh/d.mcap.part"]


def test_a_claim_without_a_run_gets_one(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.put("inbox/a.mcap", b"?")
    first = tick(instance, tmp_path, cursor=None)
    with dg.DagsterInstance.ephemeral() as lost:  # this tick's claim is written, its answer never reaches the daemon
        (lost_request,) = asked(tick(lost, tmp_path, cursor=first.cursor))
    assert asked(tick(instance, tmp_path, cursor=first.cursor)) == [lost_request]
    assert list(instance.get_dynamic_partitions(str(landing_batches.name))) == [lost_request[1]]


def test_a_run_that_failed_before_landing_is_asked_for_again_but_not_for_ever(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    open_store(tmp_path).put("inbox/a.mcap", b"?")
    first = tick(instance, tmp_path, cursor=None)
    ((key, batch),) = asked(tick(instance, tmp_path, cursor=first.cursor))
    keys = [key]
    for _ in range(MOST_RUNS):
        instance.add_run(dg.DagsterRun(job_name=batch_job.name, tags={"dagster/partition": str(batch)}, status=dg.DagsterRunStatus.FAILURE))
        keys += [key for key, _ in asked(tick(instance, tmp_path, cursor=first.cursor))]
    assert keys == [batch, *(f"{batch}-{k}" for k in range(1, MOST_RUNS))]


def test_batches_landed_by_hand_get_a_run_once(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    batch = land(open_store(tmp_path / "root"), make_mcap(tmp_path / "a.mcap", camera=False))
    assert asked(tick(instance, tmp_path / "root", cursor=None)) == [(batch, batch)]
    assert asked(tick(instance, tmp_path / "root", cursor=None)) == []


START = """mutation { startSensor(sensorSelector: {repositoryLocationName: "flywheel", repositoryName: "__repository__",
 sensorName: "landing_sensor"}) { __typename } }"""
RUNS = "{ runsOrError { ... on Runs { results { status tags { key value } } } } }"


class Live:
    """A running Dagster whose root is empty."""

    def __init__(self, folder: Path, port: int) -> None:
        self.root, self.url, self.log = folder / "root", f"http://127.0.0.1:{port}", folder / "dagster.log"

    def ask(self, query: str) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/graphql", data=json.dumps({"query": query}).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.loads(answer.read())["data"])

    def runs(self) -> list[tuple[str, str]]:
        """(batch, status) of every run."""
        found = self.ask(RUNS)["runsOrError"]["results"]
        return [({tag["key"]: tag["value"] for tag in run["tags"]}.get("dagster/partition", ""), run["status"]) for run in found]

    def wait_runs(self, count: int, *, timeout_s: float) -> list[tuple[str, str]]:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            runs = self.runs()
            if len(runs) >= count and all(status in ("SUCCESS", "FAILURE", "CANCELED") for _, status in runs):
                return runs
            time.sleep(2)
        raise TimeoutError(f"no {count} finished runs: {self.runs()}\n{self.log.read_text()[-4000:]}")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    port = free_port()
    found = Live(tmp_path, port)
    env = flywheel_env(tmp_path) | {"FLYWHEEL_ROOT": str(found.root), "FLYWHEEL_SENSOR_S": "5", "FLYWHEEL_SETTLE_S": "4"}
    home = Path(env["DAGSTER_HOME"])
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    command = [str(Path(sys.executable).parent / "dagster"), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    with found.log.open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=REPO, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_http(f"{found.url}/server_info", timeout_s=180, process=process)
            yield found
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.service
@pytest.mark.slow
def test_files_dropped_into_the_inbox_become_a_finished_run(live: Live, tmp_path: Path) -> None:
    assert live.ask(START)["startSensor"]["__typename"] == "Sensor"
    inbox = live.root / "inbox/veh-1"
    inbox.mkdir(parents=True)
    whole = make_mcap(tmp_path / "whole.mcap", seconds=1.0, camera=False).read_bytes()
    (inbox / "bad.bin").write_bytes(b"who knows")
    with (inbox / "slow.mcap").open("wb") as growing:  # an upload that takes its time
        for k in range(12):
            growing.write(whole[len(whole) * k // 12 : len(whole) * (k + 1) // 12])
            growing.flush()
            time.sleep(1)
    runs = live.wait_runs(1, timeout_s=300)
    end = time.monotonic() + 60
    while not committed(open_store(live.root)) and time.monotonic() < end:
        runs = live.wait_runs(len(runs) + 1, timeout_s=300)
    assert {status for _, status in runs} == {"SUCCESS"} and len({batch for batch, _ in runs}) == len(runs)
    store = open_store(live.root)
    assert len(committed(store)) == 1 and store.list("inbox/") == []
    assert [key.rsplit("/", 1)[1] for key in store.list("quarantine/")] == ["bad.bin.reason.json"]
    time.sleep(12)
    assert live.runs() == runs, "nothing new came, yet there is a new run"
