"""Sections of the ledger's page: gaps, rates, what is unseen, t-wise coverage, the stopping rule and the crash trend."""

from collections.abc import Container, Sequence
from html import escape
from math import ceil, floor, log10

from flywheel.look.page import table_html
from flywheel.mine.coverage import CoverageCell, gaps
from flywheel.mine.rarity import Interval
from flywheel.mine.rarity_report import RarityReport
from flywheel.mine.rates import Rate
from flywheel.mine.stopping import Part
from flywheel.mine.twise import TWise

GAPS, TUPLES, PLOT_PX = 30, 20, 420
RATE_HEAD = (
    "scenario", "rarity", "events", "hours", "vehicles", "days", "per hour", "Garwood 95 %", "Jeffreys 95 %", "dispersion", "clustered 95 %"
)  # fmt: skip
FADE = (
    '<svg width="0" height="0" style="position:absolute"><defs><linearGradient id="fade"><stop offset="0" stop-color="#fff"/>'
    '<stop offset="1" stop-color="#6497c6"/></linearGradient></defs></svg>'
)
TUPLE_NAMES = {2: "pairs", 3: "triples"}


def key(text: str) -> str:
    """How to read a section; the text is HTML."""
    return f'<p class="key">{text}</p>'


def span(interval: Interval | None) -> str:
    """An interval as text."""
    return "" if interval is None else f"{interval.low:.3g} to {interval.high:.3g}"


def gaps_html(cells: Sequence[CoverageCell], mined: Container[str]) -> str:
    """What was never driven, by condition; then the cells that were, by severity x the rate that cannot be excluded."""
    open_ = gaps(cells)
    rows = [
        (k, c.scenario, c.odd or c.condition, c.severity, c.need, c.upper_per_h, c.real_events, c.synthetic, c.wanted,
         f"{c.exposure_h:.3g} h", f"{c.exposure_km:.4g} km", c.encounters, c.vehicles, c.days, c.last_day)
        for k, c in enumerate((cell for cell in open_ if cell.need is not None), 1)
    ]  # fmt: skip
    head = ("", "scenario", "condition", "severity", "need", "rate not excluded, per h", "real", "synthetic", "wanted", "exposure", "",
            "met", "vehicles", "days", "last day")  # fmt: skip
    rest = table_html(head, rows[GAPS:])
    more = f"<details><summary>the other {len(rows) - GAPS} thin cells</summary>{rest}</details>" if rows[GAPS:] else ""
    text = (
        "A gap has fewer than 20 real events. <b>Need</b> = severity (1 to 3) × the upper 95 % bound of the rate: how bad it could be for "
        "all that the data say. <b>Wanted</b>: examples still lacking when real and accepted synthetic ones are added up."
    )
    return never_html(open_, mined) + key(text) + table_html(head, rows[:GAPS]) + more


def never_html(open_: Sequence[CoverageCell], mined: Container[str]) -> str:
    """Conditions without any evaluable exposure, scenarios that no drive could judge, and those that nobody looked for."""
    looked = [cell for cell in open_ if cell.scenario in mined]
    bare = [cell for cell in looked if cell.need is None]
    driven = {cell.odd or cell.condition for cell in looked if cell.need is not None}
    judged = {cell.scenario for cell in looked if cell.need is not None}
    names = list(dict.fromkeys(cell.scenario for cell in open_))
    parts = dict.fromkeys(cell.odd or cell.condition for cell in bare)
    lines = (
        ("Never driven", [part for part in parts if part not in driven]),
        ("No drive could judge", [name for name in names if name in mined and name not in judged]),
        ("Not mined under this catalogue yet (run flywheel mine)", [name for name in names if name not in mined]),
    )
    said = "".join(f"<p><b>{escape(name)}:</b> {escape(', '.join(what))}</p>" for name, what in lines if what)
    return said + (key(f"{len(bare)} cells have no evaluable exposure: nothing at all is known of them.") if bare else "")


