"""The frame reader runs nothing, whatever the pickle says."""

import gzip
import io
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadData
from flywheel.ingest.unpickle import frame_columns, gunzip
from tests.ingest.make_pandaset import cuboids, legacy_pickle


def test_the_legacy_layout_gives_back_every_column() -> None:
    said, found = cuboids(1.0), frame_columns(legacy_pickle(cuboids(1.0)))
    assert list(found) == list(said)
    for name, column in said.items():
        assert found[name].dtype == column.dtype
        assert [str(v) for v in found[name]] == [str(v) for v in column]


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_the_layout_of_the_installed_pandas_is_read(protocol: int) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": np.array(["x", "y"], object), "c": [True, False]})
    frame.columns = pd.Index(np.array(["a", "b", "c"], object), dtype=object)
    found = frame_columns(pickle.dumps(frame.astype({"b": object}), protocol=protocol))
    assert {name: column.tolist() for name, column in found.items()} == {"a": [1.5, 2.5], "b": ["x", "y"], "c": [True, False]}


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.args


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (Call(eval, "1+1"), "builtins.eval"),
        (Call(getattr, "a", "upper"), "builtins.getattr"),
        (Call(pd.eval, "1+1"), "eval"),
        (Call(np.load, "x.npy"), "numpy"),
        ({"data": Call(__import__, "os")}, "builtins.__import__"),
        (np.float64(1.0), "scalar"),
    ],
)  # fmt: skip
def test_every_other_global_is_refused_by_name(payload: Any, named: str) -> None:
    with pytest.raises(BadData, match=named.replace(".", r"\.")):
        frame_columns(pickle.dumps(payload))


@pytest.mark.parametrize("payload", [1, [], {"a": 1}, "text", slice(1, 2)])
def test_what_is_no_frame_is_refused(payload: Any) -> None:
    with pytest.raises(BadData):
        frame_columns(pickle.dumps(payload))


def test_a_frame_that_lies_about_its_shape_is_refused() -> None:
    data = legacy_pickle({"a": np.array([1.0, 2.0, 3.0])})
    lied = data.replace(b"K\x01K\x03\x86", b"K\x01K\x7f\x86")
    assert lied != data
    with pytest.raises(BadData, match=r"damaged pickle|DataFrame"):
        frame_columns(lied)


def test_a_gzip_bomb_is_stopped_at_the_limit() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    assert len(bomb) < 20_000
    with pytest.raises(BadData, match="more than 1000000"):
        gunzip(bomb, limit=1_000_000)
    with pytest.raises(BadData, match="cut off"):
        gunzip(gzip.compress(b"hello" * 100)[:-12])
    with pytest.raises(BadData, match="not gzip"):
        gunzip(b"hello")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_damage_gives_bad_data_or_a_frame(data: st.DataObject) -> None:
    whole = bytearray(legacy_pickle(cuboids(0.0)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for spoilt in (bytes(whole), bytes(whole[:cut])):
        try:
            assert isinstance(frame_columns(spoilt), dict)
        except BadData as err:
            assert str(err)


def test_nothing_else_can_be_smuggled_in_by_a_persistent_id() -> None:
    sink = io.BytesIO()

    class Persistent(pickle.Pickler):
        def persistent_id(self, obj: Any) -> Any:
            return "os.system" if obj == "x" else None

    Persistent(sink).dump(["x"])
    with pytest.raises(BadData):
        frame_columns(sink.getvalue())
