"""Cosmos 2.5: Transfer redraws a whole clip held by edges, depth or segmentation; Predict goes on from a clip's first frames.

Both draw all frames of a clip at once: frames of one clip stand one after the other in a batch (`GenerateInput.clip`), and a frame of
no clip is a clip of one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.protocol import ControlKind, Estimator, GenerateInput, GeneratorInfo, Output, Parameter, Refused
from generators.controlnet import control_of, kinds
from generators.diffusion import restored
from generators.estimators import estimator_for
from generators.guardrail import Guard, Posture
from generators.loading import Place, licence_of, loading, resolve, resolve_model, weights_of
from generators.resident import Compiled, keep_compiled
from generators.torchvision_free import resize_without_torchvision

# What the models were trained on at most, what Transfer draws at least (other frames are cut off), and what sides are a multiple of.
FRAMES, SHORTEST, MULTIPLE_PX = 93, 5, 16
CONTROL_REVISIONS: dict[ControlKind, str] = {
    "edges": "diffusers/controlnet/general/edge",
    "depth": "diffusers/controlnet/general/depth",
    "segmentation": "diffusers/controlnet/general/seg",
}


class CosmosGenerator(ABC):
    """What both engines share. `pipeline` is a folder or a hub id, loaded at `revision` in bfloat16, from safetensors only.

    Clips are drawn `height_px` high (a multiple of 16; width follows), up to `FRAMES` frames at once and longer ones piece by piece, each
    from one noise of the clip's seed. `guardrail` is on unless it is switched off, and recorded. `compiled` "fast" compiles the
    transformer's blocks. `attention` is a backend of diffusers; by default cuDNN's on Hopper and newer, which is the faster one there.
    """

    NAME: ClassVar[str]
    CLASS: ClassVar[str]

    def __init__(
        self, pipeline: str | Path, *, revision: str | None, height_px: int = 704, num_inference_steps: int = 36, guidance_scale: float,
        device: str | None = None, dtype: str = "bfloat16", offline: bool = False, licence: str | None = None, guardrail: Posture = "on",
        compiled: Compiled = "no", attention: str | None = None, **settings: Parameter,
    ) -> None:  # fmt: skip
        self._place = Place(device=device, dtype=dtype, revision=revision, offline=offline)
        self._guard, self._height_px = Guard(guardrail), height_px
        resize_without_torchvision()
        self._pipeline, folders = self.loaded(pipeline)
        self._settings = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale, **settings}
        self._attention = attention or ("_native_cudnn" if self._hopper() else "native")
        self._compile(compiled)
        recorded: dict[str, Parameter] = {
            "pipeline": type(self._pipeline).__name__, "dtype": dtype, "height_px": height_px, "attention": self._attention,
            "guardrail": self._guard.recorded, **self._settings, **self._recorded(),
        }  # fmt: skip
        self.info = GeneratorInfo(
            name=f"{self.NAME}:{folders[0].name if Path(pipeline).is_dir() else pipeline}", model_revision=folders[0].name,
            weights_sha256=weights_of(folders), licence=licence or licence_of(folders[0]), parameters=recorded,
        )  # fmt: skip

    def loaded(self, pipeline: str | Path) -> tuple[Any, Sequence[Path]]:
        """The pipeline on its device, and the folders its weights are in."""
        folder = resolve(str(pipeline), self._place)
        parts, folders = self._parts(folder)
        if not (folder / "model_index.json").is_file():
            raise BadData(f"{folder} is no diffusers pipeline: model_index.json is missing")
        with loading(folder, f"a {self.CLASS}"):
            made = getattr(require("diffusers", extra="generate"), self.CLASS).from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, dtype=self._place.precision, safety_checker=self._guard, **parts
            )
        made.set_progress_bar_config(disable=True)
        return made.to(self._place.where), [folder, *folders]

    def _parts(self, folder: Path) -> tuple[Mapping[str, Any], Sequence[Path]]:
        return {}, ()

    def _recorded(self) -> Mapping[str, Parameter]:
        return {}

    def _hopper(self) -> bool:
        cuda = require("torch", extra="generate").cuda
        return bool(self._pipeline.device.type == "cuda" and cuda.get_device_capability(self._pipeline.device)[0] >= 9)

    def _compile(self, compiled: Compiled) -> None:
        """Compiles block by block: equal blocks share what was compiled, so it takes seconds."""
        if compiled == "no":
            return
        keep_compiled()
        control = getattr(self._pipeline, "controlnet", None)
        for block in [*self._pipeline.transformer.transformer_blocks, *(control.control_blocks if control is not None else ())]:
            block.compile(dynamic=False)

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        """One output an item, at its own size; all of a clip Refused where the guardrail blocked it."""
        return [output for clip in clips_of(batch) for output in self._drawn(clip)]

    def _drawn(self, clip: Sequence[GenerateInput]) -> list[Output]:
        torch, first = require("torch", extra="generate"), clip[0]
        if (why := self._guard.why_not_text(first.prompt)) is not None:
            return [Refused(reason=why)] * len(clip)
        width, height = self._size(first.rgb)
        unwanted = {"negative_prompt": first.negative_prompt} if first.negative_prompt else {}
        with torch.inference_mode(), self._attending():
            frames = self._pipeline(
                prompt=first.prompt, **unwanted, height=height, width=width, generator=torch.Generator("cpu").manual_seed(first.seed),
                output_type="np", **self._settings, **self._asked(clip, size=(width, height)),
            ).frames[0]  # fmt: skip
        video = self._guard.checked(np.rint(np.clip(frames[: len(clip)], 0, 1) * 255).astype(np.uint8))
        if isinstance(video, str):
            return [Refused(reason=video)] * len(clip)
        return [restored(image, item) for image, item in zip(video, clip, strict=True)]

    def _attending(self) -> AbstractContextManager[Any]:
        if self._attention == "native":
            return nullcontext()
        context: AbstractContextManager[Any] = require("diffusers.models.attention_dispatch", extra="generate").attention_backend(
            self._attention
        )
        return context

    @abstractmethod
    def _asked(self, clip: Sequence[GenerateInput], *, size: tuple[int, int]) -> dict[str, Any]:
        """The call's arguments that only this engine has."""

    def _size(self, rgb: NDArray[np.uint8]) -> tuple[int, int]:
        """Width and height to draw at, in px."""
        return max(round(self._height_px * rgb.shape[1] / rgb.shape[0] / MULTIPLE_PX), 1) * MULTIPLE_PX, self._height_px


