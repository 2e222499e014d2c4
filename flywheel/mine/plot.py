"""The coverage ledger as a picture."""

import io
from collections.abc import Sequence

import numpy as np

from flywheel.errors import require
from flywheel.mine.coverage import CoverageCell

NEVER = "#f0e6e6"
TITLE = (
    "real events, + accepted synthetic ones; shade: log10 of evaluable seconds\n"
    "red: fewer than enough real events · pink: never driven · blank: cannot be, by the constraints"
)


def coverage_plot(cells: Sequence[CoverageCell]) -> bytes:
    """A PNG map: scenarios down, parts of the ODD across; shade = real evaluable time, text = real + accepted synthetic counts."""
    require("matplotlib", extra="mine")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(dict.fromkeys(cell.scenario for cell in cells))
    columns = list(dict.fromkeys(cell.odd or cell.condition for cell in cells))
    seconds = np.full((len(rows), len(columns)), np.nan)
    figure = Figure(figsize=(3.2 + 0.62 * len(columns), 1.8 + 0.21 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for cell in cells:
        y, x = rows.index(cell.scenario), columns.index(cell.odd or cell.condition)
        if not cell.possible and not cell.real_events:
            continue
        seconds[y, x] = np.log10(1 + cell.exposure_h * 3600) if cell.exposure_h else np.nan
        if not cell.exposure_h:
            axes.fill_between([x - 0.5, x + 0.5], y - 0.5, y + 0.5, color=NEVER, linewidth=0)
        said = (str(cell.real_events) if cell.exposure_h else "–") + (f"+{cell.synthetic}" if cell.synthetic else "")
        axes.text(x, y, said, ha="center", va="center", fontsize=7, color="firebrick" if cell.gap else "black")
    image = axes.imshow(seconds, cmap="Blues", aspect="auto", alpha=0.55, vmin=0)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.set_title(TITLE, fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.6)
    sink = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(sink, format="png", dpi=110)
    return sink.getvalue()
