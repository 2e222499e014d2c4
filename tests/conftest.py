"""Fixtures shared by all tests: the place of real recordings, and real local services."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[1]
CHROMIUM = "/usr/bin/chromium"
FLYWHEEL = str(Path(sys.executable).parent / "flywheel")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a costly fixture share a worker, and a file's service tests do too."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        group = "spun" if "spun" in names else "weed" if "weed_port" in names else None
        if group is None and item.get_closest_marker("service"):
            group = item.path.name
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_http(url: str, *, timeout_s: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Returns once the address answers with 200; fails with the process's fate otherwise."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"server for {url} ended with {process.returncode}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.3)
    raise TimeoutError(f"{url} did not answer within {timeout_s} s")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("FLYWHEEL_REAL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}; set FLYWHEEL_REAL_DATA")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """Chromium's path; without it the browser tests skip, loudly."""
    if not Path(CHROMIUM).exists():
        pytest.skip("BROWSER TESTS SKIPPED: no /usr/bin/chromium. Run: apt-get install chromium fonts-dejavu-core")
    return CHROMIUM


@pytest.fixture(scope="session")
def weed_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real SeaweedFS S3 server with an admin and a read-only identity; its port."""
    folder, port = tmp_path_factory.mktemp("weed"), free_port()
    config = folder / "s3.json"
    identities = [
        {
            "name": "admin",
            "credentials": [{"accessKey": "testkey", "secretKey": "testsecret"}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {"name": "reader", "credentials": [{"accessKey": "readkey", "secretKey": "readsecret"}], "actions": ["Read", "List"]},
    ]
    config.write_text(json.dumps({"identities": identities}))
    process = subprocess.Popen(
        weed_command(folder, port, config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        wait_http(f"http://127.0.0.1:{port}/healthz", timeout_s=60, process=process)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def weed_command(folder: Path, s3_port: int, config: Path) -> list[str]:
    weed = Path(sys.executable).parent / "weed"
    # gRPC ports are port + 10000: the four ports and their four twins must not meet.
    base = 20000 + s3_port % 1000
    program = str(weed if weed.exists() else shutil.which("weed"))
    return [
        program, "-logtostderr=true", "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={base}", f"-volume.port={base + 1000}", "-filer", f"-filer.port={base + 2000}", "-master.volumeSizeLimitMB=64",
        "-volume.max=64", "-s3", f"-s3.port={s3_port}", f"-s3.port.grpc={base + 3000}", f"-s3.config={config}", "-master.telemetry=false",
        "-iam=false", "-master.electionTimeout=1s", "-volume.preStopSeconds=0", "-s3.port.iceberg=0", "-s3.port.lance=0",
    ]  # fmt: skip


@pytest.fixture
def s3_root(weed_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket on the running SeaweedFS, as a root; credentials in the environment."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{weed_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"b{time.monotonic_ns()}"
    boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/fleet"


@dataclass(frozen=True)
class Spun:
    """A root after one undisturbed spin of a small sample fleet."""

    root: Path
    logs: Path
    env: dict[str, str]
    summary: dict[str, Any]


def flywheel_env(folder: Path) -> dict[str, str]:
    """An environment in which every service keeps its state under `folder`."""
    names = {"FLYWHEEL_STATE": folder / "state", "DAGSTER_HOME": folder / "dagster"}
    return {**os.environ, **{name: str(path) for name, path in names.items()}, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}


def flywheel(*words: str, env: dict[str, str], check: bool = True) -> subprocess.CompletedProcess[str]:
    """One run of the installed `flywheel` command."""
    done = subprocess.run([FLYWHEEL, *words], capture_output=True, text=True, env=env, cwd=REPO)
    if check and done.returncode:
        raise AssertionError(f"flywheel {' '.join(words)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
    return done


def spin_words(root: Path, logs: Path) -> tuple[str, ...]:
    return ("spin", "--logs", str(logs), "--root", str(root), "--budget", "8", "--json")


@pytest.fixture(scope="session")
def spun(tmp_path_factory: pytest.TempPathFactory) -> Spun:
    """A small fleet, spun once through every stage."""
    folder = tmp_path_factory.mktemp("spun")
    env, logs, root = flywheel_env(folder), folder / "fleet", folder / "root"
    flywheel("fleet", "--out", str(logs), "--drives", "4", "--seed", "3", env=env)
    done = flywheel(*spin_words(root, logs), env=env)
    return Spun(root=root, logs=logs, env=env, summary=json.loads(done.stdout[done.stdout.index("{\n") :]))
