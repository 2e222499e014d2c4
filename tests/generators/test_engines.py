"""Each engine on tiny random-weight pipelines of exactly its diffusers classes, loaded by the product's own loading code."""

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines
from generator_items import frame, item

from flywheel.errors import BadData
from flywheel.generate.protocol import Control, ControlKind, Controlled, GenerateInput
from generators import registry
from generators.inpaint import window

STEPS = {"num_inference_steps": 2, "device": "cpu"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*where: Any) -> None:
        raise AssertionError(f"connected to {where[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_pipelines.save_sdxl(tmp_path_factory.mktemp("sdxl") / "tiny-sdxl")


def controls(*kinds: ControlKind, seed: int = 0) -> tuple[Control, ...]:
    noise = np.random.default_rng(seed).integers(0, 255, frame().shape, np.uint8)
    return tuple(Control(kind, noise, "made up") for kind in kinds)


def check(drawer: Any, items: list[GenerateInput], *, expected: str) -> list[Any]:
    """Draws, and holds each engine to the protocol: own size, own seed, the same alone and in a batch."""
    assert drawer.info.parameters["pipeline"] == expected
    drawn = drawer.generate(items)
    assert [(out.shape, out.dtype) for out in drawn] == [(one.rgb.shape, np.uint8) for one in items]
    assert np.array_equal(drawer.generate([items[-1]])[0], drawn[-1])
    other = drawer.generate([replace(items[-1], seed=99)])[0]
    assert not np.array_equal(other, drawn[-1])
    return list(drawn)


def test_pix2pix(pix2pix: Path) -> None:
    drawer = registry.load("pix2pix", pipeline=pix2pix, **STEPS)
    check(drawer, [item(), item(seed=3)], expected="StableDiffusionInstructPix2PixPipeline")
    assert (drawer.info.parameters["prompts"], drawer.info.parameters["image_guidance_scale"]) == ("instruction", 1.5)


def test_sdxl(sdxl: Path) -> None:
    drawer = registry.load("sdxl", pipeline=sdxl, long_side_px=64, **STEPS)
    check(drawer, [item(), item(seed=3)], expected="StableDiffusionXLImg2ImgPipeline")
    assert drawer.info.name == "sdxl:tiny-sdxl" and drawer.info.parameters["guidance_scale"] == 6.0


@pytest.mark.parametrize("kontext", [False, True])
def test_flux(tmp_path: Path, kontext: bool) -> None:
    folder = tiny_pipelines.save_flux(tmp_path / "tiny-flux", kontext=kontext)
    drawer = registry.load("flux", pipeline=folder, long_side_px=64, max_sequence_length=8, dtype="float32", **STEPS)
    check(drawer, [item(), item(seed=3)], expected="FluxKontextPipeline" if kontext else "FluxImg2ImgPipeline")
    assert drawer.info.parameters.get("prompts") == ("instruction" if kontext else None)
    assert drawer._enlarged(frame()).size == (64, 32), "sides are multiples of sixteen"


@pytest.mark.parametrize("kinds", [("depth",), ("edges", "segmentation")])
def test_controlnet(img2img: Path, tmp_path: Path, kinds: tuple[ControlKind, ...]) -> None:
    nets = [str(tiny_pipelines.save_controlnet(tmp_path / kind, seed=k)) for k, kind in enumerate(kinds)]
    drawer: Any = registry.load("controlnet", pipeline=img2img, controls=",".join(kinds), controlnet=",".join(nets), **STEPS)
    assert isinstance(drawer, Controlled) and drawer.wants == kinds
    items = [replace(item(seed=k), controls=controls("depth", "edges", "segmentation")) for k in (1, 2)]
    drawn = check(drawer, items, expected="StableDiffusionControlNetImg2ImgPipeline")
    steered = drawer.generate([replace(items[-1], controls=controls(*kinds, seed=5))])[0]
    assert not np.array_equal(steered, drawn[-1]), "another control draws another picture"
    together = drawer._draw(items)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(together, drawn, strict=True)) <= 2
    with pytest.raises(BadData, match="has no"):
        drawer.generate([item()])


