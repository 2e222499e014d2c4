"""The resident engine draws what the plain pipeline draws, item by item, whatever shares the batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
from generator_items import frame, item

from flywheel.generate.protocol import Resident
from generators.diffusion import DiffusersGenerator, alike
from generators.resident import covers

SETTINGS: dict[str, Any] = {"num_inference_steps": 5, "strength": 0.6}


@pytest.fixture(scope="module")
def engine(img2img: Path) -> DiffusersGenerator:
    return DiffusersGenerator(img2img, resident=True, batch=4, **SETTINGS)


def far(one: Any, two: Any) -> int:
    return int(np.abs(one.astype(int) - two.astype(int)).max())


@pytest.mark.parametrize("guidance", [7.5, 1.0])
def test_it_draws_what_the_plain_pipeline_draws(img2img: Path, guidance: float) -> None:
    """Sums run in another order in a batch, so a level or two may differ."""
    items = [item(), item(seed=2), item("day_fog", seed=3), item(rgb=frame(51, 83)), item(seed=5)]
    plain = DiffusersGenerator(img2img, guidance_scale=guidance, **SETTINGS).generate(items)
    ours = DiffusersGenerator(img2img, guidance_scale=guidance, resident=True, batch=4, **SETTINGS).generate(items)
    assert [out.shape for out in ours] == [one.rgb.shape for one in items]
    assert max(far(a, b) for a, b in zip(plain, ours, strict=True)) <= 2
    assert far(ours[0], ours[1]) > 10, "another seed draws another picture"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_each_schedulers_own_state_starts_afresh(tmp_path: Path, img2img: Path) -> None:
    import diffusers

    for kind in (diffusers.PNDMScheduler, diffusers.EulerDiscreteScheduler, diffusers.DPMSolverMultistepScheduler):
        pipeline = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(str(img2img))
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config)
        folder = tmp_path / kind.__name__
        pipeline.save_pretrained(str(folder), safe_serialization=True)
        plain = DiffusersGenerator(folder, **SETTINGS).generate([item()])[0]
        ours = DiffusersGenerator(folder, resident=True, batch=2, **SETTINGS)
        assert far(ours.generate([item()])[0], plain) <= 2, kind.__name__
        assert far(ours.generate([item()])[0], plain) <= 2, f"{kind.__name__}, second batch"


def test_an_output_never_depends_on_its_batch(engine: DiffusersGenerator) -> None:
    alone = engine.generate([item()])[0]
    among = engine.generate([item(seed=9, rgb=frame(seed=4)), item("dusk_snow", seed=7), item()])[2]
    assert np.array_equal(alone, among)


def test_batches_begun_together_come_out_as_drawn_one_by_one(engine: DiffusersGenerator) -> None:
    first, second = [item(seed=k) for k in range(3)], [item(seed=k) for k in range(10, 16)]
    waits = [engine.begin(first), engine.begin(second)]
    begun = [out for wait in waits for out in wait()]
    assert all(np.array_equal(a, b) for a, b in zip(begun, [*engine.generate(first), *engine.generate(second)], strict=True))


def test_the_info_says_that_the_engine_drew(engine: DiffusersGenerator, img2img: Path) -> None:
    plain = DiffusersGenerator(img2img, **SETTINGS)
    assert isinstance(engine, Resident) and engine.batch == 4 and plain.batch == 4
    assert engine.info.parameters == plain.info.parameters | {"engine": "resident"}
    assert DiffusersGenerator(img2img, width_px=64, **SETTINGS).info.parameters["width_px"] == 64


def test_what_it_does_not_cover_stays_with_the_plain_pipeline(tmp_path: Path, img2img: Path, pix2pix: Path) -> None:
    blocking = DiffusersGenerator(tiny_pipelines.save_img2img(tmp_path / "blocking", blocks=True), resident=True, **SETTINGS)
    edit = DiffusersGenerator(pix2pix, resident=True, num_inference_steps=2)
    special = DiffusersGenerator(img2img, resident=True, eta=0.5, **SETTINGS)
    assert all("engine" not in generator.info.parameters for generator in (blocking, edit, special))
    assert edit.begin([item()])()[0].shape == frame().shape
    assert not covers(edit._pipeline, ["num_inference_steps"])


def test_items_are_grouped_by_shape_and_size() -> None:
    items = [item(), item(), item(), item(rgb=frame(51, 83)), item()]
    assert [len(group) for group in alike(items, 2)] == [2, 1, 1, 1]
    assert [one for group in alike(items, 2) for one in group] == items
