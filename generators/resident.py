"""A Stable-Diffusion image-to-image pipeline held ready on one device: whole batches of one shape, launched ahead.

It computes what `StableDiffusionImg2ImgPipeline.__call__` computes, from the same modules, prompts and seeds. What differs is how:
prompts are embedded once and kept; frames are encoded and decoded several at a time; a short batch is filled up, so that shapes
never change; nothing waits for the device until the pixels are asked for; what the UNet computes before it sees a prompt is
computed once for both halves of guidance; and the modules are laid out channels last, with fused attention projections, and
compiled on a GPU.
"""

import copy
import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require
from flywheel.generate.protocol import ClipPlace
from generators.faster_parts import quicken
from generators.shared_halves import share_halves
from generators.shared_noise import along

# How the compiler is set. Measured on one H100 at its power limit, fp16, 64 frames of 512x512, 12 steps with guidance, ms a frame:
# "no" 82 + 25 (UNet + autoencoder), "fast" 46.6 + 8.5 after 127 s of compiling. "tuned" took 1% off the UNet for three times the wait.
Compiled = Literal["no", "fast", "tuned"]
FAST = {"conv_1x1_as_mm": True}
TUNED = FAST | {"coordinate_descent_tuning": True}
PROMPTS_KEPT = 1024
FRAMES_AT_ONCE = 16
TAKEN = frozenset({"strength", "guidance_scale", "num_inference_steps"})
Pixels = NDArray[np.uint8]


def covers(pipeline: Any, settings: Sequence[str]) -> bool:
    """Whether the engine draws what this pipeline would with these settings: the plain class, no checker, no adapter."""
    return (
        type(pipeline).__name__ == "StableDiffusionImg2ImgPipeline"
        and pipeline.safety_checker is None
        and pipeline.image_encoder is None
        and pipeline.unet.config.in_channels == pipeline.vae.config.latent_channels
        and pipeline.unet.config.time_cond_proj_dim is None
        and set(settings) <= TAKEN
    )


def keep_compiled() -> None:
    """Points the compiler at a folder that outlives the process, unless TORCHINDUCTOR_CACHE_DIR names one: compiling takes minutes."""
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scenario-flywheel" / "inductor"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(kept))


