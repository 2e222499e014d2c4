"""Random changes made to source and target alike, so the net learns the change of condition and not the sample fleet's look.

Images are (N, 3, H, W) float in [-1, 1]; every change is drawn anew for each image of the batch.
"""

from typing import Any


def chance(count: int, share: float, device: Any) -> Any:
    """(N, 1, 1, 1) booleans, true with probability `share`."""
    import torch

    return torch.rand(count, 1, 1, 1, device=device) < share


def mirrored(source: Any, target: Any) -> tuple[Any, Any]:
    """Left and right swapped for half of the pairs."""
    import torch

    swap = chance(len(source), 0.5, source.device)
    return torch.where(swap, source.flip(-1), source), torch.where(swap, target.flip(-1), target)


def zoomed(source: Any, target: Any, *, share: float) -> tuple[Any, Any]:
    """A random crop, 1 to 1.5 times enlarged, for some of the pairs."""
    import torch
    from torch.nn import functional

    count, device = len(source), source.device
    scale = 1 / (1 + 0.5 * torch.rand(count, device=device))
    shift_x, shift_y = ((2 * torch.rand(2, count, device=device) - 1) * (1 - scale)).unbind(0)
    zero = torch.zeros_like(scale)
    theta = torch.stack([torch.stack([scale, zero, shift_x], -1), torch.stack([zero, scale, shift_y], -1)], 1)
    grid = functional.affine_grid(theta, list(source.shape), align_corners=False)
    use = chance(count, share, device)
    drawn = [functional.grid_sample(image, grid, padding_mode="border", align_corners=False) for image in (source, target)]
    return torch.where(use, drawn[0], source), torch.where(use, drawn[1], target)


def textured(source: Any, target: Any, *, share: float) -> tuple[Any, Any]:
    """Surfaces given another reflectance: both images multiplied by the exponent of another view's detail or of smooth noise."""
    import torch
    from torch.nn import functional

    count, device = len(source), source.device
    detail = source.roll(1, 0).flip(-1)
    detail = detail - functional.avg_pool2d(detail, 31, 1, 15, count_include_pad=False)
    coarse = functional.interpolate(torch.randn(count, 3, 6, 10, device=device), size=source.shape[-2:], mode="bicubic")
    strength = torch.rand(2, count, 1, 1, 1, device=device) * chance(count, share, device)
    gain = torch.exp(0.8 * strength[0] * detail + 0.25 * strength[1] * coarse)
    return ((source + 1) * gain - 1).clamp(-1, 1), ((target + 1) * gain - 1).clamp(-1, 1)


def graded(source: Any, target: Any, *, share: float) -> tuple[Any, Any]:
    """Another camera: the same gain a channel and the same gamma on both images."""
    import torch

    count, device = len(source), source.device
    use = chance(count, share, device)
    gain = torch.where(use, torch.exp(0.18 * torch.randn(count, 3, 1, 1, device=device)), 1.0)
    gamma = torch.where(use, torch.exp(0.18 * torch.randn(count, 1, 1, 1, device=device)), 1.0)
    graded_two = [2 * (((image + 1) / 2).clamp(1e-4, 1) ** gamma * gain).clamp(0, 1) - 1 for image in (source, target)]
    return graded_two[0], graded_two[1]


def grainy(source: Any, *, share: float) -> Any:
    """Sensor noise on some of the sources (standard deviation up to 0.05)."""
    import torch

    sigma = 0.05 * torch.rand(len(source), 1, 1, 1, device=source.device) * chance(len(source), share, source.device)
    return (source + sigma * torch.randn_like(source)).clamp(-1, 1)


def augmented(source: Any, target: Any, *, amount: float) -> tuple[Any, Any]:
    """All changes together; `amount` in [0, 1] scales how often the ones beyond mirroring happen."""
    source, target = mirrored(source, target)
    source, target = zoomed(source, target, share=0.35 * amount)
    source, target = textured(source, target, share=0.35 * amount)
    source, target = graded(source, target, share=0.3 * amount)
    return grainy(source, share=0.3 * amount), target
