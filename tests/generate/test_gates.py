"""Gate scores: good variations score above what is spoiled on purpose, in every gate."""

import cv2
import numpy as np
import pytest
from generate_drives import scene

from flywheel.generate.gates import change, integrity
from flywheel.generate.structure import displaced_bands, structure

WIDE, HIGH = 320, 180
SOURCE = cv2.resize(scene(seed=2), (WIDE, HIGH), interpolation=cv2.INTER_LINEAR)


def _noise(image: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    return np.clip(image + np.random.default_rng(0).normal(0, sigma, image.shape), 0, 255).astype(np.uint8)


def _night(image: np.ndarray) -> np.ndarray:
    return _noise((image / 255.0) ** 1.6 * 60)


def _fog(image: np.ndarray) -> np.ndarray:
    return _noise(image * 0.35 + 130)


def _torn(image: np.ndarray) -> np.ndarray:
    return np.concatenate([image[:90], np.roll(image[90:], 60, axis=1)])


def _dead(image: np.ndarray) -> np.ndarray:
    spoiled = image.copy()
    spoiled[120:] = 90
    return spoiled


@pytest.mark.parametrize("redraw", [_night, _fog, _noise, lambda image: image])
def test_whole_pictures_pass_integrity(redraw: object) -> None:
    assert integrity(SOURCE, redraw(SOURCE)) == 1.0  # type: ignore[operator]


@pytest.mark.parametrize(
    "spoil",
    [
        np.zeros_like,
        lambda image: np.full_like(image, 120),
        lambda image: np.full_like(image, 255),
        _torn,
        lambda image: _torn(_noise(_night(image))),
        _dead,
        lambda image: image[:90],
        lambda image: np.full(image.shape, np.nan),
    ],
    ids=["black", "flat", "white", "torn", "torn night", "dead band", "half", "nan"],
)
def test_spoiled_pictures_fail_integrity(spoil: object) -> None:
    assert integrity(SOURCE, spoil(SOURCE)) < 0.99  # type: ignore[operator]


@pytest.mark.parametrize("redraw", [_night, _fog])
def test_structure_holds_in_other_light_and_falls_for_another_scene(redraw: object) -> None:
    good = structure(SOURCE, redraw(SOURCE))  # type: ignore[operator]
    other = structure(SOURCE, redraw(SOURCE[:, ::-1].copy()))  # type: ignore[operator]
    assert good > 0.4 > 0.3 > other


def test_sizes_that_differ_have_no_structure_or_change() -> None:
    assert structure(SOURCE, SOURCE[:90]) == change(SOURCE, SOURCE[:90]) == integrity(SOURCE, SOURCE[:90]) == 0.0


def test_change_tells_a_copy_from_a_variation() -> None:
    data = cv2.imencode(".jpg", SOURCE, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    assert change(SOURCE, SOURCE) == 0.0
    assert change(SOURCE, cv2.imdecode(data, cv2.IMREAD_COLOR)) < 0.08 < 0.2 < change(SOURCE, _night(SOURCE))


def test_a_shifted_picture_counts_as_displaced() -> None:
    assert displaced_bands(SOURCE, SOURCE) == 0
    assert displaced_bands(SOURCE, np.roll(SOURCE, 12, axis=1)) > 0
