"""The reference model: a small convolutional network from a frame to a coarse grid of logits. Saved as safetensors only."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flywheel.errors import BadData, require
from flywheel.train.data import CLASSES, COLUMNS, GRID_ROWS, HEIGHT, WIDTH
from flywheel.types import Record, canonical_json

STRIDE = 16


class TrainConfig(Record):
    """How to train. The number of steps is fixed, so that arms with more data are not trained longer."""

    name: str = "road-grid"
    seed: int = 0
    steps: int = Field(default=240, ge=1)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    weight_decay: float = Field(default=1e-3, ge=0)
    channels: tuple[int, int, int] = (24, 48, 64)
    blocks: int = Field(default=3, ge=0)
    max_pos_weight: float = Field(default=12.0, ge=1)
    use_synthetic: bool = True
    threads: int = Field(default=1, ge=1)


def build_model(config: TrainConfig) -> Any:
    """An `nn.Sequential` from float (N, 3, 180, 320) in 0..1 to logits (N, 2, 12, 20)."""
    nn = require("torch", extra="train").nn
    width = config.channels[0]
    layers: list[Any] = [nn.ZeroPad2d((0, 0, 0, GRID_ROWS * STRIDE - HEIGHT))]
    layers += [nn.Conv2d(3, width, 4, stride=4, bias=False), nn.BatchNorm2d(width), nn.SiLU()]
    for out in config.channels[1:]:
        layers += [nn.Conv2d(width, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.SiLU()]
        width = out
    for dilation in range(1, config.blocks + 1):
        layers += [nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False), nn.BatchNorm2d(width), nn.SiLU()]
    head = nn.Conv2d(width, len(CLASSES), 1)
    nn.init.constant_(head.bias, -2.0)
    return nn.Sequential(*layers, head)


def count_parameters(network: Any) -> int:
    """Trainable numbers in a network."""
    return sum(int(p.numel()) for p in network.parameters())


def save_weights(network: Any, metadata: Mapping[str, str]) -> bytes:
    """The network as safetensors bytes; equal weights give equal bytes."""
    from safetensors.torch import save

    tensors = {key: value.contiguous() for key, value in sorted(network.state_dict().items())}
    # One metadata key: safetensors keeps them in a hash map, so several would come in any order.
    return bytes(save(tensors, metadata={"flywheel": canonical_json(dict(metadata)).decode()}))


def load_weights(data: bytes, config: TrainConfig) -> Any:
    """The network in evaluation mode; BadData if the weights do not fit the configuration."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    network = build_model(config)
    try:
        network.load_state_dict(load(data))
    except (SafetensorError, RuntimeError) as err:
        raise BadData(f"weights do not fit the model's configuration: {err}") from err
    return network.eval()


def predict(network: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, 2, 12, 20) probabilities of (N, 3, 180, 320) uint8 frames."""
    torch = require("torch", extra="train")
    if images.shape[1:] != (3, HEIGHT, WIDTH):
        raise BadData(f"frames have shape {images.shape[1:]}, the model takes (3, {HEIGHT}, {WIDTH})")
    with torch.inference_mode():
        logits = network(torch.from_numpy(images).float() / 255)
    assert logits.shape[2:] == (GRID_ROWS, COLUMNS)
    return np.asarray(torch.sigmoid(logits).numpy(), np.float32)
