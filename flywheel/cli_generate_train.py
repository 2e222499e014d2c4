"""`flywheel generate train`: trains or fine-tunes a generator on pairs of the user's own fleet."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from flywheel import show
from flywheel.cli_generate import generation
from flywheel.commands import Json, command, plugin
from flywheel.errors import FlywheelError

Pairs = Annotated[Path | None, typer.Option(help="A folder with pairs.jsonl: source, source_condition, target, target_condition a line.")]
Learned = Annotated[str | None, typer.Option("--root", help="Learn from the accepted variations of this root (a larger engine's, say).")]
Method = Annotated[str, typer.Option(help="bundled: the small model; lora: an adapter for a large diffusers pipeline.")]
Base = Annotated[str, typer.Option(help="Weights to start from: a folder or hub id; for bundled also `scratch`.")]


@command(generation)
def train(
    out: Annotated[Path, typer.Option(help="Where the weights go; an unfinished run there is continued.")],
    pairs: Pairs = None,
    root: Learned = None,
    method: Method = "bundled",
    base: Base = "",
    steps: int = 1000,
    batch: int = 8,
    learning_rate: float = 1e-4,
    seed: int = 0,
    keep_every: Annotated[int, typer.Option(help="Steps between saved states: a killed run loses at most so many.")] = 100,
    rank: Annotated[int, typer.Option(help="lora: the adapter's rank.")] = 8,
    width_px: Annotated[int, typer.Option(help="lora: width that pairs are learnt at.")] = 512,
    height_px: Annotated[int, typer.Option(help="lora: height that pairs are learnt at.")] = 512,
    device: str | None = None,
    as_json: Json = False,
) -> None:
    """Trains or fine-tunes a generator on your own pairs; use the result with `--generator OUT`."""
    from flywheel.generate.training import GROUP, TrainOrder

    given = {name: value for name, value in locals().items() if name in TrainOrder.model_fields}
    try:
        order = TrainOrder(**given)
    except ValidationError as err:
        raise FlywheelError("; ".join(f"--{fault['loc'][0]}: {fault['msg']}" for fault in err.errors())) from err
    report = plugin(GROUP, method)(order)
    show.emit_report(report, title="trained", as_json=as_json)
    if not as_json:
        show.out.print(f"next: flywheel generate --generator {report.out}", highlight=False, markup=False, soft_wrap=True)
