"""The bundled generator: a small pixel-space diffusion model trained on the sample fleet's renders; runs on two CPU cores."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.protocol import GenerateInput, GeneratorInfo, Output
from generators.condition_model import label_of
from generators.weights_hash import weights_sha256

NAME = "bundled"
REVISION = "condition-v1"
LICENCE = "Apache-2.0"
WEIGHTS = Path(__file__).parent / "weights" / REVISION


class BundledGenerator:
    """Redraws a frame by `ConditionPipeline`; prompts are ignored, the ordered pair of conditions is the instruction."""

    def __init__(self, *, weights: str | Path = WEIGHTS, steps: int | None = None, device: str | None = None, batch: int = 32) -> None:
        folder = Path(weights)
        if not (folder / "model_index.json").is_file():
            raise BadData(f"no bundled weights in {folder}; train them with: python -m generators.train_bundled --help")
        held, (usual, width_px, height_px) = weights_sha256(folder), _settings(folder)
        self._folder, self._device = folder, device
        self._steps, self._batch, self._size = int(steps or usual), batch, (width_px, height_px)
        self.info = GeneratorInfo(
            name=NAME, model_revision=folder.name, weights_sha256=held, licence=LICENCE,
            parameters={"steps": self._steps, "sampler": "ddim", "width_px": self._size[0], "height_px": self._size[1]},
        )  # fmt: skip

    @cached_property
    def _pipeline(self) -> Any:
        """The loaded pipeline; only drawing needs it, planning does not."""
        return _load(self._folder, self._device)

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        """One redrawn frame an item, each of its own size; drawn at the model's working size in between.

        On a CPU items are drawn one by one, so an output is the same bytes in any batch.
        """
        size = 1 if self._pipeline.device.type == "cpu" else self._batch
        return [output for start in range(0, len(batch), size) for output in self._draw(batch[start : start + size])]

    def _draw(self, items: list[GenerateInput]) -> list[Output]:
        frames = np.stack([_resized(item.rgb, self._size) for item in items])
        labels = [label_of(item.source, item.target) for item in items]
        drawn = self._pipeline(frames, labels, [item.seed for item in items], steps=self._steps)
        return [_resized(image, (item.rgb.shape[1], item.rgb.shape[0])) for image, item in zip(drawn, items, strict=True)]


def _settings(folder: Path) -> tuple[int, int, int]:
    """Steps, width and height in the pipeline's index."""
    try:
        config = json.loads((folder / "model_index.json").read_text())
        return int(config["steps"]), int(config["width_px"]), int(config["height_px"])
    except (ValueError, TypeError, KeyError) as err:
        raise BadData(f"{folder / 'model_index.json'} does not hold the bundled model's settings ({type(err).__name__}: {err})") from err


def _load(folder: Path, device: str | None) -> Any:
    torch = require("torch", extra="generate")
    logging = require("diffusers", extra="generate").utils.logging
    from generators.bundled_pipeline import ConditionPipeline

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    logging.disable_progress_bar()
    try:
        pipeline: Any = ConditionPipeline.from_pretrained(str(folder), use_safetensors=True, local_files_only=True)
    except (OSError, ValueError, KeyError) as err:
        raise BadData(f"{folder} does not hold the bundled model; train it again with python -m generators.train_bundled: {err}") from err
    finally:
        logging.enable_progress_bar()
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(place, torch.bfloat16) if place.startswith("cuda") else pipeline.to(place)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    cv2 = require("cv2", extra="generate")
    if (image.shape[1], image.shape[0]) == size:
        return image
    kind = cv2.INTER_AREA if image.shape[1] > size[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=kind), np.uint8)
