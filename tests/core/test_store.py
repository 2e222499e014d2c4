import threading

import pytest

from flywheel.errors import BadData, BadTransport
from flywheel.store import DiskStore, media_key, open_store, put_media


def test_put_replaces_and_put_if_absent_does_not(tmp_path):
    store = open_store(tmp_path)
    store.put("a/b.bin", b"one")
    store.put("a/b.bin", b"two")
    assert store.get("a/b.bin") == b"two"
    assert not store.put_if_absent("a/b.bin", b"three")
    assert store.put_if_absent("a/c.bin", b"four")
    assert store.get("a/b.bin") == b"two"
    assert store.list("a/") == ["a/b.bin", "a/c.bin"]


def test_missing_object_is_a_key_error(tmp_path):
    store = open_store(tmp_path)
    with pytest.raises(KeyError, match="nothing"):
        store.get("nothing")
    assert not store.exists("nothing")


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", "", "a\\b", "a\0b"])
def test_keys_never_leave_the_root(tmp_path, key):
    with pytest.raises(BadData, match="unsafe"):
        open_store(tmp_path).put(key, b"x")


def test_one_writer_wins_a_race(tmp_path):
    store, wins = DiskStore(tmp_path), []
    start = threading.Barrier(8)

    def race(index: int) -> None:
        start.wait()
        if store.put_if_absent("k", str(index).encode()):
            wins.append(index)

    threads = [threading.Thread(target=race, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wins) == 1
    assert store.get("k") == str(wins[0]).encode()
    assert store.list() == ["k"]


def test_unfinished_writes_are_not_listed(tmp_path):
    store = open_store(tmp_path)
    store.put("a/x", b"1")
    (tmp_path / "a" / f".y.{'0f' * 16}.tmp").write_bytes(b"half")
    (tmp_path / "a" / "z.tmp").write_bytes(b"somebody else's")
    assert store.list("a/") == ["a/x", "a/z.tmp"]


def test_media_are_addressed_by_content(tmp_path):
    store = open_store(tmp_path)
    sha = put_media(store, b"pixels", "jpg")
    assert put_media(store, b"pixels", "jpg") == sha
    assert store.list() == [media_key(sha, "jpg")]


def test_an_object_moves_with_its_stamp_and_is_read_by_ranges(tmp_path):
    store = open_store(tmp_path)
    store.put("inbox/a b/x", b"0123456789")
    before = store.stats("inbox/")["inbox/a b/x"]
    store.move("inbox/a b/x", "landing/b/x")
    after = store.stats("landing/")["landing/b/x"]
    assert (after.bytes, after.stamp) == (before.bytes, before.stamp) and before.bytes == 10
    assert store.list() == ["landing/b/x"]
    assert [store.read_range("landing/b/x", a, b) for a, b in ((0, 3), (8, 99), (99, 100))] == [b"012", b"89", b""]
    for lost in (lambda: store.move("inbox/a b/x", "y"), lambda: store.read_range("y", 0, 1)):
        with pytest.raises(KeyError, match="no object"):
            lost()


def test_a_listing_says_nothing_of_links_and_folders_are_seen_without_their_files(tmp_path):
    store = open_store(tmp_path / "root")
    (tmp_path / "secret").write_text("key")
    store.put("inbox/day/a", b"1")
    store.put("inbox/b", b"1")
    (tmp_path / "root/inbox/link").symlink_to(tmp_path / "secret")
    assert list(store.stats("inbox/")) == ["inbox/b", "inbox/day/a"]
    assert store.folders("inbox/") == ("day",)
    assert store.folders("nowhere/") == ()


def test_a_disk_that_takes_no_write_is_a_transport_error(tmp_path):
    (tmp_path / "root").write_bytes(b"a file where the root should be")
    store = open_store(tmp_path / "root")
    for write in (lambda: store.put("a", b"1"), lambda: store.put_if_absent("a", b"1"), lambda: store.put_file("a", tmp_path / "root")):
        with pytest.raises(BadTransport, match="disk writable"):
            write()