class CosmosTransferGenerator(CosmosGenerator):
    """Redraws clips with Cosmos Transfer 2.5 under one control: edges, depth or segmentation.

    `controlnet` is the folder or hub id of that control's model (default: the pipeline's own folder where it holds one, else the
    published one for `control`). `depth_estimator` and `segmentation_estimator` make controls where the log has none.
    """

    NAME: ClassVar[str] = "cosmos-transfer"
    CLASS: ClassVar[str] = "Cosmos2_5_TransferPipeline"
    WEIGHTS: ClassVar[str] = "nvidia/Cosmos-Transfer2.5-2B"

    def __init__(
        self, pipeline: str | Path = WEIGHTS, *, revision: str | None = "diffusers/general", control: str = "edges", controlnet: str = "",
        controls_conditioning_scale: float = 1.0, guidance_scale: float = 3.0, depth_estimator: str = "", segmentation_estimator: str = "",
        **options: Any,
    ) -> None:  # fmt: skip
        self.wants = kinds(control)
        if len(self.wants) != 1:
            raise BadData(f"control {control!r}: {self.NAME} is held by one of {', '.join(CONTROL_REVISIONS)}")
        self._controlnet = controlnet
        super().__init__(
            pipeline, revision=revision, guidance_scale=guidance_scale, controls_conditioning_scale=controls_conditioning_scale, **options
        )
        named: dict[ControlKind, str] = {"depth": depth_estimator, "segmentation": segmentation_estimator}
        self.estimators: Mapping[ControlKind, Estimator] = {
            kind: estimator_for(kind, model, self._place) for kind, model in named.items() if model and kind in self.wants
        }

    def _parts(self, folder: Path) -> tuple[Mapping[str, Any], Sequence[Path]]:
        own, diffusers = folder / "controlnet", require("diffusers", extra="generate")
        inside = not self._controlnet and own.is_dir()
        revision = None if self._controlnet else CONTROL_REVISIONS[self.wants[0]]
        held = own if inside else resolve_model(self._controlnet or self.WEIGHTS, self._place, revision=revision)
        with loading(held, "a CosmosControlNetModel"):
            model = diffusers.CosmosControlNetModel.from_pretrained(
                str(held), use_safetensors=True, local_files_only=True, dtype=self._place.precision
            )
        return {"controlnet": model}, () if inside else (held,)

    def _recorded(self) -> Mapping[str, Parameter]:
        return {"control": self.wants[0], "controlnet": self._controlnet or CONTROL_REVISIONS[self.wants[0]]}

    def _asked(self, clip: Sequence[GenerateInput], *, size: tuple[int, int]) -> dict[str, Any]:
        held = [*clip, *clip[:1]] if len(clip) == 1 else clip  # it draws two frames at least
        controls = [resized(control_of(item, self.wants[0]).rgb, size) for item in held]
        return {"controls": controls, "num_frames": len(held), "num_frames_per_chunk": whole(max(len(held), SHORTEST))}


