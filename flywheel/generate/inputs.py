"""What a generator gets besides a frame: pictures of its geometry, the mask of a planned object, its place in a clip."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import BadData, NotEvaluable
from flywheel.generate.clips import FLOW, places
from flywheel.generate.controls import Controls
from flywheel.generate.images import Rgb
from flywheel.generate.inserts import mask_of
from flywheel.generate.protocol import ClipPlace, Control, ControlKind, Controlled, Estimator, Generator
from flywheel.generate.request import VariationRequest
from flywheel.store import Store


@dataclass(frozen=True)
class Extras:
    """One frame's controls, mask and place in its clip, each empty where there is none."""

    controls: tuple[Control, ...] = ()
    mask: NDArray[np.bool_] | None = field(default=None, repr=False)
    place: ClipPlace | None = None

    @property
    def sources(self) -> dict[str, str]:
        """What the controls and flows were made from, and how, for the record."""
        flows = {"flow": FLOW} if self.place is not None and self.place.flows else {}
        return {f"control_{control.kind}": control.source for control in self.controls} | flows


NO_EXTRAS = Extras()


class Inputs:
    """Makes the extras of a batch's frames: `wants` are the controls a generator asks for, `estimators` what it brings for them."""

    def __init__(
        self, store: Store, batch_id: str, *, wants: Sequence[ControlKind] = (), estimators: Mapping[ControlKind, Estimator] | None = None
    ) -> None:
        self._controls = Controls(store, batch_id)
        self._wants, self._estimators = tuple(wants), estimators or {}

    @classmethod
    def for_generator(cls, store: Store, batch_id: str, generator: Generator) -> "Inputs":
        """Those of a generator that says what it wants."""
        if isinstance(generator, Controlled):
            return cls(store, batch_id, wants=generator.wants, estimators=generator.estimators)
        return cls(store, batch_id)

    def of(self, requests: Sequence[VariationRequest], frames: Sequence[Rgb | None]) -> list[Extras | str]:
        """The extras of each frame, or why there are none; a clip's frames stand one after the other. None is a frame that is lost."""
        found: list[Extras | str] = []
        for _, group in groupby(zip(requests, frames, strict=True), key=lambda shot: shot[0].variation_id):
            shots = list(group)
            found += [
                NO_EXTRAS if rgb is None else self._one(request, rgb, place)
                for (request, rgb), place in zip(shots, _places(shots), strict=True)
            ]
        return found

    def _one(self, request: VariationRequest, rgb: Rgb, place: ClipPlace | None) -> Extras | str:
        if not self._wants and request.insert is None and place is None:
            return NO_EXTRAS
        where: dict[str, Any] = {"drive_id": request.drive_id, "camera": request.camera, "t_ns": request.t_ns}
        try:
            controls = self._controls.of(rgb, **where, wants=self._wants, estimators=self._estimators)
            planned = request.insert
            mask = None if planned is None else mask_of(planned, self._controls.frame(**where), size=rgb.shape[:2])
        except (BadData, NotEvaluable) as err:
            return str(err)
        return Extras(controls, mask, place)


def _places(shots: Sequence[tuple[VariationRequest, Rgb | None]]) -> Iterator[ClipPlace | None]:
    """The place of each frame in its clip; none where it is no clip, or a frame of it is lost."""
    frames = [rgb for _, rgb in shots if rgb is not None]
    if not shots[0][0].clip or len(frames) < len(shots):
        return iter([None] * len(shots))
    return iter(places(frames, [request.t_ns for request, _ in shots]))
