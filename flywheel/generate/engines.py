"""What an engine is and what it needs, without loading it: the record behind `flywheel engines`."""

from collections.abc import Callable
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Literal

from flywheel.generate.protocol import ControlKind
from flywheel.types import Record

GROUP = "flywheel.generators"
Draws = Literal["frames", "frames and clips", "objects into frames", "clips"]


class Engine(Record):
    """One engine: what it draws, with which diffusers classes and weights, and what it needs.

    `weights` is the hub id (or folder in this package) taken unless an option names another; `weights_gib` about what all its
    models take in memory at the usual precision. `controls` are what it can be held by. `missing` are packages that are not installed.
    """

    name: str
    what: str
    draws: Draws
    classes: tuple[str, ...] = ()
    weights: str = ""
    weights_licence: str = ""
    weights_gib: float = 0.0
    gpu: bool = False
    controls: tuple[ControlKind, ...] = ()
    prompts: Literal["none", "description", "instruction", "object"] = "none"
    packages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def installed() -> list[Engine]:
    """Every engine installed as a plug-in, by name. One that does not describe itself is listed by its docstring's first line."""
    points = sorted({point.name: point for point in entry_points(group=GROUP)}.items())
    return [described(name, point.load()) for name, point in points]


def described(name: str, factory: Callable[..., Any]) -> Engine:
    """What a plug-in's factory says of itself, with the packages that it lacks here."""
    own = getattr(factory, "engine", None)
    if not isinstance(own, Engine):
        own = Engine(name=name, what=(factory.__doc__ or "").strip().split("\n")[0], draws="frames")
    return own.model_copy(update={"name": name, "missing": tuple(name for name in own.packages if find_spec(name) is None)})
