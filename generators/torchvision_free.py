"""The Cosmos models resize a mask with torchvision: where that is not installed, the same by torch alone."""

from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

from flywheel.errors import require

MODULES = ("diffusers.models.transformers.transformer_cosmos", "diffusers.models.controlnets.controlnet_cosmos")


def resize_without_torchvision() -> None:
    """Gives diffusers' Cosmos modules the one torchvision function they call, where there is no torchvision."""
    if find_spec("torchvision") is not None:
        return
    stand_in = SimpleNamespace(functional=SimpleNamespace(resize=_nearest), InterpolationMode=SimpleNamespace(NEAREST="nearest"))
    for name in MODULES:
        module: Any = require(name, extra="generate")
        module.transforms = stand_in


def _nearest(mask: Any, size: list[int], *, interpolation: str) -> Any:
    """(..., C, h, w) of a (..., C, H, W) mask, each value that of the nearest one, as torchvision's NEAREST."""
    return require("torch", extra="generate").nn.functional.interpolate(mask, size=size, mode=interpolation)
