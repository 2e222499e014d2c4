"""What a generator is: anything that redraws a frame under another condition. Plug-ins live in `generators/`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from flywheel.types import Condition, Record

Parameter = str | int | float
ControlKind = Literal["edges", "depth", "segmentation"]
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
class Control:
    """A picture that holds the geometry: RGB (H, W, 3) uint8 of the frame's own size. `source` says what it was made from, and how."""

    kind: ControlKind
    rgb: NDArray[np.uint8] = field(repr=False)
    source: str


@dataclass(frozen=True)
class ClipPlace:
    """Where a frame stands in its clip: its number, its time after the first frame, and how the picture moved until then.

    `flows[j]` is (H, W, 2) float32: for each pixel of frame j + 1, how far right and down of it the same point lies in frame j.
    A generator that draws noise uses one noise for the whole clip (all items have the clip's seed), carried along by the flows.
    """

    index: int
    t_s: float
    flows: tuple[NDArray[np.float32], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class GenerateInput:
    """One frame to redraw: RGB (H, W, 3) uint8, what it shows, what it shall show, and the seed of this item alone.

    `controls` are there for a generator that `wants` them, `mask` (H, W), true where a new object shall be drawn, for one that
    inserts objects, `clip` for a frame of a clip.
    """

    rgb: NDArray[np.uint8] = field(repr=False)
    source: Condition
    target: Condition
    prompt: str
    negative_prompt: str
    seed: int
    controls: tuple[Control, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    clip: ClipPlace | None = None


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


@runtime_checkable
class Adjustable(Generator, Protocol):
    """A plug-in that can change more or less of a frame."""

    def at_strength(self, share: float) -> Generator:
        """The same engine at this share of its own strength; its `info` says so."""
        ...


class Estimator(Protocol):
    """Makes a control's plane from pixels alone, where the log has nothing to make it from."""

    @property
    def name(self) -> str:
        """Name and version, for the provenance."""
        ...

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(H, W) distances in any unit for depth, or numbers of `controls.CLASSES` for segmentation."""
        ...


@runtime_checkable
class Controlled(Generator, Protocol):
    """A plug-in whose inputs carry pictures of the geometry."""

    @property
    def wants(self) -> tuple[ControlKind, ...]:
        """The controls each input must have, in order."""
        ...

    @property
    def estimators(self) -> Mapping[ControlKind, Estimator]:
        """What makes a control where the log has none; without one such a frame is not drawn."""
        ...
