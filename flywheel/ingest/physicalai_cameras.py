"""Cameras of a PhysicalAI clip to FRAMES: mp4 files with a parquet of their frames' times, and the rig's calibration.

Extrinsics turn the camera's optical axes into the rig's, which are the ego's. Intrinsics are f-theta or fisheye polynomials; a pinhole's
fx and fy are given only where the model is a pinhole, the principal point always.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from flywheel.errors import BadData
from flywheel.ingest.drive import Beats, Blob, Item, Log, Rows, warning
from flywheel.ingest.physicalai_files import Member, local_member, read_member
from flywheel.ingest.physicalai_motion import clip_ns
from flywheel.ingest.physicalai_tables import MAX_VALUE, parquet, rows_of, times_us
from flywheel.ingest.quality import check_camera, check_times
from flywheel.ingest.video_index import VideoIndex, frame_rows, index_video

TIMES = (".timestamps.parquet", ".frame_timestamps.parquet")
POSE = {"x": "cam_x_m", "y": "cam_y_m", "z": "cam_z_m", "qw": "cam_qw", "qx": "cam_qx", "qy": "cam_qy", "qz": "cam_qz"}
CENTRE = {"cx_px": ("cx", "principal_point_x"), "cy_px": ("cy", "principal_point_y")}
# How many frames may lack a time before the two files do not belong together.
MAX_APART = 2


def cameras(files: dict[str, Member]) -> dict[str, tuple[Member, Member | None]]:
    """Camera -> its film and its frames' times."""
    films = {what.removesuffix(".mp4"): member for what, member in sorted(files.items()) if what.endswith(".mp4")}
    return {name: (film, next((files[name + end] for end in TIMES if name + end in files), None)) for name, film in films.items()}


def items(log: Log, clip: str, files: dict[str, Member], *, added_ns: int | None) -> Iterator[Item]:
    """FRAMES of all cameras in rising time, when each spoke, and warnings. added_ns: what t_ns adds to the egomotion's stamps."""
    tables = {}
    for camera, (film, stamps) in cameras(files).items():
        if stamps is None:
            yield warning("camera", f"{camera} has no frame times: its film was left in landing")
            continue
        where = f"{film.inside or film.path}"
        with local_member(log, film) as file, file.open("rb") as stream:
            index = _index(where, stream)
            sha256 = _sha256(log, film, file)
        times, added = clip_ns(times_us(f"{stamps.inside or stamps.path}", _stamps(log, stamps), "timestamp"))
        if added_ns is not None and added != added_ns:
            raise BadData(f"{where}: its frame times count from another zero than the egomotion's")
        tables[camera] = _frames(where, index, times, camera=camera, sha256=sha256, extra=calibration(log, clip, camera))
        yield Beats(f"camera/{camera}", tables[camera]["t_ns"].to_numpy())
    if tables:
        yield Rows("FRAMES", pa.concat_tables(tables.values()).sort_by([("t_ns", "ascending"), ("camera", "ascending")]))


def _stamps(log: Log, stamps: Member) -> pa.Table:
    where = stamps.inside or stamps.path
    table = parquet(where, read_member(log, stamps), columns=("timestamp", "frame_timestamp", "timestamp_us"))
    if len(table.column_names) != 1:
        raise BadData(f"{where}: a column timestamp is needed")
    return table.rename_columns(["timestamp"])


def _index(where: str, stream: Any) -> VideoIndex:
    try:
        return index_video(stream)
    except BadData as err:
        raise BadData(f"{where}: {err}") from err


def _sha256(log: Log, film: Member, file: Any) -> str:
    if film.inside is None:
        return log.file(film.path).sha256
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _frames(where: str, index: VideoIndex, times: Any, *, camera: str, sha256: str, extra: dict[str, float]) -> pa.Table:
    apart = abs(len(times) - len(index.pts))
    if apart > MAX_APART:
        raise BadData(f"{where}: {len(index.pts)} frames but {len(times)} times: they do not belong together")
    count = min(len(times), len(index.pts))
    check_times(f"frame times of {where}", times[:count])
    cut = index._replace(**{name: getattr(index, name)[:count] for name in ("pts", "offset", "bytes", "keyframe")})
    table = frame_rows(cut, t_ns=times[:count], sha256=sha256, camera=camera)
    for name in (*(f"{axis}_px" for axis in ("fx", "fy", "cx", "cy")), *POSE.values()):
        table = table.append_column(name, pa.array([extra.get(name)] * count, pa.float64()))
    return table


def calibration(log: Log, clip: str, camera: str) -> dict[str, float]:
    """FRAMES columns of a camera's intrinsics and extrinsics, as far as calibration/ holds them; BadData if they cannot be."""
    found: dict[str, float] = {}
    for row in _rows(log, clip, camera, "sensor_extrinsics", "sensor_name", tuple(POSE)):
        found |= {ours: float(row[theirs]) for theirs, ours in POSE.items() if row.get(theirs) is not None}
    for row in _rows(log, clip, camera, "camera_intrinsics", "camera_name", ("model_type", "model_parameters", "cx", "cy")):
        found |= _intrinsics(row)
    if any(abs(value) > MAX_VALUE for value in found.values()):
        raise BadData(f"calibration of {camera}: {found} is not what a camera can have")
    check_camera(f"calibration of {camera}", found)
    return found


def _intrinsics(row: dict[str, Any]) -> dict[str, float]:
    said = dict(row)
    try:
        said |= json.loads(row.get("model_parameters") or "{}")
        point = said.get("principal_point") or (None, None)
        found = {"cx_px": said.get("cx", point[0]), "cy_px": said.get("cy", point[1])}
        if "pinhole" in str(said.get("model_type", "")).lower():
            found |= dict(zip(("fx_px", "fy_px"), said.get("focal_length", ()), strict=False))
        return {name: float(value) for name, value in found.items() if value is not None}
    except (ValueError, TypeError, IndexError, RecursionError, KeyError) as err:
        raise BadData(f"camera_intrinsics: model_parameters cannot be read: {str(err)[:200]}") from err


def _rows(log: Log, clip: str, camera: str, feature: str, key: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a camera of a clip in a calibration table; the offline one, solved afterwards, wins."""
    paths = sorted((p for p in log.paths if p.startswith("calibration/") and feature in p), key=lambda path: (".offline" in path, path))
    found: list[dict[str, Any]] = []
    for path in paths:
        table = parquet(path, log.read(path, limit=1 << 28), columns=("clip_id", "__index_level_0__", key, *columns))
        mine = rows_of(table, clip) or (table.to_pylist() if "clip_id" not in table.column_names else [])
        found = [row for row in mine if str(row.get(key)) == camera] or found
    return found[:1]


def media(log: Log, files: dict[str, Member]) -> Iterator[Blob]:
    """The films as they were landed (those in a zip unpacked)."""
    for film, stamps in cameras(files).values():
        if stamps is not None:
            with local_member(log, film) as file:
                yield Blob(_sha256(log, film, file), "mp4", file)
