"""What a VARIATIONS row holds beyond one frame: the frames of a clip, and an object that was drawn in."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]


def frames_of(row: Row) -> list[dict[str, Any]]:
    """The row of each drawn frame: one for each frame of a clip, with its own time, parent and output; else the row itself."""
    if not row.get("clip_outputs"):
        return [dict(row)]
    triples = zip(row["clip_t_ns"], row["clip_parents"], row["clip_outputs"], strict=True)
    return [{**row, "t_ns": t_ns, "parent_sha256": parent, "output_sha256": output} for t_ns, parent, output in triples]


def inserted_in(row: Row) -> dict[str, Any] | None:
    """The object drawn into the frame, as a TRACKS row of the frame's instant; None where none was."""
    found: dict[str, Any] | None = json.loads(row["inserted"]) if row.get("inserted") else None
    return found


def media_of(row: Row) -> Iterator[tuple[str, str]]:
    """(sha256, extension) of every parent and output that a row names."""
    for frame in frames_of(row):
        yield frame["parent_sha256"], frame["parent_ext"]
        if frame["output_sha256"]:
            yield frame["output_sha256"], frame["output_ext"]
