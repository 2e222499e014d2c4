"""A scenario explained: its entry in lines, and a small example: a mined event of the root, else a curve made by hand."""

import base64
import io
from collections.abc import Iterator
from html import escape

import numpy as np

from flywheel.look.event import excerpt
from flywheel.look.event_page import levels_html
from flywheel.look.event_picture import event_png
from flywheel.look.find import Array, Row
from flywheel.look.page import html, pairs_html
from flywheel.look.plots import FAINT, GAP, INK, LINES, blank, samples, styled
from flywheel.mine.catalogue import Scenario, Threshold
from flywheel.mine.describe import described
from flywheel.mine.query import parse
from flywheel.store import Store
from flywheel.tables import read_table
from flywheel.types import Level

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH, POINTS = 64, 400
# The signal that shows an event of a quantity best; the ego's speed for all others.
SHOWN = {
    "acceleration": "ax_mps2", "deceleration": "ax_mps2", "reaction": "ax_mps2", "change": "ax_mps2", "longitudinal": "ax_mps2",
    "lateral": "ay_mps2", "together": "ay_mps2", "turn": "yaw_rate_radps", "vertical": "imu_az_mps2", "rain": "rain_mmph",
    "snow": "snow_mmph", "visibility": "visibility_m", "sun": "sun_elevation_deg",
}  # fmt: skip


def explained(entry: Scenario) -> list[tuple[str, str]]:
    """Everything the entry says, as names and texts."""
    levels = [
        (level, ", ".join(f"{t.quantity} {t.sign} {t.value:g} {t.unit}" for t in found)) for level, found in sorted(entry.levels.items())
    ]
    where = [("query", described(parse(entry.where, entry.name)))] if entry.where is not None else []
    return [
        ("scenario", entry.name), ("catalogue row", "the user's own" if entry.row is None else str(entry.row)),
        ("definition", entry.definition), *where, *levels, ("lasts at least", f"{entry.min_duration_s:g} s"),
        ("joined with the next", f"if less than {entry.merge_s:g} s apart; it ends at {entry.exit_ratio:.0%} of the threshold"),
        *((name.replace("_", " "), f"{value:g}") for name, value in entry.settings.items()),
        ("signals", ", ".join(entry.signals) or "those of its parts"), ("peak", f"{entry.peak} ({entry.peak_unit})"),
        ("severity", f"{entry.severity} of 3"), ("source", entry.source), ("nearest tag", entry.nearest_tag),
        ("detector", "its query" if where else entry.detected_by), ("parameters", f"sha256 {entry.digest[:16]}"),
    ]  # fmt: skip


def event_of(store: Store, entry: Scenario) -> Row | None:
    """The hardest mined event of a scenario in the root, the first of equals; None without any."""
    rows = [row for row in read_table(store, "EVENTS").to_pylist() if row["scenario"] == entry.name]
    return min(rows, key=lambda row: (-int(row["level"][1]), row["drive_id"], row["t0_ns"]), default=None)


def made_up(entry: Scenario) -> tuple[Array, Array, list[tuple[Level, Threshold]]]:
    """A curve of the first quantity that goes beyond its hardest level: (seconds, values, thresholds by level); empty without one."""
    first = next((t for level in sorted(entry.levels) for t in entry.levels[level]), None)
    marks = [(level, t) for level, found in sorted(entry.levels.items()) for t in found if first and t.quantity == first.quantity]
    if first is None:
        return np.empty(0), np.empty(0), []
    values = [t.value for _, t in marks]
    span = max(max(map(abs, values)), max(values) - min(values), 1e-6)
    down = first.sign.startswith("<")
    rest, worst = (max(values) + 0.6 * span, min(values) - 0.15 * span) if down else (min(values) - 0.6 * span, max(values) + 0.15 * span)
    width_s = max(1.0, 2 * entry.min_duration_s)
    t_s = np.linspace(0.0, 8 * width_s, POINTS)
    return t_s, rest + (worst - rest) * np.exp(-0.5 * ((t_s - 4 * width_s) / width_s) ** 2), marks


def held(values: Array, mark: Threshold) -> Array:
    """Where a threshold is met, 0 or 1."""
    met = {"<=": values <= mark.value, ">=": values >= mark.value, "<": values < mark.value, ">": values > mark.value}[mark.sign]
    return np.asarray(met, np.float64)


