"""The probe's training: the fit finds what is there, spoiling keeps pictures pictures, the figures are right."""

import numpy as np
import pytest
from generator_items import frame

from generators.training.probe import augmented, confusion, fit, shares

KINDS = np.arange(13)


def _separable(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around 13 fixed directions."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(13, 40)) + 3
    labels = np.tile(KINDS, count)
    vectors = centres[labels] + rng.normal(0, 0.3, (len(labels), 40))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def test_the_fit_finds_the_classes_and_folds_its_scaling_in() -> None:
    layer = fit(*_separable(20, seed=2), weight_decay=1e-3)
    vectors, labels = _separable(20, seed=3)
    assert layer["weight"].shape == (40, 13)
    assert ((vectors @ layer["weight"] + layer["bias"]).argmax(axis=1) == labels).mean() > 0.97
    again = fit(*_separable(20, seed=2), weight_decay=1e-3)
    assert np.array_equal(layer["weight"], again["weight"]), "same vectors, same layer"


def test_more_weight_decay_gives_smaller_weights() -> None:
    vectors, labels = _separable(10, seed=2)
    small, large = (np.abs(fit(vectors, labels, weight_decay=decay)["weight"]).sum() for decay in (1.0, 1e-4))
    assert small < 0.3 * large


def test_spoiled_pictures_are_pictures_still() -> None:
    picture, rng = frame(90, 160), np.random.default_rng(0)
    spoiled = [augmented(picture, rng) for _ in range(40)]
    assert {(image.shape, image.dtype) for image in spoiled} == {((90, 160, 3), np.dtype(np.uint8))}
    assert all(abs(image.mean() - picture.mean()) < 40 for image in spoiled)
    assert len({image.tobytes() for image in spoiled}) == 40
    assert np.array_equal(augmented(picture, np.random.default_rng(5)), augmented(picture, np.random.default_rng(5)))
    assert np.array_equal(picture, frame(90, 160)), "the original is left alone"


def test_the_figures_tell_lighting_from_weather() -> None:
    """Two of four right; one has the right lighting only (day_fog for day_clear), one the right weather only (night for dusk rain)."""
    labels, found = np.array([0, 1, 0, 6]), np.array([0, 1, 1, 10])
    text = shares(np.eye(13, dtype=np.float32)[found], labels)
    assert text == "n=4 lighting 75.0%, weather 75.0%, both 50.0%, P >= 0.5 50.0%"
    rows = confusion(np.eye(13, dtype=np.float32)[found], labels).splitlines()
    assert len(rows) == 14
    assert rows[1].split() == ["0", "day_clear", "1", "1", *["."] * 11]


def test_the_bootstrap_draws_whole_drives() -> None:
    """Pictures of one drive that all agree tell no more than one of them: the interval does not shrink with their number."""
    from benchmarks.paired_truth import interval

    few, many = np.array([0.0, 1.0] * 10), np.repeat([0.0, 1.0] * 10, 50)
    one = interval(few, np.arange(20))
    assert one == pytest.approx(interval(many, np.repeat(np.arange(20), 50)))
    assert interval(many, np.arange(1000))[0] > one[0] + 0.1, "if they were independent it would"
    assert one[0] == pytest.approx(0.5 - 1.96 * np.sqrt(0.25 / 20), abs=0.05), "as the normal approximation of a share says"
    assert np.isnan(interval(np.array([]), np.array([], np.int64))).all()


@pytest.mark.parametrize("views", [1, 4, 13, 36])
def test_pairs_are_even_over_targets_and_never_a_condition_with_itself(views: int) -> None:
    from benchmarks.paired_truth import pairs_of

    pairs = pairs_of(views, images=156, seed=201)
    assert np.array_equal(np.bincount([p.target for p in pairs]), np.full(13, 12))
    assert np.array_equal(np.bincount([p.source for p in pairs]), np.full(13, 12)), "every source as often"
    assert len({(p.source, p.target) for p in pairs}) == 156, "all ordered pairs, once each"
    assert {p.view for p in pairs} == set(range(views))
