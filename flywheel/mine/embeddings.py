"""Image embeddings of a few frames a drive, made once: the ground that novelty and near duplicates are judged on."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import require
from flywheel.store import Store
from flywheel.tables import SCHEMAS, conform, read_table, table_key, write_table
from flywheel.types import Record
from flywheel.video import COLUMNS, attempts

Row = dict[str, Any]
ENCODER = "efficientnet-lite0/imagenet"
STEP_S, MOST = 2.5, 24


class EmbedReport(Record):
    """What one batch's embedding did; frames that cannot be decoded are `lost`."""

    batch_id: str
    drives: int
    embedded: int
    skipped: int
    frames: int
    lost: int


def embed_batch(store: Store, batch_id: str) -> EmbedReport:
    """Embeds every drive of a batch that has frames and no embeddings yet."""
    from tqdm import tqdm

    drives = [
        row["drive_id"]
        for row in read_table(store, "DRIVES", batch_id=batch_id, columns=["drive_id", "frames"]).to_pylist()
        if row["frames"]
    ]
    todo = [drive for drive in drives if not store.exists(table_key("EMBEDDINGS", batch_id=batch_id, part=drive))]
    frames = lost = 0
    for drive in tqdm(todo, desc="embed", unit="drive", disable=None):
        table, missing = embed_drive(store, batch_id, drive)
        write_table(store, "EMBEDDINGS", table, batch_id=batch_id, part=drive)
        frames, lost = frames + len(table), lost + missing
    return EmbedReport(batch_id=batch_id, drives=len(drives), embedded=len(todo), skipped=len(drives) - len(todo), frames=frames, lost=lost)


def embed_drive(store: Store, batch_id: str, drive_id: str) -> tuple[pa.Table, int]:
    """EMBEDDINGS of one drive, and how many of the chosen frames could not be decoded."""
    from flywheel.encoder import embed

    frames = read_table(store, "FRAMES", batch_id=batch_id, part=drive_id, columns=list(COLUMNS)).to_pylist()
    chosen = list(spread([row for row in frames if row["kind"] == "rgb"]))
    seen = ((row, _pixels(found.data)) for row, found in attempts(store, chosen) if not isinstance(found, str))
    kept = sorted(((row, pixels) for row, pixels in seen if pixels is not None), key=lambda item: (item[0]["t_ns"], item[0]["camera"]))
    named = {name: [row[name] for row, _ in kept] for name in ("t_ns", "camera", "media_sha256")}
    vectors = _lists(embed([pixels for _, pixels in kept]))
    columns = {**named, "drive_id": [drive_id] * len(kept), "encoder": [ENCODER] * len(kept), "vector": vectors}
    return conform("EMBEDDINGS", pa.table({name: columns[name] for name in SCHEMAS["EMBEDDINGS"].names})), len(chosen) - len(kept)


def spread(frames: Sequence[Row]) -> Iterable[Row]:
    """Of each camera a frame every STEP_S seconds, at most MOST of them, evenly spread."""
    for camera in sorted({row["camera"] for row in frames}):
        own = sorted((row for row in frames if row["camera"] == camera), key=lambda row: row["t_ns"])
        span_s = (own[-1]["t_ns"] - own[0]["t_ns"]) / 1e9
        count = min(MOST, len(own), 1 + int(span_s / STEP_S))
        yield from (own[k] for k in np.unique(np.linspace(0, len(own) - 1, count).round().astype(int)))


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    cv2 = require("cv2", extra="mine")
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.asarray(found[..., ::-1], np.uint8)


def _lists(vectors: NDArray[np.float32]) -> pa.Array:
    """(N, D) as an Arrow list array."""
    offsets = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(vectors.ravel(), pa.float32()))


def matrix(table: pa.Table) -> NDArray[np.float32]:
    """(N, D) unit vectors of an EMBEDDINGS table."""
    flat = table["vector"].combine_chunks().flatten().to_numpy()
    return np.asarray(flat, np.float32).reshape(len(table), -1 if len(table) else 1280)
