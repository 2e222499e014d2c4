"""One noise for a clip: what a pipeline adds to each frame's latents is the first frame's noise, carried along by the flows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flywheel.errors import require
from flywheel.generate.clips import carried
from flywheel.generate.protocol import ClipPlace, GenerateInput


def moves(items: Sequence[GenerateInput]) -> bool:
    """Whether any of the items is a later frame of a clip."""
    return any(item.clip is not None and item.clip.flows for item in items)


def along(noise: Any, places: Sequence[ClipPlace | None], seeds: Sequence[int]) -> Any:
    """(B, C, h, w) noise as it was drawn from the items' seeds, each clip's later frames with the noise that was carried to them."""
    torch = require("torch", extra="generate")
    drawn = noise.detach().to("cpu", torch.float32).numpy()
    found = [carried(one, place, seed=seed) for one, place, seed in zip(drawn, places, seeds, strict=True)]
    return torch.stack([torch.from_numpy(one) for one in found]).to(noise.device, noise.dtype)


@contextmanager
def carrying(pipeline: Any, items: Sequence[GenerateInput]) -> Iterator[None]:
    """While inside, the pipeline's scheduler noises each item's latents with its clip's carried noise.

    For pipelines that start from noised latents of the frame, unpacked: they hand noise and latents to `add_noise`, or to `scale_noise`
    where the scheduler matches flows.
    """
    if not moves(items):
        yield
        return
    scheduler, places, seeds = pipeline.scheduler, [item.clip for item in items], [item.seed for item in items]
    name = "scale_noise" if hasattr(scheduler, "scale_noise") else "add_noise"
    plain = getattr(scheduler, name)

    def add_noise(original_samples: Any, noise: Any, timesteps: Any) -> Any:
        return plain(original_samples, along(noise, places, seeds), timesteps)

    def scale_noise(sample: Any, timestep: Any, noise: Any) -> Any:
        return plain(sample, timestep, along(noise, places, seeds))

    setattr(scheduler, name, scale_noise if name == "scale_noise" else add_noise)
    try:
        yield
    finally:
        delattr(scheduler, name)
