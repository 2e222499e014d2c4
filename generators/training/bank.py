"""All renders in device memory as uint8, filled by a thread while training already runs."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from flywheel.types import CONDITIONS
from generators.training.scenes import View

Made = TypeVar("Made")
FALLS = {"rain": 0, "snow": 1}


class Batch(NamedTuple):
    """Pairs to learn from: images (N, 3, H, W) in [-1, 1], labels (N,), particles (N, 1, H, W) in [0, 1], whether they are given (N,)."""

    source: Any
    target: Any
    labels: Any
    particles: Any
    given: Any


class Pairs(Protocol):
    """Where training pairs come from; `filled`: how many views or lessons are there so far."""

    filled: int

    def batch(self, count: int) -> Batch:
        """`count` random pairs, by torch's own random numbers."""
        ...

    def check(self) -> None:
        """Raises what went wrong in the background."""
        ...


class Filling(ABC, Generic[Made]):
    """`filled` of `capacity` places, taken one after the other by a thread while others read them."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.filled = capacity, 0
        self._failed: BaseException | None = None
        self._done = threading.Event()
        self._stop = threading.Event()

    @abstractmethod
    def put(self, place: int, made: Made) -> None:
        """Keeps what was made in its place."""

    def fill(self, all_made: Generator[Made]) -> None:
        """Puts things in until they or the places end; an error is kept for `check`."""
        try:
            for place, made in zip(range(self.capacity), all_made, strict=False):
                self.put(place, made)
                self.filled = place + 1
                if self._stop.is_set():
                    break
        except Exception as err:  # noqa: BLE001 - kept, and raised in the training thread by check()
            self._failed = err
        finally:
            all_made.close()
            self._done.set()

    def start(self, all_made: Generator[Made]) -> None:
        """Fills from a thread."""
        threading.Thread(target=self.fill, args=(all_made,), daemon=True).start()

    def stop(self) -> None:
        """Ends the filling and waits for it."""
        self._stop.set()
        self._done.wait(120)

    def wait(self, count: int) -> None:
        """Returns when `count` places are filled, or filling has ended."""
        while self.filled < min(count, self.capacity) and not self._done.wait(0.2):
            pass
        self.check()

    def check(self) -> None:
        """Raises what went wrong while filling."""
        if self._failed is not None:
            raise self._failed


class Bank(Filling[View]):
    """`filled` views of 13 conditions each; batches are drawn from what is there so far."""

    def __init__(self, capacity: int, *, device: str, height_px: int, width_px: int) -> None:
        import torch

        super().__init__(capacity)
        self.pixels = torch.empty((capacity, len(CONDITIONS), 3, height_px, width_px), dtype=torch.uint8, device=device)
        self.particles = torch.empty((capacity, len(FALLS), height_px, width_px), dtype=torch.uint8, device=device)
        self.falls = torch.tensor([FALLS.get(condition.weather, -1) for condition in CONDITIONS], device=device)

    def put(self, place: int, made: View) -> None:
        """Copies the pictures and particles of one view in."""
        import torch

        images, particles = made
        self.pixels[place].copy_(torch.from_numpy(images).permute(0, 3, 1, 2))
        self.particles[place].copy_(torch.from_numpy(particles))

    def batch(self, count: int, *, same_share: float = 0.02, given_share: float = 0.5) -> Batch:
        """Random views and ordered pairs.

        A small share are pairs of equal conditions, which teach the net to leave a frame alone. Where rain or snow is new, the
        target's own particles are given in some pairs (the net draws those) and held back in the others (it draws their average).
        """
        import torch

        kinds, device = len(CONDITIONS), self.pixels.device
        view = torch.randint(0, self.filled, (count,), device=device)
        source = torch.randint(0, kinds, (count,), device=device)
        other = (source + torch.randint(1, kinds, (count,), device=device)) % kinds
        target = torch.where(torch.rand(count, device=device) < same_share, source, other)
        falls = self.falls[target]
        given = (falls >= 0) & (falls != self.falls[source]) & (torch.rand(count, device=device) < given_share)
        return Batch(
            source=self.pixels[view, source].float() / 127.5 - 1, target=self.pixels[view, target].float() / 127.5 - 1,
            labels=source * kinds + target, particles=self.particles[view, falls.clamp(min=0)][:, None].float() / 255, given=given,
        )  # fmt: skip
