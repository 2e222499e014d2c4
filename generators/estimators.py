"""Depth and segmentation from pixels alone, by a transformers model named by the user: for frames whose log has neither."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.controls import CLASSES
from flywheel.generate.protocol import ControlKind, Estimator
from generators.loading import Place, loading, resolve_model, weights_of

AUTO = {"depth": "AutoModelForDepthEstimation", "segmentation": "AutoModelForSemanticSegmentation"}
# Words of Cityscapes' and ADE20K's labels, each with our class for it; the first that occurs in a label counts.
WORDS = {
    "sidewalk": "sidewalk", "road": "road", "sky": "sky", "building": "building", "house": "building", "skyscraper": "building",
    "wall": "building", "fence": "building", "vegetation": "vegetation", "tree": "vegetation", "plant": "vegetation",
    "terrain": "ground", "earth": "ground", "grass": "ground", "rider": "cyclist", "bicycle": "cyclist", "motorcycle": "cyclist",
    "minibike": "cyclist", "person": "pedestrian", "car": "vehicle", "truck": "vehicle", "bus": "vehicle", "van": "vehicle",
    "train": "vehicle", "pole": "pole", "light": "pole", "sign": "pole",
}  # fmt: skip


class HubEstimator:
    """A depth or a segmentation model with its image processor, resident on its device; safetensors only.

    Depth models of the relative kind (Depth Anything, MiDaS) answer with nearness: `nearness` says so, and it is turned around.
    """

    def __init__(self, kind: ControlKind, folder: Path, place: Place, *, shown_as: str) -> None:
        transformers = require("transformers", extra="generate")
        with loading(folder, f"a {kind} estimator"):
            self._processor = transformers.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True)
            model = getattr(transformers, AUTO[kind]).from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
        self._model = model.to(place.where).eval()
        self._numbers = _our_numbers(model.config.id2label, folder) if kind == "segmentation" else np.zeros(0, np.float32)
        self._kind, self._nearness = kind, getattr(model.config, "depth_estimation_type", "relative") == "relative"
        self.name = f"{shown_as} ({type(model).__name__}, weights {weights_of([folder])[:12]})"

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W) float32: distances in an unknown unit, or numbers of our classes (`controls.CLASSES`)."""
        torch = require("torch", extra="generate")
        inputs = self._processor(images=rgb, return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            out = self._model(**inputs)
        return self._depth(out, rgb.shape[:2]) if self._kind == "depth" else self._classes(out, rgb.shape[:2])

    def _depth(self, out: Any, size: tuple[int, ...]) -> NDArray[np.float32]:
        torch = require("torch", extra="generate")
        found = torch.nn.functional.interpolate(out.predicted_depth[:, None].float(), size, mode="bilinear")[0, 0].cpu().numpy()
        return np.asarray(1.0 / np.maximum(found - found.min(), 1e-3) if self._nearness else found, np.float32)

    def _classes(self, out: Any, size: tuple[int, ...]) -> NDArray[np.float32]:
        torch = require("torch", extra="generate")
        logits = torch.nn.functional.interpolate(out.logits.float(), size, mode="bilinear")
        return np.asarray(self._numbers[logits.argmax(dim=1)[0].cpu().numpy()], np.float32)


def _our_numbers(labels: Mapping[int, str], folder: Path) -> NDArray[np.float32]:
    """Our class number for each of a model's; what has no name of ours is ground. BadData if it knows neither road nor vehicle."""
    ours = list(CLASSES)
    named = [next((mine for word, mine in WORDS.items() if word in labels[at].lower()), "ground") for at in range(len(labels))]
    if not {"road", "vehicle"} <= set(named):
        raise BadData(
            f"{folder} segments {', '.join(list(labels.values())[:5])} ...: no road or no vehicles; take a model of street scenes"
        )
    return np.array([ours.index(name) for name in named], np.float32)


def estimator_for(kind: ControlKind, model: str, place: Place) -> Estimator:
    """The estimator in a folder or of a hub id; BadData or BadTransport if it cannot be had."""
    folder = resolve_model(model, place)
    return HubEstimator(kind, folder, place, shown_as=folder.name if Path(model).is_dir() else f"{model}@{folder.name}")
