"""Results in order while the work behind them overlaps: the one piece that the run's stages are chained with."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def ahead(items: Iterable[T], begin: Callable[[T], Callable[[], U]], *, depth: int) -> Iterator[U]:
    """What each item's work gives, in order; up to `depth` items are begun before the first of them is waited for.

    `begin` starts the work of one item and gives back how to wait for it. When `items` or `begin` raises, what was begun is
    still given back, then the error is raised: nothing that was done is lost. An error of the work itself is raised at once.
    """
    source, waiting, broken, more = iter(items), deque[Callable[[], U]](), None, True
    while more or waiting:
        while more and len(waiting) < depth:
            try:
                waiting.append(begin(next(source)))
            except StopIteration:
                more = False
            except BaseException as err:  # noqa: BLE001 (raised below, also a keyboard interrupt, once the begun work is out)
                broken, more = err, False
        if waiting:
            yield waiting.popleft()()
    if broken is not None:
        raise broken


def on(pool: Executor, work: Callable[[T], U]) -> Callable[[T], Callable[[], U]]:
    """A `begin` that runs `work` in a pool."""
    return lambda item: pool.submit(work, item).result
