"""The diffusers pipeline of the bundled model. Imports torch and diffusers: import it inside functions only."""

from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, UNet2DModel
from numpy.typing import NDArray

from generators.condition_model import PLANES, pack, predict_clean, unpack


class ConditionPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Redraws frames under another lighting and weather by a few DDIM steps in pixel space, conditioned on the source frame."""

    # Given by the untyped base class; named here for the type checker.
    unet: Any
    scheduler: Any
    config: Any
    device: Any
    register_modules: Any
    register_to_config: Any

    def __init__(self, unet: UNet2DModel, scheduler: DDIMScheduler, steps: int = 4, width_px: int = 320, height_px: int = 180) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)
        self.register_to_config(steps=steps, width_px=width_px, height_px=height_px)

    def _noise(self, seeds: list[int], height: int, width: int) -> torch.Tensor:
        # Drawn on the CPU, one stream an item, so that an item's noise is the same in any batch and on any device.
        draws = [torch.randn(PLANES, height, width, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(draws).to(self.device, self.unet.dtype)

    def _pixels(self, frames: NDArray[np.uint8]) -> torch.Tensor:
        pixels = torch.from_numpy(np.array(frames)).to(self.device).permute(0, 3, 1, 2)
        return pixels.to(self.unet.dtype) / 127.5 - 1

    @torch.inference_mode()
    def __call__(self, frames: NDArray[np.uint8], labels: list[int], seeds: list[int], *, steps: int | None = None) -> NDArray[np.uint8]:
        """(N, H, W, 3) uint8 redrawn frames of frames of the working size, their pair labels and their seeds."""
        height_px, width_px = frames.shape[1:3]
        source = pack(self._pixels(frames))
        sample = self._noise(seeds, source.shape[-2], source.shape[-1])
        classes = torch.tensor(labels, device=self.device)
        self.scheduler.set_timesteps(steps or self.config.steps, device=self.device)
        for time in self.scheduler.timesteps:
            clean = predict_clean(self.unet, sample, source, time.expand(len(seeds)), classes)
            sample = self.scheduler.step(clean, time, sample).prev_sample
        images = unpack(sample, height_px=height_px, width_px=width_px).float()
        levels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return np.asarray(levels.permute(0, 2, 3, 1).cpu().numpy())
