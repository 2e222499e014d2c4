"""What else a PhysicalAI clip holds: lidar, radar and reasoning feed no table; it is noted when they spoke."""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Log
from flywheel.ingest.physicalai_files import MAX_PARQUET_BYTES, Member, member_bytes, read_member
from flywheel.ingest.physicalai_motion import clip_ns
from flywheel.ingest.physicalai_tables import parquet, rows_of, times_us

SENSORS = ("lidar_", "radar_")
STAMPS = ("spin_start_timestamp", "scan_start_timestamp", "timestamp", "sensor_timestamp")


def beats(log: Log, clip: str, files: dict[str, Member]) -> Iterator[Beats]:
    """When each lidar and radar spoke, where its file is small enough to be looked into, and when reasoning was written down."""
    for what, member in sorted(files.items()):
        if what.startswith(SENSORS) and member_bytes(log, member) <= MAX_PARQUET_BYTES:
            times = _spoke(member.inside or member.path, read_member(log, member))
            if len(times):
                yield Beats(what.removesuffix(".parquet"), times)
    for path in _reasoning(log):
        times = _events(path, parquet(path, log.read(path, limit=1 << 28), columns=("clip_id", "__index_level_0__", "events")), clip)
        if len(times):
            yield Beats("reasoning", times)


def _spoke(where: str, data: bytes) -> NDArray[np.int64]:
    table = parquet(where, data, columns=STAMPS)
    name = next((name for name in STAMPS if name in table.column_names), None)
    return np.unique(clip_ns(times_us(where, table, name))[0]) if name else np.zeros(0, np.int64)


def _events(where: str, table: pa.Table, clip: str) -> NDArray[np.int64]:
    try:
        said = [event["event_start_timestamp"] for row in rows_of(table, clip) for event in json.loads(row["events"])]
        return np.sort(clip_ns(np.array(said, np.int64))[0])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as err:
        raise BadData(f"{where}: events is not a list of event_start_timestamp and cot: {str(err)[:200]}") from err


def _reasoning(log: Log) -> list[str]:
    return sorted(path for path in log.paths if path.startswith("reasoning/"))


def unread(log: Log, files: dict[str, Member]) -> list[str]:
    """The names of what no table holds."""
    return sorted({what.split(".")[0] for what in files if what.startswith(SENSORS)}) + (["reasoning"] if _reasoning(log) else [])