def rates_html(report: RarityReport) -> str:
    """A row a scenario, rarest first: the count, the exposure, the intervals, and a picture of them on one logarithmic axis."""
    known = sorted((r for r in report.rates if r.rarity is not None), key=lambda r: -(r.rarity or 0.0))
    if not known:
        return "<p>No scenario has been judged yet.</p>"
    ends = [v for r in known if r.clustered for v in (r.clustered.low, r.clustered.high) if v > 0]
    low, high = floor(log10(min(ends))), ceil(log10(max(ends)))
    head = "".join(f'<th class="{"n" if k else ""}">{name}</th>' for k, name in enumerate(RATE_HEAD))
    rows = "".join(f"<tr>{_numbers(r)}<td>{whisker(r, low, high)}</td></tr>" for r in known)
    text = (
        "<b>Rarity</b> = −log10 of the one-sided 95 % upper bound of the rate, so little data never looks rare. <b>Dispersion</b>: how "
        "much more vehicle-days vary than chance alone (1); <b>clustered</b> is the interval that counts it, with its own error. The bar "
        "is that interval, the tick the rate; a bar that fades to the left means that no event was seen."
    )
    return f'{FADE}{key(text)}<div class="scroll"><table><tr>{head}<th>{axis(low, high)}</th></tr>{rows}</table></div>'


def _numbers(r: Rate) -> str:
    spread = "" if r.dispersion is None else f"{r.dispersion:.2f}"
    numbers = (
        f"{r.rarity:.2f}", r.events, f"{r.exposure:.3g}", r.vehicles, r.days, f"{r.rate:.3g}", span(r.garwood), span(r.jeffreys), spread,
        span(r.clustered) if r.clustered != r.garwood else "as Garwood",
    )  # fmt: skip
    return f"<td>{escape(r.scenario)}</td>" + "".join(f'<td class="n">{value}</td>' for value in numbers)


def _x(value: float, low: int, high: int) -> float:
    return (log10(value) - low) / max(high - low, 1) * PLOT_PX if value > 0 else 0.0


def axis(low: int, high: int) -> str:
    """The decades of the pictures' axis, events per hour."""
    anchor = {low: "start", high: "end"}
    marks = "".join(
        f'<text x="{_x(10.0**d, low, high):.0f}" y="11" text-anchor="{anchor.get(d, "middle")}">{10.0**d:g}</text>'
        for d in range(low, high + 1)
    )
    return f'<svg width="{PLOT_PX}" height="14" font-size="10" fill="#616e7c">{marks}</svg>'


def whisker(r: Rate, low: int, high: int) -> str:
    """One rate: the clustered interval as a bar, the estimate as a tick."""
    assert r.clustered is not None and r.rate is not None
    a, b, at = (_x(v, low, high) for v in (r.clustered.low, r.clustered.high, r.rate))
    lines = (f"{_x(10.0**d, low, high):.0f}" for d in range(low, high + 1))
    grid = "".join(f'<line x1="{x}" x2="{x}" y1="0" y2="14"/>' for x in lines)
    tick = f'<rect x="{at - 1.5:.1f}" y="2" width="3" height="10" fill="#1f2933"/>' if r.events else ""
    bar = f'<rect x="{a:.1f}" y="4" width="{max(b - a, 1):.1f}" height="6" fill="{"#6497c6" if r.events else "url(#fade)"}"/>'
    return f'<svg width="{PLOT_PX}" height="14"><g stroke="#e4e7eb">{grid}</g>{bar}{tick}</svg>'


def unseen_html(report: RarityReport) -> str:
    """The table of granularities and how to read it."""
    rows = [
        (u.granularity, u.drives, u.kinds, u.singletons, u.doubletons, f"{u.mass:.3g}", span(u.interval), f"{u.bound:.3g}",
         f"{u.chance_new:.1%}", f"{u.kinds_unseen:.3g}", f"{u.new_half:.3g}", f"{u.new_next:.3g} ± {u.new_next_error:.2g}")
        for u in report.unseen
    ]  # fmt: skip
    head = ("kinds told apart by", "drives", "kinds seen", "once", "twice", "new kinds a drive", "95 % (Esty)", "bound, any distribution",
            "drives with a kind of their own", "kinds unseen, at least", "new in half as many", "new in as many")  # fmt: skip
    text = (
        "<b>New kinds a drive</b> (Good–Turing): how many kinds never seen before the next drive is expected to show. The finer the kinds, "
        "the more is unseen: read all rows together. It bounds how often something new comes, not how bad it is."
    )
    return key(text) + table_html(head, rows)


