"""The training loop: let the net draw the target from the source, compare; keep a running mean of the weights."""

import math
import time
from collections.abc import Callable
from typing import Any

from generators.condition_model import INPUT_PLANES, PLANES, pack, particle_planes, redraw, unet_config, unpack
from generators.training.augment import augmented
from generators.training.bank import Pairs
from generators.training.losses import Features, drawing_loss
from generators.training.settings import Settings

Say = Callable[[str], None]


def new_net(settings: Settings, *, device: str) -> Any:
    """A `UNet2DModel`: from `settings.init` if given, else new and drawing nothing (it starts from the source as it is)."""
    import torch
    from diffusers import UNet2DModel

    if settings.init:
        net: Any = UNet2DModel.from_pretrained(settings.init, subfolder="unet", use_safetensors=True)
        net = net if net.config.in_channels == INPUT_PLANES else second_edition(net)
    else:
        net = UNet2DModel(**unet_config(channels=settings.channels, layers=settings.layers))
        torch.nn.init.zeros_(net.conv_out.weight)
        torch.nn.init.zeros_(net.conv_out.bias)
    return net.to(device, memory_format=torch.channels_last)


def second_edition(first: Any) -> Any:
    """A net with the second edition's inputs and outputs that draws what a net of the first draws in one step without noise."""
    import torch
    from diffusers import UNet2DModel

    config = first.config
    net: Any = UNet2DModel(**unet_config(channels=tuple(config.block_out_channels), layers=config.layers_per_block))
    held, told = net.state_dict(), first.state_dict()
    for name in ("conv_in.weight", "conv_out.weight", "conv_out.bias"):
        held[name] = torch.zeros_like(held[name])
    held["conv_in.weight"][:, : PLANES + 2] = told["conv_in.weight"][:, PLANES:]
    held["conv_out.weight"][PLANES:], held["conv_out.bias"][PLANES:] = told["conv_out.weight"], told["conv_out.bias"]
    edges = {"conv_in.weight", "conv_out.weight", "conv_out.bias"}
    net.load_state_dict({name: held[name] if name in edges else told[name] for name in held})
    return net


class Trainer:
    """One net, its optimizer and its running mean; `step` does one batch."""

    def __init__(self, settings: Settings, bank: Pairs, features: Features | None, *, device: str) -> None:
        import torch

        torch.manual_seed(settings.seed)
        self.settings, self.bank, self.features, self.device = settings, bank, features, device
        self.net = new_net(settings, device=device)
        self.mean = new_net(settings, device=device).requires_grad_(False).eval()
        self.mean.load_state_dict(self.net.state_dict())
        self.run = self.net
        fused = device.startswith("cuda")
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.0, weight_decay=0.01, betas=(0.9, 0.98), fused=fused)
        self.steps = 0

    def compile(self, say: Say) -> None:
        """Compiles the net, and goes back to plain execution if that fails on this machine."""
        import torch

        self.run = torch.compile(self.net, dynamic=False)
        try:
            self.step(progress=0.0)
        except Exception as err:  # noqa: BLE001 - compilers fail in many ways; the plain net gives the same numbers
            say(f"torch.compile failed, running without it: {type(err).__name__}: {str(err)[:300]}")
            self.run = self.net

    def loss(self) -> Any:
        """The loss of one random batch."""
        import torch

        batch = augmented(self.bank.batch(self.settings.batch), amount=self.settings.augment)
        source = pack(batch.source).to(memory_format=torch.channels_last)
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.startswith("cuda")):
            planes = redraw(self.run, source, particle_planes(batch.particles, batch.given), batch.labels).float()
        height_px, width_px = batch.target.shape[-2:]
        return drawing_loss(unpack(planes, height_px=height_px, width_px=width_px), batch.target, self.features)

    def step(self, *, progress: float) -> Any:
        """One update at a given share of the run (sets the learning rate); the loss as a tensor."""
        import torch

        warm = min(1.0, (self.steps + 1) / self.settings.warm_up_steps)
        rate = self.settings.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        decay = min(self.settings.ema, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.mean.parameters()), list(self.net.parameters()), 1 - decay)
        return loss.detach()


def train(trainer: Trainer, *, end: float, say: Say, keep: Callable[[], None]) -> None:
    """Steps until the monotonic time `end` (or `max_steps`); says loss and pace every ten seconds, keeps the weights every two minutes."""
    settings, began = trainer.settings, time.monotonic()
    if settings.compile and trainer.device.startswith("cuda"):
        trainer.compile(say)
        say(f"compiled after {time.monotonic() - began:.0f} s")
    start = told = kept = time.monotonic()
    seen, losses = 0, []
    while time.monotonic() < end and not (settings.max_steps and trainer.steps >= settings.max_steps):
        progress = max(
            (time.monotonic() - start) / max(end - start, 1e-6), trainer.steps / settings.max_steps if settings.max_steps else 0.0
        )
        losses.append(trainer.step(progress=progress))
        seen += settings.batch
        if time.monotonic() - told > 10:
            mean = sum(float(loss) for loss in losses) / len(losses)
            pace = seen / (time.monotonic() - told)
            say(f"step {trainer.steps}  loss {mean:.4f}  {pace:.0f} images/s  {trainer.bank.filled} views  {progress:.0%} of the time")
            told, seen, losses = time.monotonic(), 0, []
            trainer.bank.check()
        if time.monotonic() - kept > 120:
            keep()
            kept = time.monotonic()
