"""The bundled generator: a tiny net with random weights for the mechanics, the real weights for what they draw."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from generator_items import frame, item

from flywheel.errors import BadData
from flywheel.generate.protocol import Adjustable
from flywheel.types import CONDITIONS, Condition
from generators import registry
from generators.bundled import WEIGHTS, BundledGenerator
from generators.condition_model import PLANES, label_of, pack, unet_config, unpack


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as training writes it, of a net of two small layers that draws 96 x 50 frames."""
    import torch
    from diffusers import UNet2DModel

    from generators.bundled_pipeline import ConditionPipeline

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "condition-v0"
    net = UNet2DModel(**unet_config(channels=(8, 32)))
    pipeline = ConditionPipeline(net, width_px=96, height_px=50, particles=True)
    pipeline.save_pretrained(str(folder), safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the first edition: noise among the inputs, a scheduler, several steps."""
    import torch
    from diffusers import DDIMScheduler, UNet2DModel

    from generators.bundled_pipeline import ConditionPipeline

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "condition-v1"
    net = UNet2DModel(**{**unet_config(channels=(8, 32)), "in_channels": 2 * PLANES + 2, "out_channels": PLANES})
    scheduler = DDIMScheduler(prediction_type="sample", timestep_spacing="trailing", rescale_betas_zero_snr=True)
    ConditionPipeline(net, scheduler, steps=3, width_px=96, height_px=50).save_pretrained(str(folder), safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def drawer(tiny: Path) -> BundledGenerator:
    return BundledGenerator(weights=tiny, device="cpu")


@pytest.fixture(scope="module")
def trained() -> BundledGenerator:
    return BundledGenerator(device="cpu")


def test_an_output_is_the_same_bytes_alone_in_a_batch_and_again(drawer: BundledGenerator, tiny: Path) -> None:
    items = [item("day_fog", seed=5), item(seed=6, rgb=frame(33, 57)), item("low_sun_clear"), item(seed=2**63 - 1)]
    together = drawer.generate(items)
    apart = [drawer.generate([one])[0] for one in reversed(items)][::-1]
    anew = BundledGenerator(weights=tiny, device="cpu").generate(items)
    for a, b, c in zip(together, apart, anew, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()


@pytest.mark.parametrize("size", [(50, 96), (33, 57), (180, 320), (1, 1), (100, 20)])
def test_a_frame_keeps_its_size(drawer: BundledGenerator, size: tuple[int, int]) -> None:
    out = drawer.generate([item(rgb=frame(*size))])[0]
    assert (out.shape, out.dtype) == ((*size, 3), np.uint8)


def test_target_source_and_seed_each_change_the_drawing(drawer: BundledGenerator) -> None:
    items = [item(), item("day_fog"), item(source="dusk_clear"), item(seed=2), item(rgb=frame(seed=9))]
    assert len({out.tobytes() for out in drawer.generate(items)}) == len(items)


def test_the_info_tells_weights_and_how_they_draw(drawer: BundledGenerator, tiny: Path) -> None:
    info = drawer.info
    assert (info.name, info.model_revision, info.licence) == ("bundled", "condition-v0", "Apache-2.0")
    assert info.parameters == {"particles": 1, "width_px": 96, "height_px": 50}
    without = BundledGenerator(weights=tiny, device="cpu", particles=False).info
    assert without.digest != info.digest, "other settings are another generator"
    assert without.weights_sha256 == info.weights_sha256


def test_strength_is_the_share_of_the_change_that_is_kept(drawer: BundledGenerator) -> None:
    one, (whole,) = item(rgb=frame(50, 96)), drawer.generate([item(rgb=frame(50, 96))])
    half, again = drawer.at_strength(0.5), drawer.at_strength(1.0)
    assert isinstance(drawer, Adjustable) and half.info.parameters == {**drawer.info.parameters, "strength": 0.5}
    assert again.generate([one])[0].tobytes() == whole.tobytes() == drawer.generate([one])[0].tobytes()
    (drawn,) = half.generate([one])
    assert isinstance(drawn, np.ndarray) and isinstance(whole, np.ndarray)
    assert np.abs(drawn - (one.rgb / 2 + whole / 2)).max() <= 1


def test_weights_of_the_first_edition_still_draw(first: Path) -> None:
    generator = BundledGenerator(weights=first, device="cpu")
    assert generator.info.parameters == {"steps": 3, "sampler": "ddim", "width_px": 96, "height_px": 50}
    drawn = generator.generate([item(), item(seed=2)])
    assert drawn[0].tobytes() == BundledGenerator(weights=first, device="cpu").generate([item()])[0].tobytes()
    assert drawn[0].tobytes() != drawn[1].tobytes()


def test_particles_fall_where_the_seed_says_and_only_into_dry_frames(drawer: BundledGenerator, tiny: Path) -> None:
    rain, again, dry = drawer.generate([item(seed=1), item(seed=2), item("night_clear", seed=1)])
    assert rain.tobytes() != again.tobytes()
    assert dry.tobytes() == drawer.generate([item("night_clear", seed=2)])[0].tobytes()
    wet = [drawer.generate([item(source="day_rain", seed=seed)])[0].tobytes() for seed in (1, 2)]
    assert wet[0] == wet[1], "the source's own rain stays where it is"
    average = BundledGenerator(weights=tiny, device="cpu", particles=False)
    assert average.generate([item(seed=1)])[0].tobytes() == average.generate([item(seed=2)])[0].tobytes()


def test_a_large_frame_keeps_its_detail_where_the_drawing_kept_the_coarse_one() -> None:
    from generators.bundled import restored

    rng = np.random.default_rng(0)
    large = np.kron(rng.integers(60, 190, (9, 16, 1)), np.ones((40, 40, 3))) + rng.normal(0, 8, (360, 640, 1))
    large = np.clip(large, 0, 255).astype(np.uint8)
    small = cv2.resize(large, (320, 180), interpolation=cv2.INTER_AREA)
    kept = restored(small // 2, small, large)
    assert np.abs(kept - large / 2.0).mean() < 2.0, "half as bright, and as sharp"
    assert np.abs(cv2.resize(small // 2, (640, 360), interpolation=cv2.INTER_CUBIC) - large / 2.0).mean() > 2.5, "a plain resize is not"
    assert restored(np.full_like(small, 180), small, large).std() == 0, "what fog hides does not come back"


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="train_bundled"):
        registry.load("bundled", weights=tmp_path)
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(BadData, match="safetensors"):
        registry.load("bundled", weights=tmp_path)


@pytest.mark.parametrize("index", ["{}", "[]", "{", '{"steps": 4, "width_px": "wide", "height_px": 50}'])
def test_a_foreign_index_is_bad_data(tmp_path: Path, index: str) -> None:
    (tmp_path / "model_index.json").write_text(index)
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(BadData, match=r"model_index\.json does not hold the bundled model"):
        registry.load("bundled", weights=tmp_path)


def test_torn_weights_are_bad_data(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "torn")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(BadData, match="does not hold the bundled model"):
        registry.load("bundled", weights=folder).generate([item()])


def test_labels_are_all_different_and_unknown_conditions_have_none() -> None:
    assert sorted(label_of(a, b) for a in CONDITIONS for b in CONDITIONS) == list(range(169))
    with pytest.raises(ValueError, match="low_sun_rain"):
        label_of(Condition(), Condition(lighting="low_sun", weather="rain"))


@pytest.mark.parametrize("size", [(180, 320), (50, 96), (16, 16), (2, 2)])
def test_planes_give_back_the_image(size: tuple[int, int]) -> None:
    import torch

    image = torch.rand(1, 3, *size)
    planes = pack(image)
    assert planes.shape[1] == 12
    assert planes.shape[2] % 8 == planes.shape[3] % 8 == 0
    assert torch.equal(unpack(planes, height_px=size[0], width_px=size[1]), image)


def test_the_packaged_weights_draw_what_they_are_asked_for(trained: BundledGenerator) -> None:
    parent = frame(180, 320)
    night, fog, snow = trained.generate([item(name, rgb=parent) for name in ("night_clear", "day_fog", "day_snow")])
    assert night.mean() < 0.6 * parent.mean()
    assert fog.std() < 0.8 * parent.std()
    assert snow[120:].mean() > parent[120:].mean() + 10, "the ground whitens"


def test_the_packaged_weights_give_the_same_bytes_in_any_batch(trained: BundledGenerator) -> None:
    pair = [item(rgb=frame(90, 160)), item("dusk_snow", rgb=frame(seed=4), seed=3)]
    assert [out.tobytes() for out in trained.generate(pair)] == [trained.generate([one])[0].tobytes() for one in pair]


def test_the_packaged_weights_are_small_and_safe() -> None:
    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} <= {".json", ".md", ".safetensors"}
    assert sum(file.stat().st_size for file in files) < 16 * 2**20
