"""The reader of plain pickles gives back what plain pickles hold and runs nothing, whatever they say."""

import io
import pickle
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadData
from flywheel.ingest.unpickle_plain import plain_objects
from tests.ingest.make_scenarionet import scene

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(PLAIN, st.integers(3, 5))
def test_plain_objects_come_back(said: Any, protocol: int) -> None:
    assert plain_objects(pickle.dumps(said, protocol=protocol)) == said


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "i2", "u1", "?", "<U5", "S3"])
def test_arrays_come_back(protocol: int, kind: str) -> None:
    for shape in ((2, 3), (0,), (), (4,)):
        said = np.ones(shape, kind)
        found = plain_objects(pickle.dumps({"a": said, "f": np.asfortranarray(said)}, protocol=protocol))
        assert found["a"].dtype == said.dtype and found["a"].shape == said.shape
        np.testing.assert_array_equal(found["a"], said)
        np.testing.assert_array_equal(found["f"], said)


def test_sets_scalars_and_mixed_arrays_come_back() -> None:
    said = {"s": {1}, "x": np.float32(2.5), "n": np.int64(7), "o": np.array(["a", None, 3], object)}
    found = plain_objects(pickle.dumps(said, protocol=4))
    assert (found["s"], found["x"], found["n"], found["o"].tolist()) == ([1], 2.5, 7, ["a", None, 3])


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.args


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (Call(eval, "1+1"), "builtins.eval"), (Call(getattr, "a", "upper"), "builtins.getattr"), (Call(np.load, "x.npy"), "numpy"),
        ({"tracks": [Call(__import__, "os")]}, "builtins.__import__"), (np.datetime64("2020-01-01"), "M8"),
        (np.zeros(2, [("a", "f4")]), "V4"), (complex(1, 2), "builtins.complex"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_everything_else_is_refused_by_name(payload: Any, named: str, protocol: int) -> None:
    with pytest.raises(BadData, match="_codecs|" + named.replace(".", r"\.").replace("builtins", "(builtins|__builtin__)")):
        plain_objects(pickle.dumps(payload, protocol=protocol))


def deep(levels: int) -> bytes:
    """A list in a list in a list ..."""
    return b"\x80\x04" + b"]" * levels + b"a" * (levels - 1) + b"."


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04]r\xff\xff\xff\x7f.",  # a memo place two thousand million places away
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",  # bytes of a terabyte
        b"\x80\x04\x8a\xff.", b"\x80\x04\x8b\xff\xff\xff\x7f.",  # long integers
        b"\x80\x04Pid\n.", b"\x80\x04(cos\nsystem\no.", b"\x80\x02\x82\x01.",  # persistent ids, objects, extensions
        deep(100), deep(60_000), b"\x80\x04", b"\x80\x05.", b"", b"\x80\x04]\x94h\x00a.x",
        pickle.dumps(Call(np.ndarray, (1 << 40,)), protocol=4),
    ],
)  # fmt: skip
def test_hostile_pickles_cost_nothing(data: bytes) -> None:
    tracemalloc.start()
    try:
        assert plain_objects(data) == [None], "only a list that holds itself may pass"
    except BadData as err:
        assert str(err)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 27


def test_an_array_whose_bytes_are_a_number_asks_for_none() -> None:
    data = pickle.dumps(np.arange(4, dtype="u1"), protocol=4)
    raw = b"C\x04\x00\x01\x02\x03"
    assert data.count(raw) == 1
    with pytest.raises(BadData, match="bytes are a int"):
        plain_objects(data.replace(raw, b"\x8a\x04\xff\xff\xff\x7f"))


def test_what_is_referred_to_often_is_built_once() -> None:
    bomb: list[Any] = ["x"]
    for _ in range(50):
        bomb = [bomb] * 10
    assert len(plain_objects(pickle.dumps(bomb, protocol=4))) == 10


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_damage_gives_bad_data_or_objects(data: st.DataObject) -> None:
    whole = bytearray(pickle.dumps(scene(), protocol=data.draw(st.sampled_from([3, 4, 5]))))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for spoilt in (bytes(whole), bytes(whole[:cut])):
        try:
            plain_objects(spoilt)
        except BadData as err:
            assert str(err)


def test_a_persistent_id_is_refused() -> None:
    sink = io.BytesIO()

    class Persistent(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return "os.system" if obj == "x" else None

    Persistent(sink).dump(["x"])
    with pytest.raises(BadData, match="BINPERSID"):
        plain_objects(sink.getvalue())
