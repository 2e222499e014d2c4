"""A mined event as an MCAP log of its own: what the tables hold around it, in Foxglove's and our own schemas.

The excerpt can be opened in Foxglove or Rerun, and ingested again. Pictures are kept byte for byte; of a video, VIDEO_HZ stills a second.
Equal tables give equal bytes.
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel import foxglove
from flywheel.errors import BadTransport, require
from flywheel.ingest.mcap_signals import EGO, JSON_SIGNALS
from flywheel.look.event import Excerpt
from flywheel.look.find import Row
from flywheel.tables import SCHEMAS
from flywheel.video import COLUMNS, attempts, is_video

Message = tuple[int, str, bytes]
VIDEO_HZ = 5.0
PROTOBUF = {"/gnss": "LocationFix", "/tracks": "SceneUpdate"}
TABLES = {"/lights": "LIGHTS", "/lane": "LANES"}
LIBRARY = "scenario-flywheel excerpt"


def write_excerpt(event: Excerpt, out: Path) -> int:
    """Writes the log and gives the number of its messages; BadTransport if the file cannot be written."""
    mcap = require("mcap.writer", extra="ingest")
    part, count = out.with_name(f".{out.name}.part"), 0
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as sink:
            writer = mcap.Writer(sink, compression=mcap.CompressionType.ZSTD)
            writer.start(profile="", library=LIBRARY)
            for name, said in _metadata(event).items():
                writer.add_metadata(name, said)
            channels: dict[str, int] = {}
            for count, (t_ns, topic, data) in enumerate(messages(event), 1):
                if topic not in channels:
                    channels[topic] = _channel(writer, topic)
                writer.add_message(channels[topic], log_time=t_ns, publish_time=t_ns, data=data, sequence=count)
            writer.finish()
        part.replace(out)
    except OSError as err:
        raise BadTransport(f"{out} cannot be written: {err}") from err
    return count


def _metadata(event: Excerpt) -> dict[str, dict[str, str]]:
    """Who drove where, as ingest reads it, and where the excerpt is from."""
    row = event.row
    identity = {name: str(row[name]) for name in ("vehicle_id", "place", "day", "clock")}
    event_said = {name: str(event.event[name]) for name in ("event_id", "scenario", "level", "t0_ns", "t1_ns", "params_sha256")}
    origin = {name: str(row[name]) for name in ("drive_id", "source_name", "source_sha256", "source_format")}
    return {"flywheel.drive": identity | {"licence": row["licence"] or "unknown"}, "flywheel.event": event_said | origin}


def messages(event: Excerpt) -> Iterator[Message]:
    """All messages of the stretch in time order."""
    signals = event.table("SIGNALS")
    streams = [_json(topic, signals, fields) for topic, fields in JSON_SIGNALS.items()]
    streams += [_json(topic, event.table(name), _own(name)) for topic, name in TABLES.items()]
    streams += [_fixes(signals), _boxes(event.table("TRACKS")), _pictures(event)]
    yield from heapq.merge(*streams, key=lambda message: message[:2])


def _own(table: str) -> dict[str, str]:
    return {name: name for name in SCHEMAS[table].names if name not in ("drive_id", "t_ns")}


def _json(topic: str, table: pa.Table, fields: Mapping[str, str]) -> Iterator[Message]:
    """A message for every row that says anything; /ego/state for every row."""
    said = {field: table[column] for field, column in fields.items() if table[column].null_count < len(table)}
    for row in pa.table({"t_ns": table["t_ns"], **said}).to_pylist() if said else []:
        t_ns = row.pop("t_ns")
        known = {name: value for name, value in row.items() if value is not None}
        if known or topic == EGO:
            yield t_ns, topic, json.dumps(known, separators=(",", ":"), allow_nan=False).encode()


def _fixes(signals: pa.Table) -> Iterator[Message]:
    for row in signals.select(["t_ns", "lat_deg", "lon_deg"]).drop_null().to_pylist():
        yield row["t_ns"], "/gnss", foxglove.fix(row["t_ns"], lat_deg=row["lat_deg"], lon_deg=row["lon_deg"])


def _boxes(tracks: pa.Table) -> Iterator[Message]:
    times = tracks["t_ns"].to_numpy()
    edges = np.flatnonzero(np.diff(times, prepend=times[:1] - 1, append=times[-1:] + 1)).tolist() if len(times) else []
    for first, last in pairwise(edges):
        yield int(times[first]), "/tracks", foxglove.boxes(int(times[first]), tracks.slice(first, last - first).to_pylist())


def _pictures(event: Excerpt) -> Iterator[Message]:
    frames = [row for row in event.rows("FRAMES", *COLUMNS) if row["kind"] == "rgb"]
    for row, found in sorted(attempts(event.store, list(_chosen(frames))), key=lambda item: (item[0]["t_ns"], item[0]["camera"])):
        if not isinstance(found, str):
            ending = "jpeg" if found.ext == "jpg" else found.ext
            yield row["t_ns"], f"/camera/{row['camera']}", foxglove.image(row["t_ns"], found.data, frame_id=row["camera"], ending=ending)


def _chosen(frames: Sequence[Row]) -> Iterator[Row]:
    """All pictures, and of each video's frames one every 1 / VIDEO_HZ seconds."""
    last: dict[str, int] = {}
    for row in frames:
        if not is_video(row) or row["t_ns"] - last.get(row["camera"], -(1 << 62)) >= 1e9 / VIDEO_HZ - 1e6:
            last[row["camera"]] = row["t_ns"]
            yield row


def _channel(writer: Any, topic: str) -> int:
    """Registers a topic with its schema."""
    name = PROTOBUF.get(topic, "CompressedImage" if topic.startswith("/camera/") else None)
    if name is not None:
        register = require("mcap_protobuf.schema", extra="fleet").register_schema
        return int(writer.register_channel(topic, "protobuf", register(writer, foxglove.proto(name))))
    schema = writer.register_schema(f"flywheel{topic.replace('/', '.')}", "jsonschema", b'{"type":"object"}')
    return int(writer.register_channel(topic, "json", schema))
