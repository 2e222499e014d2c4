"""Clips through the engines: one noise, carried with the picture; what moves keeps its noise, so that outputs move as parents do."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
from generator_items import frame, item

from flywheel.generate.clips import places
from flywheel.generate.protocol import GenerateInput
from generators import registry
from generators.diffusion import DiffusersGenerator
from generators.particles import fallen
from generators.perturb import particles

SHIFT_PX = 4
STEPS: dict[str, Any] = {"num_inference_steps": 3, "device": "cpu"}


def panning(count: int = 4) -> list[np.ndarray]:
    """A picture that moves by whole latent cells to the left."""
    wide = frame(48, 80 + SHIFT_PX * count, seed=3).astype(float)
    wide += np.kron(np.random.default_rng(1).normal(0, 25, (12, wide.shape[1] // 4, 3)), np.ones((4, 4, 1)))
    whole = np.clip(wide, 0, 255).astype(np.uint8)
    return [np.ascontiguousarray(whole[:, SHIFT_PX * k : SHIFT_PX * k + 80]) for k in range(count)]


def clip(frames: list[np.ndarray]) -> list[GenerateInput]:
    where = places(frames, [k * 100_000_000 for k in range(len(frames))])
    return [replace(item(rgb=rgb), clip=place) for rgb, place in zip(frames, where, strict=True)]


def drift(outputs: list[Any]) -> float:
    """Mean change of the same points from frame to frame, away from the rim."""
    pairs = pairwise(outputs)
    apart = [(b[4:-4, 8:-12].astype(float) - a[4:-4, 8 + SHIFT_PX : -12 + SHIFT_PX]) for a, b in pairs]
    return float(np.abs(apart).mean())


@pytest.mark.parametrize("resident", [False, True])
def test_carried_noise_is_steadier_than_fixed_and_than_fresh_noise(img2img: Path, resident: bool) -> None:
    drawer = DiffusersGenerator(img2img, strength=0.9, resident=resident, batch=4, **STEPS)
    items = clip(panning())
    carried = drift(drawer.generate(items))
    fixed = drift(drawer.generate([replace(one, clip=None) for one in items]))
    fresh = drift(drawer.generate([replace(one, clip=None, seed=k) for k, one in enumerate(items)]))
    assert carried < 0.7 * min(fixed, fresh), (carried, fixed, fresh)


def test_the_engine_and_the_plain_pipeline_carry_the_same_noise(img2img: Path) -> None:
    items = clip(panning(3))
    plain, ours = (DiffusersGenerator(img2img, strength=0.6, resident=kind, batch=4, **STEPS).generate(items) for kind in (False, True))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(plain, ours, strict=True)) <= 2


def test_a_frame_of_a_clip_is_the_same_alone(img2img: Path) -> None:
    drawer = DiffusersGenerator(img2img, strength=0.6, **STEPS)
    items = clip(panning(3))
    assert np.array_equal(drawer.generate(items)[2], drawer.generate(items[2:])[0])


def test_a_pipeline_that_starts_from_pure_noise_carries_it_too(pix2pix: Path) -> None:
    drawer = registry.load("pix2pix", pipeline=pix2pix, **STEPS)
    items = clip(panning(3))
    still = drawer.generate([replace(one, clip=replace(one.clip, flows=())) for one in items])  # type: ignore[type-var]
    assert np.array_equal(still[0], drawer.generate([item(rgb=items[0].rgb)])[0]), "the first frame's noise is the seed's"
    assert drift(drawer.generate(items)) < 0.8 * drift(still)


def test_rain_falls_through_a_clip_and_nothing_else_changes() -> None:
    drawer, parent = registry.load("perturb"), frame(96, 160, seed=2)
    first, second, third = drawer.generate(clip([parent] * 3))
    assert np.array_equal(first, drawer.generate([item(rgb=parent)])[0]), "a clip begins as its first frame alone"
    rain = particles((96, 160), weather="rain", rng=np.random.default_rng(1))
    assert np.array_equal(fallen(rain, "rain", 0.1)[10:], rain[:-10]), "a tenth of the picture in a tenth of a second"
    dry = (np.maximum(rain, fallen(rain, "rain", 0.1)) < 1e-6)[..., 0]
    assert dry.sum() > 1000 and np.array_equal(first[dry], second[dry])
    assert not np.array_equal(first, second) and not np.array_equal(second, third)


def test_the_bundled_model_is_steady_over_a_clip() -> None:
    drawer = registry.load("bundled", device="cpu")
    frames = panning(3)
    carried = drift(drawer.generate(clip(frames)))
    fresh = drift(drawer.generate([item(rgb=rgb, seed=k) for k, rgb in enumerate(frames)]))
    assert carried <= fresh * 1.001, (carried, fresh)


def test_flow_matching_pipelines_carry_it(tmp_path: Path) -> None:
    folder = tiny_pipelines.save_flux(tmp_path / "tiny-flux")
    drawer = registry.load("flux", pipeline=folder, long_side_px=80, max_sequence_length=8, dtype="float32", strength=0.9, **STEPS)
    items = clip(panning(3))
    assert drift(drawer.generate(items)) < 0.8 * drift(drawer.generate([replace(one, clip=None) for one in items]))
