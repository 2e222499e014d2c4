import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.train.metrics import average_precision, best_threshold, precision, wilson


def test_wilson_against_published_values() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_holds_the_proportion(found: int, more: int) -> None:
    low, high = wilson(found, found + more)
    assert 0 <= low <= found / (found + more) <= high <= 1


def test_average_precision_by_hand() -> None:
    scores, truth = np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([1, 0, 1, 0], np.float32)
    assert average_precision(scores, truth) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(np.ones(4, np.float32), truth) == pytest.approx(0.5)
    assert average_precision(scores, np.zeros(4, np.float32)) is None


def test_precision_and_threshold() -> None:
    scores, truth = np.array([0.9, 0.8, 0.4, 0.2], np.float32), np.array([1, 1, 0, 0], np.float32)
    assert precision(scores, truth, threshold=0.3) == pytest.approx(2 / 3)
    assert precision(scores, truth, threshold=0.95) is None
    assert 0.4 < best_threshold(scores, truth) <= 0.8
    assert best_threshold(scores, np.zeros(4, np.float32)) == 0.5