def test_controlnet_for_sdxl_and_union(sdxl: Path, tmp_path: Path) -> None:
    net = tiny_pipelines.save_controlnet(tmp_path / "net", sdxl=True)
    drawer = registry.load("controlnet", pipeline=sdxl, controls="edges", controlnet=str(net), **STEPS)
    check(drawer, [replace(item(), controls=controls("edges"))], expected="StableDiffusionXLControlNetImg2ImgPipeline")
    union = tiny_pipelines.save_controlnet(tmp_path / "union", sdxl=True, union=True)
    wide = tiny_pipelines.save_sdxl(tmp_path / "wide", wide=True)
    drawer = registry.load("controlnet", pipeline=wide, controls="depth,segmentation", controlnet=str(union), **STEPS)
    items = [replace(item(), controls=controls("depth", "segmentation"))]
    check(drawer, items, expected="StableDiffusionXLControlNetUnionImg2ImgPipeline")


def test_the_weights_hash_covers_the_controlnet(img2img: Path, tmp_path: Path) -> None:
    nets = [str(tiny_pipelines.save_controlnet(tmp_path / f"net-{k}", seed=k)) for k in (1, 2)]
    infos = [registry.load("controlnet", pipeline=img2img, controls="edges", controlnet=net, **STEPS).info for net in nets]
    assert infos[0].weights_sha256 != infos[1].weights_sha256


@pytest.mark.parametrize("kind", ["inpaint", "text2img"])
def test_inpainting_draws_inside_the_mask_alone(tmp_path: Path, kind: str) -> None:
    folder = {"inpaint": tiny_pipelines.save_inpaint, "text2img": tiny_pipelines.save_text2img}[kind](tmp_path / kind)
    drawer = registry.load("inpaint", pipeline=folder, side_px=64, **STEPS)
    mask = np.zeros(frame().shape[:2], bool)
    mask[18:34, 50:60] = True
    items = [replace(item(seed=k), mask=mask) for k in (1, 2)]
    for out in check(drawer, items, expected="StableDiffusionInpaintPipeline"):
        assert np.array_equal(out[~mask], frame()[~mask]), "off the mask nothing changes"
        assert np.abs(out[mask].astype(int) - frame()[mask]).mean() > 5
    with pytest.raises(BadData, match="no mask"):
        drawer.generate([item()])


def test_a_window_holds_its_mask_and_stays_in_the_picture() -> None:
    mask = np.zeros((90, 160), bool)
    mask[80:90, 150:160] = True
    assert window(mask, around=0.75) == (96, 26, 160, 90)
    mask[:, :] = True
    assert window(mask, around=0.5) == (0, 0, 160, 90)


def test_an_engine_says_which_pipelines_it_draws_with(img2img: Path, sdxl: Path) -> None:
    with pytest.raises(BadData, match=r"'flux' draws with .* not with a StableDiffusionImg2ImgPipeline"):
        registry.load("flux", pipeline=img2img, **STEPS)
    with pytest.raises(BadData, match="take one or more of edges, depth, segmentation"):
        registry.load("controlnet", pipeline=img2img, controls="lidar", **STEPS)
    with pytest.raises(BadData, match="no diffusers pipeline"):
        registry.load("sdxl", pipeline=sdxl / "unet", **STEPS)
    with pytest.raises(BadData, match=r"cannot be loaded as a ControlNet|not a ControlNet"):
        registry.load("controlnet", pipeline=img2img, controls="edges", controlnet=str(img2img / "unet"), **STEPS)


def test_estimators_are_loaded_and_named(img2img: Path, tmp_path: Path) -> None:
    net = str(tiny_pipelines.save_controlnet(tmp_path / "net"))
    depth = tiny_pipelines.save_depth_estimator(tmp_path / "tiny-depth")
    streets = tiny_pipelines.save_segmenter(tmp_path / "tiny-seg", ("road", "sky", "car", "tree"))
    made: Any = registry.load(
        "controlnet", pipeline=img2img, controls="depth,segmentation", controlnet=f"{net},{net}",
        depth_estimator=str(depth), segmentation_estimator=str(streets), **STEPS,
    )  # fmt: skip
    far, classes = made.estimators["depth"](frame()), made.estimators["segmentation"](frame())
    assert far.shape == classes.shape == frame().shape[:2] and far.min() > 0
    assert set(np.unique(classes)) <= {0.0, 1.0, 6.0, 7.0}
    assert "tiny-depth (DPTForDepthEstimation, weights" in made.estimators["depth"].name
    rooms = tiny_pipelines.save_segmenter(tmp_path / "rooms", ("bed", "lamp"))
    with pytest.raises(BadData, match="no road or no vehicles"):
        registry.load("controlnet", pipeline=img2img, controls="segmentation", controlnet=net, segmentation_estimator=str(rooms), **STEPS)
