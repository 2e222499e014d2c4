"""The checkpoint folder: fp16 safetensors in diffusers' layout and a model card with the figures of its own run."""

import json
from pathlib import Path
from typing import Any

from generators.condition_model import HEIGHT_PX, WIDTH_PX
from generators.training.settings import Settings


def new_pipeline(net: Any) -> Any:
    """The `ConditionPipeline` around a trained net."""
    from generators.bundled_pipeline import ConditionPipeline

    return ConditionPipeline(net, width_px=WIDTH_PX, height_px=HEIGHT_PX)


def save_checkpoint(net: Any, out: Path) -> None:
    """Writes the net's weights as fp16 safetensors, with the pipeline's index."""
    import copy

    import torch

    half = copy.deepcopy(net).to("cpu", torch.float16, memory_format=torch.contiguous_format)
    new_pipeline(half).save_pretrained(str(out), safe_serialization=True)


CARD = """---
license: apache-2.0
library_name: diffusers
pipeline_tag: image-to-image
tags: [driving, synthetic-data, weather]
---
# {revision}

Redraws a front-camera frame ({width} x {height}) under another lighting and weather: 13 conditions, all ordered pairs.
A class-conditioned pixel-space model: `UNet2DModel`, {parameters:.2f} M parameters, fp16 safetensors, one pass an image.
It gives a gain and an addition for every value of the source. Rain streaks and snowflakes are an input, placed by a seed.
Loaded by `generators.bundled.BundledGenerator`; made by `python -m generators.train_bundled`.

## Data
Only renders of the seeded sample fleet (`flywheel.fleet`): {views} views of {drives} drives, each under all 13 conditions.
No photograph and no recording was used. The data and these weights are free of third-party rights: Apache-2.0.
One loss term compares features of the packaged ImageNet EfficientNet-Lite0 (used in training: {features}); that is the same
network as `flywheel.encoder`, so feature-distance figures of this model flatter it; SSIM does not depend on it.

## Training
{train_steps} steps of {batch} pairs, {pairs} pairs in all, {minutes:.1f} minutes on {device}. Settings:
```json
{settings}
```

## Figures
On {held_out} drives that took no part in training, all ordered pairs of {evaluated} views: the share of drawings that are nearer to the
true render of the target condition than the source frame is.

{table}

## Limits
It learned a synthetic world. On photographs it changes tone, sky, ground and precipitation plausibly, but it does not know
materials it never saw, it cannot invent lit lamps or reflections where there is no cue, and fine text does not survive.
Its outputs are synthetic media and must be marked as such.
"""


def write_card(out: Path, *, settings: Settings, **facts: Any) -> None:
    """Writes README.md, filled from the run."""
    text = json.dumps(settings.model_dump(mode="json"), indent=1)
    (out / "README.md").write_text(
        CARD.format(revision=out.name, width=WIDTH_PX, height=HEIGHT_PX, settings=text, batch=settings.batch, **facts)
    )
