"""One drive as one HTML file: no script, nothing from the network, everything a log can say escaped."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import numpy as np

from flywheel.errors import require
from flywheel.look.find import Drive, Row
from flywheel.look.plots import route_svg, timeline_svg
from flywheel.video import attempts

PICTURES, WIDTH_PX, JPEG_QUALITY = 6, 420, 80
FACTS = (
    "source_name", "source_format", "source_sha256", "batch_id", "vehicle_id", "place", "day", "root_group", "licence", "has_map", "clock",
)  # fmt: skip
COUNTS = ("signal_rows", "track_rows", "tracks", "frames", "lane_rows", "light_rows")
SENSOR_COLUMNS = {
    "sensor": "sensor", "samples": "samples", "rate_hz": "rate, Hz", "jitter_ms": "jitter, ms", "gaps": "gaps",
    "longest_gap_s": "longest step, s", "reversals": "reversals", "overlap": "share of the drive", "offset_ms": "offset of its stamps, ms",
    "offset_error_ms": "error of the offset, ms",
}  # fmt: skip
CSS = """
:root { color-scheme: light; --ink: #1f2933; --faint: #616e7c; --line: #e4e7eb; --warn: #b44d12; --error: #c53030; }
body { font: 14px/1.45 "DejaVu Sans", system-ui, sans-serif; color: var(--ink); margin: 0 auto; max-width: 1180px; padding: 24px; }
h1 { font-size: 20px; margin: 0; } h2 { font-size: 15px; margin: 28px 0 8px; border-bottom: 1px solid var(--line); padding-bottom: 4px; }
.lead { color: var(--faint); margin: 4px 0 0; }
table { border-collapse: collapse; font-size: 12.5px; width: 100%; }
th { text-align: left; color: var(--faint); font-weight: normal; } td, th { padding: 3px 12px 3px 0; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; vertical-align: top; } td.n, th.n { text-align: right; }
td.n { font-variant-numeric: tabular-nums; white-space: nowrap; }
.facts { display: grid; grid-template-columns: 1fr 1fr; gap: 0 40px; } .facts th { white-space: nowrap; width: 1%; }
.scroll { overflow-x: auto; } .scroll td:nth-child(-n+2) { white-space: nowrap; }
.warning { color: var(--warn); } .error { color: var(--error); }
.wide svg { width: 100%; height: auto; } .map svg { max-width: 640px; height: auto; width: 100%; }
.strip { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; } figure { margin: 0; } img { width: 100%; display: block; }
figcaption { font-size: 11px; color: var(--faint); padding: 2px 0 6px; }
@media (max-width: 700px) { .facts { grid-template-columns: 1fr; } .strip { grid-template-columns: 1fr 1fr; } body { padding: 12px; } }
@media (max-width: 700px) { .wide { overflow-x: auto; } .wide svg { min-width: 640px; } }
"""


def drive_page(drive: Drive) -> str:
    """The whole page."""
    title = f"{drive.drive_id} · {drive.row['source_name']}"
    return html(title, "\n".join(piece for piece in _pieces(drive) if piece))


def html(title: str, body: str) -> str:
    """A page around a body."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def _pieces(drive: Drive) -> Iterator[str]:
    row = drive.row
    yield f"<h1>{escape(drive.drive_id)}</h1>"
    lead = f"{row['source_name']} ({row['source_format']}), {row['vehicle_id']} in {row['place']} on {row['day']}"
    yield f'<p class="lead">{escape(lead)}: {row["duration_s"]:.1f} s, {row["distance_m"]:.0f} m</p>'
    yield "<h2>Findings</h2>" + findings_html(drive)
    yield "<h2>Facts</h2>" + facts_html(row)
    yield f'<h2>Timeline</h2><div class="wide">{timeline_svg(drive)}</div>'
    route = route_svg(drive)
    yield f'<h2>Route</h2><div class="map">{route or "the log holds no positions"}</div>'
    yield "<h2>Clocks</h2>" + sensors_html(drive.rows("SENSORS"))
    yield "<h2>Events</h2>" + events_html(drive)
    yield from cameras_html(drive)


def table_html(head: Sequence[str], rows: Sequence[Sequence[Any]], *, classes: Sequence[str] = ()) -> str:
    """Rows as a table; numbers to the right, a class for each row if given."""
    if not rows:
        return "<p>none</p>"
    lines = ["".join(_cell(value) for value in row) for row in rows]
    marked = [f'<tr class="{name}">{line}</tr>' for name, line in zip(classes or [""] * len(lines), lines, strict=True)]
    numeric = [any(isinstance(row[k], int | float) for row in rows) for k in range(len(head))]
    top = "".join(f'<th class="{"n" if right else ""}">{escape(name)}</th>' for name, right in zip(head, numeric, strict=True))
    return f'<div class="scroll"><table><tr>{top}</tr>{"".join(marked)}</table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None or not isinstance(value, int | float):
        return f"<td>{escape('' if value is None else str(value))}</td>"
    return f'<td class="n">{f"{value:.4g}" if isinstance(value, float) else value}</td>'


def findings_html(drive: Drive) -> str:
    """What the gates noticed, errors first, with times as seconds into the drive."""
    rows = sorted(drive.rows("FINDINGS"), key=lambda row: (row["severity"], row["gate"], row["message"]))
    if not rows:
        return "<p>No gate noticed anything.</p>"
    said = [(row["severity"], row["gate"], in_seconds(row["message"], drive.row["t0_ns"])) for row in rows]
    return table_html(("severity", "gate", "what"), said, classes=[row["severity"] for row in rows])


def in_seconds(message: str, t0_ns: int) -> str:
    """A finding's text with its times in seconds since the drive began."""
    return re.sub(r"(\d{15,19}) ns", lambda found: f"{(int(found[1]) - t0_ns) / 1e9:.2f} s", message)


def facts_html(row: Row) -> str:
    """What DRIVES says, in two columns."""
    began = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=row["t0_ns"] // 1000)
    left = [(name, row[name]) for name in FACTS] + [("began, by its clock", began.isoformat(sep=" ", timespec="milliseconds"))]
    left += [(f"{name} of the clock", _milliseconds(row[f"clock_{name}_ns"])) for name in ("offset", "error")]
    right = [(name, row[name]) for name in COUNTS]
    right += [(name, ", ".join(row[name]) or "none") for name in ("signals", "derived")]
    return f'<div class="facts">{pairs_html(left)}{pairs_html(right)}</div>'


def _milliseconds(value_ns: int | None) -> str | None:
    return None if value_ns is None else f"{value_ns / 1e6:.3f} ms"


def pairs_html(pairs: Sequence[tuple[str, Any]]) -> str:
    """Names and values, one under the other."""
    lines = (f"<tr><th>{escape(name)}</th><td>{escape('unknown' if value is None else str(value))}</td></tr>" for name, value in pairs)
    return f"<div><table>{''.join(lines)}</table></div>"


def sensors_html(sensors: Sequence[Row]) -> str:
    """Rate, jitter, gaps, order, overlap and offset of each sensor."""
    return table_html(tuple(SENSOR_COLUMNS.values()), [[row[name] for name in SENSOR_COLUMNS] for row in sensors])


def events_html(drive: Drive) -> str:
    """What was mined from the drive."""
    names = ("scenario", "level", "t0_ns", "t1_ns", "peak", "peak_unit", "condition")
    rows = sorted(drive.rows("EVENTS", *names), key=lambda row: (row["t0_ns"], row["scenario"]))
    times = [tuple(map(float, drive.seconds([row["t0_ns"], row["t1_ns"]]))) for row in rows]
    said = [(row["scenario"], row["level"], *t_s, *(row[name] for name in names[4:])) for row, t_s in zip(rows, times, strict=True)]
    return table_html(("scenario", "level", "from, s", "to, s", "peak", "unit", "condition"), said)


def cameras_html(drive: Drive) -> Iterator[str]:
    """A few pictures of each camera, evenly spread; a frame that cannot be decoded says why."""
    columns = ("t_ns", "camera", "kind", "media_sha256", "ext", "video_offset", "video_bytes", "video_pts", "keyframe")
    frames = [row for row in drive.rows("FRAMES", *columns) if row["kind"] == "rgb"]
    for camera in sorted({row["camera"] for row in frames}):
        own = [row for row in frames if row["camera"] == camera]
        chosen = [own[k] for k in np.unique(np.linspace(0, len(own) - 1, PICTURES).astype(int))]
        shown = sorted(attempts(drive.store, chosen), key=lambda item: int(item[0]["t_ns"]))
        figures = "".join(_figure(drive, row, found if isinstance(found, str) else found.data) for row, found in shown)
        yield f'<h2>{escape(camera)}: {len(own)} frames</h2><div class="strip">{figures}</div>'


def _figure(drive: Drive, row: Mapping[str, Any], found: bytes | str) -> str:
    at = f"{float(drive.seconds(row['t_ns'])):.2f} s"
    small = found if isinstance(found, str) else small_jpeg(found)
    if isinstance(small, str):
        return f'<figure><p class="error">{escape(small)}</p><figcaption>{at}</figcaption></figure>'
    data = base64.b64encode(small).decode()
    return f'<figure><img alt="{escape(row["camera"])} at {at}" src="data:image/jpeg;base64,{data}"><figcaption>{at}</figcaption></figure>'


def small_jpeg(data: bytes, *, width_px: int = WIDTH_PX) -> bytes | str:
    """The picture at another width, or why it cannot be shown."""
    cv2 = require("cv2", extra="ingest")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        return "the picture cannot be decoded"
    height = max(1, round(pixels.shape[0] * width_px / pixels.shape[1]))
    small = cv2.resize(pixels, (width_px, height), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1])
