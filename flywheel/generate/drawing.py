"""From stored parent frames to drawn pixels: an image or a reason for every request, in order."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from flywheel.errors import BadData, BadTransport, MissingExtra
from flywheel.generate.clips import shots
from flywheel.generate.clock import Clock
from flywheel.generate.images import Rgb, downsized, read_rgb
from flywheel.generate.inputs import NO_EXTRAS, Extras, Inputs
from flywheel.generate.protocol import GenerateInput, Generator, Output, Refused, Resident
from flywheel.generate.request import VariationRequest
from flywheel.store import Store

Drawn = Rgb | str
Draw = Callable[[], list[Output]]
# What stops a run instead of becoming one item's reason: the next item would meet it too.
FATAL = (MissingExtra, BadTransport)


@dataclass(frozen=True)
class Parent:
    """A loaded parent frame at the drawing size, its scale from the stored frame, and what else the generator gets with it."""

    rgb: Rgb
    scale: float
    extras: Extras = NO_EXTRAS

    @property
    def drawn_at(self) -> dict[str, int | float | str]:
        """The drawing size for the record, and where controls and flows come from."""
        size = {"width_px": self.rgb.shape[1], "height_px": self.rgb.shape[0], "scale": round(self.scale, 6)}
        return {**size, **self.extras.sources}


@dataclass(frozen=True)
class Chunk:
    """Requests that are drawn and recorded together: for each its parent (or why there is none), later its output and seconds."""

    requests: tuple[VariationRequest, ...]
    parents: tuple[Parent | str, ...]
    outputs: tuple[Drawn, ...] = ()
    seconds_each: float = 0.0


def load_chunk(
    store: Store, requests: Sequence[VariationRequest], *, max_width: int | None, crew: Executor, inputs: Inputs | None = None
) -> Chunk:  # fmt: skip
    """The requests with their parents, read and decoded in parallel; a parent shared by several requests is read once.

    Clips are taken apart into their frames. `inputs` makes what the generator gets besides a frame.
    """
    shown = [shot for request in requests for shot in shots(request)]
    first = {request.parent_sha256: request for request in shown}
    read = dict(zip(first, crew.map(lambda request: _parent(store, request, max_width), first.values()), strict=True))
    parents = [read[request.parent_sha256] for request in shown]
    found = (inputs or Inputs(store, "", wants=())).of(shown, [None if isinstance(p, str) else p.rgb for p in parents])
    return Chunk(tuple(shown), tuple(_with(parent, extras) for parent, extras in zip(parents, found, strict=True)))


def _with(parent: Parent | str, extras: Extras | str) -> Parent | str:
    if isinstance(parent, str) or isinstance(extras, str):
        return parent if isinstance(parent, str) else str(extras)
    return replace(parent, extras=extras) if extras is not NO_EXTRAS else parent


def _parent(store: Store, request: VariationRequest, max_width: int | None) -> Parent | str:
    try:
        rgb = read_rgb(store, request.parent_sha256, request.parent_ext)
    except BadData as err:
        return str(err)
    small = downsized(rgb, max_width=max_width)
    return Parent(rgb=small, scale=small.shape[1] / rgb.shape[1])


def begin_chunk(generator: Generator, clock: Clock) -> Callable[[Chunk], Callable[[], Chunk]]:
    """Starts to draw a chunk and gives back how to get it with its outputs.

    A resident generator draws in the background; any other has drawn when this returns.
    """
    last = time.monotonic()

    def begin(chunk: Chunk) -> Callable[[], Chunk]:
        inputs = [_input(request, parent) for request, parent in _loaded(chunk)]
        with clock.timed("draw: begin"):
            draw = _begun(generator, inputs)

        def finish() -> Chunk:
            nonlocal last
            with clock.timed("draw: wait"):
                drawn = iter(draw())
            outputs = tuple(parent if isinstance(parent, str) else _checked(next(drawn), parent.rgb) for parent in chunk.parents)
            began, last = last, time.monotonic()
            return Chunk(chunk.requests, chunk.parents, outputs, (last - began) / len(chunk.requests))

        return finish

    return begin


def _loaded(chunk: Chunk) -> list[tuple[VariationRequest, Parent]]:
    return [(request, parent) for request, parent in zip(chunk.requests, chunk.parents, strict=True) if isinstance(parent, Parent)]


def _input(request: VariationRequest, parent: Parent) -> GenerateInput:
    extras = parent.extras
    return GenerateInput(
        rgb=parent.rgb, source=request.source, target=request.target, prompt=request.prompt,
        negative_prompt=request.negative_prompt, seed=request.seed,
        controls=extras.controls, mask=extras.mask, clip=extras.place,
    )  # fmt: skip


def _begun(generator: Generator, batch: list[GenerateInput]) -> Callable[[], list[Output | str]]:
    """How to get a batch's outputs: under way where the generator is resident, else drawn already."""
    if batch and isinstance(generator, Resident):
        try:
            draw = generator.begin(batch)
        except FATAL:
            raise
        except Exception:  # noqa: BLE001 (drawn again below, one by one, where the error becomes the item's reason)
            return lambda: _one_by_one(generator, batch)
        return lambda: _attempt(generator, batch, draw)
    found = _attempt(generator, batch, partial(generator.generate, batch)) if batch else []
    return lambda: found


def _attempt(generator: Generator, batch: list[GenerateInput], draw: Draw) -> list[Output | str]:
    """The batch's outputs; when the batch raises, its items are drawn one by one, and what still raises is the item's reason."""
    try:
        found = draw()
        if len(found) != len(batch):
            raise BadData(f"{generator.info.name} gave {len(found)} outputs for {len(batch)} inputs")
        return list(found)
    except FATAL:
        raise
    except Exception as err:  # noqa: BLE001 (a plug-in may raise anything: it becomes the item's recorded reason)
        if len(batch) == 1:
            return [f"{type(err).__name__}: {err}"]
    return _one_by_one(generator, batch)


def _one_by_one(generator: Generator, batch: list[GenerateInput]) -> list[Output | str]:
    return [output for item in batch for output in _attempt(generator, [item], partial(generator.generate, [item]))]


def _checked(output: Output | str, parent: Rgb) -> Drawn:
    if isinstance(output, str):
        return output
    if isinstance(output, Refused):
        return f"refused: {output.reason}"
    found: Any = output
    if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.shape != parent.shape:
        shape, kind = getattr(found, "shape", None), getattr(found, "dtype", type(found).__name__)
        return f"output has shape {shape} of {kind}, expected {parent.shape} of uint8"
    return np.ascontiguousarray(found)
