"""Any diffusers image-to-image pipeline as a generator: a folder on disk or a hub id; safetensors only.

Prompts steer it. Nothing is fetched for a folder, nor when HF_HUB_OFFLINE is set or `offline` is given.
"""

import inspect
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, BadTransport, require
from flywheel.generate.protocol import GenerateInput, GeneratorInfo, Output, Parameter, Refused
from generators.resident import Compiled, ResidentImg2Img, covers
from generators.weights_hash import weights_sha256

NAME = "diffusers"
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

    def __init__(
        self, pipeline: str | Path, *, strength: float = 0.55, guidance_scale: float = 7.5, num_inference_steps: int = 30,
        device: str | None = None, dtype: str | None = None, variant: str | None = None, revision: str | None = None,
        licence: str | None = None, offline: bool = False, long_side_px: int = 0, multiple_px: int = 8, width_px: int = 0,
        batch: int | None = None, resident: bool | None = None, compiled: Compiled | None = None, **settings: Parameter,
    ) -> None:  # fmt: skip
        folder = resolve(str(pipeline), variant=variant, revision=revision, offline=offline)
        self._pipeline = load_pipeline(folder, device=device, dtype=dtype, variant=variant)
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
            "long_side_px": long_side_px, "multiple_px": multiple_px, **self._settings,
            **({"width_px": width_px} if width_px else {}), **({"engine": "resident"} if self._engine else {}),
        }  # fmt: skip
        self.info = GeneratorInfo(
            name=f"{NAME}:{folder.name if Path(pipeline).is_dir() else pipeline}", model_revision=folder.name,
            weights_sha256=weights_sha256(folder), licence=licence or licence_of(folder), parameters=drawn_with,
        )  # fmt: skip

    def _resident(self, batch: int, compiled: Compiled) -> ResidentImg2Img:
        taken: dict[str, Any] = dict(self._settings)
        return ResidentImg2Img(self._pipeline, **taken, batch=batch, compiled=compiled)

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
        return engine.begin(frames, [(item.prompt, item.negative_prompt) for item in items], [item.seed for item in items])

    def _draw(self, items: list[GenerateInput]) -> list[Output]:
        torch = require("torch", extra="generate")
        offered: dict[str, Any] = {
            "image": [self._enlarged(item.rgb) for item in items],
            "prompt": [item.prompt for item in items],
            "negative_prompt": [item.negative_prompt for item in items],
            "generator": [torch.Generator("cpu").manual_seed(item.seed) for item in items],
            "output_type": "np",
        }
        with torch.inference_mode():
            result = self._pipeline(**{name: value for name, value in offered.items() if name in self._accepts}, **self._settings)
        blocked = getattr(result, "nsfw_content_detected", None) or [False] * len(items)
        levels = (np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8) for image in result.images)
        return [BLOCKED if bad else restored(image, item) for image, bad, item in zip(levels, blocked, items, strict=True)]

    def _enlarged(self, rgb: NDArray[np.uint8]) -> Any:
        from PIL import Image

        height, width = rgb.shape[:2]
        scale = self._long_side_px / max(height, width) if self._long_side_px else 1.0
        sides = [max(self._multiple_px, round(side * scale / self._multiple_px) * self._multiple_px) for side in (width, height)]
        return Image.fromarray(rgb).resize((sides[0], sides[1]), Image.Resampling.LANCZOS)


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


def accepted(pipeline: Any) -> set[str]:
    """Names of the arguments a pipeline's call takes."""
    return set(inspect.signature(type(pipeline).__call__).parameters)


def licence_of(folder: Path) -> str:
    """The licence a model card's front matter names, or "unknown"."""
    card = folder / "README.md"
    found = re.search(r"^license:\s*(\S+)", card.read_text(errors="replace"), re.MULTILINE) if card.is_file() else None
    return found.group(1) if found else "unknown"


def resolve(pipeline: str, *, variant: str | None, revision: str | None, offline: bool) -> Path:
    """The folder of a pipeline: itself, or the hub cache's snapshot (fetched first unless offline).

    BadTransport if it is not on disk and cannot be fetched.
    """
    if Path(pipeline).is_dir():
        return Path(pipeline).resolve()
    diffusers = require("diffusers", extra="generate")
    local = offline or os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")
    try:
        kept = diffusers.DiffusionPipeline.download(
            pipeline, variant=variant, revision=revision, use_safetensors=True, local_files_only=local
        )
    except (OSError, ValueError) as err:
        where = "the local hub cache (offline)" if local else "the hub"
        raise BadTransport(f"pipeline {pipeline!r} is no folder, and {where} did not give it: {err}") from err
    return Path(kept)


# What diffusers, transformers and safetensors raise for folders that are torn, incomplete or name unknown classes.
_UNLOADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars while weights load; afterwards as before."""
    names = ("diffusers.utils", "transformers.utils")
    logs = [require(name, extra="generate").logging for name in names]
    shown = [log.is_progress_bar_enabled() for log in logs]
    for log in logs:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, was in zip(logs, shown, strict=True):
            (log.enable_progress_bar if was else log.disable_progress_bar)()


def load_pipeline(folder: Path, *, device: str | None, dtype: str | None, variant: str | None) -> Any:
    """The pipeline in a folder, resident on its device, as an image-to-image pipeline; BadData if it cannot be one."""
    diffusers, torch = require("diffusers", extra="generate"), require("torch", extra="generate")
    if not (folder / "model_index.json").is_file():
        raise BadData(f"{folder} is no diffusers pipeline: model_index.json is missing")
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    name = dtype or ("float16" if place.startswith("cuda") else "float32")
    if not isinstance(getattr(torch, name, None), torch.dtype):
        raise BadData(f"no torch dtype {name!r}; take float32, float16 or bfloat16")
    with _quiet():
        try:
            loaded = diffusers.DiffusionPipeline.from_pretrained(
                str(folder), variant=variant, use_safetensors=True, local_files_only=True, dtype=getattr(torch, name)
            )
            if "image" not in accepted(loaded):
                loaded = diffusers.AutoPipelineForImage2Image.from_pipe(loaded)
        except (*_UNLOADABLE, require("safetensors", extra="generate").SafetensorError) as err:
            raise BadData(f"{folder} cannot be loaded as an image-to-image pipeline from safetensors: {err}") from err
    loaded.set_progress_bar_config(disable=True)
    return loaded.to(place)
