"""The coverage table as a picture."""

import io
from collections.abc import Sequence

import numpy as np

from flywheel.errors import require
from flywheel.mine.coverage import CoverageCell


def coverage_plot(cells: Sequence[CoverageCell]) -> bytes:
    """A PNG map: scenarios down, conditions across; shade = real evaluable hours, text = real events + accepted synthetic."""
    require("matplotlib", extra="train")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(dict.fromkeys(cell.scenario for cell in cells))
    columns = list(dict.fromkeys(cell.condition for cell in cells))
    hours = np.zeros((len(rows), len(columns)))
    figure = Figure(figsize=(2.5 + 0.8 * len(columns), 1.8 + 0.45 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for cell in cells:
        y, x = rows.index(cell.scenario), columns.index(cell.condition)
        hours[y, x] = cell.exposure_h
        axes.text(
            x,
            y,
            f"{cell.real_events}+{cell.synthetic}",
            ha="center",
            va="center",
            fontsize=7,
            color="black" if not cell.gap else "firebrick",
        )
    image = axes.imshow(np.log10(1 + hours * 3600), cmap="Blues", aspect="auto", alpha=0.7)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.set_title("real events + accepted synthetic (red: a gap); shade: log10 of evaluable seconds", fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8)
    sink = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(sink, format="png")
    return sink.getvalue()
