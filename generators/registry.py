"""All engines by name, each with what it needs; others come from installed packages through the entry point group `flywheel.generators`.

An engine is one file with one class and one entry here (and one line in pyproject.toml, so that commands find it by name).
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from flywheel.errors import BadData
from flywheel.generate.engines import GROUP, Engine
from flywheel.generate.protocol import Generator

Maker = Callable[..., Generator]
DIFFUSERS = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "cv2", "PIL")
SHARED_NOISE = "frames and clips"


class Factory:
    """Makes one engine's generator; holds what the engine is. Nothing heavy is imported before it is called."""

    def __init__(self, path: str, engine: Engine) -> None:
        self._path = path
        self.engine = engine.model_copy(update={"options": _options(self._class())})

    def _class(self) -> Maker:
        module, name = self._path.split(":")
        made: Maker = getattr(import_module(f"generators.{module}"), name)
        return made

    def __call__(self, **options: Any) -> Generator:
        return self._class()(**options)


def _options(maker: Maker) -> tuple[str, ...]:
    """Names of the options a class takes, those of the class it builds on included."""
    named = [
        name
        for base in inspect.getmro(maker) if base is not object and "__init__" in vars(base)
        for name, parameter in inspect.signature(base).parameters.items() if parameter.kind is not parameter.VAR_KEYWORD
    ] if inspect.isclass(maker) else []  # fmt: skip
    return tuple(dict.fromkeys(named))


bundled = Factory("bundled:BundledGenerator", Engine(
    name="bundled", what="The small model in this package, trained on the sample fleet; runs on two CPU cores.", draws=SHARED_NOISE,
    classes=("ConditionPipeline",), weights="generators/weights", weights_licence="Apache-2.0", weights_gib=0.03, packages=DIFFUSERS[:2],
))  # fmt: skip
perturb = Factory("perturb:PerturbGenerator", Engine(
    name="perturb", what="The classical baseline: image arithmetic without a learned part.", draws=SHARED_NOISE, packages=("cv2",),
))  # fmt: skip
diffusers = Factory("diffusion:DiffusersGenerator", Engine(
    name="diffusers", what="Image-to-image with any diffusers pipeline (option `pipeline` is needed).", draws=SHARED_NOISE,
    classes=("StableDiffusionImg2ImgPipeline", "and any other that takes an image"), gpu=True, prompts="description", packages=DIFFUSERS,
))  # fmt: skip
pix2pix = Factory("pix2pix:Pix2PixGenerator", Engine(
    name="pix2pix", what="Edits a frame by an instruction.", draws=SHARED_NOISE,
    classes=("StableDiffusionInstructPix2PixPipeline", "StableDiffusionXLInstructPix2PixPipeline"),
    weights="timbrooks/instruct-pix2pix", weights_licence="mit", weights_gib=2.0, gpu=True, prompts="instruction", packages=DIFFUSERS,
))  # fmt: skip
controlnet = Factory("controlnet:ControlNetGenerator", Engine(
    name="controlnet", what="Image-to-image held by edges, depth or segmentation.", draws=SHARED_NOISE,
    classes=(
        "StableDiffusionControlNetImg2ImgPipeline", "StableDiffusionXLControlNetImg2ImgPipeline",
        "StableDiffusionXLControlNetUnionImg2ImgPipeline",
    ),
    weights="stable-diffusion-v1-5/stable-diffusion-v1-5 with lllyasviel/control_v11*_sd15_{canny,depth,seg}",
    weights_licence="creativeml-openrail-m, openrail", weights_gib=2.7, gpu=True, controls=("edges", "depth", "segmentation"),
    prompts="description", packages=DIFFUSERS,
))  # fmt: skip
inpaint = Factory("inpaint:InpaintGenerator", Engine(
    name="inpaint", what="Draws a planned road user or debris into a frame, with its label.", draws="objects into frames",
    classes=("StableDiffusionInpaintPipeline", "StableDiffusionXLInpaintPipeline", "FluxInpaintPipeline"),
    weights="stable-diffusion-v1-5/stable-diffusion-inpainting", weights_licence="creativeml-openrail-m", weights_gib=2.0, gpu=True,
    prompts="object", packages=DIFFUSERS,
))  # fmt: skip
sdxl = Factory("sdxl:SdxlGenerator", Engine(
    name="sdxl", what="SDXL-class image-to-image (base, turbo, fine-tunes).", draws=SHARED_NOISE,
    classes=("StableDiffusionXLImg2ImgPipeline",), weights="stabilityai/stable-diffusion-xl-base-1.0", weights_licence="openrail++",
    weights_gib=6.5, gpu=True, prompts="description", packages=DIFFUSERS,
))  # fmt: skip
flux = Factory("flux:FluxGenerator", Engine(
    name="flux", what="Flux-class image-to-image, or editing with a Kontext model.", draws=SHARED_NOISE,
    classes=("FluxImg2ImgPipeline", "FluxKontextPipeline"), weights="black-forest-labs/FLUX.1-schnell", weights_licence="apache-2.0",
    weights_gib=31.5, gpu=True, prompts="description", packages=DIFFUSERS,
))  # fmt: skip
cosmos_transfer = Factory("cosmos:CosmosTransferGenerator", Engine(
    name="cosmos-transfer", what="Redraws a whole clip held by edges, depth or segmentation.", draws="clips",
    classes=("Cosmos2_5_TransferPipeline",), weights="nvidia/Cosmos-Transfer2.5-2B", weights_licence="nvidia-open-model-license",
    weights_gib=21, gpu=True, controls=("edges", "depth", "segmentation"), prompts="description", packages=DIFFUSERS,
))  # fmt: skip
cosmos_predict = Factory("cosmos:CosmosPredictGenerator", Engine(
    name="cosmos-predict", what="Shows what might come next after a clip's first frames; the parent's labels do not hold for it.",
    draws="clips", classes=("Cosmos2_5_PredictBasePipeline",), weights="nvidia/Cosmos-Predict2.5-2B",
    weights_licence="nvidia-open-model-license", weights_gib=20, gpu=True, prompts="description", packages=DIFFUSERS,
))  # fmt: skip

GENERATORS: dict[str, Factory] = {
    factory.engine.name: factory
    for factory in (bundled, perturb, diffusers, pix2pix, controlnet, inpaint, sdxl, flux, cosmos_transfer, cosmos_predict)
}


def names() -> list[str]:
    """Sorted names of all generators, built in or installed."""
    return sorted({*GENERATORS, *(point.name for point in entry_points(group=GROUP))})


def load(name: str, **options: Any) -> Generator:
    """A ready generator; BadData for an unknown name or options it does not take."""
    maker = GENERATORS.get(name) or next((point.load() for point in entry_points(group=GROUP) if point.name == name), None)
    if maker is None:
        raise BadData(f"no generator named {name!r}; there are {', '.join(names())}")
    try:
        made: Generator = maker(**options)
    except TypeError as err:
        raise BadData(f"generator {name!r} does not take the options {sorted(options)}: {err}") from err
    return made
