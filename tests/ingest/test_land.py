"""Landing keeps every byte, writes nothing twice, and goes on where a kill stopped it."""

import errno
import json
from pathlib import Path
from typing import IO

import pytest

from flywheel.errors import BadData, BadTransport, MissingExtra
from flywheel.ingest.drive import HEAD_BYTES
from flywheel.ingest.land import land
from flywheel.ingest.landed import read_manifest
from flywheel.ingest.run import committed, ingest_batch, refuse_trouble
from flywheel.store import DiskStore
from flywheel.tables import SCHEMAS, to_parquet
from flywheel.types import sha256_hex
from tests.ingest.make_mcap import make_mcap
from tests.ingest.make_pandaset import make_sequence


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Dying(DiskStore):
    """A store whose process dies at the n-th write."""

    def __init__(self, folder: Path, *, writes: int) -> None:
        super().__init__(folder)
        self.left = writes

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def put(self, key: str, data: bytes) -> None:
        self._count()
        super().put(key, data)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._count()
        return super().put_if_absent(key, data)

    def put_file(self, key: str, file: Path) -> None:
        self._count()
        super().put_file(key, file)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good drive, a sequence, a log nobody can read, and files that are no logs."""
    folder = tmp_path_factory.mktemp("logs")
    make_mcap(folder / "b.mcap", seconds=1.0)
    make_sequence(folder / "seq 1")
    for picture in sorted((folder / "seq 1/camera/front_camera").glob("*.jpg"))[2:]:
        picture.unlink()
    (folder / "a.bin").write_bytes(b"who knows")
    for name in ("truth.json", "README.md", ".hidden", "LICENSE"):
        (folder / name).write_text("{}")
    return folder


def contents(store: DiskStore) -> dict[str, str]:
    """Key -> hash of every object."""
    return {key: sha256_hex(store.get(key)) for key in store.list()}


def test_every_log_lands_with_its_hash_and_nothing_else_does(tmp_path: Path, logs: Path) -> None:
    store = DiskStore(tmp_path)
    batch_id = land(store, logs)
    manifest = read_manifest(store, batch_id)
    assert [log.name for log in manifest] == ["a.bin", "b.mcap", "seq 1"]
    keys = {file.key for log in manifest for file in log.files}
    assert keys | {f"landing/{batch_id}/_MANIFEST.json"} == set(store.list())
    assert f"landing/{batch_id}/seq 1/lidar/poses.json" in keys
    assert all(sha256_hex(store.get(f.key)) == f.sha256 and len(store.get(f.key)) == f.bytes for log in manifest for f in log.files)
    assert isinstance(json.loads(store.get(f"landing/{batch_id}/_MANIFEST.json")), list)


def test_running_again_writes_nothing(tmp_path: Path, logs: Path) -> None:
    store = DiskStore(tmp_path)
    first = ingest_batch(store, land(store, logs))
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    again = ingest_batch(store, land(store, logs))
    assert (first.drives, first.skipped, again.drives, again.skipped) == (2, 0, 0, 2)
    assert again.model_copy(update={"drives": 2, "skipped": 0, "warnings": first.warnings}) == first
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_a_kill_at_any_write_leaves_nothing_half_done(tmp_path: Path, logs: Path) -> None:
    """Killed at the n-th write for every n, then run again: the same objects as if nothing had happened."""
    clean = DiskStore(tmp_path / "clean")
    ingest_batch(clean, land(clean, logs))
    wanted = contents(clean)
    for writes in (*range(0, len(wanted), 8), len(wanted) - 2, len(wanted) - 1):
        dying = Dying(tmp_path / f"dying-{writes}", writes=writes)
        with pytest.raises(Killed):
            ingest_batch(dying, land(dying, logs))
        store = DiskStore(dying.folder)
        half_done = committed(store)
        assert ingest_batch(store, land(store, logs)).drives == 2 - len(half_done)
        assert contents(store) == wanted, f"killed at write {writes}"


def test_an_unfinished_landing_is_not_a_batch(tmp_path: Path, logs: Path) -> None:
    with pytest.raises(Killed):
        land(Dying(tmp_path, writes=3), logs)
    store = DiskStore(tmp_path)
    batch_id = store.list("landing/")[0].split("/")[1]
    with pytest.raises(BadData, match="no manifest"):
        ingest_batch(store, batch_id)


def test_a_changed_landing_object_is_found_out(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "root")
    make_mcap(tmp_path / "a.mcap", camera=False)
    make_sequence(tmp_path / "seq")
    for source, victim in (("a.mcap", "a.mcap"), ("seq", "seq/lidar/poses.json"), ("seq", "seq/meta/gps.json")):
        batch_id = land(store, tmp_path / source)
        key = f"landing/{batch_id}/{victim}"
        store.put(key, store.get(key).replace(b"0", b"1", 1))
        assert "has changed since" in ingest_batch(store, batch_id).quarantined[0].reason
        store.delete(key)
        assert "is gone" in ingest_batch(store, batch_id).quarantined[0].reason


def test_a_log_leaves_quarantine_once_it_can_be_read(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "root")
    batch_id = land(store, make_mcap(tmp_path / "a.mcap", camera=False))
    key = f"landing/{batch_id}/a.mcap"
    whole = store.get(key)
    store.put(key, b"damaged")
    assert ingest_batch(store, batch_id).quarantined
    assert store.exists(f"quarantine/{batch_id}/a.mcap.reason.json")
    store.put(key, whole)
    assert ingest_batch(store, batch_id).drives == 1
    assert store.list("quarantine/") == []


def test_parts_of_a_drive_that_another_batch_committed_are_dropped(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "root")
    (tmp_path / "logs").mkdir()
    make_mcap(tmp_path / "logs/a.mcap", camera=False)
    first = land(store, tmp_path / "logs")
    (tmp_path / "logs/other.bin").write_bytes(b"?")
    second = land(store, tmp_path / "logs")
    ingest_batch(store, first)
    drive_id = next(iter(committed(store)))
    orphan = f"tables/SIGNALS/batch={second}/{drive_id}.parquet"
    store.put(orphan, to_parquet("SIGNALS", SCHEMAS["SIGNALS"].empty_table()))
    report = ingest_batch(store, second)
    assert [d.batch_id for d in report.duplicates] == [first]
    assert not store.exists(orphan)


def test_one_file_and_one_sequence_land_alone(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "root")
    file = make_mcap(tmp_path / "a.mcap", camera=False)
    assert [log.name for log in read_manifest(store, land(store, file))] == ["a.mcap"]
    assert [log.name for log in read_manifest(store, land(store, make_sequence(tmp_path / "042")))] == ["042"]


@pytest.mark.parametrize("name", ["a\\b.mcap", "übung.mcap", "50%.mcap", "new\nline.mcap", "a b|c.mcap", "..mcap"])
def test_odd_names_land_under_safe_keys(tmp_path: Path, name: str) -> None:
    (tmp_path / "logs").mkdir()
    make_mcap(tmp_path / "logs/plain.mcap", camera=False)
    (tmp_path / "logs" / name.lstrip(".")).write_bytes((tmp_path / "logs/plain.mcap").read_bytes())
    (tmp_path / "logs/plain.mcap").unlink()
    store = DiskStore(tmp_path / "root")
    assert ingest_batch(store, land(store, tmp_path / "logs")).drives == 1


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("key")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.mcap").symlink_to(tmp_path / "secret")
    store = DiskStore(tmp_path / "root")
    with pytest.raises(BadData, match="link that leaves"):
        land(store, tmp_path / "logs")
    assert store.list() == []


def test_no_logs_is_said_clearly(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "root")
    (tmp_path / "logs").mkdir()
    with pytest.raises(BadData, match="no logs in"):
        land(store, tmp_path / "logs")
    with pytest.raises(BadData, match="no such file"):
        land(store, tmp_path / "nowhere")


def test_a_log_that_grows_while_it_lands_is_refused(tmp_path: Path) -> None:
    file = make_mcap(tmp_path / "a.mcap", camera=False)

    class Recording(DiskStore):
        def put_file(self, key: str, source: Path) -> None:
            super().put_file(key, source)
            with source.open("ab") as stream:
                stream.write(b"more")

    store = Recording(tmp_path / "root")
    with pytest.raises(BadData, match="changed while it was being landed"):
        land(store, file)
    assert store.list() == []


class Away(DiskStore):
    """A store that goes away while a drive is read: readers may wrap what they meet, the batch must not take it for damage."""

    def open(self, key: str) -> IO[bytes]:
        raise BadTransport("the server went away")

    def read_range(self, key: str, start: int, end: int) -> bytes:
        if end > HEAD_BYTES:
            raise BadTransport("the server went away")
        return super().read_range(key, start, end)


@pytest.mark.parametrize("source", ["b.mcap", "seq 1"])
def test_a_store_that_goes_away_never_puts_a_good_log_into_quarantine(tmp_path: Path, logs: Path, source: str) -> None:
    store = DiskStore(tmp_path / "root")
    batch_id = land(store, logs / source)
    with pytest.raises(BadTransport, match="went away"):
        ingest_batch(Away(store.folder), batch_id)
    assert store.list("quarantine/") == [] and ingest_batch(store, batch_id).drives == 1


def test_what_is_no_logs_fault_is_found_however_it_was_wrapped() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    for trouble in (BadTransport("away"), MissingExtra("av"), full):
        wrapped = BadData("damaged")
        wrapped.__cause__ = ValueError("?")
        wrapped.__cause__.__context__ = trouble
        with pytest.raises(type(trouble)):
            refuse_trouble(wrapped)
    refuse_trouble(OSError("Couldn't deserialize thrift"))
