"""The store against a real S3 server (SeaweedFS)."""

import threading

import pytest

from flywheel.errors import BadTransport
from flywheel.store import open_store
from flywheel.tables import read_table, rows_table, write_table

pytestmark = pytest.mark.service


def test_objects_and_tables_round_trip(s3_root):
    store = open_store(s3_root)
    assert store.put_if_absent("a/x", b"1")
    assert not store.put_if_absent("a/x", b"2")
    assert store.get("a/x") == b"1"
    assert store.list() == ["a/x"]
    with pytest.raises(KeyError):
        store.get("a/none")
    with store.path("a/x") as file:
        assert file.read_bytes() == b"1"
    write_table(
        store, "LIGHTS", rows_table("LIGHTS", [{"drive_id": "d", "t_ns": 1, "light_id": "l", "state": "red"}]), batch_id="b", part="d"
    )
    assert read_table(store, "LIGHTS").num_rows == 1
    store.delete("a/x")
    assert not store.exists("a/x")


def test_one_of_eight_racing_writers_wins(s3_root):
    store, wins = open_store(s3_root), []
    assert store.list() == []
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
    assert [str(index).encode() for index in wins] == [store.get("k")]


@pytest.mark.parametrize(("key", "secret"), [("testkey", "wrong"), ("readkey", "readsecret")])
def test_wrong_secret_and_read_only_identity_say_what_to_check(s3_root, monkeypatch, key, secret):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with pytest.raises(BadTransport, match="AWS_SECRET_ACCESS_KEY"):
        open_store(s3_root).put("a/x", b"1")


def test_a_server_that_is_away_is_a_transport_error(s3_root, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BadTransport, match="endpoint"):
        open_store(s3_root).get("a/x")
