"""An event in one picture: from above at its peak, what was measured around it, and what the cameras saw."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flywheel.errors import require
from flywheel.look.event import Excerpt
from flywheel.look.find import Row
from flywheel.look.plots import FAINT, GAP, INK, LINES, blank, draw_signals, known, styled
from flywheel.video import COLUMNS, attempts

AHEAD_M, BEHIND_M, SIDE_M, TRAIL_NS = 60.0, 20.0, 25.0, 2_000_000_000
PANELS = (
    ("speed\nm/s", ("speed_mps",)), ("acceleration\nm/s²", ("ax_mps2", "ay_mps2")), ("turning\nrad/s", ("yaw_rate_radps",)),
    ("upwards\nm/s²", ("imu_az_mps2",)),
)  # fmt: skip
EGO_BOX = {"x_m": 1.4, "y_m": 0.0, "heading_rad": 0.0, "length_m": 4.6, "width_m": 1.85}


def event_png(event: Excerpt) -> bytes:
    """The picture, PNG."""
    frames = _frames(event)
    with styled():
        figure = blank((12, 6.4 if frames else 4.2))
        above, *below = figure.subfigures(2, 1, height_ratios=[1.7, 1]) if frames else (figure,)
        left, right = above.subfigures(1, 2, width_ratios=[1, 1.25])
        _from_above(left.subplots(), event)
        _measured(right, event)
        for axes, (row, pixels) in zip(below[0].subplots(1, len(frames), squeeze=False)[0] if frames else (), frames, strict=True):
            axes.imshow(pixels)
            axes.set_axis_off()
            axes.set_title(f"{row['camera']}  {float(event.seconds(row['t_ns'])):.2f} s", fontsize=7, color=FAINT)
        figure.suptitle(title(event), fontsize=9, color=INK)
        sink = io.BytesIO()
        figure.savefig(sink, format="png", dpi=100, metadata={"Software": None})
        return sink.getvalue()


def title(event: Excerpt) -> str:
    """The event in one line."""
    row = event.event
    actors = f"  with {', '.join(row['actors'][:3])}" if row["actors"] else ""
    what = f"{row['scenario']} {row['level']}: {row['peak']:.2f} {row['peak_unit']}"
    return f"{what}, {row['condition']}{actors}   ({event.row['source_name']})"


def _from_above(axes: Any, event: Excerpt) -> None:
    """Boxes in the ego frame at the peak, with the way of the last two seconds; actors in red."""
    tracks = event.table("TRACKS", "t_ns", "track_id", "cls", "x_m", "y_m", "heading_rad", "length_m", "width_m")
    _box(axes, EGO_BOX, LINES[0], "ego")
    axes.set(xlim=(SIDE_M, -SIDE_M), ylim=(-BEHIND_M, AHEAD_M), aspect="equal", xlabel="m to the left", ylabel="m ahead")
    if not len(tracks):
        axes.text(0.5, 0.8, "no tracks", ha="center", color=FAINT, transform=axes.transAxes)
        return
    times = tracks["t_ns"].to_numpy()
    peak = times[np.argmin(np.abs(times - event.event["t_peak_ns"]))]
    for row in tracks.filter(times == peak).to_pylist():
        acts = row["track_id"] in event.event["actors"]
        seen = abs(row["y_m"]) < SIDE_M and -BEHIND_M < row["x_m"] < AHEAD_M
        _box(axes, row, GAP if acts else FAINT, f"{row['cls']} {row['track_id'][-8:]}" if acts and seen else "")
        if acts:
            way = tracks.filter((tracks["track_id"].to_numpy(zero_copy_only=False) == row["track_id"]) & (np.abs(times - peak) <= TRAIL_NS))
            axes.plot(way["y_m"].to_numpy(), way["x_m"].to_numpy(), color=GAP, linewidth=0.8, alpha=0.6)
    axes.set_title(f"from above, {float(event.seconds(peak)):.2f} s", fontsize=7, color=FAINT)


def _box(axes: Any, row: Mapping[str, Any], colour: str, name: str) -> None:
    c, s, a, b = np.cos(row["heading_rad"]), np.sin(row["heading_rad"]), row["length_m"] / 2, row["width_m"] / 2
    corners = np.array([[a, b], [a, -b], [-a, -b], [-a, b], [a, b], [a + 0.6, 0], [a, -b]])
    x, y = row["x_m"] + corners @ [c, -s], row["y_m"] + corners @ [s, c]
    axes.plot(y, x, color=colour, linewidth=1.2)
    if name:
        axes.annotate(name, (row["y_m"], row["x_m"]), fontsize=6, color=colour, xytext=(6, 0), textcoords="offset points")


def _measured(figure: Any, event: Excerpt) -> None:
    """Signals around the event, its time shaded."""
    signals = event.table("SIGNALS")
    panels = [panel for panel in PANELS if any(known(signals, name) for name in panel[1])][:3]
    figure.subplots_adjust(left=0.16, right=0.98, bottom=0.1, top=0.9, hspace=0.3)
    for axes, (label, names) in zip(figure.subplots(max(len(panels), 1), 1, sharex=True, squeeze=False)[:, 0], panels, strict=False):
        draw_signals(axes, event, signals, names, label=label)
        axes.axvspan(*event.span_s, color=LINES[1], alpha=0.15, linewidth=0)
        axes.axvline(float(event.seconds(event.event["t_peak_ns"])), color=LINES[1], linewidth=0.8)
        axes.set_xlim(0, max(event.row["duration_s"], 0.1))
    if panels:
        axes.set_xlabel("seconds since the excerpt began")


def _frames(event: Excerpt) -> list[tuple[Row, NDArray[np.uint8]]]:
    """RGB pictures of the first camera at the begin, the peak and the end; none where nothing can be decoded."""
    cv2 = require("cv2", extra="ingest")
    rows = [row for row in event.rows("FRAMES", *COLUMNS) if row["kind"] == "rgb"]
    own = [row for row in rows if row["camera"] == _front(sorted({row["camera"] for row in rows}))]
    wanted = [min(own, key=lambda row: abs(row["t_ns"] - event.event[at])) for at in ("t0_ns", "t_peak_ns", "t1_ns")] if own else []
    chosen = list({row["t_ns"]: row for row in wanted}.values())
    raw = [(dict(row), np.frombuffer(found.data, np.uint8)) for row, found in attempts(event.store, chosen) if not isinstance(found, str)]
    shown = [(row, cv2.imdecode(data, cv2.IMREAD_COLOR)) for row, data in raw]
    return sorted(((row, pixels[..., ::-1]) for row, pixels in shown if pixels is not None), key=lambda found: found[0]["t_ns"])


def _front(cameras: Sequence[str]) -> str | None:
    """The camera that looks ahead, by its name; else the first."""
    named = [name for name in cameras if "front" in name.lower() and not any(side in name.lower() for side in ("left", "right"))]
    return next(iter([*named, *cameras]), None)
