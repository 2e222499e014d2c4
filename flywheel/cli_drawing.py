"""How the generate command draws: the generator's own options, how many frames at once, compiled or not, one process a GPU."""

import gc
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flywheel.commands import plugin
from flywheel.errors import FlywheelError, require

if TYPE_CHECKING:
    from flywheel.generate.plan import Plan
    from flywheel.generate.protocol import Generator, GeneratorInfo, Parameter
    from flywheel.generate.run import GenerateReport
    from flywheel.store import Store

    Draw = Callable[[Store, Sequence[Plan]], list[GenerateReport]]

Gpus = Annotated[
    int | None, typer.Option("--gpus", help="Draw with one process on each of so many GPUs; one process, on what it finds, without it.")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", min=1, help="How many frames are drawn at once; the generator's own choice without it.")
]
Compile = Annotated[
    str | None, typer.Option("--compile", help="no, fast or tuned: whether torch.compile may take minutes at the start to draw faster.")
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="name=value for the generator (`pipeline=/models/sd15`, `strength=0.5`); may be given again."),
]


def maker_of(generator: str, *, options: Sequence[str] | None, batch_size: int | None, compiled: str | None) -> Callable[[], "Generator"]:
    """What makes the generator, here or in another process; FlywheelError for an option it does not take."""
    from flywheel.generate.training import resolved

    given = dict(_pair(option) for option in options or ()) | {"batch": batch_size, "compiled": compiled}
    return partial(_made, *resolved(generator, {name: value for name, value in given.items() if value is not None}))


def _made(generator: str, options: dict[str, Any]) -> "Generator":
    factory = plugin("flywheel.generators", generator)
    try:
        made: Generator = factory(**options)
    except TypeError as err:
        takes = getattr(getattr(factory, "engine", None), "options", ())
        hint = f"; it takes {', '.join(takes)}" if takes else ""
        raise FlywheelError(f"generator {generator!r} cannot be made with the options {sorted(options)}: {err}{hint}") from err
    return made


def _pair(option: str) -> tuple[str, "Parameter"]:
    """A name and its value, a number where it reads as one."""
    name, equals, text = option.partition("=")
    if not (name and equals):
        raise FlywheelError(f"--option takes name=value, not {option!r}")
    for kind in (int, float):
        try:
            return name, kind(text)
        except ValueError:
            continue
    return name, text


def prepared(make: Callable[[], "Generator"], *, gpus: int | None) -> "tuple[GeneratorInfo, Draw]":
    """Who draws, and what draws plans (one report each): this process, or one process on each of `gpus` GPUs."""
    from flywheel.generate.processes import run_processes, visible_gpus
    from flywheel.generate.run import run_plan

    if gpus is None:
        engine = make()
        return engine.info, lambda store, plans: [run_plan(store, plan, engine) for plan in plans]
    devices = visible_gpus(gpus)
    info = make().info
    gc.collect()  # that generator was only asked who it is: its memory is for those who draw
    require("torch", extra="generate").cuda.empty_cache()
    return info, lambda store, plans: run_processes(store.uri, plans, make, devices=devices)
