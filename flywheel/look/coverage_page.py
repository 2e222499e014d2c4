"""The whole ledger as one HTML file for a curator and a safety engineer: no script, nothing from the network."""

from collections.abc import Container, Iterator, Sequence
from html import escape
from math import log10

import pyarrow as pa

from flywheel.look.coverage_sections import extremes_html, gaps_html, rates_html, span, stopping_html, twise_html, unseen_html
from flywheel.look.page import CSS, table_html
from flywheel.mine.catalogue import catalogue
from flywheel.mine.coverage import CoverageCell, coverage
from flywheel.mine.evidence import Held, held, read_exposure
from flywheel.mine.rarity_report import rarity_report
from flywheel.mine.twise import driven, twise
from flywheel.odd import attributes, constraints
from flywheel.store import Store
from flywheel.tables import read_table

SHADES = 7
MORE = """
body { max-width: 1500px; } .lead { max-width: 980px; }
nav { font-size: 12.5px; margin: 8px 0 0; } nav a { color: var(--faint); margin-right: 14px; }
.key { color: var(--faint); font-size: 12px; margin: 4px 0 10px; max-width: 980px; } .key b { color: var(--ink); }
.tiles { display: flex; flex-wrap: wrap; gap: 0 36px; margin: 14px 0 0; } .tiles div { padding: 4px 0; }
.tiles b { display: block; font-size: 19px; font-weight: 600; } .tiles span { color: var(--faint); font-size: 12px; }
table.map { border-collapse: separate; border-spacing: 1px; width: auto; font-size: 11px; }
.map td, .map th { border: 0; padding: 2px 3px; } .map td { min-width: 24px; text-align: center; font-variant-numeric: tabular-nums; }
.map th.r { color: var(--ink); padding-right: 8px; position: sticky; left: 0; text-align: right; white-space: nowrap; background: #fff; }
.map th.c { vertical-align: bottom; } .map th.c span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
.map th.g { text-align: left; border-bottom: 1px solid var(--line); font-weight: 600; } .map .first { border-left: 6px solid #fff; }
.map tr:hover td, .map tr:hover th.r { outline: 1px solid #cbd2d9; }
.s0 { background: #eef4fa; } .s1 { background: #dbe8f4; } .s2 { background: #c3d8ec; } .s3 { background: #a6c5e3; }
.s4 { background: #86aed6; } .s5 { background: #6497c6; color: #fff; } .s6 { background: #3f7cb3; color: #fff; }
.never { background: repeating-linear-gradient(45deg, #fdf0ee, #fdf0ee 3px, #f6dcd8 3px, #f6dcd8 6px); color: var(--faint); }
.blind { background: #e9ebee; color: #7b8794; } .cannot { color: #cbd2d9; } .map td.unmined { color: #7b8794; text-align: left; }
.thin { color: #c53030; } .s5.thin, .s6.thin { color: #ffe3e3; } .enough { font-weight: 700; }
.box { display: inline-block; width: 26px; height: 12px; vertical-align: -1px; margin: 0 4px 0 10px; }
.bar { background: var(--line); height: 9px; min-width: 160px; position: relative; }
.bar i { background: #3f7cb3; display: block; height: 9px; }
.bar u { position: absolute; top: -3px; width: 2px; height: 15px; background: #c53030; }
.yes { color: #276749; } .no { color: #c53030; } .untold, .why { color: var(--faint); } .why { font-size: 11px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 40px; align-items: start; }
details { margin: 6px 0; } summary { cursor: pointer; color: var(--faint); font-size: 12.5px; }
@media (max-width: 900px) { .two { display: block; } }
"""
KEY = (
    '<p class="key"><b>Number</b>: real events, <b>+</b> accepted synthetic ones. Red: fewer real events than enough (20); bold: enough. '
    'Shade: evaluable time, a step a factor of ten, from <span class="box s0"></span>seconds to <span class="box s6"></span>300 h. '
    '<span class="box never"></span>never driven <span class="box blind"></span>driven, but a signal was missing: not evaluable, '
    "which is not a zero. Dot: cannot be, by the constraints. Hold the mouse over a cell for its exposure and interval.</p>"
)


def coverage_page(store: Store) -> str:
    """The whole page; the same store gives the same bytes."""
    body = "\n".join(_pieces(store, read_exposure(store)))
    head = f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}{MORE}</style>'
    title = '<meta charset="utf-8"><title>Coverage and rarity</title>'
    return f'<!doctype html>\n<html lang="en"><head>{title}{head}</head>\n<body>\n{body}\n</body></html>\n'


def _pieces(store: Store, exposure: pa.Table) -> Iterator[str]:
    cells, report, what = coverage(store, exposure=exposure), rarity_report(store), driven(exposure)
    mined = set(exposure["scenario"].unique().to_pylist())
    sections = {
        "gaps": ("Gaps, neediest first", gaps_html(cells, mined)),
        "map": ("Scenario × condition", KEY + map_html(cells, [("", _heads(cells))], mined)),
        "odd": ("Scenario × ODD attribute", odd_html(store, exposure, mined)),
        "rates": ("How rare: events per evaluable hour", rates_html(report)),
        "unseen": ("What no drive has shown yet", unseen_html(report)),
        "twise": ("Pairs and triples of ODD values", twise_html(*(twise(what, strength=t) for t in (2, 3)))),
        "stop": ("May mining stop?", stopping_html(report)),
        "trend": ("Crash trend from the shortest times to collision", extremes_html(report)),
    }
    yield "<h1>Coverage and rarity</h1>"
    yield '<p class="lead">What was driven and judged, what came about, what is still missing, and how sure that is. Synthetic examples '
    yield "stand beside the real ones and never among them.</p>"
    yield "<nav>" + "".join(f'<a href="#{name}">{escape(title)}</a>' for name, (title, _) in sections.items()) + "</nav>"
    yield tiles_html(store, exposure, cells)
    for name, (title, body) in sections.items():
        yield f'<h2 id="{name}">{escape(title)}</h2>{body}'


