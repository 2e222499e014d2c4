"""What `flywheel generate train` asks a trainer for and gets back, and the note that lets commands use what was trained.

Trainers are plug-ins of the entry point group `flywheel.trainers`: each takes a `TrainOrder` and gives a `TrainReport`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from flywheel.errors import BadData
from flywheel.types import Record

GROUP = "flywheel.trainers"
NOTE = "generator.json"


class TrainOrder(Record):
    """One training run: where its pairs are, what it starts from and how long it learns.

    `pairs` is a folder with a `pairs.jsonl` (a line a pair: source, source_condition, target, target_condition; files relative to
    the folder); `root` is a store whose accepted variations are pairs. At least one of both is needed. `base` is a folder or hub id
    ("" for the trainer's own choice, "scratch" for new weights where the trainer can).
    """

    out: Path
    pairs: Path | None = None
    root: str | None = None
    base: str = ""
    steps: int = Field(default=1000, ge=1)
    batch: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    seed: int = 0
    keep_every: int = Field(default=100, ge=1)
    rank: int = Field(default=8, ge=1)
    width_px: int = Field(default=512, ge=16)
    height_px: int = Field(default=512, ge=16)
    device: str | None = None


class TrainReport(Record):
    """What a run gave; `ssim` is the mean likeness to the true targets of held-out pairs: of the source, before and after training."""

    method: str
    out: Path
    generator: str
    weights_sha256: str
    pairs: int
    held_out: int
    steps: int
    resumed_at: int
    loss_first: float
    loss_last: float
    ssim_source: float | None = None
    ssim_before: float | None = None
    ssim_after: float | None = None


def write_note(folder: Path, *, generator: str, options: Mapping[str, Any] | None = None, folders: Mapping[str, str] | None = None) -> None:
    """Writes which generator draws with what lies in the folder, with which options; `folders` are options that lie inside it."""
    note = {"generator": generator, "options": dict(options or {}), "folders": dict(folders or {})}
    (folder / NOTE).write_text(json.dumps(note, indent=1) + "\n")


def resolved(generator: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name, options) for a generator's name, or for a folder that training wrote; given options win over the folder's."""
    note = Path(generator) / NOTE
    if not note.is_file():
        return generator, dict(options)
    try:
        told = json.loads(note.read_text())
        inside = {name: str(Path(generator) / part) for name, part in told["folders"].items()}
        return str(told["generator"]), {**told["options"], **inside, **options}
    except (ValueError, TypeError, KeyError, AttributeError) as err:
        raise BadData(f"{note} does not say which generator draws with this folder ({type(err).__name__}: {err})") from err
