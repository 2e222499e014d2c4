import threading

import pytest

from flywheel.errors import BadData
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
    (tmp_path / "a" / ".y.0123.tmp").write_bytes(b"half")
    assert store.list("a/") == ["a/x"]


def test_media_are_addressed_by_content(tmp_path):
    store = open_store(tmp_path)
    sha = put_media(store, b"pixels", "jpg")
    assert put_media(store, b"pixels", "jpg") == sha
    assert store.list() == [media_key(sha, "jpg")]
