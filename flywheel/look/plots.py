"""A drive drawn: what was measured over time with its gaps, when each sensor spoke, and the route on the ground."""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import require
from flywheel.look.find import Drive, Row, thinned

Array = NDArray[np.float64]

INK, FAINT, LINES = "#1f2933", "#9aa5b1", ("#2b6cb0", "#d9822b", "#2f855a", "#8a4baf")
PRESENT, GAP, FOUND = "#2b6cb0", "#c53030", "#c53030"
MAX_GAP_S, MAX_SENSORS, EARTH_RADIUS_M = 1.0, 40, 6_371_008.8
PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("speed\nm/s", ("speed_mps",)),
    ("acceleration\nm/s²", ("ax_mps2", "ay_mps2")),
    ("IMU\nm/s²", ("imu_ax_mps2", "imu_ay_mps2")),
    ("turning\nrad/s", ("yaw_rate_radps", "imu_yaw_rate_radps")),
    ("steering\nrad", ("steering_rad", "steering_wheel_rad")),
    ("pedals\n0 to 1", ("brake", "throttle")),
)
LEAST_SPAN = {"yaw_rate_radps": 0.1, "steering_rad": 0.05, "steering_wheel_rad": 0.05}
STYLE = {
    "font.size": 8, "axes.edgecolor": FAINT, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "svg.hashsalt": "flywheel", "svg.fonttype": "none", "font.family": ["DejaVu Sans", "sans-serif"],
}  # fmt: skip


def timeline_svg(drive: Drive) -> str:
    """Signals, tracks and sensors over the drive's time, one under the other, as SVG."""
    signals = drive.table("SIGNALS")
    panels = [(label, names) for label, names in PANELS if any(known(signals, name) for name in names)]
    tracks, sensors = drive.table("TRACKS", "t_ns", "cls"), drive.rows("SENSORS")[:MAX_SENSORS]
    heights = [1.0] * len(panels) + [0.9] * bool(len(tracks)) + [0.25 + 0.17 * len(sensors)] * bool(sensors)
    if not heights:
        return ""
    with styled():
        figure, axes = _figure(heights)
        rest = iter(axes)
        for label, names in panels:
            draw_signals(next(rest), drive, signals, names, label=label)
        if len(tracks):
            draw_tracks(next(rest), drive, tracks)
        if sensors:
            draw_sensors(next(rest), drive, sensors)
        mark_findings(axes, drive)
        axes[-1].set_xlim(0, max(drive.row["duration_s"], 0.1))
        axes[-1].set_xlabel("seconds since the drive began")
        return _svg(figure)


def route_svg(drive: Drive) -> str:
    """The route on the ground, coloured by speed, as SVG; empty without positions."""
    with styled():
        figure = blank((6.2, 5.2))
        return _svg(figure) if draw_route(figure, figure.subplots(), drive) else ""


def drive_png(drive: Drive) -> bytes:
    """One small picture of a drive: speed and acceleration, when each sensor spoke, and the route."""
    signals, sensors = drive.table("SIGNALS", "t_ns", "speed_mps", "ax_mps2"), drive.rows("SENSORS")[:16]
    with styled():
        figure = blank((10, 2.3 + 0.15 * len(sensors)))
        left, right = figure.subfigures(1, 2, width_ratios=[2.4, 1])
        left.subplots_adjust(left=0.3, right=0.99, bottom=0.12, top=0.88, hspace=0.3)
        right.subplots_adjust(left=0.2, right=0.98, bottom=0.12, top=0.88)
        axes = left.subplots(3, 1, sharex=True, height_ratios=[1, 1, 0.4 + 0.22 * len(sensors)])
        draw_signals(axes[0], drive, signals, ("speed_mps",), label="speed\nm/s")
        draw_signals(axes[1], drive, signals, ("ax_mps2",), label="ax\nm/s²")
        draw_sensors(axes[2], drive, sensors, letters=20)
        axes[2].set_xlim(0, max(drive.row["duration_s"], 0.1))
        mark_findings(axes, drive)
        draw_route(right, right.subplots(), drive)
        figure.suptitle(f"{drive.drive_id}  {drive.row['source_name']}  {drive.row['duration_s']:.1f} s", fontsize=8, color=INK)
        sink = io.BytesIO()
        figure.savefig(sink, format="png", dpi=90, metadata={"Software": None})
        return sink.getvalue()


