"""A made-up frame and the item that asks to redraw it."""

import numpy as np

from flywheel.generate.protocol import GenerateInput
from flywheel.types import Condition


def frame(height: int = 45, width: int = 80, *, seed: int = 0) -> np.ndarray:
    """A made-up street: bright sky, grey road with a light stripe, a dark box, a little grain."""
    rows = np.arange(height)[:, None, None] / height
    picture = np.where(rows < 0.5, np.array([150, 180, 225]), np.array([105, 105, 110])) + np.zeros((height, width, 1))
    picture[height // 2 :, width // 2 - 1 : width // 2 + 2] = 215
    picture[height * 2 // 5 : height * 3 // 5, width // 5 : width // 3] = (60, 30, 30)
    return np.clip(picture + np.random.default_rng(seed).normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def item(target: str = "night_rain", *, source: str = "day_clear", seed: int = 1, rgb: np.ndarray | None = None) -> GenerateInput:
    """One frame to redraw."""
    return GenerateInput(
        rgb=frame() if rgb is None else rgb, source=Condition.parse(source), target=Condition.parse(target),
        prompt="a street on a rainy night", negative_prompt="cartoon, blurry", seed=seed,
    )  # fmt: skip