def twise_html(*found: TWise) -> str:
    """A bar a strength with its target, and what is missing."""
    head = ("covered", "", "possible ones", "target", "driven at all", "share of the hours in covered ones", "a value unknown")
    top = "".join(f'<th class="{"n" if k > 1 else ""}">{name}</th>' for k, name in enumerate(head))
    lines = "".join(_bar(one) for one in found)
    listed = "".join(_tuples_html(one) for one in found)
    text = key("Of all tuples of ODD values that can be together, how many enough drives had. Red mark: the target.")
    return f'{text}<div class="scroll"><table><tr>{top}</tr>{lines}</table></div><div class="two">{listed}</div>'


def _bar(one: TWise) -> str:
    bar = f'<div class="bar"><i style="width:{one.share:.1%}"></i><u style="left:calc({one.target:.1%} - 1px)"></u></div>'
    numbers = (
        f"{one.covered} of {one.possible} ({one.share:.1%})", f"{one.target:.0%}", one.driven,
        "–" if one.weighted is None else f"{one.weighted:.1%}", f"{one.untold_h:.3g} h",
    )  # fmt: skip
    cells = "".join(f'<td class="n">{value}</td>' for value in numbers)
    return f"<tr><td>{TUPLE_NAMES[one.strength]} with {one.enough} drives or more</td><td>{bar}</td>{cells}</tr>"


def _tuples_html(one: TWise) -> str:
    name, head = TUPLE_NAMES[one.strength], ("tuple", "drives", "h")
    near, wrong = ([(t.text.replace("|", " · "), t.drives, t.exposure_h) for t in some if t.drives] for some in (one.gaps, one.against))
    never = [t.text.replace("|", " · ") for t in one.gaps if not t.drives]
    rest = " …" if len(never) > 200 else ""
    against = f'<p class="no">Driven although the constraints forbid it:</p>{table_html(head, wrong)}' if wrong else ""
    listed = f"<details><summary>{name} never driven: {len(never)}</summary><p>{escape(', '.join(never[:200]))}{rest}</p></details>"
    few = f"<details><summary>{name} with too few drives: {len(near)}, longest first</summary>{table_html(head, near[:TUPLES])}</details>"
    return f"<div>{few}{listed}{against}</div>"


def stopping_html(report: RarityReport) -> str:
    """Yes or no for each scenario that was judged, and each of the four parts."""
    known = [one for one in report.stopping if any(part.value is not None for part in one.parts)]
    if not known:
        return "<p>No scenario has been judged yet.</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in ("scenario", "stop", *(f"{p.name} (limit {p.limit:g})" for p in known[0].parts)))
    rows = "".join(f"<tr><td>{escape(one.scenario)}</td>{_yes(one.stop)}{''.join(map(_part, one.parts))}</tr>" for one in known)
    text = (
        "A scenario may rest when all four hold: its unseen mass × severity is below the budget, the last block of kilometres brought no "
        "new kind, its rate is known to 30 %, and the last two blocks agree. What cannot be told yet (?) does not hold."
    )
    return f'{key(text)}<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _yes(holds: bool) -> str:
    return f'<td class="{"yes" if holds else "no"}">{"yes" if holds else "no"}</td>'


def _part(part: Part) -> str:
    kind = "yes" if part.holds else "no" if part.value is not None else "untold"
    return f'<td class="{kind}">{"?" if part.value is None else f"{part.value:.3g}"} <span class="why">{escape(part.why)}</span></td>'


def extremes_html(report: RarityReport) -> str:
    """The estimate in one sentence, the choice of the threshold, and the caveats in full."""
    found = report.extremes
    if found is None:
        return f"<p>Not evaluable: {escape(report.why_no_extremes or '')}.</p>"
    said = (
        f"{found.crashes_per_h:.3g} per hour, 95 % {span(found.interval_per_h)}, from {found.exceedances} of {found.encounters} encounters "
        f"with a least TTC below {found.threshold_s:g} s in {found.exposure_h:.3g} h ({found.source})."
    )
    few = "" if found.enough else " Fewer than 50 exceedances: not even a trend yet."
    head = ("threshold, s", "exceedances", "mean excess, s", "shape", "scale, s", "modified scale, s", "crashes per h")
    caveats = "".join(f"<li>{escape(text)}</li>" for text in found.caveats)
    rows = [tuple(row.model_dump().values()) for row in found.table]
    return f"<p>{escape(said + few)}</p>{table_html(head, rows)}<ul class='key'>{caveats}</ul>"
