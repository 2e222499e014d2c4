"""The `flywheel` command: importing this module registers every command on one app."""

from flywheel import (
    cli_coverage,
    cli_drives,
    cli_encounters,
    cli_engines,
    cli_event,
    cli_generate,
    cli_generate_train,
    cli_look,
    cli_novelty,
    cli_privacy,
    cli_query,
    cli_release,
    cli_stages,
    cli_variation,
)
from flywheel.commands import app

__all__ = [
    "app",
    "cli_coverage",
    "cli_drives",
    "cli_encounters",
    "cli_engines",
    "cli_event",
    "cli_generate",
    "cli_generate_train",
    "cli_look",
    "cli_novelty",
    "cli_privacy",
    "cli_query",
    "cli_release",
    "cli_stages",
    "cli_variation",
]
