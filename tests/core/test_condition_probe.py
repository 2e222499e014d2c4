"""The condition probe: probabilities of the packaged weights, on renders of a street no training saw."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.gate_scenes import recompressed, street
from flywheel import condition_probe
from flywheel.encoder import embed
from flywheel.errors import BadData
from flywheel.types import CONDITIONS, LIGHTINGS, WEATHERS


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Embeddings of one street under all conditions, then of the same after strong JPEG compression."""
    images = list(street(4242).views.values())
    return embed(images + [recompressed(image) for image in images])


def test_every_render_is_recognised(vectors: np.ndarray) -> None:
    chances = condition_probe.predict(vectors)
    assert chances.shape == (26, 13)
    assert np.allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert (chances.argmax(axis=1)[:13] == np.arange(13)).all()
    assert (chances.argmax(axis=1)[13:] == np.arange(13)).mean() > 0.8, "most are recognised after compression too"


def test_looks_are_sums_by_name(vectors: np.ndarray) -> None:
    chances, looks = condition_probe.predict(vectors[:13]), condition_probe.looks(vectors[:13])
    for row, (condition, look) in enumerate(zip(CONDITIONS, looks, strict=True)):
        assert set(look) == {*LIGHTINGS, *WEATHERS}
        assert sum(look[name] for name in LIGHTINGS) == pytest.approx(1, abs=1e-5)
        assert sum(look[name] for name in WEATHERS) == pytest.approx(1, abs=1e-5)
        fog = [c.weather == "fog" for c in CONDITIONS]
        assert look["fog"] == pytest.approx(float(chances[row][fog].sum()), abs=1e-6)
        assert min(look[condition.lighting], look[condition.weather]) > 0.5


def test_nothing_in_nothing_out_and_wrong_shapes_are_refused() -> None:
    assert condition_probe.predict(np.zeros((0, 1280), np.float32)).shape == (0, 13)
    assert condition_probe.looks(np.zeros((0, 1280), np.float32)) == []
    with pytest.raises(ValueError, match="1280"):
        condition_probe.predict(np.zeros((2, 10), np.float32))


def test_missing_or_foreign_weights_are_bad_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    condition_probe._layer.cache_clear()
    monkeypatch.setattr(condition_probe, "WEIGHTS", tmp_path / "probe.safetensors")
    try:
        with pytest.raises(BadData, match="train_probe"):
            condition_probe.predict(np.zeros((1, 1280), np.float32))
        save_file({"weight": np.zeros((3, 13), np.float32), "bias": np.zeros(13, np.float32)}, str(tmp_path / "probe.safetensors"))
        with pytest.raises(BadData, match=r"\(3, 13\)"):
            condition_probe.predict(np.zeros((1, 1280), np.float32))
    finally:
        condition_probe._layer.cache_clear()


def test_the_weights_are_small() -> None:
    assert condition_probe.WEIGHTS.stat().st_size < 200_000
