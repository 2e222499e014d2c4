"""A drive as a Rerun recording: the ego's path and speed, boxes, pictures and signals on one timeline."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import BadTransport, require
from flywheel.look.find import Drive
from flywheel.look.page import small_jpeg
from flywheel.look.plots import known, route_metres
from flywheel.video import attempts, is_video

TIMELINE = "t"
MAX_VIDEO_FRAMES, VIDEO_WIDTH_PX, MAX_STEPS = 20, 960, 20_000
COLOURS = {"car": 0x2B6CB0FF, "truck": 0xD9822BFF, "bus": 0x8A4BAFFF, "pedestrian": 0xC53030FF, "cyclist": 0x2F855AFF, "other": 0x9AA5B1FF}
MOTION = ("speed_mps", "ax_mps2", "ay_mps2", "yaw_rate_radps")
NOT_DRAWN = ("drive_id", "t_ns")


def write_rrd(drive: Drive, out: Path) -> None:
    """Writes the recording; BadTransport if the file cannot be written, MissingExtra without rerun-sdk."""
    rr = require("rerun", extra="rerun")
    recording = rr.RecordingStream("flywheel", recording_id=drive.drive_id)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        recording.save(out, default_blueprint=_blueprint(drive))
    except (OSError, RuntimeError) as err:
        raise BadTransport(f"{out} cannot be written: {err}") from err
    recording.send_recording_name(f"{drive.drive_id} {drive.row['source_name']}")
    for log in (log_findings, log_ego, log_signals, log_tracks, log_cameras):
        log(rr, recording, drive)
    recording.flush()
    recording.disconnect()


def _blueprint(drive: Drive) -> Any:
    """Boxes and path to the left, cameras to the right, signals below."""
    import rerun.blueprint as rrb

    cameras = sorted(set(drive.table("FRAMES", "camera")["camera"].to_pylist()))
    views = [rrb.Spatial2DView(origin=f"camera/{name}", name=name) for name in cameras[:9]]
    boxes = rrb.Spatial3DView(origin="world", name="ego frame")
    above = rrb.Horizontal(boxes, rrb.Grid(*views)) if views else boxes
    motion = rrb.TimeSeriesView(origin="signals", contents=[f"signals/{name}" for name in MOTION], name="motion")
    plots = [motion, rrb.Spatial2DView(origin="route", name="route"), rrb.TextLogView(origin="findings", name="findings")]
    return rrb.Blueprint(rrb.Vertical(above, rrb.Horizontal(*plots), row_shares=[3, 1]), collapse_panels=True)


def _times(rr: Any, drive: Drive, table: pa.Table) -> Any:
    return rr.TimeColumn(TIMELINE, duration=drive.seconds(table["t_ns"].to_numpy()))


def log_ego(rr: Any, recording: Any, drive: Drive) -> None:
    """The route from above, and the ego as a box in its own frame."""
    recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    ego = rr.Boxes3D(centers=[[1.4, 0, 0.75]], sizes=[[4.6, 1.8, 1.5]], colors=[0x1F2933FF], labels=["ego"])
    recording.log("world/ego", ego, static=True)
    t_s, points, what = route_metres(drive)
    if len(t_s):
        flat = points - points[0]
        recording.log("route", rr.LineStrips2D([flat * [1, -1]], colors=[0x2B6CB0FF]), static=True)
        recording.log("route/about", rr.TextDocument(what), static=True)
        columns = rr.Points2D.columns(positions=flat * [1, -1])
        recording.send_columns("route/ego", indexes=[rr.TimeColumn(TIMELINE, duration=t_s)], columns=columns)


def log_signals(rr: Any, recording: Any, drive: Drive) -> None:
    """Every signal that holds anything, at most MAX_STEPS samples of each."""
    signals = drive.table("SIGNALS")
    for name in signals.column_names:
        if name not in NOT_DRAWN and known(signals, name):
            held = signals.select(["t_ns", name]).drop_null()
            held = held.take(np.unique(np.linspace(0, len(held) - 1, MAX_STEPS).astype(int)))
            scalars = rr.Scalars.columns(scalars=held[name].to_numpy())
            recording.send_columns(f"signals/{name}", indexes=[_times(rr, drive, held)], columns=scalars)


def log_tracks(rr: Any, recording: Any, drive: Drive) -> None:
    """Boxes in the ego frame, as many at a time as there are; no instant keeps the boxes of the one before."""
    tracks = drive.table("TRACKS", "t_ns", "track_id", "cls", "x_m", "y_m", "z_m", "heading_rad", "length_m", "width_m", "height_m")
    times, first, counts = np.unique(tracks["t_ns"].to_numpy(), return_index=True, return_counts=True)
    if not len(times):
        return
    centres, sizes = (_stacked(tracks, *names) for names in (("x_m", "y_m", "z_m"), ("length_m", "width_m", "height_m")))
    half = tracks["heading_rad"].to_numpy() / 2
    quaternions = np.stack([np.zeros_like(half), np.zeros_like(half), np.sin(half), np.cos(half)], axis=1)
    classes = tracks["cls"].to_pylist()
    keep = np.unique(np.linspace(0, len(times) - 1, MAX_STEPS).astype(int))
    for k in keep:
        rows = slice(first[k], first[k] + counts[k])
        recording.set_time(TIMELINE, duration=float(drive.seconds(times[k])))
        colours = [COLOURS.get(name, COLOURS["other"]) for name in classes[rows]]
        boxes = rr.Boxes3D(centers=centres[rows], sizes=sizes[rows], quaternions=quaternions[rows], colors=colours)
        recording.log("world/tracks", boxes)


def _stacked(table: pa.Table, *names: str) -> Any:
    return np.stack([table[name].to_numpy() for name in names], axis=1)


def log_cameras(rr: Any, recording: Any, drive: Drive) -> None:
    """Pictures byte for byte; of a video, MAX_VIDEO_FRAMES evenly spread ones, decoded and made smaller."""
    for row, picture in attempts(drive.store, list(_chosen(drive))):
        recording.set_time(TIMELINE, duration=float(drive.seconds(row["t_ns"])))
        where = f"camera/{row['camera']}"
        shown = small_jpeg(picture.data, width_px=VIDEO_WIDTH_PX) if is_video(row) and not isinstance(picture, str) else picture
        if isinstance(shown, str):
            recording.log(f"{where}/missing", rr.TextLog(shown, level="WARN"))
        else:
            data, ext = (shown, "jpg") if isinstance(shown, bytes) else (shown.data, shown.ext)
            recording.log(where, rr.EncodedImage(contents=data, media_type="image/png" if ext == "png" else "image/jpeg"))


def _chosen(drive: Drive) -> Iterator[Mapping[str, Any]]:
    columns = ("t_ns", "camera", "kind", "media_sha256", "ext", "video_offset", "video_bytes", "video_pts", "keyframe")
    frames = [row for row in drive.rows("FRAMES", *columns) if row["kind"] == "rgb"]
    for camera in sorted({row["camera"] for row in frames}):
        own = [row for row in frames if row["camera"] == camera]
        most = MAX_VIDEO_FRAMES if is_video(own[0]) else MAX_STEPS
        yield from (own[k] for k in np.unique(np.linspace(0, len(own) - 1, most).astype(int)))


def log_findings(rr: Any, recording: Any, drive: Drive) -> None:
    """What the gates noticed."""
    recording.set_time(TIMELINE, duration=0.0)
    for row in drive.rows("FINDINGS"):
        level = "ERROR" if row["severity"] == "error" else "WARN"
        recording.log("findings", rr.TextLog(f"{row['gate']}: {row['message']}", level=level))
