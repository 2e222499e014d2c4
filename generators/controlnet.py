"""ControlNet image-to-image: edges, depth or segmentation hold the geometry while the picture is redrawn; SD 1.5 and SDXL."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np

from flywheel.errors import BadData, require
from flywheel.generate.protocol import Control, ControlKind, Estimator, GenerateInput, Parameter
from generators.diffusion import DiffusersGenerator, require_class
from generators.estimators import estimator_for
from generators.loading import STEER, Place, Task, loading, resolve_model

WEIGHTS = "stable-diffusion-v1-5/stable-diffusion-v1-5"
CONTROLNETS: dict[ControlKind, str] = {
    "edges": "lllyasviel/control_v11p_sd15_canny",
    "depth": "lllyasviel/control_v11f1p_sd15_depth",
    "segmentation": "lllyasviel/control_v11p_sd15_seg",
}
CLASSES = (
    "StableDiffusionControlNetImg2ImgPipeline", "StableDiffusionXLControlNetImg2ImgPipeline",
    "StableDiffusionXLControlNetUnionImg2ImgPipeline",
)  # fmt: skip
# Where a union model keeps each kind (https://huggingface.co/xinsir/controlnet-union-sdxl-1.0, and its promax edition).
UNION_MODES: dict[ControlKind, int] = {"depth": 1, "edges": 3, "segmentation": 5}


class ControlNetGenerator(DiffusersGenerator):
    """Redraws under `controls`, a comma-separated list of edges, depth and segmentation.

    `controlnet` names one model for each of them, comma-separated (folders or hub ids; default: the SD 1.5 ones), or a single union
    model. `controlnet_revision` is theirs. `depth_estimator` and `segmentation_estimator` (a folder or hub id of a transformers
    model) make the control where the log has none. Other options are those of `DiffusersGenerator`.
    """

    NAME: ClassVar[str] = "controlnet"
    TASK: ClassVar[Task] = STEER

    def __init__(
        self, pipeline: str | Path = WEIGHTS, *, controls: str = "depth", controlnet: str = "", controlnet_revision: str | None = None,
        controlnet_conditioning_scale: float = 1.0, strength: float = 0.8, depth_estimator: str = "", segmentation_estimator: str = "",
        **options: Any,
    ) -> None:  # fmt: skip
        self.wants = kinds(controls)
        self._named = [part.strip() for part in controlnet.split(",") if part.strip()] or [CONTROLNETS[kind] for kind in self.wants]
        self._revision = controlnet_revision
        super().__init__(pipeline, strength=strength, controlnet_conditioning_scale=controlnet_conditioning_scale, **options)
        require_class(self._pipeline, CLASSES, engine=self.NAME)
        place = Place(device=options.get("device"), offline=bool(options.get("offline", False)))
        wanted: dict[ControlKind, str] = {"depth": depth_estimator, "segmentation": segmentation_estimator}
        self.estimators: Mapping[ControlKind, Estimator] = {
            kind: estimator_for(kind, model, place) for kind, model in wanted.items() if model and kind in self.wants
        }

    def _parts(self, place: Place) -> tuple[Mapping[str, Any], Sequence[Path]]:
        folders = [resolve_model(name, place, revision=self._revision) for name in self._named]
        models = [_load_controlnet(folder, place) for folder in folders]
        self._union = type(models[0]).__name__ == "ControlNetUnionModel"
        if len(models) != (1 if self._union else len(self.wants)):
            raise BadData(f"{len(models)} ControlNets for {len(self.wants)} controls: give one for each, or a single union model")
        return {"controlnet": models[0] if len(models) == 1 else models}, folders

    def _recorded(self) -> Mapping[str, Parameter]:
        return {"controls": ",".join(self.wants), "controlnet": ",".join(self._named)}

    def _offered(self, items: Sequence[GenerateInput]) -> dict[str, Any]:
        drawn = [self._pictures([control_of(item, kind) for item in items]) for kind in self.wants]
        one = len(drawn) == 1 and not self._union
        modes = {"control_mode": [UNION_MODES[kind] for kind in self.wants]} if self._union else {}
        return {**super()._offered(items), "control_image": drawn[0] if one else drawn, **modes}

    def _pictures(self, controls: Sequence[Control]) -> Any:
        """(B, 3, H, W) in 0..1: pipelines take a batch of several controls as tensors only."""
        levels = np.stack([np.asarray(self._enlarged(control.rgb)) for control in controls])
        return require("torch", extra="generate").from_numpy(levels).permute(0, 3, 1, 2).float() / 255


def kinds(controls: str) -> tuple[ControlKind, ...]:
    known: tuple[ControlKind, ...] = get_args(ControlKind)
    named = [part.strip() for part in controls.split(",")]
    found = tuple(kind for part in named for kind in known if kind == part)
    if not found or len(found) != len(named):
        raise BadData(f"controls {controls!r}: take one or more of {', '.join(known)}, comma-separated")
    return found


def control_of(item: GenerateInput, kind: ControlKind) -> Control:
    found = next((control for control in item.controls if control.kind == kind), None)
    if found is None:
        raise BadData(f"the input has no {kind} control: the runner makes it from the log or by an estimator (see Controlled)")
    return found


def _load_controlnet(folder: Path, place: Place) -> Any:
    """A ControlNetModel or ControlNetUnionModel, by the folder's own config."""
    diffusers = require("diffusers", extra="generate")
    with loading(folder, "a ControlNet"):
        name = str(diffusers.ControlNetModel.load_config(str(folder)).get("_class_name"))
        if name not in ("ControlNetModel", "ControlNetUnionModel"):
            raise BadData(f"{folder} holds a {name}, not a ControlNet")
        return getattr(diffusers, name).from_pretrained(
            str(folder), variant=place.variant, use_safetensors=True, local_files_only=True, dtype=place.precision
        )
