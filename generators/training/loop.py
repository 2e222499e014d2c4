"""The training loop: noise a target, let the net draw it from the source, compare; keep a running mean of the weights."""

import math
import time
from collections.abc import Callable
from typing import Any

from generators.condition_model import pack, predict_clean, unet_config, unpack
from generators.training.augment import augmented
from generators.training.bank import Bank
from generators.training.card import new_scheduler
from generators.training.losses import Features, drawing_loss
from generators.training.settings import Settings

Say = Callable[[str], None]


def new_net(settings: Settings, *, device: str) -> Any:
    """A `UNet2DModel`: from `settings.init` if given, else new and drawing nothing (it starts from the source as it is)."""
    import torch
    from diffusers import UNet2DModel

    if settings.init:
        net: Any = UNet2DModel.from_pretrained(settings.init, subfolder="unet", use_safetensors=True)
    else:
        net = UNet2DModel(**unet_config(channels=settings.channels, layers=settings.layers))
        torch.nn.init.zeros_(net.conv_out.weight)
        torch.nn.init.zeros_(net.conv_out.bias)
    return net.to(device, memory_format=torch.channels_last)


class Trainer:
    """One net, its optimizer and its running mean; `step` does one batch."""

    def __init__(self, settings: Settings, bank: Bank, features: Features | None, *, device: str) -> None:
        import torch

        torch.manual_seed(settings.seed)
        self.settings, self.bank, self.features, self.device = settings, bank, features, device
        self.net = new_net(settings, device=device)
        self.mean = new_net(settings, device=device).requires_grad_(False).eval()
        self.mean.load_state_dict(self.net.state_dict())
        self.run = self.net
        fused = device.startswith("cuda")
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.0, weight_decay=0.01, betas=(0.9, 0.98), fused=fused)
        scheduler = new_scheduler()
        scheduler.set_timesteps(4)
        self.kept, self.drawn_at = scheduler.alphas_cumprod.to(device), scheduler.timesteps.to(device)
        self.steps = 0

    def compile(self, say: Say) -> None:
        """Compiles the net, and goes back to plain execution if that fails on this machine."""
        import torch

        self.run = torch.compile(self.net)
        try:
            self.step(progress=0.0, refine=True)
            self.step(progress=0.0, refine=False)
        except Exception as err:  # noqa: BLE001 - compilers fail in many ways; the plain net gives the same numbers
            say(f"torch.compile failed, running without it: {type(err).__name__}: {str(err)[:300]}")
            self.run = self.net

    def _clean(self, noisy: Any, source: Any, times: Any, labels: Any) -> Any:
        import torch

        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.startswith("cuda")):
            return predict_clean(self.run, noisy, source, times, labels).float()

    def _times(self, count: int) -> Any:
        import torch

        anywhere = torch.randint(0, len(self.kept), (count,), device=self.device)
        used = self.drawn_at[torch.randint(0, len(self.drawn_at), (count,), device=self.device)]
        draw = torch.rand(count, device=self.device)
        return torch.where(draw < 0.35, self.drawn_at[0], torch.where(draw < 0.75, used, anywhere))

    def _noised(self, clean: Any, noise: Any, times: Any) -> Any:
        kept = self.kept[times].view(-1, 1, 1, 1)
        return kept.sqrt() * clean + (1 - kept).sqrt() * noise

    def loss(self, *, refine: bool) -> Any:
        """The loss of one random batch; refining batches noise the net's own first drawing, as happens when it is used."""
        import torch

        count = self.settings.batch
        source, target, labels = self.bank.batch(count)
        source, target = augmented(source, target, amount=self.settings.augment)
        planes, wanted = pack(source).to(memory_format=torch.channels_last), pack(target)
        noise, times = torch.randn_like(wanted), self._times(count)
        if refine:
            with torch.no_grad():
                first = self._clean(noise, planes, self.drawn_at[0].expand(count), labels).clamp(-1, 1)
            wanted = torch.where(torch.rand(count, 1, 1, 1, device=self.device) < 0.7, first, wanted)
        noisy = self._noised(wanted, noise, times).to(memory_format=torch.channels_last)
        height_px, width_px = target.shape[-2:]
        drawn = unpack(self._clean(noisy, planes, times, labels), height_px=height_px, width_px=width_px)
        return drawing_loss(drawn, target, self.features)

    def step(self, *, progress: float, refine: bool) -> Any:
        """One update at a given share of the run (sets the learning rate); the loss as a tensor."""
        import torch

        warm = min(1.0, (self.steps + 1) / self.settings.warm_up_steps)
        rate = self.settings.learning_rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(refine=refine)
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
    settings, start = trainer.settings, time.monotonic()
    if settings.compile and trainer.device.startswith("cuda"):
        trainer.compile(say)
        say(f"compiled after {time.monotonic() - start:.0f} s")
    told, kept, seen, losses = time.monotonic(), time.monotonic(), 0, []
    while time.monotonic() < end and not (settings.max_steps and trainer.steps >= settings.max_steps):
        progress = max(
            (time.monotonic() - start) / max(end - start, 1e-6), trainer.steps / settings.max_steps if settings.max_steps else 0.0
        )
        losses.append(trainer.step(progress=progress, refine=progress > settings.refine_from and trainer.steps % 2 == 0))
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
