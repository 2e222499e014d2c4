"""From a folder or a hub id to a diffusers pipeline resident on its device: safetensors only, nothing fetched for a folder."""

import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.errors import BadData, BadTransport, require
from flywheel.types import digest_of
from generators.weights_hash import weights_sha256

# What diffusers, transformers and safetensors raise for folders that are torn, incomplete or name unknown classes.
_UNLOADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, RuntimeError)


@dataclass(frozen=True)
class Task:
    """What a pipeline shall do: the arguments its call must take, and the diffusers class that turns others into such a one."""

    name: str
    takes: tuple[str, ...]
    auto: str


# The licences of the weights that are taken by default: what the hub fetches for a pipeline leaves the model card out.
LICENCES = {
    "timbrooks/instruct-pix2pix": "mit",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "creativeml-openrail-m",
    "stable-diffusion-v1-5/stable-diffusion-inpainting": "creativeml-openrail-m",
    "stabilityai/stable-diffusion-xl-base-1.0": "openrail++",
    "black-forest-labs/FLUX.1-schnell": "apache-2.0",
}
ADAPTER = "pytorch_lora_weights.safetensors"
REDRAW = Task("image-to-image", ("image",), "AutoPipelineForImage2Image")
STEER = Task("image-to-image with controls", ("image", "control_image"), "AutoPipelineForImage2Image")
FILL = Task("inpainting", ("image", "mask_image"), "AutoPipelineForInpainting")


@dataclass(frozen=True)
class Place:
    """Where and how weights are loaded: `device` (default: the GPU, else the CPU), torch `dtype` (default: by device) and `variant`."""

    device: str | None = None
    dtype: str | None = None
    variant: str | None = None
    revision: str | None = None
    offline: bool = False

    @property
    def where(self) -> str:
        """The device's name."""
        return self.device or ("cuda" if require("torch", extra="generate").cuda.is_available() else "cpu")

    @property
    def precision(self) -> Any:
        """The torch dtype; BadData for a name that is none."""
        torch = require("torch", extra="generate")
        found = getattr(torch, self.dtype or ("float16" if self.where.startswith("cuda") else "float32"), None)
        if not isinstance(found, torch.dtype):
            raise BadData(f"no torch dtype {self.dtype!r}; take float32, float16 or bfloat16")
        return found

    @property
    def local(self) -> bool:
        """Whether the hub may not be asked: `offline`, or HF_HUB_OFFLINE is set."""
        return self.offline or os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")


def accepted(pipeline: Any) -> set[str]:
    """Names of the arguments a pipeline's call takes."""
    return set(inspect.signature(type(pipeline).__call__).parameters)


def licence_of(folder: Path, *, hub_id: str = "") -> str:
    """The licence a model card's front matter names, else the one we know for a hub id, else "unknown"."""
    card = folder / "README.md"
    found = re.search(r"^license:\s*(\S+)", card.read_text(errors="replace"), re.MULTILINE) if card.is_file() else None
    return found.group(1) if found else LICENCES.get(hub_id, "unknown")


def weights_of(folders: Sequence[Path]) -> str:
    """The weights hash of one folder, or one over those of several, in order."""
    hashes = [weights_sha256(folder) for folder in folders]
    return hashes[0] if len(hashes) == 1 else digest_of(hashes)


def resolve(pipeline: str, place: Place) -> Path:
    """The folder of a pipeline: itself, or the hub cache's snapshot (fetched first unless offline).

    BadTransport if it is not on disk and cannot be fetched.
    """
    if Path(pipeline).is_dir():
        return Path(pipeline).resolve()
    diffusers = require("diffusers", extra="generate")
    with _reached(f"pipeline {pipeline!r}", place):
        kept = diffusers.DiffusionPipeline.download(
            pipeline, variant=place.variant, revision=place.revision, use_safetensors=True, local_files_only=place.local
        )
    return Path(kept)


def resolve_model(model: str, place: Place, *, revision: str | None = None) -> Path:
    """The folder of a single model (a ControlNet, an estimator): itself, or the hub cache's snapshot; BadTransport as `resolve`."""
    if Path(model).is_dir():
        return Path(model).resolve()
    hub = require("huggingface_hub", extra="generate")
    with _reached(f"model {model!r}", place):
        kept = hub.snapshot_download(
            model, revision=revision, local_files_only=place.local, allow_patterns=["*.json", "*.safetensors", "README.md"]
        )
    return Path(kept)


@contextmanager
def _reached(what: str, place: Place) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as err:
        where = "the local hub cache (offline)" if place.local else "the hub"
        raise BadTransport(f"{what} is no folder, and {where} did not give it: {err}") from err


def load_pipeline(folder: Path, place: Place, *, task: Task = REDRAW, parts: Mapping[str, Any] | None = None) -> Any:
    """The pipeline in a folder, resident on its device, able to do the task; BadData if it cannot be.

    `parts` are loaded models that it shall have besides its own (a ControlNet).
    """
    diffusers, precision = require("diffusers", extra="generate"), place.precision
    if not (folder / "model_index.json").is_file():
        raise BadData(f"{folder} is no diffusers pipeline: model_index.json is missing")
    auto = getattr(diffusers, task.auto)
    with loading(folder, f"a pipeline for {task.name}"):
        maker = auto if parts else diffusers.DiffusionPipeline
        given = {"variant": place.variant, "use_safetensors": True, "local_files_only": True, "dtype": precision}
        loaded = maker.from_pretrained(str(folder), **given, **(parts or {}))
        if not accepted(loaded) >= set(task.takes):
            loaded = auto.from_pipe(loaded)
    if missing := set(task.takes) - accepted(loaded):
        raise BadData(f"{folder} holds a {type(loaded).__name__}, which does not take {sorted(missing)}: it cannot do {task.name}")
    loaded.set_progress_bar_config(disable=True)
    return loaded.to(place.where)


def adapted(pipeline: Any, folder: Path) -> Path:
    """Merges the adapter in a folder (`flywheel generate train --method lora` writes such) into the pipeline; gives the folder back."""
    if not (folder / ADAPTER).is_file():
        raise BadData(f"{folder} holds no adapter ({ADAPTER}); train one with: flywheel generate train --method lora")
    require("peft", extra="generate")
    with loading(folder, f"an adapter of a {type(pipeline).__name__}"):
        pipeline.load_lora_weights(str(folder), weight_name=ADAPTER)
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    return folder


@contextmanager
def loading(folder: Path, what: str) -> Iterator[None]:
    """Loads without progress bars; BadData naming the folder for what cannot be loaded from it."""
    errors = (*_UNLOADABLE, require("safetensors", extra="generate").SafetensorError)
    logs = [require(name, extra="generate").logging for name in ("diffusers.utils", "transformers.utils")]
    shown = [log.is_progress_bar_enabled() for log in logs]
    for log in logs:
        log.disable_progress_bar()
    try:
        yield
    except errors as err:
        raise BadData(f"{folder} cannot be loaded as {what} from safetensors: {err}") from err
    finally:
        for log, was in zip(logs, shown, strict=True):
            (log.enable_progress_bar if was else log.disable_progress_bar)()
