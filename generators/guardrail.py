"""NVIDIA's guardrail around the Cosmos pipelines: on, or off by an explicit choice that goes into every provenance record.

The pipelines build a checker when they are given none, and blacken or raise for what it blocks. They get a `Guard` instead, and the
engine asks it before and after drawing, so that a block is a reason for a rejection and never a black clip or a crash.
"""

from importlib.metadata import version
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, require

Posture = Literal["on", "off"]
PACKAGE, LICENCE = "cosmos_guardrail", "https://www.nvidia.com/en-us/agreements/enterprise-software/nvidia-open-model-license"
UNSAFE_TEXT = "the Cosmos guardrail blocked the prompt"
UNSAFE_VIDEO = "the Cosmos guardrail blocked what was drawn"


class Guard:
    """Asked by the engine; to a pipeline that asks, everything has been checked, or will be.

    `posture` "on" needs the package cosmos_guardrail (MissingExtra otherwise); with "off" nothing is checked, which the weights' licence
    allows only where something else keeps to it.
    """

    def __init__(self, posture: Posture) -> None:
        if posture not in ("on", "off"):
            raise BadData(f"guardrail {posture!r}: take on or off")
        self._checker: Any = None
        self.recorded = f"off: switched off by option, see {LICENCE}"
        if posture == "on":
            self._checker = require(PACKAGE, extra="cosmos").CosmosSafetyChecker()
            self.recorded = f"on: {PACKAGE} {version(PACKAGE)}"

    def why_not_text(self, text: str) -> str | None:
        """Why a prompt may not be drawn, or None."""
        return None if self._checker is None or self._checker.check_text_safety(text) else UNSAFE_TEXT

    def checked(self, video: NDArray[np.uint8]) -> NDArray[np.uint8] | str:
        """(T, H, W, 3) as the checker gives it back (it blurs faces), or why it may not be kept."""
        found = video if self._checker is None else self._checker.check_video_safety(video)
        return UNSAFE_VIDEO if found is None else np.asarray(found, np.uint8)

    def to(self, *place: Any, **named: Any) -> "Guard":
        """Moves the checker's models, as pipelines ask."""
        if self._checker is not None:
            self._checker.to(*place, **named)
        return self

    def check_text_safety(self, text: str) -> bool:
        """True: the engine has asked already."""
        return True

    def check_video_safety(self, frames: Any) -> Any:
        """The frames as they are: the engine asks once it has them."""
        return frames
