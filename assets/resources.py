"""What assets are given: one root, and the private state folder that belongs to it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from flywheel.errors import BadTransport, FlywheelError
from flywheel.state import default_root, state_dir
from flywheel.store import Store, open_store


class Flywheel(dg.ConfigurableResource):
    """The root everything lies under: a folder or s3://bucket/prefix (FLYWHEEL_ROOT when empty)."""

    root: str = ""

    def resolved(self) -> str:
        """The root as the rest of the code writes it."""
        return self.root or default_root()

    def store(self) -> Store:
        """The opened root."""
        return open_store(self.resolved())

    def state(self) -> Path:
        """The root's private state folder."""
        return state_dir(self.resolved())


@contextlib.contextmanager
def reported(*, max_retries: int = 3, wait_s: int = 5) -> Iterator[None]:
    """Turns our errors into Dagster's: transport trouble is retried with a wait, anything else fails at once with its own text."""
    try:
        yield
    except BadTransport as err:
        raise dg.RetryRequested(max_retries=max_retries, seconds_to_wait=wait_s) from err
    except FlywheelError as err:
        raise dg.Failure(description=f"{type(err).__name__}: {err}", allow_retries=False) from err
