"""The inbox: what counts as uploaded, that nothing is taken twice, and that a kill at any moment loses nothing."""

import os
import threading
from pathlib import Path

import pytest

from flywheel.errors import BadData
from flywheel.ingest.claims import KEPT, claim, claim_key, look, read_claims
from flywheel.ingest.inbox import landable, read_cursor, ready, uploads, write_cursor
from flywheel.ingest.landed import landed_batches, read_manifest
from flywheel.ingest.run import committed, ingest_batch
from flywheel.ingest.seal import seal, take_inbox
from flywheel.ingest.tombstones import Tombstones
from flywheel.store import DiskStore, Stat
from flywheel.types import sha256_hex
from tests.ingest.make_mcap import make_mcap
from tests.ingest.make_pandaset import make_sequence

S = 1_000_000_000
LATER = 1 << 62  # a time by which every file has settled
NOW = 1_760_000_000 * S


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


class Dying(DiskStore):
    """A store whose process dies at the n-th change."""

    def __init__(self, folder: Path, *, changes: int) -> None:
        super().__init__(folder)
        self.left = changes

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

    def move(self, key: str, to: str) -> None:
        self._count()
        super().move(key, to)


class Copying(DiskStore):
    """A store whose move is a copy, then a removal, as in a bucket; the process dies between the two of the n-th move."""

    def __init__(self, folder: Path, *, moves: int) -> None:
        super().__init__(folder)
        self.left = moves

    def move(self, key: str, to: str) -> None:
        self.put(to, self.get(key))
        self.left -= 1
        if self.left < 0:
            raise Killed
        self.delete(key)


def stat(*, age_s: float = 100.0, size: int = 1, stamp: str = "s") -> Stat:
    return Stat(size, stamp, NOW - int(age_s * S))


def listing(*paths: str, **changed: Stat) -> dict[str, Stat]:
    return {f"inbox/{path}": stat() for path in paths} | {f"inbox/{path}": value for path, value in changed.items()}


def names(stats: dict[str, Stat], *, settle_s: float = 60.0) -> list[str]:
    return [upload.name for upload in ready(uploads(stats), seen=None, now_t_ns=NOW, settle_s=settle_s)]


def upload_all(folder: Path, *, mcaps: int = 3) -> None:
    """A fleet's uploads: files, a folder log, a file nobody can read; the same stamps each time."""
    for k in range(mcaps):
        (folder / "veh").mkdir(parents=True, exist_ok=True)
        make_mcap(folder / f"veh/{k}.mcap", seconds=1.0, speed_mps=5.0 + k, camera=False)
    for picture in sorted((make_sequence(folder / "seq 1") / "camera/front_camera").glob("*.jpg"))[2:]:
        picture.unlink()
    (folder / "a.bin").write_bytes(b"who knows")
    (folder / "seq 1/README.md").write_text("how it was made")
    for file in folder.rglob("*"):
        os.utime(file, ns=(S, S))


def contents(store: DiskStore, prefix: str = "") -> dict[str, str]:
    return {key: sha256_hex(store.get(key)) for key in store.list(prefix)}


def test_a_log_is_ready_once_settled_and_unchanged() -> None:
    stats = listing("a.mcap", **{"b.mcap": stat(age_s=59), "c.mcap": stat(age_s=60)})
    assert names(stats) == ["a.mcap", "c.mcap"]
    found = list(uploads(stats))
    seen = read_cursor(write_cursor(found))
    assert len(ready(found, seen=seen, now_t_ns=NOW, settle_s=0)) == 3
    for changed in (stat(size=2), stat(stamp="t"), stat(age_s=99)):
        assert "a.mcap" not in [u.name for u in ready(uploads(stats | {"inbox/a.mcap": changed}), seen=seen, now_t_ns=NOW, settle_s=0)]
    assert ready(found, seen=frozenset(), now_t_ns=NOW, settle_s=0) == []


@pytest.mark.parametrize("cursor", [None, "", "not base64!", "AAAA", "é"])
def test_a_cursor_that_is_not_ours_is_no_look(cursor: str | None) -> None:
    assert ready(uploads(listing("a.mcap")), seen=read_cursor(cursor), now_t_ns=NOW, settle_s=0) == []


