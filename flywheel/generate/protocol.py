"""What a generator is: anything that redraws a frame under another condition. Plug-ins live in `generators/`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flywheel.types import Condition, Record

Parameter = str | int | float
# IPTC digital source types (https://cv.iptc.org/newscodes/digitalsourcetype/): what kind of media the outputs are.
TRAINED_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
ENHANCED_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"


class GeneratorInfo(Record):
    """Who makes the variations: enough to find the same weights and settings again.

    `weights_sha256` is one hash over all weight files (or over the code's version for a generator without weights).
    """

    name: str
    model_revision: str
    weights_sha256: str
    licence: str
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    digital_source_type: str = TRAINED_MEDIA


class Refused(Record):
    """An item the generator would not draw (for example: its safety checker blocked it), with the reason."""

    reason: str


@dataclass(frozen=True)
class GenerateInput:
    """One frame to redraw: RGB (H, W, 3) uint8, what it shows, what it shall show, and the seed of this item alone."""

    rgb: NDArray[np.uint8] = field(repr=False)
    source: Condition
    target: Condition
    prompt: str
    negative_prompt: str
    seed: int


Output = NDArray[np.uint8] | Refused


class Generator(Protocol):
    """A plug-in. One output never depends on which other items share its batch: every item brings its own seed."""

    @property
    def info(self) -> GeneratorInfo:
        """Name, weights and settings of this generator."""
        ...

    def generate(self, batch: list[GenerateInput]) -> list[Output]:
        """One output an item, in order: RGB uint8 of the item's own height and width, or Refused with a reason."""
        ...


@runtime_checkable
class Resident(Generator, Protocol):
    """A plug-in that stays on its device and can draw in the background."""

    @property
    def batch(self) -> int:
        """How many items it draws best at once."""
        ...

    def begin(self, batch: list[GenerateInput]) -> Callable[[], list[Output]]:
        """Starts to draw and gives back how to wait for what `generate` would give; begun batches are drawn in order."""
        ...
