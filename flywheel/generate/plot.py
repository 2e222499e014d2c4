"""A generation plan as a picture: where the budget goes."""

import io

import numpy as np

from flywheel.errors import require
from flywheel.generate.plan import Plan

TITLE = "planned variations (shade), on top of real events + variations that stand; grey: may not be filled"


def plan_plot(plan: Plan) -> bytes:
    """A PNG map: scenarios down, conditions across; shade and `+n` are what the plan gives, the number before it what the cell holds."""
    require("matplotlib", extra="mine")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = [(cell.scenario, cell.condition) for cell in plan.cells] + [(cell.scenario, cell.condition) for cell in plan.closed]
    rows, columns = (sorted(set(names)) for names in zip(*keys, strict=True)) if keys else ([], [])
    planned = np.full((len(rows), len(columns)), np.nan)
    figure = Figure(figsize=(3.2 + 0.62 * max(len(columns), 1), 1.8 + 0.24 * max(len(rows), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for cell in plan.cells:
        y, x = rows.index(cell.scenario), columns.index(cell.condition)
        planned[y, x] = cell.planned
        said = f"{cell.before}+{cell.planned}" if cell.planned else str(cell.before)
        axes.text(x, y, said, ha="center", va="center", fontsize=7, weight="bold" if cell.for_pairs else "normal")
    axes.set_facecolor("#d5d8dc")
    if planned.size:
        axes.imshow(planned, cmap="Oranges", aspect="auto", vmin=0, alpha=0.8)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.set_title(TITLE, fontsize=8)
    sink = io.BytesIO()
    figure.savefig(sink, format="png", dpi=110)
    return sink.getvalue()
