"""The diffusers pipeline of the bundled model. Imports torch and diffusers: import it inside functions only."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DModel
from numpy.typing import NDArray

from flywheel.generate.protocol import ClipPlace
from flywheel.types import CONDITIONS
from generators.condition_model import INPUT_PLANES, PLANES, pack, particle_planes, predict_clean, redraw, unpack
from generators.particles import opacity
from generators.shared_noise import along


class ConditionPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Redraws frames under another lighting and weather in pixel space, conditioned on the source frame.

    A net of the second edition draws in one pass and needs no scheduler. One of the first (more inputs) takes a few DDIM steps.
    """

    _optional_components: ClassVar[list[str]] = ["scheduler"]

    # Given by the untyped base class; named here for the type checker.
    unet: Any
    scheduler: Any
    config: Any
    device: Any
    register_modules: Any
    register_to_config: Any

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: DDIMScheduler | None = None,
        steps: int = 1,
        width_px: int = 320,
        height_px: int = 180,
        particles: bool = False,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(steps=steps, width_px=width_px, height_px=height_px, particles=particles)

    @torch.inference_mode()
    def __call__(
        self, frames: NDArray[np.uint8], labels: Sequence[int], seeds: Sequence[int], *, steps: int | None = None,
        particles: bool | None = None, places: Sequence[ClipPlace | None] | None = None,
    ) -> NDArray[np.uint8]:  # fmt: skip
        """(N, H, W, 3) uint8 redrawn frames of frames of the working size, their pair labels and their seeds.

        With `particles` (default: as configured), rain streaks and snowflakes that the source does not have are drawn, placed by
        the seed; without, the weather is drawn as it looks on average. Only the first edition takes `steps`.
        `places` say which frames belong to clips: there particles fall, and the first edition's noise moves with the picture.
        """
        height_px, width_px = frames.shape[1:3]
        where = places or [None] * len(seeds)
        source = pack(self._pixels(frames))
        classes = torch.tensor(labels, device=self.device)
        if self.unet.config.in_channels == INPUT_PLANES:
            wanted = self.config.particles if particles is None else particles
            fall = self._particles(labels, seeds, where, (height_px, width_px), wanted=wanted)
            sample = redraw(self.unet, source, fall, classes)
        else:
            sample = self._denoised(source, classes, seeds, where, steps or self.config.steps)
        images = unpack(sample, height_px=height_px, width_px=width_px).float()
        levels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return np.asarray(levels.permute(0, 2, 3, 1).cpu().numpy())

    def _pixels(self, frames: NDArray[np.uint8]) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(frames)).to(self.device).permute(0, 3, 1, 2)
        return pixels.to(self.unet.dtype) / 127.5 - 1

    def _particles(
        self, labels: Sequence[int], seeds: Sequence[int], places: Sequence[ClipPlace | None], shape: tuple[int, int], *, wanted: bool
    ) -> torch.Tensor:  # fmt: skip
        pairs = [divmod(label, len(CONDITIONS)) for label in labels]
        falls = [
            opacity(CONDITIONS[a], CONDITIONS[b], shape, seed, t_s=place.t_s if place else 0.0) if wanted else None
            for (a, b), seed, place in zip(pairs, seeds, places, strict=True)
        ]
        masks = torch.from_numpy(np.stack([np.zeros(shape, np.float32) if fall is None else fall for fall in falls]))
        given = torch.tensor([fall is not None for fall in falls])
        planes: torch.Tensor = particle_planes(masks[:, None].to(self.device, self.unet.dtype), given.to(self.device))
        return planes

    def _denoised(
        self, source: torch.Tensor, classes: torch.Tensor, seeds: Sequence[int], places: Sequence[ClipPlace | None], steps: int
    ) -> torch.Tensor:  # fmt: skip
        # Noise is drawn on the CPU, one stream an item, so that it is the same in any batch and on any device.
        draws = [torch.randn(PLANES, *source.shape[-2:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        sample: torch.Tensor = along(torch.stack(draws), places, seeds).to(self.device, self.unet.dtype)
        self.scheduler.set_timesteps(steps, device=self.device)
        for time in self.scheduler.timesteps:
            clean = predict_clean(self.unet, sample, source, time.expand(len(seeds)), classes)
            sample = self.scheduler.step(clean, time, sample).prev_sample
        return sample
