"""An iterator worked ahead of its reader by a thread: unpacking, hashing and decoding overlap with what is done with the results."""

import contextlib
import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")
WAIT_S = 0.2
# How many blocks of messages (chunks, mostly of some MB) and how many items of a drive may wait between two threads.
BLOCKS_AHEAD, ITEMS_AHEAD = 2, 8


class _End(BaseException):
    """How the iterator ended: the exception it raised, or None."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__()
        self.error = error


def ahead(items: Generator[T, None, None], *, depth: int) -> Iterator[T]:
    """The same items in the same order, at most `depth` of them waiting; what the iterator raises is raised here.

    The thread ends with the iterator, or as soon as nobody reads any more.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    left = threading.Event()
    worker = threading.Thread(target=_work, args=(items, waiting, left), daemon=True)
    worker.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        worker.join()


def _work(items: Generator[T, None, None], waiting: "queue.Queue[T | _End]", left: threading.Event) -> None:
    end = _End(None)
    try:
        for item in items:
            if not _put(waiting, item, left):
                break
        items.close()
    except BaseException as error:  # noqa: BLE001 handed to the reader of the items, whatever it is
        end = _End(error)
    _put(waiting, end, left)


def _put(waiting: "queue.Queue[T | _End]", item: T | _End, left: threading.Event) -> bool:
    """Whether the item was put before the reader left."""
    while not left.is_set():
        with contextlib.suppress(queue.Full):
            waiting.put(item, timeout=WAIT_S)
            return True
    return False
