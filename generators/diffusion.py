"""Any diffusers image-to-image pipeline as a generator: a folder on disk or a hub id; safetensors only.

Prompts steer it. The other engines are this one with another task: what their pipeline's call takes besides a frame.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.protocol import GenerateInput, GeneratorInfo, Output, Parameter, Refused
from generators.loading import REDRAW, Place, Task, accepted, adapted, licence_of, load_pipeline, resolve, weights_of
from generators.resident import Compiled, ResidentImg2Img, covers
from generators.shared_noise import carrying

BATCH, BATCH_RESIDENT = 4, 64
BLOCKED = Refused(reason="the pipeline's safety checker blocked the output")


class DiffusersGenerator:
    """Redraws frames with a resident pipeline; each item brings its own seed.

    `pipeline` is a folder or a hub id. `settings` are further arguments of the pipeline's call (for example
    image_guidance_scale); whatever its call does not accept is left out and not recorded. `long_side_px` enlarges or
    shrinks frames before drawing (0: as they are); sides are rounded to multiples of `multiple_px` and undone afterwards.
    `width_px` has parents made at most that wide before anything else, gates and stored image included (0: as they are).
    `resident` draws with `generators.resident` in full batches (default: on a GPU, where that covers the pipeline), compiled as
    `compiled` says (default: "fast" on a GPU, else "no"). `batch` is how many frames are drawn at once (default: 64 resident, else 4).
    """

    NAME: ClassVar[str] = "diffusers"
    TASK: ClassVar[Task] = REDRAW
    # Recorded beside the settings; `prompts` says in which words the request must speak.
    RECORDED: ClassVar[Mapping[str, Parameter]] = {}

    def __init__(
        self, pipeline: str | Path, *, strength: float = 0.55, guidance_scale: float = 7.5, num_inference_steps: int = 30,
        device: str | None = None, dtype: str | None = None, variant: str | None = None, revision: str | None = None,
        licence: str | None = None, offline: bool = False, long_side_px: int = 0, multiple_px: int = 8, width_px: int = 0,
        batch: int | None = None, resident: bool | None = None, compiled: Compiled | None = None, lora: str | Path = "",
        **settings: Parameter,
    ) -> None:  # fmt: skip
        place = Place(device=device, dtype=dtype, variant=variant, revision=revision, offline=offline)
        folder = resolve(str(pipeline), place)
        parts, more = self._parts(place)
        self._pipeline = load_pipeline(folder, place, task=self.TASK, parts=parts)
        if lora:
            more = [*more, adapted(self._pipeline, Path(lora))]
        wanted = {"strength": strength, "guidance_scale": guidance_scale, "num_inference_steps": num_inference_steps, **settings}
        self._accepts = accepted(self._pipeline)
        self._settings: dict[str, Parameter] = {name: value for name, value in wanted.items() if name in self._accepts}
        self._long_side_px, self._multiple_px = long_side_px, multiple_px
        on_gpu = self._pipeline.device.type == "cuda"
        self._engine = (
            self._resident(batch or BATCH_RESIDENT, compiled or ("fast" if on_gpu else "no"))
            if (covers(self._pipeline, list(self._settings)) and (on_gpu if resident is None else resident))
            else None
        )
        self.batch = self._engine.batch if self._engine else batch or BATCH
        drawn_with: dict[str, Parameter] = {
            "pipeline": type(self._pipeline).__name__, "dtype": str(self._pipeline.dtype).removeprefix("torch."),
            "long_side_px": long_side_px, "multiple_px": multiple_px, **self._settings, **self._recorded(),
            **({"width_px": width_px} if width_px else {}), **({"engine": "resident"} if self._engine else {}),
        }  # fmt: skip
        self.info = GeneratorInfo(
            name=f"{self.NAME}:{folder.name if Path(pipeline).is_dir() else pipeline}", model_revision=folder.name,
            weights_sha256=weights_of([folder, *more]), licence=licence or licence_of(folder, hub_id=str(pipeline)), parameters=drawn_with,
        )  # fmt: skip

    def _parts(self, place: Place) -> tuple[Mapping[str, Any], Sequence[Path]]:
        """Models that the pipeline shall have besides its own, and the folders they were loaded from."""
        return {}, ()

    def _recorded(self) -> Mapping[str, Parameter]:
        return self.RECORDED

    def _resident(self, batch: int, compiled: Compiled) -> ResidentImg2Img:
        taken: dict[str, Any] = dict(self._settings)
        return ResidentImg2Img(self._pipeline, **taken, batch=batch, compiled=compiled)

    def at_strength(self, share: float) -> "DiffusersGenerator":
        """The same pipeline at this share of its own strength (at most 1); itself where it has none."""
        if "strength" not in self._settings or share == 1:
            return self
        strength, other = round(min(float(self._settings["strength"]) * share, 1.0), 4), copy.copy(self)
        other._settings = {**self._settings, "strength": strength}
        other._engine = self._engine.at_strength(strength) if self._engine else None
        other.info = self.info.model_copy(update={"parameters": {**self.info.parameters, "strength": strength}})
        return other

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        """One output an item at its own size, or Refused where a safety checker blocked it; one by one on a CPU."""
        if self._engine:
            return self.begin(batch)()
        size = 1 if self._pipeline.device.type == "cpu" else self.batch
        return [output for items in alike(batch, size) for output in self._draw(items)]

    def begin(self, batch: list[GenerateInput]) -> Callable[[], list[Output]]:
        """Starts to draw and gives back how to get what `generate` gives; without a resident engine it has drawn by then."""
        if self._engine is None:
            drawn = self.generate(batch)
            return lambda: drawn
        begun = [(items, self._begin(self._engine, items)) for items in alike(batch, self.batch)]
        return lambda: [restored(image, item) for items, finish in begun for image, item in zip(finish(), items, strict=True)]

    def _begin(self, engine: ResidentImg2Img, items: Sequence[GenerateInput]) -> Callable[[], NDArray[np.uint8]]:
        frames = [np.asarray(self._enlarged(item.rgb)) for item in items]
        prompts = [(item.prompt, item.negative_prompt) for item in items]
        return engine.begin(frames, prompts, [item.seed for item in items], places=[item.clip for item in items])

    def _draw(self, items: list[GenerateInput]) -> list[Output]:
        torch = require("torch", extra="generate")
        offered = self._offered(items)
        with torch.inference_mode(), carrying(self._pipeline, items):
            result = self._pipeline(**{name: value for name, value in offered.items() if name in self._accepts}, **self._settings)
        blocked = getattr(result, "nsfw_content_detected", None) or [False] * len(items)
        levels = (np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8) for image in result.images)
        return [BLOCKED if bad else restored(image, item) for image, bad, item in zip(levels, blocked, items, strict=True)]

    def _offered(self, items: Sequence[GenerateInput]) -> dict[str, Any]:
        """The call's arguments that come from the items; what the call does not take is dropped."""
        torch = require("torch", extra="generate")
        images = [self._enlarged(item.rgb) for item in items]
        return {
            "image": images, "prompt": [item.prompt for item in items], "negative_prompt": [item.negative_prompt for item in items],
            "generator": [torch.Generator("cpu").manual_seed(item.seed) for item in items],
            "width": images[0].width, "height": images[0].height, "output_type": "np",
        }  # fmt: skip

    def _enlarged(self, rgb: NDArray[np.uint8]) -> Any:
        from PIL import Image

        height, width = rgb.shape[:2]
        scale = self._long_side_px / max(height, width) if self._long_side_px else 1.0
        sides = [max(self._multiple_px, round(side * scale / self._multiple_px) * self._multiple_px) for side in (width, height)]
        return Image.fromarray(rgb).resize((sides[0], sides[1]), Image.Resampling.LANCZOS)


def require_class(pipeline: Any, classes: Sequence[str], *, engine: str) -> None:
    """BadData if a loaded pipeline is none of the classes an engine draws with."""
    if type(pipeline).__name__ not in classes:
        raise BadData(f"engine {engine!r} draws with {' or '.join(classes)}, not with a {type(pipeline).__name__}; take another engine")


def alike(batch: Sequence[GenerateInput], size: int) -> Iterator[list[GenerateInput]]:
    """The items in order, cut where the shape changes and after every `size`."""
    for _, group in groupby(batch, key=lambda item: item.rgb.shape):
        items = list(group)
        yield from (items[start : start + size] for start in range(0, len(items), size))


def restored(levels: NDArray[np.uint8], item: GenerateInput) -> NDArray[np.uint8]:
    """What was drawn, at the item's own size."""
    cv2 = require("cv2", extra="generate")
    height, width = item.rgb.shape[:2]
    if levels.shape[:2] == (height, width):
        return levels
    kind = cv2.INTER_AREA if levels.shape[1] > width else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(levels, (width, height), interpolation=kind), np.uint8)
