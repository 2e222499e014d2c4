import numpy as np
import pytest

from flywheel.curate.scores import as_vector, nearest, nearest_kept, unit

X, Y = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
NEAR_X = unit(np.array([[1, 0.01]], np.float32))[0]


def test_unit_keeps_zero_rows() -> None:
    assert unit(np.array([[3, 4], [0, 0]], np.float32)).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


@pytest.mark.parametrize(
    ("values", "why"), [(None, "empty"), ([1.0], "1 numbers"), ([0.0, 0.0], "non-zero"), ([float("nan"), 1.0], "finite")]
)
def test_vectors_that_cannot_be_compared_say_why(values: list[float] | None, why: str) -> None:
    vector, reason = as_vector(values, width=2)
    assert vector is None
    assert why in reason


def test_nearest_names_the_most_similar() -> None:
    match = nearest(NEAR_X, names=["y", "x"], vectors=np.stack([Y, X]))
    assert match is not None
    assert (match.other, match.cosine > 0.999) == ("x", True)
    assert nearest(X, names=[], vectors=np.zeros((0, 2), np.float32)) is None


def test_of_near_duplicates_the_first_survives() -> None:
    found = nearest_kept([("a", X), ("b", NEAR_X), ("c", Y)], references={}, cosine=0.995)
    assert found["a"] is None
    assert found["b"] is not None
    assert found["b"].other == "a"
    assert found["b"].cosine > 0.995
    assert found["c"] is not None
    assert found["c"].cosine < 0.995


def test_what_was_not_kept_is_no_reference() -> None:
    chain = [unit(np.array([[np.cos(a), np.sin(a)]], np.float32))[0] for a in (0.0, 0.08, 0.16)]
    found = nearest_kept(list(zip("abc", chain, strict=True)), references={}, cosine=0.995)
    assert {name: match and match.other for name, match in found.items()} == {"a": None, "b": "a", "c": "a"}
    assert found["c"] is not None
    assert found["c"].cosine < 0.995  # only b, itself rejected, was nearer


def test_references_come_first() -> None:
    found = nearest_kept([("a", NEAR_X)], references={"parent": X}, cosine=0.995)
    assert found["a"] is not None
    assert found["a"].other == "parent"
