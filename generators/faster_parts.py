"""Two parts of diffusion models in a form that the compiler makes faster code of: the same arithmetic in another order.

Measured on one H200, fp16, channels last: group norm with SiLU of (128, 320, 64, 64) 0.30 ms instead of 0.47, of (16, 128, 512, 512)
1.15 instead of 1.61; attention of 16 x 4096 places with one head 512 wide, for which there is no fused kernel, 1.6 ms instead of 4.2.
"""

from functools import lru_cache
from typing import Any

from flywheel.errors import require

# Attention up to so many places is computed with its whole table of weights: 32 MiB a picture in half precision.
PLACES = 4096


def quicken(unet: Any, vae: Any) -> None:
    """Has both networks compute group norms channel by channel, and the autoencoder its attention as matrix products."""
    for module in (*unet.modules(), *vae.modules()):
        if type(module) is require("torch", extra="generate").nn.GroupNorm:
            module.__class__ = channelwise()
    for part in (vae.encoder, vae.decoder):
        for attention in part.mid_block.attentions or ():
            if attention is not None:
                attention.set_processor(products()(attention.processor))


@lru_cache(maxsize=1)
def channelwise() -> Any:
    """A GroupNorm that sums each channel over the picture first, which reads a channels-last picture in the order it lies in."""
    torch = require("torch", extra="generate")

    class Channelwise(torch.nn.GroupNorm):  # type: ignore[misc,name-defined]
        def forward(self, x: Any) -> Any:
            if x.ndim != 4:
                return super().forward(x)
            groups, wide = (x.shape[0], self.num_groups, -1), x.float()
            count = x.shape[1] // self.num_groups * x.shape[2] * x.shape[3]
            mean, square = (part.sum((2, 3)).view(groups).sum(2) / count for part in (wide, wide * wide))
            each = x.shape[1] // self.num_groups
            scale = (square - mean * mean).clamp_min(0).add(self.eps).rsqrt().repeat_interleave(each, 1) * self.weight.float()
            shift = self.bias.float() - mean.repeat_interleave(each, 1) * scale
            return (wide * scale[:, :, None, None] + shift[:, :, None, None]).to(x.dtype)

    return Channelwise


@lru_cache(maxsize=1)
def products() -> Any:
    """An attention processor that multiplies matrices up to `PLACES` places, and beyond does what the one before did."""
    plain = require("diffusers.models.attention_processor", extra="generate").AttnProcessor

    class Products(plain):  # type: ignore[misc,valid-type]
        def __init__(self, beyond: Any) -> None:
            self._beyond = beyond

        def __call__(self, attn: Any, hidden_states: Any, *more: Any, **named: Any) -> Any:
            if hidden_states.ndim != 4 or hidden_states.shape[2] * hidden_states.shape[3] > PLACES:
                return self._beyond(attn, hidden_states, *more, **named)
            return super().__call__(attn, hidden_states, *more, **named)

    return Products
