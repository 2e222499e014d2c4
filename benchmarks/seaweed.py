"""A SeaweedFS server for measurements and kill tests: real, local, and it can be killed and started again on the same folder."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ADMIN = {
    "name": "admin",
    "credentials": [{"accessKey": "testkey", "secretKey": "testsecret"}],
    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
}
READER = {"name": "reader", "credentials": [{"accessKey": "readkey", "secretKey": "readsecret"}], "actions": ["Read", "List"]}


class Seaweed:
    """One server on one folder. start() returns once it answers; kill() is kill -9."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "weed"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "s3.json").write_text(json.dumps({"identities": [ADMIN, READER]}))
        self.ports = _free_ports(8)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """What a client needs in its environment."""
        place = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.ports[0]}", "AWS_DEFAULT_REGION": "us-east-1"}
        return place | {"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"}

    def start(self, *, timeout_s: float = 60) -> None:
        """Starts it, and waits until it is healthy."""
        self.process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                if urllib.request.urlopen(f"{self.env['AWS_ENDPOINT_URL']}/healthz", timeout=5).status == 200:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"SeaweedFS did not start within {timeout_s} s")

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def bucket(self, name: str) -> str:
        """A new bucket, as a root."""
        import boto3

        client = boto3.session.Session(aws_access_key_id="testkey", aws_secret_access_key="testsecret", region_name="us-east-1").client(
            "s3", endpoint_url=self.env["AWS_ENDPOINT_URL"]
        )
        client.create_bucket(Bucket=name)
        return f"s3://{name}/fleet"

    def _command(self) -> list[str]:
        s3, master, volume, filer, s3_grpc, master_grpc, volume_grpc, filer_grpc = self.ports
        return [
            str(Path(sys.executable).parent / "weed"), "-logtostderr=true", "server", f"-dir={self.folder}", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", f"-master.port={master}", f"-master.port.grpc={master_grpc}", f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}", "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
            "-master.volumeSizeLimitMB=64", "-volume.max=64", "-s3", f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}",
            f"-s3.config={self.folder / 's3.json'}", "-master.telemetry=false", "-iam=false", "-master.electionTimeout=1s",
            "-volume.preStopSeconds=0", "-s3.port.iceberg=0", "-s3.port.lance=0",
        ]  # fmt: skip


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """A running server, killed at the end."""
    server = Seaweed(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
