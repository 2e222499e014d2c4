"""The witness's network. Imports torch: import it inside functions only."""

import torch
from torch import nn
from torch.nn import functional

from flywheel.generate.witness import LOOKS, MASKS

STEM, FINE, NEAR, WIDE, FAR = 16, 24, 64, 96, 96


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a way past them (He et al. 2016)."""

    def __init__(self, of: int, to: int, *, stride: int = 1) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(a, to, 3, stride=s, padding=1, bias=False) for a, s in ((of, stride), (to, 1)))
        self.calm, self.even = nn.BatchNorm2d(to), nn.BatchNorm2d(to)
        self.past = nn.Identity() if (of, stride) == (to, 1) else nn.Conv2d(of, to, stride, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = functional.relu(self.past(x) + self.even(self.two(functional.relu(self.calm(self.one(x))))))
        return found


class Net(nn.Module):
    """Parent and output through the same eyes, told what light and weather each has; then together, at 1/8 to 1/32 and back to 1/8."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = nn.Sequential(nn.Conv2d(3, STEM, 3, stride=2, padding=1), nn.ReLU(), Block(STEM, FINE, stride=2), Block(FINE, FINE))
        self.mood = nn.Linear(LOOKS, 2 * FINE)
        self.meet, self.down, self.deep = Block(4 * FINE + MASKS, NEAR, stride=2), Block(NEAR, WIDE, stride=2), Block(WIDE, FAR, stride=2)
        self.rise, self.back = Block(FAR + WIDE, WIDE), Block(WIDE + NEAR, NEAR)
        self.say = nn.Conv2d(NEAR, 1, 1)

    def look(self, images: torch.Tensor, looks: torch.Tensor) -> torch.Tensor:
        """(N, 24, 48, 80) of pictures (N, 3, 192, 320) in [-1, 1] and their conditions (N, 8)."""
        scale, shift = self.mood(looks)[:, :, None, None].chunk(2, dim=1)
        seen: torch.Tensor = functional.relu(self.eyes(images) * (1 + scale) + shift)
        return seen

    def forward(self, was: torch.Tensor, now: torch.Tensor, boxes: torch.Tensor, looks: torch.Tensor) -> torch.Tensor:
        """(N, 24, 40) logits: pictures (N, 3, 192, 320), how boxes cover (N, 3, 48, 80), conditions of parent and output (N, 2, 8)."""
        one, two = self.look(was, looks[:, 0]), self.look(now, looks[:, 1])
        near = self.meet(torch.cat([one, two, one * two, (one - two).abs(), boxes], dim=1))
        wide = self.down(near)
        far = functional.interpolate(self.deep(wide), size=wide.shape[2:])
        wide = functional.interpolate(self.rise(torch.cat([far, wide], dim=1)), size=near.shape[2:])
        found: torch.Tensor = self.say(self.back(torch.cat([wide, near], dim=1)))
        return found[:, 0]
