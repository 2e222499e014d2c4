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


WRONG = [
    ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "the secret is wrong: check AWS_SECRET_ACCESS_KEY"),
    ({"AWS_ACCESS_KEY_ID": "nobody"}, "does not know this key: check AWS_ACCESS_KEY_ID"),
    ({"AWS_ACCESS_KEY_ID": "readkey", "AWS_SECRET_ACCESS_KEY": "readsecret"}, "may not do that: give it the right to read, write"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "is the server up, and is AWS_ENDPOINT_URL"),
    ({"AWS_ENDPOINT_URL": "localhost"}, "must be like http://host:port"),
]


@pytest.mark.parametrize(("env", "advice"), WRONG)
def test_trouble_says_what_to_do_and_writes_nothing(s3_root, monkeypatch, env, advice):
    with monkeypatch.context() as wrong:
        for name, value in env.items():
            wrong.setenv(name, value)
        with pytest.raises(BadTransport, match=advice):
            open_store(s3_root).put("a/x", b"1")
    assert open_store(s3_root).list() == []


def test_no_bucket_is_said(s3_root):
    with pytest.raises(BadTransport, match="there is no bucket 'nowhere': create it"):
        open_store("s3://nowhere/fleet").list()


def test_an_identity_that_may_only_read_can_read(s3_root, monkeypatch):
    open_store(s3_root).put("a/x", b"1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "readkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "readsecret")
    store = open_store(s3_root)
    assert store.list() == ["a/x"] and store.get("a/x") == b"1"


def test_large_objects_go_in_parts_and_come_back_by_ranges(s3_root, tmp_path):
    data = bytes(range(256)) * (80 << 12)  # 80 MB
    store = open_store(s3_root)
    (tmp_path / "large").write_bytes(data)
    store.put("inbox/a", data)
    store.put_file("inbox/b", tmp_path / "large")
    store.move("inbox/b", "landing/b")
    assert store.list("inbox/") == ["inbox/a"] and store.folders("landing/") == ()
    for key in ("inbox/a", "landing/b"):
        assert store.stats(key)[key].bytes == len(data)
        with store.path(key) as file:
            assert file.read_bytes() == data
    with store.open("landing/b") as stream:
        stream.seek(-300, 2)
        assert stream.read() == data[-300:]
    assert store.read_range("inbox/a", len(data), len(data) + 9) == b""


def test_a_server_that_is_away_is_a_transport_error(s3_root, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BadTransport, match="endpoint"):
        open_store(s3_root).get("a/x")