def spark(values: Array, inside: Array) -> tuple[str, str]:
    """A curve in one line of blocks, and a line that marks where the event is."""
    pieces = [piece for piece in np.array_split(np.arange(len(values)), WIDTH) if len(piece)]
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    height = [(float(np.nanmean(values[piece])) - low) / max(high - low, 1e-9) for piece in pieces]
    blocks = "".join(BLOCKS[int(np.clip(h * len(BLOCKS), 0, len(BLOCKS) - 1))] if np.isfinite(h) else " " for h in height)
    return blocks, "".join("━" if inside[piece].max() > 0 else " " for piece in pieces)


def sparkline(store: Store, entry: Scenario) -> tuple[str, str, str]:
    """(what is shown, the curve, the event's place): of a mined event if there is one, else made up; empty curves without either."""
    row = event_of(store, entry)
    if row is not None:
        event = excerpt(store, row)
        quantity = next((t.quantity for level in sorted(entry.levels) for t in entry.levels[level]), "")
        for name in (SHOWN.get(quantity, "speed_mps"), "speed_mps"):
            t_s, values = samples(event, event.table("SIGNALS", "t_ns", name), name)
            if len(t_s):
                inside = ((t_s >= event.span_s[0]) & (t_s <= event.span_s[1])).astype(np.float64)
                span = f"{values.min():.3g} to {values.max():.3g}, {t_s[-1] - t_s[0]:.0f} s"
                return (f"{row['event_id']}, {row['level']}: {name} ({span})", *spark(values, inside))
    t_s, values, marks = made_up(entry)
    if not marks:
        return "no event was mined, and its query has no threshold to draw", "", ""
    return (f"no event was mined; a made-up {marks[0][1].quantity} in {marks[0][1].unit}", *spark(values, held(values, marks[0][1])))


def example_png(store: Store, entry: Scenario) -> bytes:
    """A picture of a mined event, else of the made-up curve with its thresholds."""
    row = event_of(store, entry)
    return event_png(excerpt(store, row)) if row is not None else curve_png(entry)


def curve_png(entry: Scenario) -> bytes:
    """The made-up curve, its thresholds, and the event they make of it."""
    t_s, values, marks = made_up(entry)
    with styled():
        figure = blank((7, 3))
        axes = figure.subplots()
        if marks:
            axes.plot(t_s, values, color=LINES[0], linewidth=1.4)
            inside = t_s[held(values, marks[0][1]) > 0]
            axes.axvspan(inside[0], inside[-1], color=LINES[1], alpha=0.15, linewidth=0)
            axes.set(xlabel="s", ylabel=f"{marks[0][1].quantity}, {marks[0][1].unit}", xlim=(0, t_s[-1]))
        else:
            axes.set_axis_off()
            axes.text(0.5, 0.5, "no threshold to draw", ha="center", color=FAINT, transform=axes.transAxes)
        for level, mark in marks:
            axes.axhline(mark.value, color=GAP, linewidth=0.8, linestyle="--")
            axes.annotate(
                f"{level} {mark.sign} {mark.value:g}", (0, mark.value), fontsize=7, color=GAP, xytext=(3, 2), textcoords="offset points"
            )
        figure.suptitle(f"{entry.name}: made up by hand", fontsize=9, color=INK)
        sink = io.BytesIO()
        figure.savefig(sink, format="png", dpi=100, metadata={"Software": None}, bbox_inches="tight")
        return sink.getvalue()


def scenario_page(store: Store, entry: Scenario) -> str:
    """The entry and its example as one HTML file."""
    return html(entry.name, "\n".join(_pieces(store, entry)))


def _pieces(store: Store, entry: Scenario) -> Iterator[str]:
    yield f"<h1>{escape(entry.name)}</h1><p class='lead'>{escape(entry.definition)}</p>"
    yield levels_html(entry) + pairs_html(explained(entry))
    row = event_of(store, entry)
    yield f"<h2>{'An event of this root' if row else 'An example, made up by hand'}</h2>"
    image = base64.b64encode(example_png(store, entry)).decode()
    yield f'<p><img alt="an example" src="data:image/png;base64,{image}"></p>'