def known(table: pa.Table, name: str) -> bool:
    """Whether a column holds anything."""
    return name in table.column_names and table[name].null_count < len(table)


def samples(drive: Drive, table: pa.Table, name: str) -> tuple[Array, Array]:
    """Seconds and values of the samples a column holds."""
    values = np.asarray(table[name].cast(pa.float64()).to_numpy())
    held = np.isfinite(values)
    return drive.seconds(table["t_ns"].to_numpy()[held]), values[held]


def draw_signals(axes: Any, drive: Drive, table: pa.Table, names: Sequence[str], *, label: str) -> None:
    """Lines that break where nothing was recorded, and the breaks in red."""
    shown = [name for name in names if known(table, name)]
    for name, colour in zip(shown, LINES, strict=False):
        t_s, values = samples(drive, table, name)
        gaps = np.flatnonzero(np.diff(t_s) > max(MAX_GAP_S, 2.5 * float(np.median(np.diff(t_s))) if len(t_s) > 1 else MAX_GAP_S))
        for k in gaps[:500]:
            axes.axvspan(t_s[k], t_s[k + 1], color=GAP, alpha=0.15, linewidth=0)
        for part in np.split(np.arange(len(t_s)), gaps + 1):
            style: dict[str, Any] = {"marker": ".", "markersize": 2} if len(part) < 100 else {}
            axes.plot(*thinned(t_s[part], values[part]), color=colour, linewidth=0.9, **style, label=name if part[0] == 0 else None)
    if len(shown) > 1:
        _legend(axes)
    _calm(axes, least=LEAST_SPAN.get(names[0], 1.0), from_zero=names[0] == "speed_mps")
    axes.set_ylabel(label, rotation=0, ha="right", va="center")


def _calm(axes: Any, *, least: float, from_zero: bool) -> None:
    """Widens an axis on which noise alone would fill the panel."""
    low, high = axes.get_ylim()
    low = min(low, 0.0) if from_zero else low
    wider = max(least - (high - low), 0.0) / 2
    axes.set_ylim(low - wider, high + wider)


def _legend(axes: Any) -> None:
    axes.legend(fontsize=6, loc="lower right", bbox_to_anchor=(1, 0.94), borderpad=0, borderaxespad=0, frameon=False, ncols=4)


def draw_tracks(axes: Any, drive: Drive, tracks: pa.Table) -> None:
    """How many road users of each class are there at a time."""
    t_s, classes = drive.seconds(tracks["t_ns"].to_numpy()), tracks["cls"].to_numpy(zero_copy_only=False)
    for name, colour in zip(sorted(set(classes), key=lambda c: -int((classes == c).sum()))[:4], LINES, strict=False):
        times, counts = np.unique(t_s[classes == name], return_counts=True)
        axes.plot(*thinned(times, counts.astype(float)), color=colour, linewidth=0.9, label=name)
    _legend(axes)
    axes.set_ylabel("tracks", rotation=0, ha="right", va="center")


def draw_sensors(axes: Any, drive: Drive, sensors: Sequence[Row], *, letters: int = 34) -> None:
    """A bar for the time each sensor spoke, its longest gaps in red."""
    for place, row in enumerate(sensors):
        begin, end = drive.seconds([row["t0_ns"], row["t1_ns"]])
        axes.barh(place, max(end - begin, 0.02), left=begin, height=0.6, color=PRESENT, alpha=0.75, linewidth=0)
        for t_ns, gap_s in zip(row["gaps_t_ns"] or (), row["gaps_s"] or (), strict=True):
            axes.barh(place, gap_s, left=float(drive.seconds(t_ns)), height=0.6, color="white", edgecolor=GAP, linewidth=0.7)
    axes.set_yticks(range(len(sensors)), [_label(row, letters) for row in sensors], fontsize=7)
    axes.invert_yaxis()
    axes.grid(axis="x", color=FAINT, alpha=0.3, linewidth=0.5)


def _label(row: Row, letters: int) -> str:
    rate = f"  {row['rate_hz']:.3g} Hz" if row["rate_hz"] is not None else ""
    return f"{row['sensor'][-letters:]}{rate}"


