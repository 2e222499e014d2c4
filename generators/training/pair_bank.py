"""The bundled model learning a user's pairs: batches of lessons, and its trainer as a learner that can be resumed."""

from pathlib import Path
from typing import Any

import numpy as np

from flywheel.types import CONDITIONS
from generators.condition_model import HEIGHT_PX, WIDTH_PX, label_of
from generators.training.bank import Batch
from generators.training.lessons import Lesson
from generators.training.loop import Trainer
from generators.training.losses import load_features, ssim
from generators.training.rounds import load_optimizer, optimizer_tensors
from generators.training.settings import Settings


class PairBank:
    """All lessons in device memory; batches are drawn at random, one pair in fifty the other way to nowhere (a frame left alone)."""

    def __init__(self, lessons: list[Lesson], *, device: str) -> None:
        import torch

        def held(images: list[Any]) -> Any:
            return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device)

        self.sources, self.targets = held([one.source for one in lessons]), held([one.target for one in lessons])
        self.labels = torch.tensor([label_of(one.before, one.after) for one in lessons], device=device)
        self.filled = len(lessons)

    def batch(self, count: int, *, same_share: float = 0.02) -> Batch:
        """Random pairs; real pictures tell no particles apart, so none are given."""
        import torch

        device, kinds = self.labels.device, len(CONDITIONS)
        place = torch.randint(0, self.filled, (count,), device=device)
        same = torch.rand(count, device=device) < same_share
        source, labels = self.sources[place], self.labels[place]
        target = torch.where(same.view(-1, 1, 1, 1), source, self.targets[place])
        return Batch(
            source=source.float() / 127.5 - 1, target=target.float() / 127.5 - 1,
            labels=torch.where(same, labels // kinds * (kinds + 1), labels),
            particles=torch.zeros(count, 1, *source.shape[-2:], device=device), given=torch.zeros(count, dtype=torch.bool, device=device),
        )  # fmt: skip

    def check(self) -> None:
        """Nothing happens in the background."""


class BundledLearner:
    """The bundled model's `Trainer` as a `Learner`."""

    def __init__(self, settings: Settings, lessons: list[Lesson], *, device: str) -> None:
        self.trainer = Trainer(settings, PairBank(lessons, device=device), load_features(device=device), device=device)

    def step(self, number: int, *, progress: float) -> float:
        """One step of the trainer."""
        self.trainer.steps = number
        return float(self.trainer.step(progress=progress))

    def tensors(self) -> dict[str, Any]:
        """The net, its running mean and the optimizer."""
        nets = {"net": self.trainer.net, "mean": self.trainer.mean}
        held = {f"{name}.{key}": value for name, net in nets.items() for key, value in net.state_dict().items()}
        return held | optimizer_tensors(self.trainer.optimizer)

    def load(self, tensors: dict[str, Any]) -> None:
        """Takes over a state."""
        for name, net in (("net", self.trainer.net), ("mean", self.trainer.mean)):
            net.load_state_dict({key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")})
        load_optimizer(self.trainer.optimizer, tensors)


def settings_of(*, init: str, steps: int, batch: int, learning_rate: float, seed: int, channels: tuple[int, ...] | None = None) -> Settings:
    """The settings of a user's run: no time limit, no compiler, a warm-up of a tenth of the steps."""
    more = {"channels": channels} if channels else {}
    return Settings(
        init=init, batch=batch, learning_rate=learning_rate, seed=seed, warm_up_steps=max(1, min(200, steps // 10)), compile=False,
        max_steps=steps, **more,
    )  # fmt: skip


def likeness(weights: Path, lessons: list[Lesson], *, device: str) -> tuple[float, float]:
    """Mean SSIM to the true targets of (the sources, the drawings of these weights), at the size the lessons have."""
    from flywheel.generate.protocol import GenerateInput, Refused
    from generators.bundled import BundledGenerator
    from generators.training.evaluate import as_pixels

    items = [GenerateInput(one.source, one.before, one.after, prompt="", negative_prompt="", seed=k) for k, one in enumerate(lessons)]
    drawn = [
        out for out in BundledGenerator(weights=weights, particles=False, device=device).generate(items) if not isinstance(out, Refused)
    ]
    truth, source = (as_pixels(np.stack(images), "cpu") for images in ([one.target for one in lessons], [one.source for one in lessons]))
    made = as_pixels(np.stack(drawn), "cpu")
    return float(ssim(source, truth).mean()), float(ssim(made, truth).mean())


SIZE = {"width_px": WIDTH_PX, "height_px": HEIGHT_PX}
