"""The same logs through S3 give the same objects as on disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flywheel.ingest.land import land
from flywheel.ingest.run import ingest_batch
from flywheel.store import DiskStore, Store, open_store
from tests.ingest.make_mcap import make_mcap
from tests.ingest.make_pandaset import make_sequence


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An S3 store in this process."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        boto3.client("s3").create_bucket(Bucket="fleet")
        yield open_store("s3://fleet/root")


def test_s3_and_disk_agree(tmp_path: Path, bucket: Store) -> None:
    logs = tmp_path / "logs"
    make_sequence(logs / "seq")
    make_mcap(logs / "a.mcap", seconds=1.0)
    (logs / "junk").write_bytes(b"?")
    disk = DiskStore(tmp_path / "root")
    reports = [ingest_batch(store, land(store, logs)) for store in (disk, bucket)]
    assert reports[0] == reports[1]
    assert {key: disk.get(key) for key in disk.list()} == {key: bucket.get(key) for key in bucket.list()}
    before = bucket.list()
    assert ingest_batch(bucket, land(bucket, logs)).skipped == 2
    assert bucket.list() == before
