"""The arithmetic the bundled model shares between drawing and training: pixels to planes, labels, the net's input and output.

The net sees 2x2 pixel blocks as channels (pixel unshuffle), so every pixel of the source reaches it unblurred.
It gives back a gain and an addition for every value of the source: air that hides a house is a small gain, not a picture of
the house's opposite. All tensors are float in [-1, 1]; images are (N, 3, H, W) with even H and W.
"""

from typing import Any

from flywheel.types import CONDITIONS, Condition

WIDTH_PX, HEIGHT_PX = 320, 180
BLOCK_PX = 2
# The U-Net halves the planes three times: they are padded to a multiple of 8.
MULTIPLE = 8
PLANES = 3 * BLOCK_PX * BLOCK_PX
# Rain streaks or snowflakes to draw (one value a pixel), and whether they are given at all.
PARTICLE_PLANES = BLOCK_PX * BLOCK_PX + 1
INPUT_PLANES = PLANES + 2 + PARTICLE_PLANES
OUTPUT_PLANES = 2 * PLANES
# The first edition denoised in four steps; the second draws in one, at the time where all was noise.
TIME = 999
LABELS = len(CONDITIONS) ** 2
_INDEX = {condition.name: number for number, condition in enumerate(CONDITIONS)}


def label_of(source: Condition, target: Condition) -> int:
    """The class label of an ordered pair, in 0..168; ValueError for a condition that does not exist."""
    for condition in (source, target):
        if condition.name not in _INDEX:
            raise ValueError(f"no such condition {condition.name!r}; there are {sorted(_INDEX)}")
    return _INDEX[source.name] * len(CONDITIONS) + _INDEX[target.name]


def pack(images: Any) -> Any:
    """(N, 12, h, w) planes of (N, 3, H, W) images: 2x2 blocks to channels, edges repeated to a multiple of 8."""
    from torch.nn import functional

    planes = functional.pixel_unshuffle(images, BLOCK_PX)
    down, right = (-planes.shape[-2]) % MULTIPLE, (-planes.shape[-1]) % MULTIPLE
    return functional.pad(planes, (0, right, 0, down), mode="replicate")


def unpack(planes: Any, *, height_px: int, width_px: int) -> Any:
    """(N, 3, H, W) images of planes; the padding is cut off."""
    from torch.nn import functional

    return functional.pixel_shuffle(planes, BLOCK_PX)[..., :height_px, :width_px]


def coordinates(planes: Any) -> Any:
    """(N, 2, h, w): row and column in [-1, 1], so the net knows sky from road before it looks."""
    import torch

    count, _, height, width = planes.shape
    rows = torch.linspace(-1, 1, height, device=planes.device, dtype=planes.dtype).view(1, 1, height, 1)
    columns = torch.linspace(-1, 1, width, device=planes.device, dtype=planes.dtype).view(1, 1, 1, width)
    return torch.cat([rows.expand(count, 1, height, width), columns.expand(count, 1, height, width)], dim=1)


def particle_planes(masks: Any, given: Any) -> Any:
    """(N, 5, h, w) planes of (N, 1, H, W) opacities in [0, 1] and (N,) booleans: whether an item's particles are given."""
    import torch

    planes = pack(masks)
    flag = given.to(planes.dtype).view(-1, 1, 1, 1)
    return torch.cat([planes * flag, flag.expand(-1, 1, *planes.shape[-2:])], dim=1)


def redraw(unet: Any, source: Any, particles: Any, labels: Any) -> Any:
    """The target's planes in one pass: the source's light (black is 0) times a gain, plus an addition."""
    import torch

    time = torch.full((len(labels),), TIME, device=source.device)
    gain, more = unet(torch.cat([source, coordinates(source), particles], dim=1), time, class_labels=labels, return_dict=False)[0].chunk(
        2, 1
    )
    return (source + 1) * (1 + gain) - 1 + more


def predict_clean(unet: Any, noisy: Any, source: Any, time: Any, labels: Any) -> Any:
    """The first edition's estimate of the clean target planes: what its net adds to the source."""
    import torch

    inputs = torch.cat([noisy, source, coordinates(source)], dim=1)
    return source + unet(inputs, time, class_labels=labels, return_dict=False)[0]


def unet_config(*, channels: tuple[int, ...] = (64, 96, 128, 192), layers: int = 1) -> dict[str, Any]:
    """Arguments of the `UNet2DModel`; the standing choice has 7.8 M parameters (15.6 MB as fp16)."""
    depth = len(channels)
    return {
        "in_channels": INPUT_PLANES, "out_channels": OUTPUT_PLANES, "block_out_channels": channels, "layers_per_block": layers,
        "down_block_types": ("DownBlock2D",) * depth, "up_block_types": ("UpBlock2D",) * depth,
        "num_class_embeds": LABELS, "norm_num_groups": 8, "attention_head_dim": 32,
    }  # fmt: skip
