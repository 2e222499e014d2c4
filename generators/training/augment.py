"""Random changes made to source and target alike, so the net learns the change of condition and not the sample fleet's look.

Images are (N, 3, H, W) float in [-1, 1]; every change is drawn anew for each image of the batch.
"""

from collections.abc import Sequence
from typing import Any

from generators.training.bank import Batch


def chance(count: int, share: float, device: Any) -> Any:
    """(N, 1, 1, 1) booleans, true with probability `share`."""
    import torch

    return torch.rand(count, 1, 1, 1, device=device) < share


def mirrored(images: Sequence[Any]) -> list[Any]:
    """Left and right swapped for half of the pairs."""
    import torch

    swap = chance(len(images[0]), 0.5, images[0].device)
    return [torch.where(swap, image.flip(-1), image) for image in images]


def zoomed(images: Sequence[Any], *, share: float) -> list[Any]:
    """A random crop, 1 to 1.5 times enlarged, for some of the pairs."""
    import torch
    from torch.nn import functional

    count, device = len(images[0]), images[0].device
    scale = 1 / (1 + 0.5 * torch.rand(count, device=device))
    shift_x, shift_y = ((2 * torch.rand(2, count, device=device) - 1) * (1 - scale)).unbind(0)
    zero = torch.zeros_like(scale)
    theta = torch.stack([torch.stack([scale, zero, shift_x], -1), torch.stack([zero, scale, shift_y], -1)], 1)
    grid = functional.affine_grid(theta, list(images[0].shape), align_corners=False)
    use = chance(count, share, device)
    drawn = [functional.grid_sample(image, grid, padding_mode="border", align_corners=False) for image in images]
    return [torch.where(use, one, image) for one, image in zip(drawn, images, strict=True)]


def coarse(image: Any) -> Any:
    """The image without detail finer than about 16 pixels."""
    from torch.nn import functional

    small = functional.avg_pool2d(image, 16, 16, ceil_mode=True, count_include_pad=False)
    return functional.interpolate(small, size=image.shape[-2:], mode="bilinear", align_corners=False)


def contrast(image: Any) -> Any:
    """(N, 1, H, W) how much detail an image shows around each pixel: root mean square distance from its coarse self."""
    return coarse((image - coarse(image)).square().mean(1, keepdim=True)).sqrt()


def textured(source: Any, target: Any, *, share: float) -> tuple[Any, Any]:
    """Surfaces given another reflectance: the source multiplied by the exponent of another view's detail and of smooth noise.

    The target gets as much of that change as it shows of the source's own detail there: fog and darkness hide the new as the old.
    """
    import torch
    from torch.nn import functional

    count, device = len(source), source.device
    other = source.roll(1, 0).flip(-1)
    smooth = functional.interpolate(torch.randn(count, 3, 6, 10, device=device), size=source.shape[-2:], mode="bicubic")
    strength = torch.rand(2, count, 1, 1, 1, device=device) * chance(count, share, device)
    change = (source + 1) * torch.expm1(0.8 * strength[0] * (other - coarse(other)) + 0.2 * strength[1] * smooth)
    shown = (contrast(target) / (contrast(source) + 0.02)).clamp(max=1.5)
    return (source + change).clamp(-1, 1), (target + shown * change).clamp(-1, 1)


def graded(source: Any, target: Any, *, share: float) -> tuple[Any, Any]:
    """Another camera: the same gain a channel and the same gamma on both images."""
    import torch

    count, device = len(source), source.device
    use = chance(count, share, device)
    gain = torch.where(use, torch.exp(0.1 * torch.randn(count, 3, 1, 1, device=device)), 1.0)
    gamma = torch.where(use, torch.exp(0.12 * torch.randn(count, 1, 1, 1, device=device)), 1.0)
    graded_two = [2 * (((image + 1) / 2).clamp(1e-4, 1) ** gamma * gain).clamp(0, 1) - 1 for image in (source, target)]
    return graded_two[0], graded_two[1]


def grainy(source: Any, *, share: float) -> Any:
    """Sensor noise on some of the sources (standard deviation up to 0.05)."""
    import torch

    sigma = 0.05 * torch.rand(len(source), 1, 1, 1, device=source.device) * chance(len(source), share, source.device)
    return (source + sigma * torch.randn_like(source)).clamp(-1, 1)


def augmented(batch: Batch, *, amount: float) -> Batch:
    """All changes together; `amount` in [0, 1] scales how often the ones beyond mirroring happen."""
    images = zoomed(mirrored([batch.source, batch.target, batch.particles]), share=0.35 * amount)
    source, target = textured(images[0], images[1], share=0.35 * amount)
    source, target = graded(source, target, share=0.3 * amount)
    return batch._replace(source=grainy(source, share=0.3 * amount), target=target, particles=images[2])