@pytest.mark.parametrize(
    "upload", ["veh/a.mcap.part", "veh/.a.mcap.part", "veh/a.mcap.crdownload", "veh/a.mcap~", "veh/.a.mcap.TMP", "veh/a.mcap.filepart"]
)
def test_a_name_that_uploads_have_holds_its_log_back(upload: str) -> None:
    assert names(listing("veh/a.mcap", "veh/b.mcap", upload)) == ["veh/b.mcap"]


def test_a_folder_is_one_log_and_waits_for_every_file_in_it() -> None:
    seq = ("seq/lidar/poses.json", "seq/camera/front_camera/00.jpg", "seq/meta/gps.json")
    found = {upload.name: sorted(upload.files) for upload in uploads(listing(*seq, "other/x.mcap"))}
    assert found == {"other/x.mcap": [""], "seq": ["camera/front_camera/00.jpg", "lidar/poses.json", "meta/gps.json"]}
    assert names(listing(*seq, "seq/camera/front_camera/01.jpg.part")) == []
    assert names(listing(*seq, **{"seq/camera/front_camera/.01.jpg.Xa12b": stat(age_s=3)})) == []  # rsync at work
    assert names(listing(*seq, **{"seq/.DS_Store": stat()})) == ["seq"]


def test_a_folder_log_right_in_the_inbox_does_not_swallow_the_rest() -> None:
    found = {upload.name: len(upload.files) for upload in uploads(listing("lidar/poses.json", "veh/a.mcap", "b.mcap"))}
    assert found["veh/a.mcap"] == found["b.mcap"] == 1


def test_names_that_no_store_can_hold_are_told_and_left() -> None:
    keys = ["inbox/", "inbox/day/", "inbox/a.mcap", "inbox/../x", "inbox/a\\b", "inbox/a\0b", "inbox//x", "inbox/./x", "inbox/\udce4.mcap"]
    good, bad = landable(keys)
    assert good == ["inbox/a.mcap"] and len(bad) == 6


