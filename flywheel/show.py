"""How the command line shows things: a rich table for people, JSON for machines."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 160  # a log or a pipe has no width of its own; eighty columns would fold digests and ids

out = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_WIDTH)


def plain(value: Any) -> Any:
    """Records, paths and containers as JSON-able values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def emit_json(value: Any) -> None:
    """Writes JSON to stdout, unwrapped and uncoloured."""
    out.file.write(json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def cell(value: Any) -> str:
    """One value as short text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={cell(item)}" for key, item in value.items())
    return "" if value is None else str(value)


def emit_rows(rows: Sequence[Mapping[str, Any] | BaseModel], *, title: str, as_json: bool, columns: Sequence[str] | None = None) -> None:
    """A list as a table, or as JSON with every key."""
    records = [plain(row) for row in rows]
    if as_json:
        emit_json(records)
        return
    if not records:
        out.print(f"[bold]{title}[/]: none")
        return
    names = list(columns or records[0])
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for name in names:
        numeric = all(isinstance(record.get(name), int | float | None) for record in records)
        # Headings may break at their underscores; the first column names the row and does not fold.
        heading = name.replace("_", " ") if numeric else name
        table.add_column(heading, justify="right" if numeric else "left", overflow="fold", no_wrap=name == names[0] and len(names) > 5)
    for record in records:
        table.add_row(*(cell(record.get(name)) for name in names))
    out.print(table)


def emit_report(report: BaseModel, *, title: str, as_json: bool) -> None:
    """One report as key and value, or as JSON."""
    if as_json:
        emit_json(report)
        return
    emit_rows([{"what": key, "value": value} for key, value in plain(report).items()], title=title, as_json=False)