def mark_findings(axes: Sequence[Any], drive: Drive) -> None:
    """A thin line at every moment that a finding names."""
    text = " ".join(row["message"] for row in drive.rows("FINDINGS", "message"))
    low, high = drive.row["t0_ns"], drive.row["t1_ns"]
    for t_ns in sorted({int(t) for t in re.findall(r"at (\d{15,19}) ns", text) if low <= int(t) <= high})[:200]:
        for panel in axes:
            panel.axvline(float(drive.seconds(t_ns)), color=FOUND, linewidth=0.7, linestyle=":", alpha=0.8)


def route_metres(drive: Drive) -> tuple[Array, Array, str]:
    """Seconds (N,), metres (N, 2) and what they are: x_m, y_m, else the GNSS fixes laid flat."""
    for names, what in ((("x_m", "y_m"), "x, y in the log's own world"), (("lon_deg", "lat_deg"), "GNSS, east and north of the first fix")):
        table = drive.table("SIGNALS", "t_ns", *names).drop_null()
        if len(table) > 1:
            t_s, points = drive.seconds(table["t_ns"].to_numpy()), np.stack([table[name].to_numpy() for name in names], axis=1)
            if names[0] == "lon_deg":
                scale = EARTH_RADIUS_M * np.array([np.cos(np.radians(points[0, 1])), 1.0])
                points = np.radians(points - points[0]) * scale
            keep = np.unique(np.linspace(0, len(points) - 1, 1000).astype(int))
            return t_s[keep], points[keep], what
    return np.empty(0), np.empty((0, 2)), ""


def draw_route(figure: Any, axes: Any, drive: Drive) -> bool:
    """The route, coloured by speed where it is known; False (and no axes) without positions."""
    from matplotlib.collections import LineCollection

    t_s, points, what = route_metres(drive)
    if not len(t_s):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no positions", ha="center", va="center", color=FAINT, transform=axes.transAxes)
        return False
    speed_t, speed = samples(drive, drive.table("SIGNALS", "t_ns", "speed_mps"), "speed_mps")
    hops = np.stack([points[:-1], points[1:]], axis=1)[np.diff(t_s) <= 5]
    if len(speed_t) and len(hops):
        line = LineCollection(list(hops), cmap="viridis", array=np.interp(t_s[:-1][np.diff(t_s) <= 5], speed_t, speed), linewidth=2)
        line.set_clim(min(0.0, float(speed.min())), max(1.0, float(speed.max())))
        figure.colorbar(axes.add_collection(line), ax=axes, shrink=0.8, label="m/s")
    else:
        axes.plot(*points.T, color=PRESENT, linewidth=1.2)
    axes.plot(*points[0], "o", color=LINES[2], markersize=5)
    axes.plot(*points[-1], "s", color=GAP, markersize=5)
    axes.annotate("start", points[0], fontsize=6, xytext=(4, 4), textcoords="offset points")
    axes.annotate("end", points[-1], fontsize=6, xytext=(4, -8), textcoords="offset points")
    centre, half = (points.max(axis=0) + points.min(axis=0)) / 2, max(float(np.ptp(points, axis=0).max()) * 0.55, 5.0)
    axes.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] - half, centre[1] + half), aspect="equal")
    axes.set_title(what, fontsize=7, color=FAINT)
    axes.set(xlabel="m", ylabel="m")
    axes.ticklabel_format(useOffset=False, style="plain")
    return True


def styled() -> Any:
    """A context in which figures look like ours."""
    return require("matplotlib", extra="ingest").rc_context(STYLE)


def blank(size: tuple[float, float]) -> Any:
    """A figure of this size in inches, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    return figure


def _figure(heights: Sequence[float]) -> tuple[Any, Sequence[Any]]:
    width, height = 11.0, 0.7 + 0.95 * sum(heights)
    figure = blank((width, height))
    # Margins by hand, in inches: a layout engine would draw everything twice.
    figure.subplots_adjust(left=2.2 / width, right=1 - 0.1 / width, bottom=0.45 / height, top=1 - 0.2 / height, hspace=0.3)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=list(heights))
    return figure, list(axes[:, 0])


def _svg(figure: Any) -> str:
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    text = sink.getvalue()
    return text[text.index("<svg") :]