def test_ready_logs_become_batches_and_the_same_look_again_changes_nothing(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    for k in range(7):
        store.put(f"inbox/{k}.bin", bytes([k]))
    first = look(store, now_t_ns=LATER, cursor="", batch_logs=3)
    assert (first.new, first.open, first.waiting) == ((), (), 7)
    second = look(store, now_t_ns=LATER, cursor=first.cursor, batch_logs=3)
    assert len(second.new) == 3 and second.open == second.new and second.waiting == 0
    assert [len(c.logs) for c in second.claims.open.values()] == [3, 3, 1]
    before = contents(store)
    for cursor in (first.cursor, second.cursor, "", None):  # twice, restarted, restarted without its cursor, by hand
        again = look(store, now_t_ns=LATER, cursor=cursor, batch_logs=3)
        assert (again.new, again.open) == ((), second.open)
    assert contents(store) == before


def test_racing_claimers_never_take_a_log_twice(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    for k in range(60):
        store.put(f"inbox/{k}.bin", bytes([k]))
    start = threading.Barrier(6)

    def race(k: int) -> None:
        start.wait()
        look(store, now_t_ns=LATER, batch_logs=3 + k)

    threads = [threading.Thread(target=race, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [key for c in read_claims(store).open.values() for key in c.keys]
    assert len(taken) == 60 == len(set(taken))


def test_a_batch_is_moved_hashed_and_its_claim_closed(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    upload_all(tmp_path / "inbox")
    before = {key.removeprefix("inbox/"): value for key, value in contents(store, "inbox/").items()}
    found = take_inbox(store, now_t_ns=LATER, settle_s=0)
    (batch_id,) = found.open
    logs = read_manifest(store, batch_id)
    assert [log.name for log in logs] == ["a.bin", "seq 1", "veh/0.mcap", "veh/1.mcap", "veh/2.mcap"]
    assert store.list("inbox/") == ["inbox/seq 1/README.md"]
    before.pop("seq 1/README.md")
    assert {f.key.removeprefix(f"landing/{batch_id}/"): f.sha256 for log in logs for f in log.files} == before
    assert read_claims(store).open == {} and landed_batches(store) == [batch_id]
    report = ingest_batch(store, batch_id)
    assert (report.drives, len(report.quarantined)) == (4, 1)
    whole = contents(store)
    assert take_inbox(store, now_t_ns=LATER, settle_s=0).open == ()
    assert seal(store, batch_id) == logs and contents(store) == whole


@pytest.mark.parametrize("kind", [Dying, Copying])
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path, kind: type[DiskStore]) -> None:
    clean = DiskStore(tmp_path / "clean")
    upload_all(clean.folder / "inbox", mcaps=1)
    for path in sorted((clean.folder / "inbox/seq 1/camera").rglob("*.jpg"))[1:]:
        path.unlink()
    template = contents(clean)
    files = {key: clean.get(key) for key in template}
    take_inbox(clean, now_t_ns=LATER, settle_s=0)
    wanted, kills = contents(clean), 0
    while True:
        folder = tmp_path / f"dying-{kills}"
        for key, data in files.items():
            DiskStore(folder).put(key, data)
            os.utime(folder / key, ns=(S, S))
        try:
            take_inbox(kind(folder, **{"changes" if kind is Dying else "moves": kills}), now_t_ns=LATER, settle_s=0)
        except Killed:
            kills += 1
            take_inbox(DiskStore(folder), now_t_ns=LATER, settle_s=0)
            assert contents(DiskStore(folder)) == wanted, f"killed at step {kills}"
        else:
            break
    assert kills >= len(files) - 1


def test_a_log_that_changed_after_its_claim_waits_for_the_next(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    make_mcap(tmp_path / "a.mcap", camera=False)
    store.put("inbox/a.mcap", (tmp_path / "a.mcap").read_bytes()[:1000])
    store.put("inbox/b.bin", b"?")
    (batch_id,) = look(store, now_t_ns=LATER).new
    store.put("inbox/a.mcap", (tmp_path / "a.mcap").read_bytes())
    assert [log.name for log in seal(store, batch_id)] == ["b.bin"]
    assert store.list("inbox/") == ["inbox/a.mcap"]
    (second,) = take_inbox(store, now_t_ns=LATER, settle_s=0).new
    assert second != batch_id and ingest_batch(store, second).drives == 1


def test_a_log_that_was_withdrawn_leaves_an_empty_batch(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put("inbox/a.bin", b"?")
    (batch_id,) = look(store, now_t_ns=LATER).new
    store.delete("inbox/a.bin")
    assert seal(store, batch_id) == () and ingest_batch(store, batch_id).drives == 0


def test_the_same_upload_again_is_a_duplicate_not_a_second_drive(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    file = make_mcap(tmp_path / "a.mcap", camera=False)
    for _ in range(2):
        store.put("inbox/a.mcap", file.read_bytes())
        os.utime(tmp_path / "inbox/a.mcap", ns=(S, S))
        (batch_id,) = take_inbox(store, now_t_ns=LATER, settle_s=0).new
        report = ingest_batch(store, batch_id)
    assert (report.drives, len(report.duplicates)) == (0, 1) and len(committed(store)) == 1


def test_claims_that_closed_long_ago_are_removed_and_numbers_never_come_back(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    for number in (1, 2, KEPT + 1, KEPT + 2):
        store.put(claim_key(number), b"")
    store.put("inbox/a.bin", b"?")
    assert read_claims(store).last == KEPT + 2
    assert store.list("claims/") == [claim_key(KEPT + 1), claim_key(KEPT + 2)]
    look(store, now_t_ns=LATER)
    assert list(read_claims(store).open) == [KEPT + 3]
    assert claim(store, [], batch_logs=1)[1] == ()


def test_what_is_no_claim_is_said_clearly(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put(claim_key(1), b"{")
    with pytest.raises(BadData, match="is damaged: delete it"):
        read_claims(store)
    store.put("claims/mine", b"x")
    with pytest.raises(BadData, match="is not a claim: move it away"):
        read_claims(store)
    with pytest.raises(BadData, match="land its logs"):
        seal(DiskStore(tmp_path / "empty"), "b-0")


def test_a_recording_removed_on_request_does_not_come_back_through_the_inbox(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = DiskStore(tmp_path)
    tombstones = Tombstones(store)
    tombstones.put(tombstones.mark(sha256_hex(b"forgotten")))
    store.put("inbox/a.bin", b"forgotten")
    store.put("inbox/b.bin", b"kept")
    (batch_id,) = take_inbox(store, now_t_ns=LATER, settle_s=0).new
    assert [log.name for log in read_manifest(store, batch_id)] == ["b.bin"]
    assert store.list("inbox/") == [] and store.list(f"landing/{batch_id}/a") == [] and "on request" in caplog.text
