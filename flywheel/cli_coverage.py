"""Commands that say how rare, how sure and how covered: `flywheel coverage` and `flywheel rarity`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from flywheel import show
from flywheel.commands import Json, Root, Scenarios, app, command
from flywheel.plan_tables import show_effect
from flywheel.store import open_store

if TYPE_CHECKING:
    from flywheel.mine.stopping import Part

COVERAGE_COLUMNS = (
    "scenario", "condition", "odd", "exposure_h", "exposure_km", "encounters", "real_events", "synthetic", "replays", "pass_rate",
    "interval_per_h", "rarity", "last_day", "wanted", "need",
)  # fmt: skip
TWISE_COLUMNS = ("strength", "enough", "possible", "covered", "share", "target", "weighted", "untold_h")
RATE_COLUMNS = (
    "scenario", "stratum", "events", "exposure", "vehicles", "days", "rate", "garwood", "jeffreys", "dispersion", "clustered", "rarity",
    "corrected", "corrected_interval",
)  # fmt: skip


@command(app)
def coverage(
    root: Root,
    by: Annotated[str, typer.Option(help="condition, odd, or attributes parted by commas, such as illumination,scenery.")] = "condition",
    gaps: Annotated[int, typer.Option(help="Show only so many cells, neediest first; 0 shows all cells.")] = 0,
    html: Annotated[Path | None, typer.Option(help="Write the whole ledger as one page.")] = None,
    files: Scenarios = None,
    as_json: Json = False,
) -> None:
    """Scenario x ODD: real exposure, real, synthetic and replayed counts, intervals, rarity and gaps; t-wise coverage beside it; and
    what the generation plans changed."""
    from flywheel.generate.effect import effect
    from flywheel.generate.plan import pinned_plan, planned_batches
    from flywheel.mine.coverage import coverage as cells
    from flywheel.mine.coverage import gaps as neediest
    from flywheel.mine.evidence import parsed_by, read_exposure
    from flywheel.mine.twise import driven, twise

    store = open_store(root)
    if html is not None:
        from flywheel.look.coverage_page import coverage_page

        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(coverage_page(store))
    exposure = read_exposure(store)
    found = cells(store, by=parsed_by(by), exposure=exposure)
    found = neediest(found)[:gaps] if gaps else found
    if as_json:
        show.emit_json(found)
        return
    show.emit_rows(_readable(found), title="coverage", as_json=False, columns=COVERAGE_COLUMNS)
    what = driven(exposure)
    show.emit_rows([twise(what, strength=t) for t in (2, 3)], title="t-wise coverage", as_json=False, columns=TWISE_COLUMNS)
    for plan in filter(None, (pinned_plan(store, name) for name in planned_batches(store))):
        if change := effect(store, plan):
            show_effect(change)
    if html is not None:
        show.out.print(f"the whole ledger: {html}")


@command(app)
def rarity(
    root: Root,
    scenario: Annotated[str | None, typer.Option(help="One scenario; all when left out.")] = None,
    by: Annotated[str, typer.Option(help="Strata: condition, odd, or attributes parted by commas; none when left out.")] = "",
    per: Annotated[str, typer.Option(help="Exposure in h, km or encounter.")] = "h",
    audit: Annotated[Path | None, typer.Option(help="What `score-mining --json` wrote: the detectors' errors are taken out.")] = None,
    block_km: Annotated[float, typer.Option(help="Kilometres of a block in the stopping rule.")] = 1000.0,
    files: Scenarios = None,
    as_json: Json = False,
) -> None:
    """How rare, and how sure: rates with intervals, what is still unseen, when to stop, and the trend of the shortest TTC."""
    from flywheel.mine.rarity_report import rarity_report

    report = rarity_report(open_store(root), scenario=scenario, by=by, per=per, audit=audit, block_km=block_km)
    if as_json:
        show.emit_json(report)
        return
    show.emit_rows(_readable(report.rates), title=f"events per {per} (95 %)", as_json=False, columns=RATE_COLUMNS)
    show.emit_rows(_readable(report.unseen), title="what no drive has shown yet", as_json=False)
    stops = [{"scenario": s.scenario, "stop": s.stop, **{p.name: _part(p) for p in s.parts}} for s in report.stopping]
    show.emit_rows(stops, title="may mining stop? (all four must hold)", as_json=False)
    if report.extremes is None:
        show.out.print(f"[bold]crash trend[/]: not evaluable: {report.why_no_extremes}")
        return
    show.emit_report(report.extremes.model_copy(update={"table": (), "caveats": ()}), title="crash trend", as_json=False)
    show.emit_rows(report.extremes.table, title="choice of the threshold", as_json=False)
    show.emit_rows([{"beware": text} for text in report.extremes.caveats], title="", as_json=False)


def _readable(records: Sequence[BaseModel]) -> list[dict[str, Any]]:
    """Records with their intervals as short text."""

    def short(value: Any) -> Any:
        return f"{value['low']:.3g}..{value['high']:.3g}" if isinstance(value, dict) and set(value) == {"low", "high"} else value

    return [{name: short(value) for name, value in record.model_dump(mode="json").items()} for record in records]


def _part(part: "Part") -> str:
    return f"{'yes' if part.holds else 'no'}: {'?' if part.value is None else show.cell(part.value)} against {show.cell(part.limit)}"
