"""An evaluation as a picture: one bar a slice and class with its interval, real and synthetic in two colours."""

import io
from typing import Any

from flywheel.models import Evaluation, SliceScore

REAL, SYNTHETIC, FAINT = "#2b6cb0", "#d9822b", 0.45
DPI = 100


def evaluation_png(evaluation: Evaluation) -> bytes:
    """PNG bytes; an evaluation without scores says why in the picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scores = [s for s in (*evaluation.overall, *evaluation.slices) if s.recall is not None]
    figure = Figure(figsize=(9, max(2.5, 1.4 + 0.32 * len(scores))), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    if scores:
        _bars(axes, scores, evaluation)
    else:
        axes.text(0.5, 0.5, f"Not evaluable\n{evaluation.reason}", ha="center", va="center", wrap=True)
        axes.set_axis_off()
    axes.set_title(f"{evaluation.model_id} on {evaluation.dataset}, {evaluation.split} split", loc="left", fontsize=10)
    sink = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(sink, metadata={"Software": None})
    return sink.getvalue()


def _bars(axes: Any, scores: list[SliceScore], evaluation: Evaluation) -> None:
    from matplotlib.patches import Patch

    for place, score in enumerate(scores):
        recall, low, high = score.recall or 0.0, score.recall_low or 0.0, score.recall_high or 0.0
        colour = SYNTHETIC if score.synthetic else REAL
        axes.barh(place, recall, color=colour, alpha=FAINT if score.small else 1.0)
        axes.errorbar(recall, place, xerr=[[max(recall - low, 0)], [max(high - recall, 0)]], color="black", capsize=2, linewidth=1)
        axes.text(1.01, place, f"{score.found}/{score.objects}", va="center", fontsize=8)
    axes.axvline(evaluation.target_recall, color="#c53030", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(scores)), [_name(score) for score in scores], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_xlabel(f"recall over objects at threshold {evaluation.threshold:g}, 95% Wilson interval; dashed: target")
    kinds = (("real", REAL, 1.0), ("synthetic", SYNTHETIC, 1.0), ("small slice", "grey", FAINT))
    handles = [Patch(color=colour, alpha=alpha, label=label) for label, colour, alpha in kinds]
    axes.figure.legend(handles=handles, fontsize=8, loc="outside lower left", ncols=3)


def _name(score: SliceScore) -> str:
    where = "all real" if score.scenario == "all" else f"{score.scenario} · {score.condition}"
    return f"{where} · {score.cls}"