class CosmosPredictGenerator(CosmosGenerator):
    """Shows what might come next, with Cosmos Predict 2.5: a clip's first frame (first five with `conditions` 2) stays, the rest is new.

    What it draws goes its own way, so the parent's labels hold for the frames it was given only: the gates will reject the others.
    """

    NAME: ClassVar[str] = "cosmos-predict"
    CLASS: ClassVar[str] = "Cosmos2_5_PredictBasePipeline"
    WEIGHTS: ClassVar[str] = "nvidia/Cosmos-Predict2.5-2B"

    def __init__(
        self, pipeline: str | Path = WEIGHTS, *, revision: str | None = "diffusers/base/post-trained", guidance_scale: float = 7.0,
        conditions: int = 1, **options: Any,
    ) -> None:  # fmt: skip
        if conditions not in (1, 2):
            raise BadData(f"conditions {conditions!r}: {self.NAME} takes 1 (one frame) or 2 (five frames)")
        super().__init__(pipeline, revision=revision, guidance_scale=guidance_scale, num_latent_conditional_frames=conditions, **options)

    def _asked(self, clip: Sequence[GenerateInput], *, size: tuple[int, int]) -> dict[str, Any]:
        given = 4 * (int(self._settings["num_latent_conditional_frames"]) - 1) + 1
        if len(clip) < given or len(clip) > FRAMES:
            raise BadData(f"a clip of {len(clip)} frames: {self.NAME} draws {given} to {FRAMES}")
        return {"video": [resized(item.rgb, size) for item in clip[:given]], "num_frames": whole(len(clip))}


def clips_of(batch: Sequence[GenerateInput]) -> Iterator[list[GenerateInput]]:
    """The batch cut into clips: a frame goes with the one before it where its number in the clip follows that one's."""
    follows: Callable[[GenerateInput, GenerateInput], bool] = lambda was, now: (  # noqa: E731
        was.clip is not None and now.clip is not None and now.clip.index == was.clip.index + 1 and now.rgb.shape == was.rgb.shape
    )
    cuts = [0, *(k + 1 for k, pair in enumerate(pairwise(batch)) if not follows(*pair)), len(batch)]
    return (list(batch[start:end]) for start, end in pairwise(cuts) if end > start)


def whole(frames: int) -> int:
    """The fewest frames, at most `FRAMES`, that the autoencoder packs without a remainder (4 k + 1) and that hold so many."""
    return min(-(-max(frames - 1, 0) // 4) * 4 + 1, FRAMES)


def resized(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Any:
    """A PIL image of that width and height."""
    from PIL import Image

    return Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS)
