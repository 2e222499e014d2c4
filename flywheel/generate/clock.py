"""How long each stage of a run took, summed over threads."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Clock:
    """Seconds by name; safe to use from several threads."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = Lock()

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the time spent inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._seconds[name] += time.monotonic() - began

    def seconds(self) -> dict[str, float]:
        """What was added so far."""
        with self._lock:
            return {name: round(value, 3) for name, value in sorted(self._seconds.items())}
