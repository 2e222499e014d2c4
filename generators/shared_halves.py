"""Guidance asks a UNet twice about the same latents, with and without the prompt: what comes before the prompt is computed once.

Until its first cross-attention a UNet knows nothing of the prompt, so both halves of the doubled batch are equal there. Of a
Stable-Diffusion-1.5-sized UNet at 64x64 latents that is the first residual block and the first, largest self-attention.
"""

from typing import Any

from flywheel.errors import require


def share_halves(unet: Any) -> bool:
    """Has the modules before the first cross-attention work on one half of a batch of two equal halves; whether there are any.

    Give such a UNet only batches whose second half of latents repeats the first. False (and nothing changed) for a UNet that does
    not begin with a residual block and a transformer of self-attention, then cross-attention.
    """
    block = unet.down_blocks[0]
    transformer = next(iter(getattr(block, "attentions", None) or ()), None)
    inner = next(iter(getattr(transformer, "transformer_blocks", None) or ()), None)
    if transformer is None or inner is None or inner.only_cross_attention or not hasattr(transformer, "proj_in"):
        return False
    unet.conv_in, block.resnets[0] = once(unet.conv_in), once(block.resnets[0])
    transformer.proj_in, inner.attn1 = once(transformer.proj_in), once(inner.attn1)
    return True


def once(module: Any) -> Any:
    """The module, working on the first half of its batch and giving the result for both."""
    torch = require("torch", extra="generate")

    class Once(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, whole: Any, *more: Any, **named: Any) -> Any:
            count = whole.shape[0] // 2

            def half(value: Any) -> Any:
                return value[:count] if torch.is_tensor(value) and value.shape[:1] == (2 * count,) else value

            found = self.inner(half(whole), *map(half, more), **{name: half(value) for name, value in named.items()})
            return torch.cat([found, found])

    return Once()
