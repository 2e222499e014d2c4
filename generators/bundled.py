"""The bundled generator: a small pixel-space model trained on the sample fleet's renders; runs on two CPU cores."""

import copy
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.protocol import GenerateInput, GeneratorInfo, Output, Parameter
from generators.condition_model import label_of
from generators.weights_hash import weights_sha256

NAME = "bundled"
REVISION = "condition-v2"
LICENCE = "Apache-2.0"
WEIGHTS = Path(__file__).parent / "weights" / REVISION
DETAIL_NOISE = 25.0  # squared grey levels: detail weaker than this is taken for noise


class BundledGenerator:
    """Redraws a frame by `ConditionPipeline`; prompts are ignored, the ordered pair of conditions is the instruction.

    It works at its own size; a larger frame keeps its finer detail wherever the drawing kept the coarser one. With `particles`
    (the default is what the weights' index says) new rain and snow fall in streaks and flakes placed by the seed, without they are
    drawn as they look on average. `steps` is for weights of the first edition only.
    """

    def __init__(
        self, *, weights: str | Path = WEIGHTS, steps: int | None = None, particles: bool | None = None, device: str | None = None,
        batch: int = 32,
    ) -> None:  # fmt: skip
        folder = Path(weights)
        if not (folder / "model_index.json").is_file():
            raise BadData(f"no bundled weights in {folder}; train them with: python -m generators.train_bundled --help")
        held, index = weights_sha256(folder), _settings(folder)
        self._folder, self._device, self._batch, self._size = folder, device, batch, (index["width_px"], index["height_px"])
        first = index["steps"] > 1 or steps is not None
        self._share = 1.0
        self._steps, self._particles = int(steps or index["steps"]), bool(index["particles"] if particles is None else particles)
        how: dict[str, Parameter] = {"steps": self._steps, "sampler": "ddim"} if first else {"particles": int(self._particles)}
        self.info = GeneratorInfo(
            name=NAME, model_revision=folder.name, weights_sha256=held, licence=LICENCE,
            parameters={**how, "width_px": self._size[0], "height_px": self._size[1]},
        )  # fmt: skip

    @cached_property
    def _pipeline(self) -> Any:
        """The loaded pipeline; only drawing needs it, planning does not."""
        return _load(self._folder, self._device)

    def at_strength(self, share: float) -> "BundledGenerator":
        """The same model with this share of what it changes at each pixel; above 1 it goes further than it was taught."""
        self._pipeline  # noqa: B018 (loaded here, so that both have it)
        other = copy.copy(self)
        other._share = share
        other.info = self.info.model_copy(update={"parameters": {**self.info.parameters, "strength": share}})
        return other

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        """One redrawn frame an item, each of its own size; drawn at the model's working size in between.

        On a CPU items are drawn one by one, so an output is the same bytes in any batch.
        """
        size = 1 if self._pipeline.device.type == "cpu" else self._batch
        return [output for start in range(0, len(batch), size) for output in self._draw(batch[start : start + size])]

    def _draw(self, items: list[GenerateInput]) -> list[Output]:
        frames = [_resized(item.rgb, self._size) for item in items]
        labels = [label_of(item.source, item.target) for item in items]
        drawn = self._pipeline(
            np.stack(frames), labels, [item.seed for item in items], steps=self._steps, particles=self._particles,
            places=[item.clip for item in items],
        )  # fmt: skip
        shown = (_mixed(frame, image, self._share) for image, frame in zip(drawn, frames, strict=True))
        return [restored(image, frame, item.rgb) for image, frame, item in zip(shown, frames, items, strict=True)]


def _mixed(frame: NDArray[np.uint8], drawn: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The frame with a share of the change to what was drawn."""
    if share == 1:
        return drawn
    return np.asarray(np.clip(np.rint(frame + share * (drawn.astype(np.float32) - frame)), 0, 255), np.uint8)


def _settings(folder: Path) -> dict[str, int]:
    """Steps, width and height in the pipeline's index, and whether particles are drawn (0 or 1)."""
    try:
        config = json.loads((folder / "model_index.json").read_text())
        return {"particles": int(config["particles"]) if "particles" in config else 0} | {
            name: int(config[name]) for name in ("steps", "width_px", "height_px")
        }
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


def restored(drawn: NDArray[np.uint8], small: NDArray[np.uint8], frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What was drawn of `small` (the frame at the working size), at the frame's own size.

    A larger frame's finer detail is added as far as the drawing follows the source around there: the local gain of a guided
    filter (He, Sun and Tang 2013), cut to 0..1. So a kerb stays sharp, and a house that fog hides does not come back.
    """
    if frame.shape == small.shape or frame.shape[1] <= small.shape[1]:
        return _resized(drawn, (frame.shape[1], frame.shape[0]))
    cv2 = require("cv2", extra="generate")
    was, now = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in (small, drawn))
    mean_was, mean_now, square, product = (cv2.boxFilter(plane, -1, (9, 9)) for plane in (was, now, was * was, was * now))
    gain = np.clip((product - mean_was * mean_now) / (square - mean_was**2 + DETAIL_NOISE), 0, 1)
    size = (frame.shape[1], frame.shape[0])
    wide, coarse = (cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_CUBIC) for image in (drawn, small))
    fine = (frame - coarse) * cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)[..., None]
    return np.asarray(np.clip(np.rint(wide + fine), 0, 255), np.uint8)
