"""Any diffusers pipeline as a generator: tiny pipelines with random weights through the real loading and drawing."""

import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
from generator_items import frame, item

from flywheel.errors import BadData, BadTransport
from flywheel.generate.protocol import Refused
from generators import registry
from generators.diffusion import BLOCKED, DiffusersGenerator


@pytest.fixture(scope="module")
def drawer(img2img: Path) -> DiffusersGenerator:
    return DiffusersGenerator(img2img, num_inference_steps=4, strength=0.5)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder and an offline run must not reach out; whoever tries, fails here."""

    def refuse(*where: Any) -> None:
        raise AssertionError(f"connected to {where[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_an_img2img_pipeline_redraws_at_the_frames_own_size(drawer: DiffusersGenerator) -> None:
    items = [item(), item(rgb=frame(51, 83)), item(seed=2)]
    drawn = drawer.generate(items)
    assert [out.shape for out in drawn] == [one.rgb.shape for one in items]
    assert all(out.dtype == np.uint8 for out in drawn)
    assert all(np.abs(out.astype(int) - one.rgb).mean() > 1 for out, one in zip(drawn, items, strict=True))


def test_an_output_depends_on_its_own_seed_and_prompt_alone(drawer: DiffusersGenerator) -> None:
    alone = drawer.generate([item()])[0]
    among = drawer.generate([item(seed=7), item(rgb=frame(51, 83)), item()])
    assert np.array_equal(alone, among[2])
    assert not np.array_equal(alone, among[0])


def test_several_items_in_one_call_are_those_drawn_alone(drawer: DiffusersGenerator) -> None:
    """As on a GPU, where a batch is one call; sums run in another order there, so a level or two may differ."""
    items = [item(), item(seed=2), item(seed=3)]
    together = drawer._draw(items)
    apart = drawer.generate(items)
    assert len(together) == 3
    assert max(np.abs(a.astype(int) - b.astype(int)).max() for a, b in zip(together, apart, strict=True)) <= 2


def test_the_info_names_weights_and_the_settings_the_call_takes(drawer: DiffusersGenerator, pix2pix: Path) -> None:
    other = DiffusersGenerator(pix2pix, image_guidance_scale=1.2, not_a_setting=3, num_inference_steps=2)
    assert drawer.info.parameters["strength"] == 0.5
    assert drawer.info.parameters["pipeline"] == "StableDiffusionImg2ImgPipeline"
    assert other.info.parameters["image_guidance_scale"] == 1.2
    assert not {"strength", "not_a_setting"} & set(other.info.parameters), "its call takes neither"
    assert drawer.info.weights_sha256 != other.info.weights_sha256


def test_an_edit_pipeline_redraws_too(pix2pix: Path) -> None:
    drawer = DiffusersGenerator(pix2pix, num_inference_steps=2)
    one, same, other = drawer.generate([item(), item(), item(seed=2)])
    assert one.shape == frame().shape
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_text_pipeline_becomes_image_to_image(tmp_path: Path) -> None:
    drawer = DiffusersGenerator(tiny_pipelines.save_text2img(tmp_path / "t2i"), num_inference_steps=2, strength=1.0)
    assert drawer.info.parameters["pipeline"] == "StableDiffusionImg2ImgPipeline"
    assert drawer.generate([item()])[0].shape == frame().shape


def test_what_the_safety_checker_blocks_is_refused(tmp_path: Path) -> None:
    folder = tiny_pipelines.save_img2img(tmp_path / "blocking", blocks=True)
    drawn = DiffusersGenerator(folder, num_inference_steps=2, strength=1.0).generate([item(), item(seed=2)])
    assert drawn == [BLOCKED, BLOCKED]
    assert isinstance(drawn[0], Refused)
    assert "safety checker" in drawn[0].reason


@pytest.mark.parametrize(
    ("size", "long_side_px", "multiple_px", "drawn_at"),
    [((45, 80), 0, 8, (80, 48)), ((180, 320), 0, 8, (320, 176)), ((45, 80), 160, 16, (160, 96)), ((9, 400), 64, 8, (64, 8))],
)
def test_sides_are_rounded_for_drawing(
    img2img: Path, size: tuple[int, int], long_side_px: int, multiple_px: int, drawn_at: tuple[int, int]
) -> None:
    drawer = DiffusersGenerator(img2img, num_inference_steps=2, strength=0.5, long_side_px=long_side_px, multiple_px=multiple_px)
    assert drawer._enlarged(frame(*size)).size == drawn_at
    assert drawer.generate([item(rgb=frame(*size))])[0].shape == (*size, 3)


def test_the_weights_hash_follows_every_weight_file_and_no_name_outside(img2img: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(img2img, tmp_path / "elsewhere")
    same = DiffusersGenerator(copy).info
    assert same.weights_sha256 == DiffusersGenerator(img2img).info.weights_sha256
    file = copy / "text_encoder" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert DiffusersGenerator(copy).info.weights_sha256 != same.weights_sha256


def test_the_licence_is_the_cards_or_the_callers(img2img: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(img2img, tmp_path / "licensed")
    assert DiffusersGenerator(copy).info.licence == "unknown"
    (copy / "README.md").write_text("---\nlicense: creativeml-openrail-m\ntags: [x]\n---\n# tiny\n")
    assert DiffusersGenerator(copy).info.licence == "creativeml-openrail-m"
    assert DiffusersGenerator(copy, licence="MIT").info.licence == "MIT"


def test_half_precision_is_loaded_as_asked_for(img2img: Path) -> None:
    drawer = DiffusersGenerator(img2img, dtype="bfloat16", num_inference_steps=2, strength=0.5)
    assert drawer.info.parameters["dtype"] == "bfloat16"
    assert drawer.generate([item()])[0].shape == frame().shape


def test_an_unknown_precision_is_named(img2img: Path) -> None:
    with pytest.raises(BadData, match="float15"):
        DiffusersGenerator(img2img, dtype="float15")


def test_loading_and_drawing_print_nothing(img2img: Path, capfd: pytest.CaptureFixture[str]) -> None:
    DiffusersGenerator(img2img, num_inference_steps=2, strength=0.5).generate([item()])
    assert capfd.readouterr() == ("", "")


def test_pickled_weights_are_never_loaded(img2img: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    copy = shutil.copytree(img2img, tmp_path / "pickled")
    for name in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
        file = copy / f"{name}.safetensors"
        torch.save(load_file(file), copy / f"{name.replace('/model', '/pytorch_model')}.bin")
        file.unlink()
        with pytest.raises(BadData, match="safetensors"):
            DiffusersGenerator(copy)


@pytest.mark.parametrize("spoil", ["empty", "torn", "torn text", "foreign", "no json"])
def test_a_broken_folder_is_bad_data(img2img: Path, tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "broken"
    if spoil == "empty":
        folder.mkdir()
    else:
        shutil.copytree(img2img, folder)
    if spoil.startswith("torn"):
        file = folder / ("text_encoder/model" if "text" in spoil else "unet/diffusion_pytorch_model")
        file = file.with_suffix(".safetensors")
        file.write_bytes(file.read_bytes()[:1000])
    if spoil == "foreign":
        (folder / "model_index.json").write_text('{"_class_name": "NoSuchPipeline", "_diffusers_version": "0.36.0"}')
    if spoil == "no json":
        (folder / "model_index.json").write_text("{")
    with pytest.raises(BadData, match=str(folder)):
        DiffusersGenerator(folder)


def test_a_name_that_is_no_folder_offline_is_a_transport_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BadTransport, match="offline"):
        DiffusersGenerator("nobody/no-such-pipeline", offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadTransport, match="no folder"):
        DiffusersGenerator(tmp_path / "no" / "such" / "folder")


def test_a_hub_id_is_read_from_the_local_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, img2img: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    kept = tmp_path / "models--tiny--street"
    shutil.copytree(img2img, kept / "snapshots" / commit)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    info = DiffusersGenerator("tiny/street", offline=True).info
    assert (info.name, info.model_revision) == ("diffusers:tiny/street", commit)


def test_the_registry_hands_options_on(img2img: Path) -> None:
    drawer = registry.load("diffusers", pipeline=str(img2img), num_inference_steps=3)
    assert drawer.info.parameters["num_inference_steps"] == 3
    with pytest.raises(BadData, match="diffusers"):
        registry.load("diffusers")
