"""The witness's head. Imports torch: import it inside functions only."""

import torch
from torch import nn
from torch.nn import functional

from flywheel.generate.witness import FEATURES, MASKS, TOLD

EACH, WIDE, LAST = 64, 96, 48


class Head(nn.Module):
    """Parent and output through one projection, then together with the boxes and the conditions to one logit a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.each = nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, EACH)
        self.pair = nn.Sequential(nn.Linear(4 * EACH + MASKS + TOLD, WIDE), nn.ReLU(), nn.Linear(WIDE, LAST), nn.ReLU(), nn.Linear(LAST, 1))

    def forward(self, was: torch.Tensor, now: torch.Tensor, boxes: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(N,) logits of N cells: features (N, F) of parent and output, how boxes cover them (N, 3), and what is asked for (N, 16)."""
        one, two = (functional.relu(self.each(self.norm(cells))) for cells in (was, now))
        found: torch.Tensor = self.pair(torch.cat([one, two, one * two, (one - two).abs(), boxes, told], dim=1))
        return found[:, 0]
