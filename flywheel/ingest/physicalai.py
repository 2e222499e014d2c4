"""The folder layout of NVIDIA's PhysicalAI-Autonomous-Vehicles dataset: one drive a clip; egomotion, obstacles and cameras are read.

Lidar, radar and reasoning labels stay in landing and are reported. The dataset names no vehicle, session or date: country, month, hour and
platform of a clip make its split group, so that clips of one recording are never split apart.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from flywheel.errors import BadData
from flywheel.ingest import physicalai_cameras as cameras
from flywheel.ingest import physicalai_others as others
from flywheel.ingest.drive import Beats, Blob, DriveFacts, Finding, Item, Log, Rows, warning
from flywheel.ingest.physicalai_files import ROOT as FILES_ROOT
from flywheel.ingest.physicalai_files import Member, clip_files, clips, read_member
from flywheel.ingest.physicalai_motion import Ego, ego_motion, tracks_table
from flywheel.ingest.physicalai_tables import parquet, rows_of
from flywheel.ingest.signals import signals_table

ROOT = FILES_ROOT
DAY, LICENCE = "2000-01-01", "NVIDIA Autonomous Vehicle Dataset License Agreement"
COLLECTED = ("country", "month", "hour_of_day", "platform_class")


def matches(log: Log) -> bool:
    """Whether the log is a folder with egomotion or cameras in this layout."""
    known = [path for path in sorted(log.paths) if ROOT.fullmatch(path)] if not log.is_file else []
    return any(head.startswith((b"PAR1", b"PK")) or head[4:8] == b"ftyp" for head in (log.head(path, size=8) for path in known[:64]))


def parts(log: Log) -> dict[str, frozenset[str]]:
    """One part a clip; BadData if there is none."""
    found = clips(log)
    if not found:
        raise BadData("no clip here: neither labels/ nor camera/ holds <clip>.egomotion.parquet or <clip>.<camera>.mp4, loose or in zips")
    return found


def read(log: Log) -> Iterator[Item]:
    """The drive of one clip; BadData names the file of what is wrong."""
    files = clip_files(log, log.part)
    motion = prefer(files, "egomotion")
    ego = None if motion is None else ego_motion(motion.inside or motion.path, read_member(log, motion))
    yield facts(log, ego, tracked=ego is not None and prefer(files, "obstacle") is not None)
    if ego is None:
        yield warning("egomotion", "the clip has no egomotion: nothing about motion can be evaluated")
    else:
        yield Rows("SIGNALS", signals_table([ego.stream]))
        yield Beats("egomotion", ego.path.times)
        yield from _tracks(log, files, ego)
    yield from cameras.items(log, log.part, files, added_ns=None if ego is None else ego.added_ns)
    yield from others.beats(log, log.part, files)
    yield from findings(ego, others.unread(log, files))


def media(log: Log) -> Iterator[Blob]:
    """The clip's films."""
    return cameras.media(log, clip_files(log, log.part))


def prefer(files: dict[str, Member], feature: str) -> Member | None:
    """A feature's parquet, the one solved offline before the one made while driving."""
    return files.get(f"{feature}.offline.parquet") or files.get(f"{feature}.parquet")


def _tracks(log: Log, files: dict[str, Member], ego: Ego) -> Iterator[Item]:
    boxes = prefer(files, "obstacle")
    if boxes is None:
        return
    table, outside = tracks_table(boxes.inside or boxes.path, read_member(log, boxes), ego)
    yield Rows("TRACKS", table)
    if len(table):
        yield Beats("obstacle", table["t_ns"].unique().to_numpy())
    if outside:
        yield warning("tracks", f"{outside} boxes lie before or after the ego's path and were left out")


def facts(log: Log, ego: Ego | None, *, tracked: bool) -> DriveFacts:
    """What the dataset says about the clip; without its metadata a clip is a split group of its own."""
    said = collected(log)
    place = " ".join(f"{name} {_word(said[name])}" for name in COLLECTED[:3] if said.get(name) is not None)
    vehicle = _word(said.get("platform_class") or "physicalai") if said else log.part
    dated = ego is not None and ego.added_ns == 0
    day = datetime.fromtimestamp(int(ego.path.times[0]) // 10**9, UTC).date().isoformat() if ego is not None and dated else DAY
    return DriveFacts(
        vehicle_id=vehicle, place=place or "unknown", day=day, clock="utc" if dated else "relative", licence=LICENCE,
        derived=(*(ego.derived if ego else ()), *(("TRACKS.vx_mps", "TRACKS.vy_mps") if tracked else ())),
    )  # fmt: skip


def collected(log: Log) -> dict[str, Any]:
    """The clip's row of metadata/data_collection.parquet; empty if there is none."""
    path = next((path for path in sorted(log.paths) if path.endswith("metadata/data_collection.parquet")), None)
    if path is None:
        return {}
    table = parquet(path, log.read(path, limit=1 << 28), columns=("clip_id", "__index_level_0__", *COLLECTED))
    return next(iter(rows_of(table, log.part)), {})


def _word(value: Any) -> str:
    return re.sub(r"[|\x00-\x1f]", "_", str(value)).strip()[:60] or "unknown"


def findings(ego: Ego | None, unread: list[str]) -> Iterator[Finding]:
    """What a user of this drive must know."""
    if ego is None or ego.added_ns:
        yield warning("clock", "the clip counts from its own start, whose date is not published: t_ns counts from 2000-01-01T01:00:00Z")
    if unread:
        yield warning("files", f"no table holds them, so they stay in landing: {', '.join(unread)[:400]}")
