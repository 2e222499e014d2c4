"""The checkpoint folder: fp16 safetensors in diffusers' layout and a model card with the figures of its own run."""

import json
from pathlib import Path
from typing import Any

from flywheel.generate.training import TrainOrder, TrainReport
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


USER_CARD = """---
license: {licence}
library_name: diffusers
pipeline_tag: image-to-image
tags: [driving, synthetic-data, {method}]
---
# {name}

Trained by `flywheel generate train --method {method}`; used with `flywheel generate --generator <this folder>`.

## Data
{pairs} pairs of your own ({held_out} more were held out), starting from `{base}`. What may be done with these weights depends on the
licences of that base and of the pairs; `license` above is the base's.

## Training
{steps} steps of {batch} pairs, seed {seed}, learning rate {learning_rate:g}; loss {loss_first:.4f} at first, {loss_last:.4f} at last.
Weights: safetensors, hash {weights_sha256}.

## Figures
{figures}

Outputs are synthetic media and must be marked as such.
"""


def write_user_card(out: Path, *, order: TrainOrder, report: TrainReport, base: str, licence: str) -> None:
    """Writes README.md of a user's own training run."""
    likeness = {"the source": report.ssim_source, "before training": report.ssim_before, "after training": report.ssim_after}
    rows = "\n".join(f"- {name}: {value:.3f}" for name, value in likeness.items() if value is not None)
    figures = f"Mean SSIM to the true target of held-out pairs:\n{rows}" if rows else "No pairs were held out: nothing was measured."
    told = report.model_dump(include={"method", "pairs", "held_out", "steps", "loss_first", "loss_last", "weights_sha256"})
    run = order.model_dump(include={"batch", "seed", "learning_rate"})
    (out / "README.md").write_text(USER_CARD.format(name=out.name, base=base, licence=licence, figures=figures, **told, **run))
