"""An event as one HTML file: its picture, what was looked for, what was found, and the drive around it."""

import base64
from collections.abc import Iterator
from html import escape

from flywheel.errors import BadData
from flywheel.look.event import Excerpt
from flywheel.look.event_picture import event_png, title
from flywheel.look.page import cameras_html, html, pairs_html, table_html
from flywheel.look.plots import route_svg, timeline_svg
from flywheel.mine.catalogue import Scenario, scenario

FACTS = ("event_id", "drive_id", "level", "peak", "peak_unit", "condition", "odd", "root_group", "detector_version", "params_sha256")


def event_page(event: Excerpt) -> str:
    """The whole page."""
    return html(title(event), "\n".join(_pieces(event)))


def _pieces(event: Excerpt) -> Iterator[str]:
    row = event.event
    yield f"<h1>{escape(row['scenario'])} {row['level']}</h1>"
    yield f'<p class="lead">{escape(title(event))}</p>'
    yield f'<p><img alt="the event" src="data:image/png;base64,{base64.b64encode(event_png(event)).decode()}"></p>'
    entry = _entry(row["scenario"])
    if entry is not None:
        yield f"<h2>What was looked for</h2><p>{escape(entry.definition)}</p>" + levels_html(entry)
    t0_s, t1_s = event.span_s
    facts = [(name, row[name]) for name in FACTS]
    facts += [("from, to", f"{t0_s:.2f} s, {t1_s:.2f} s of the excerpt"), ("actors", ", ".join(row["actors"]) or "none")]
    yield f"<h2>What was found</h2>{pairs_html(facts)}"
    yield f'<h2>Around it</h2><div class="wide">{timeline_svg(event)}</div>'
    yield f'<div class="map">{route_svg(event)}</div>'
    yield from cameras_html(event)


def _entry(name: str) -> Scenario | None:
    """The catalogue's entry; None for a scenario that is in it no longer."""
    try:
        return scenario(name)
    except BadData:
        return None


def levels_html(entry: Scenario) -> str:
    """The thresholds of each level."""
    rows = [(level, f"{t.quantity} {t.sign} {t.value:g} {t.unit}") for level, found in sorted(entry.levels.items()) for t in found]
    return table_html(("level", "threshold"), rows) + f"<p>Source: {escape(entry.source)}. Nearest tag: {escape(entry.nearest_tag)}.</p>"