class ResidentImg2Img:
    """Redraws frames in batches of `batch`; give it only pipelines that it `covers`. It takes their modules over."""

    def __init__(
        self, pipeline: Any, *, strength: float, guidance_scale: float, num_inference_steps: int, batch: int, compiled: Compiled
    ) -> None:  # fmt: skip
        self._torch = require("torch", extra="generate")
        self._pipeline, self._guidance, self.batch = pipeline, guidance_scale, batch
        self._strength, self._steps = strength, num_inference_steps
        self._device, self._dtype = pipeline.device, pipeline.unet.dtype
        self._on_gpu = pipeline.device.type == "cuda"
        self._aside = self._torch.cuda.Stream(priority=-1) if self._on_gpu else None
        self._scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        self._scheduler.set_timesteps(num_inference_steps, device="cpu")  # on the CPU: an index read from the GPU would wait for it
        if hasattr(self._scheduler, "alphas_cumprod"):  # some schedulers move it in every `add_noise`, and wait
            self._scheduler.alphas_cumprod = self._scheduler.alphas_cumprod.to(self._device)
        self._some = next(size for size in range(min(batch, FRAMES_AT_ONCE), 0, -1) if batch % size == 0)
        self.embedded = lru_cache(PROMPTS_KEPT)(self._embedded)
        for module in (pipeline.unet, pipeline.vae):
            module.fuse_qkv_projections()
            module.to(memory_format=self._torch.channels_last)
        if self._guided:
            share_halves(pipeline.unet)
        self.unet, self.encode, self.decode = pipeline.unet, self._encode, self._decode
        if compiled != "no":
            keep_compiled()
            quicken(pipeline.unet, pipeline.vae)
            self.unet = self._torch.compile(self.unet, dynamic=False, options=TUNED if compiled == "tuned" else FAST)
            self.encode, self.decode = (self._torch.compile(part, dynamic=False, options=FAST) for part in (self.encode, self.decode))

    def at_strength(self, strength: float) -> "ResidentImg2Img":
        """The same modules, compiled or not, at another strength."""
        other = copy.copy(self)
        other._strength = strength
        return other

    def begin(
        self, frames: Sequence[Pixels], prompts: Sequence[tuple[str, str]], seeds: Sequence[int], *,
        places: Sequence[ClipPlace | None] | None = None,
    ) -> Callable[[], Pixels]:  # fmt: skip
        """Launches up to `batch` frames of one shape, sides multiples of 8; gives back how to wait for (N, H, W, 3) pixels.

        `prompts` are pairs of what to show and what not to show; `places` say which frames belong to clips.
        """
        where = places or [None] * len(frames)
        full = [min(at, len(frames) - 1) for at in range(self.batch)]
        with self._torch.inference_mode():
            pixels = self._upload(np.stack([frames[at] for at in full]))
            noise = self._noise([seeds[at] for at in full], pixels.shape, [where[at] for at in full])
            levels = self.levels(self.denoised(self.latents(pixels, noise[:, 0]), noise[:, 1], self.guides([prompts[at] for at in full])))
            return self._download(levels, len(frames))

    def _upload(self, frames: Pixels) -> Any:
        """(B, 3, H, W) in -1..1, as `VaeImageProcessor.preprocess` makes it."""
        pixels = self._sent(self._torch.from_numpy(frames)).permute(0, 3, 1, 2).to(self._torch.float32)
        return (pixels / 255 * 2 - 1).to(self._dtype, memory_format=self._torch.channels_last)

    def _sent(self, held: Any) -> Any:
        """The tensor on the device, without waiting for what the device is doing: an unpinned copy would."""
        return held.pin_memory().to(self._device, non_blocking=True) if self._on_gpu else held

    def _noise(self, seeds: Sequence[int], shape: Sequence[int], places: Sequence[ClipPlace | None]) -> Any:
        """(B, 2, C, h, w): each item's two draws, from its own seed alone and on the CPU, as the plain pipeline makes them.

        The second is carried along a clip.
        """
        torch, vae = self._torch, self._pipeline.vae
        scale = 2 ** (len(vae.config.block_out_channels) - 1)
        size = (1, vae.config.latent_channels, shape[2] // scale, shape[3] // scale)
        items = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        drawn = torch.stack([torch.cat([torch.randn(size, generator=item, dtype=self._dtype) for _ in range(2)]) for item in items])
        if any(place is not None and place.flows for place in places):
            drawn[:, 1] = along(drawn[:, 1], places, seeds)
        return self._sent(drawn)

    def guides(self, prompts: Sequence[tuple[str, str]]) -> Any:
        """Text embeddings: what not to show first, then what to show; only the latter without guidance."""
        wanted = [self.embedded(text) for text, _ in prompts]
        unwanted = [self.embedded(text) for _, text in prompts] if self._guided else []
        return self._torch.cat([*unwanted, *wanted])

    @property
    def _guided(self) -> bool:
        return self._guidance > 1

    def _embedded(self, text: str) -> Any:
        with self._torch.cuda.stream(self._aside):
            found = self._pipeline.encode_prompt(text, self._device, 1, False)[0]
        if self._aside is not None:
            self._aside.synchronize()
        return found

    def latents(self, pixels: Any, noise: Any) -> Any:
        """One sample of each frame's latent distribution."""
        found = [self.encode(part) for part in pixels.split(self._some)]
        mean, std = (self._torch.cat(parts) for parts in zip(*found, strict=True))
        return self._pipeline.vae.config.scaling_factor * (mean + std * noise)

    def _encode(self, pixels: Any) -> tuple[Any, Any]:
        found = self._pipeline.vae.encode(pixels).latent_dist
        return found.mean, found.std

    def denoised(self, latents: Any, noise: Any, guides: Any) -> Any:
        """The latents with noise added and taken away again, step by step."""
        torch = self._torch
        scheduler = copy.deepcopy(self._scheduler)
        skipped = max(self._steps - min(int(self._steps * self._strength), self._steps), 0) * scheduler.order
        times = scheduler.timesteps[skipped:]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(skipped)
        there = self._sent(times.clone())
        latents = scheduler.add_noise(latents, noise, there[:1].repeat(self.batch))
        for k, t in enumerate(times):
            asked = scheduler.scale_model_input(torch.cat([latents] * 2) if self._guided else latents, t)
            found = self.unet(
                asked.to(memory_format=torch.channels_last), there[k].clone(), encoder_hidden_states=guides, return_dict=False
            )[0]  # fmt: skip
            if self._guided:
                unwanted, wanted = found.chunk(2)
                found = unwanted + self._guidance * (wanted - unwanted)
            latents = scheduler.step(found, t, latents, return_dict=False)[0]
        return latents

    def levels(self, latents: Any) -> Any:
        """(B, H, W, 3) uint8 pixels of latents."""
        return self._torch.cat([self.decode(part) for part in latents.split(self._some)])

    def _decode(self, latents: Any) -> Any:
        shown = self._pipeline.vae.decode(latents / self._pipeline.vae.config.scaling_factor, return_dict=False)[0]
        levels = (shown * 0.5 + 0.5).clamp(0, 1).to(self._torch.float32) * 255
        return levels.round().to(self._torch.uint8).permute(0, 2, 3, 1).contiguous()

    def _download(self, levels: Any, count: int) -> Callable[[], Pixels]:
        if not self._on_gpu:
            found: Pixels = levels.numpy()[:count]
            return lambda: found
        torch = self._torch
        held = torch.empty(levels.shape, dtype=levels.dtype, pin_memory=True)
        held.copy_(levels, non_blocking=True)
        done = torch.cuda.Event(blocking=True)
        done.record()

        def finish() -> Pixels:
            done.synchronize()
            pixels: Pixels = held.numpy()[:count].copy()
            return pixels

        return finish
