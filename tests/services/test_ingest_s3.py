"""Ingest through a real S3 server (SeaweedFS): the same objects as on disk, clear refusals, and a server that dies in the middle."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.ingest_kills import contents, make_logs, places, run
from benchmarks.seaweed import seaweed
from flywheel.ingest.land import land
from flywheel.ingest.landed import read_manifest
from flywheel.ingest.run import committed, ingest_batch
from flywheel.ingest.seal import take_inbox
from flywheel.store import DiskStore, open_store
from tests.conftest import FLYWHEEL, REPO

pytestmark = pytest.mark.service
LATER = 1 << 62


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five drives, one of them with pictures, and a file that nobody can read."""
    return make_logs(tmp_path_factory.mktemp("fleet") / "logs", drives=5)


def cli(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FLYWHEEL, *words], capture_output=True, text=True, env={**os.environ, **env}, cwd=REPO)


def test_a_bucket_and_a_disk_end_with_the_same_objects(s3_root: str, logs: Path, tmp_path: Path) -> None:
    disk, bucket = DiskStore(tmp_path / "root"), open_store(s3_root)
    reports = [ingest_batch(store, land(store, logs)) for store in (disk, bucket)]
    assert reports[0] == reports[1] and reports[0].drives == 5 and len(reports[0].quarantined) == 1
    assert contents(s3_root) == contents(str(disk.folder))
    before = bucket.stats()
    assert ingest_batch(bucket, land(bucket, logs)).skipped == 5
    assert bucket.stats() == before


def test_uploads_to_a_bucket_are_moved_and_ingested(s3_root: str, logs: Path) -> None:
    store = open_store(s3_root)
    files = {file.relative_to(logs).as_posix(): file for file in sorted(logs.rglob("*")) if file.is_file()}
    for name, file in files.items():
        store.put_file(f"inbox/{name}", file)
    store.put("inbox/veh/late.mcap.part", b"still coming")
    found = take_inbox(store, now_t_ns=LATER, settle_s=0)
    (batch_id,) = found.new
    assert store.list("inbox/") == ["inbox/veh/late.mcap.part"]
    by_hand = land(store, logs)
    landed = [
        {file.key.split("/", 2)[2]: file.sha256 for log in read_manifest(store, batch) for file in log.files}
        for batch in (batch_id, by_hand)
    ]
    assert landed[0] == landed[1]
    assert ingest_batch(store, batch_id).drives == 5
    assert take_inbox(store, now_t_ns=LATER, settle_s=0).open == ()


@pytest.mark.parametrize(
    ("env", "advice"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "check AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "readkey", "AWS_SECRET_ACCESS_KEY": "readsecret"}, "give it the right to read, write and list"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "is the server up"),
    ],
)
def test_a_refusal_is_one_clear_line_and_nothing_is_written(s3_root: str, logs: Path, env: dict[str, str], advice: str) -> None:
    done = cli("ingest", "--logs", str(logs), "--root", s3_root, **env)
    assert done.returncode == 1 and advice in done.stderr and "Traceback" not in done.stderr
    assert open_store(s3_root).list() == []


@pytest.mark.slow
def test_a_server_killed_in_the_middle_and_started_again_changes_nothing(logs: Path, tmp_path: Path) -> None:
    calm = DiskStore(tmp_path / "calm")
    ingest_batch(calm, land(calm, logs))
    with seaweed(tmp_path) as server:
        root = server.bucket("fleet")
        words = [FLYWHEEL, "ingest", "--logs", str(logs), "--root", root]
        process = subprocess.Popen(words, env={**os.environ, **server.env}, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in server.env.items():
                patch.setenv(name, value)
            while not committed(open_store(root)):
                assert process.poll() is None
                time.sleep(0.05)
            server.kill()
            time.sleep(5)
            server.start()
            _, said = process.communicate(timeout=180)
            assert process.returncode == 0, said.decode()
            assert contents(root) == contents(str(calm.folder))


@pytest.mark.slow
def test_kills_at_random_moments_end_equal_to_an_undisturbed_run(tmp_path: Path) -> None:
    """A small share of `python -m benchmarks.ingest_kills`: the logs lie in the inbox of a disk."""
    with places(tmp_path, s3=False, inbox=True) as place:
        found = run(place, drives=8, kills=3, seed=7)
    assert [kill.equal for kill in found] == [True] * 3
    assert any(not kill.ended for kill in found)
