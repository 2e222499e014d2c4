"""All generators by name; others come from installed packages through the entry point group `flywheel.generators`."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from flywheel.errors import BadData
from flywheel.generate.protocol import Generator

GROUP = "flywheel.generators"


def bundled(**options: Any) -> Generator:
    """The small model in this package; options: weights, steps, device, batch."""
    from generators.bundled import BundledGenerator

    return BundledGenerator(**options)


def perturb(**options: Any) -> Generator:
    """Image arithmetic without a learned part; no options."""
    from generators.perturb import PerturbGenerator

    return PerturbGenerator(**options)


def diffusers(**options: Any) -> Generator:
    """Any diffusers pipeline; option `pipeline` (folder or hub id) is needed, more in `DiffusersGenerator`."""
    from generators.diffusion import DiffusersGenerator

    return DiffusersGenerator(**options)


GENERATORS: dict[str, Callable[..., Generator]] = {"bundled": bundled, "perturb": perturb, "diffusers": diffusers}


def names() -> list[str]:
    """Sorted names of all generators, built in or installed."""
    return sorted({*GENERATORS, *(point.name for point in entry_points(group=GROUP))})


def load(name: str, **options: Any) -> Generator:
    """A ready generator; BadData for an unknown name or options it does not take."""
    maker = GENERATORS.get(name) or next((point.load() for point in entry_points(group=GROUP) if point.name == name), None)
    if maker is None:
        raise BadData(f"no generator named {name!r}; there are {', '.join(names())}")
    try:
        made: Generator = maker(**options)
    except TypeError as err:
        raise BadData(f"generator {name!r} does not take the options {sorted(options)}: {err}") from err
    return made
