"""The condition probe's fit, the spoiling of its training pictures, and its figures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.types import CONDITIONS

Rgb = NDArray[np.uint8]


def augmented(image: Rgb, rng: np.random.Generator) -> Rgb:
    """The picture as another camera, a codec or a redrawing may give it: mirrored, cropped, graded, blurred, grainy, compressed."""
    if rng.random() < 0.5:
        image = image[:, ::-1]
    return worn(_cropped(image, rng) if rng.random() < 0.6 else image, rng)


def worn(image: Rgb, rng: np.random.Generator) -> Rgb:
    """The picture graded, blurred, grainy and compressed: everything in its place."""
    import cv2

    image = _graded(image, rng) if rng.random() < 0.5 else image
    if rng.random() < 0.6:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)), np.uint8)
    if rng.random() < 0.3:
        image = np.clip(image + rng.normal(0, rng.uniform(1, 6), image.shape), 0, 255).astype(np.uint8)
    return _compressed(image, int(rng.integers(35, 96))) if rng.random() < 0.6 else np.ascontiguousarray(image)


def _cropped(image: Rgb, rng: np.random.Generator) -> Rgb:
    import cv2

    height, width = image.shape[:2]
    share = rng.uniform(0.7, 1.0)
    high, wide = round(height * share), round(width * share)
    top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
    return np.asarray(cv2.resize(image[top : top + high, left : left + wide], (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _graded(image: Rgb, rng: np.random.Generator) -> Rgb:
    gain, gamma = np.exp(rng.normal(0, 0.05, 3)), np.exp(rng.normal(0, 0.07))
    return np.asarray(np.clip((image / 255.0) ** gamma * gain, 0, 1) * 255, np.uint8)


def _compressed(image: Rgb, quality: int) -> Rgb:
    import cv2

    data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    read: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(read[..., ::-1])


def fit(vectors: NDArray[np.float32], labels: NDArray[np.int64], *, weight_decay: float, steps: int = 300) -> dict[str, Any]:
    """`weight` (F, 13) and `bias` (13,) of the multinomial logistic regression with the least loss, by full-batch L-BFGS.

    The vectors are centred and scaled for the fit, and both are folded into the layer afterwards.
    """
    import torch
    from torch.nn import functional

    centre, spread = vectors.mean(axis=0), float(vectors.std())
    x, y = torch.from_numpy((vectors - centre) / spread), torch.from_numpy(labels)
    weight = torch.zeros(x.shape[1], len(CONDITIONS), requires_grad=True)
    bias = torch.zeros(len(CONDITIONS), requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        value = functional.cross_entropy(x @ weight + bias, y) + weight_decay * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    layer = (weight.detach() / spread).numpy()
    return {"weight": layer, "bias": bias.detach().numpy() - centre @ layer}


def shares(chances: NDArray[np.float32], labels: NDArray[np.int64]) -> str:
    """Accuracy of lighting, weather and both, and how often the label's own lighting and weather get at least half each."""
    light, air = np.array([c.lighting for c in CONDITIONS]), np.array([c.weather for c in CONDITIONS])
    found = chances.argmax(axis=1)
    lighting, weather = light[found] == light[labels], air[found] == air[labels]
    sure = [min(p[light == light[k]].sum(), p[air == air[k]].sum()) >= 0.5 for p, k in zip(chances, labels, strict=True)]
    figures = {"lighting": lighting.mean(), "weather": weather.mean(), "both": (lighting & weather).mean(), "P >= 0.5": np.mean(sure)}
    return f"n={len(labels)} " + ", ".join(f"{name} {value:.1%}" for name, value in figures.items())


def confusion(chances: NDArray[np.float32], labels: NDArray[np.int64]) -> str:
    """The confusion matrix as text: a line a true condition, a column a found one."""
    counts = np.zeros((len(CONDITIONS), len(CONDITIONS)), np.int64)
    np.add.at(counts, (labels, chances.argmax(axis=1)), 1)
    head = "true \\ found  " + " ".join(f"{k:4}" for k in range(len(CONDITIONS)))
    rows = [f"{k:2} {c.name:11}" + " ".join(f"{n or '.':>4}" for n in counts[k]) for k, c in enumerate(CONDITIONS)]
    return "\n".join([head, *rows])