def tiles_html(store: Store, exposure: pa.Table, cells: Sequence[CoverageCell]) -> str:
    """The fleet in numbers: what was driven at all, by the scenario that could be judged for longest."""
    drives = read_table(store, "DRIVES", columns=["drive_id", "vehicle_id", "day"])
    by_scenario = held(exposure, ())
    most = max(by_scenario.values(), key=lambda one: one.seconds, default=Held())
    can_be = [cell for cell in cells if cell.possible]
    said = {
        "drives": len(drives), "hours judged": f"{most.seconds / 3600:.3g}", "km": f"{most.metres / 1000:.4g}",
        "road users met": max((one.encounters for one in by_scenario.values()), default=0),
        "vehicles": len(set(drives["vehicle_id"].to_pylist())), "days": len(set(drives["day"].to_pylist())),
        "scenarios judged somewhere": f"{len({scenario for scenario, _ in by_scenario})} of {len(catalogue())}",
        "real events": sum(cell.real_events for cell in cells), "accepted synthetic": sum(cell.synthetic for cell in cells),
        "replays": sum(cell.replays for cell in cells), "cells are gaps": f"{sum(cell.gap for cell in can_be)} of {len(can_be)}",
    }  # fmt: skip
    return f'<div class="tiles">{"".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in said.items())}</div>'


def _look(cell: CoverageCell, *, first: bool) -> str:
    """One cell of a map, a shade darker for ten times the time; `first` begins a group of columns."""
    shade = max(0, min(SHADES - 1, int(log10(max(cell.exposure_h * 3600, 1)))))
    kind, said = f"s{shade} {'thin' if cell.gap else 'enough'}", str(cell.real_events)
    if not cell.exposure_h:
        kind, said = "blind" if cell.drives_not_evaluable else "never", "–"
    if not cell.possible and not cell.real_events:
        kind, said = "cannot", "·"
    more = f"+{cell.synthetic}" if cell.synthetic else ""
    return f'<td class="{kind}{" first" if first else ""}" title="{escape(_words(cell))}">{said}{more}</td>'


def _words(cell: CoverageCell) -> str:
    """What the mouse is told of a cell."""
    head = f"{cell.scenario}, {cell.odd or cell.condition}"
    blind = f"; in {cell.drives_not_evaluable} drives a signal was missing" if cell.drives_not_evaluable else ""
    drawn = f"; {cell.synthetic} of {cell.judged} synthetic accepted, {span(cell.pass_interval)}" if cell.judged else ""
    if not cell.exposure_h:
        return f"{head}: no evaluable exposure{blind}{drawn}"
    rate = f"{cell.real_events} events in {cell.exposure_h:.3g} h, {cell.exposure_km:.4g} km, {cell.encounters} met"
    sure = f"{span(cell.interval_per_h)} per h (95 %), under {cell.upper_per_h:.3g} per h; {cell.vehicles} vehicles, {cell.days} days"
    return f"{head}: {rate}; {sure}; last {cell.last_day}{drawn}{blind}"


def _heads(cells: Sequence[CoverageCell]) -> list[str]:
    return list(dict.fromkeys(cell.odd or cell.condition for cell in cells))


def map_html(cells: Sequence[CoverageCell], groups: Sequence[tuple[str, Sequence[str]]], mined: Container[str]) -> str:
    """Scenarios down, parts of the ODD across in named groups; a scenario's cells come in the order of the columns."""
    begins = {sum(len(heads) for _, heads in groups[:k]) for k in range(len(groups))}
    over = "".join(f'<th class="g" colspan="{len(heads)}">{escape(name)}</th>' for name, heads in groups)
    names = "".join(f'<th class="c"><span>{escape(head)}</span></th>' for _, heads in groups for head in heads)
    rows: dict[str, list[CoverageCell]] = {}
    for cell in cells:
        rows.setdefault(cell.scenario, []).append(cell)
    lines = ""
    for name, row in rows.items():
        looks = "".join(_look(cell, first=k in begins) for k, cell in enumerate(row))
        known = looks if name in mined else f'<td class="unmined" colspan="{len(row)}">not mined under this catalogue yet</td>'
        lines += f'<tr><th class="r">{escape(name)}</th>{known}</tr>'
    return f'<div class="scroll"><table class="map"><tr><th></th>{over}</tr><tr><th></th>{names}</tr>{lines}</table></div>'


def odd_html(store: Store, exposure: pa.Table, mined: Container[str]) -> str:
    """The same map by each attribute on its own, side by side, and what the values mean."""
    tables = [(a, coverage(store, by=(a.name,), exposure=exposure)) for a in attributes()]
    groups = [(a.name, [head.removeprefix(a.prefix) for head in _heads(cells)]) for a, cells in tables]
    order = {entry.name: k for k, entry in enumerate(catalogue())}
    merged = sorted((cell for _, cells in tables for cell in cells), key=lambda cell: order[cell.scenario])
    means = [(a.name, a.group, ", ".join(a.values), " ".join(f"{edge:g}" for edge in a.edges), a.unit, a.means) for a in attributes()]
    bans = [(" and ".join(f"{name}: {', '.join(v)}" for name, v in c.values.items()), c.why) for c in constraints()]
    return (
        map_html(merged, groups, mined) + "<details><summary>What the values mean, and what cannot be</summary>"
        + table_html(("attribute", "group (ISO 34503)", "values", "edges", "unit", "meaning"), means)
        + table_html(("cannot be together", "why"), bans) + "</details>"
    )  # fmt: skip
