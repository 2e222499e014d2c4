"""What all commands share: the app, its options, and errors as one clear line with exit code 1."""

import functools
import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from flywheel import show
from flywheel.errors import FlywheelError
from flywheel.state import default_root
from flywheel.store import Store

HELP = "The open data flywheel for rare driving scenarios. Every command takes --root, every list has --json."

app = typer.Typer(help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)

Root = Annotated[str, typer.Option(help="A folder or s3://bucket/prefix.", envvar="FLYWHEEL_ROOT", default_factory=default_root)]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Batch = Annotated[str | None, typer.Option(help="One landing batch; all of them when left out.")]


def _use_scenarios(files: list[Path] | None) -> list[Path]:
    """Sets FLYWHEEL_SCENARIOS, which processes started by this one see too: its own files first, those of the option after."""
    named = [part for part in os.environ.get("FLYWHEEL_SCENARIOS", "").split(":") if part]
    more = [str(file.resolve()) for file in files or [] if str(file.resolve()) not in named]
    if more:
        os.environ["FLYWHEEL_SCENARIOS"] = ":".join([*named, *more])
    return files or []


Scenarios = Annotated[
    list[Path] | None,
    typer.Option(
        "--scenarios", exists=True, dir_okay=False, callback=_use_scenarios,
        help="A TOML or Python file that changes or adds scenarios; may be given again (also: FLYWHEEL_SCENARIOS).",
    ),
]  # fmt: skip


def guarded(function: Callable[..., None]) -> Callable[..., None]:
    """The command with its FlywheelErrors as one clear line and exit code 1."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except FlywheelError as error:
            show.err.print(f"[bold red]{type(error).__name__}[/]: {error}", soft_wrap=True)
            raise typer.Exit(1) from error

    return run


def command(group: typer.Typer, *, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a guarded command."""
    return lambda function: group.command(name=name)(guarded(function))


def plugin(group: str, name: str) -> Any:
    """An installed plug-in by name; the error lists what there is."""
    found = {entry.name: entry for entry in entry_points(group=group)}
    if name not in found:
        raise FlywheelError(f"no {group} plug-in named {name!r}; there are: {', '.join(sorted(found)) or 'none'}")
    return found[name].load()


def batches(store: Store, only: str | None) -> list[str]:
    """The landing batches of a root, or the one asked for."""
    from flywheel.ingest.landed import landed_batches

    landed = landed_batches(store)
    if only is not None and only not in landed:
        raise FlywheelError(
            f"no landing batch {only!r} in {store.uri}; there are: {', '.join(landed) or 'none: run `flywheel ingest --logs DIR`'}"
        )
    return [only] if only else landed
