"""Boxes of a frame from the tracks nearest in time. Unknown (None) is not the same as nothing there ([])."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.geometry import image_boxes, nearest_instant, project_box

Labels = list[dict[str, Any]]
_PIXELS = ("x0_px", "y0_px", "x1_px", "y1_px")


class TrackIndex:
    """The TRACKS rows of one drive, found by time."""

    def __init__(self, tracks: pa.Table) -> None:
        self.tracks = tracks
        self.times = np.unique(np.asarray(tracks["t_ns"], np.int64))

    def labels(self, frame: Mapping[str, Any], *, tolerance_ns: int, max_distance_m: float) -> Labels | None:
        """Boxes in pixels (0.01 px) and metres, nearest first; None without calibration or tracks at that time."""
        if frame["fx_px"] is None or frame["cam_qw"] is None:
            return None
        instant = nearest_instant(self.times, int(frame["t_ns"]), tolerance_ns=tolerance_ns)
        if instant is None:
            return None
        rows = self.tracks.filter(pc.equal(self.tracks["t_ns"], instant)).to_pylist()
        return [_rounded(box.model_dump()) for box in image_boxes(rows, frame, max_distance_m=max_distance_m)]


def label_of(track: Mapping[str, Any] | None, frame: Mapping[str, Any]) -> Labels:
    """The label of one TRACKS row in a calibrated frame, as a list; empty where there is none to be seen."""
    box = None if track is None else project_box(track, frame)
    return [] if box is None else [_rounded(box.model_dump())]


def _rounded(box: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 2) if isinstance(value, float) else value for key, value in box.items()}


def scaled(labels: Labels | None, *, width_ratio: float, height_ratio: float) -> Labels | None:
    """The same boxes in an image of another size."""
    if labels is None or (width_ratio == 1.0 and height_ratio == 1.0):
        return labels
    ratios = dict(zip(_PIXELS, (width_ratio, height_ratio) * 2, strict=True))
    return [_rounded({key: value * ratios[key] if key in ratios else value for key, value in box.items()}) for box in labels]
