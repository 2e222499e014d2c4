"""The settings of one training run."""

from flywheel.types import Record


class Settings(Record):
    """What the training run does; the defaults made the bundled weights on one H100."""

    minutes: float = 8.0
    seed: int = 0
    batch: int = 64
    learning_rate: float = 5e-4
    warm_up_steps: int = 200
    ema: float = 0.999
    channels: tuple[int, ...] = (64, 96, 128, 192)
    layers: int = 1
    views: int = 4
    capacity: int = 7000
    first_views: int = 64
    workers: int = 12
    held_out: int = 6
    evaluate_views: int = 24
    augment: float = 1.0
    compile: bool = True
    max_steps: int = 0
    init: str = ""
