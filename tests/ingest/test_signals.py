"""Laying streams onto one clock loses, repeats and invents nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import BadData
from flywheel.ingest.images import image_info, look
from flywheel.ingest.kinematics import central_difference, derivative
from flywheel.ingest.pictures import is_black
from flywheel.ingest.signals import Stream, lay_onto, nearest_rows, signals_table
from tests.ingest.make_mcap import jpeg

times = st.lists(st.integers(0, 400), unique=True, max_size=40).map(lambda found: np.array(sorted(found), np.int64))


@given(times, times)
def test_every_sample_of_both_streams_is_there_exactly_once(base: np.ndarray, other: np.ndarray) -> None:
    joined = lay_onto(Stream(base, {"a": base.astype(float)}), Stream(other, {"b": other.astype(float)}))
    assert (np.diff(joined.times) > 0).all()
    assert joined.columns["a"][np.isfinite(joined.columns["a"])].tolist() == base.tolist()
    assert sorted(joined.columns["b"][np.isfinite(joined.columns["b"])].tolist()) == other.tolist()
    held = np.isfinite(joined.columns["a"])
    assert joined.times[held].tolist() == base.tolist(), "the base keeps its own times"


@given(times, times, st.integers(0, 50))
def test_a_sample_goes_to_the_nearest_row_within_tolerance(base: np.ndarray, other: np.ndarray, tolerance: int) -> None:
    rows = nearest_rows(base, other, tolerance_ns=tolerance)
    taken = rows[rows >= 0]
    assert len(set(taken.tolist())) == len(taken)
    for t, row in zip(other, rows, strict=True):
        apart = np.abs(base - t)
        if row >= 0:
            assert apart[row] == apart.min() <= tolerance
        elif len(base) and apart.min() <= tolerance:
            assert (np.abs(other - base[apart.argmin()]) <= apart.min()).sum() > 1, "a nearer sample took the row"


def test_nan_becomes_null_and_missing_columns_are_null() -> None:
    table = signals_table([Stream(np.array([1, 2]), {"speed_mps": np.array([1.0, np.nan])})])
    assert table["speed_mps"].to_pylist() == [1.0, None]
    assert table["brake"].null_count == 2


def test_the_derivative_of_a_parabola_is_exact_without_delay() -> None:
    t = np.cumsum(np.random.default_rng(0).uniform(0.05, 0.15, 50))
    np.testing.assert_allclose(derivative(t, 1 + 2 * t + 3 * t**2, half_window_s=0.4), 2 + 6 * t, atol=1e-9)


def test_central_differences_do_not_reach_over_gaps() -> None:
    t = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 9.0])
    x = np.array([0.0, 1.0, 2.0, 100.0, 101.0, 7.0])
    np.testing.assert_allclose(central_difference(t, x, max_gap_s=0.25), [10, 10, 10, 10, 10, 0])


def test_image_headers_are_read_and_lies_refused() -> None:
    info = image_info(jpeg(1, width=40, height=24))
    assert (info.ext, info.width_px, info.height_px) == ("jpg", 40, 24)
    assert is_black(look(jpeg(1))) is False
    png = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x0dIHDR" + (100_000).to_bytes(4, "big") * 2 + bytes(9)
    for data, words in ((png, "declares 100000 x 100000"), (png[:20], "IHDR"), (jpeg(1)[:30], "frame header"), (b"GIF89a", "neither")):
        with pytest.raises(BadData, match=words):
            image_info(data)


@given(st.binary(max_size=60), st.integers(0, 700))
def test_no_bytes_break_the_header_reader(noise: bytes, cut: int) -> None:
    for data in (noise, b"\xff\xd8\xff" + noise, b"\x89PNG\r\n\x1a\n" + noise, jpeg(1)[:cut] + noise):
        try:
            assert image_info(data).width_px > 0
        except BadData as err:
            assert str(err)
