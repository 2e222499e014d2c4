"""Pictures that hold a frame's geometry while it is redrawn: edges, depth, segmentation. From the log, else from a named estimator.

A control looks as ControlNets were trained: white Canny edges on black; nearness, white is near; classes in ADE20K's colours.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from flywheel.errors import BadData, require
from flywheel.generate.images import Rgb, read_plane
from flywheel.generate.protocol import Control, ControlKind, Estimator
from flywheel.geometry import box_distance, ground_distance, nearest_instant
from flywheel.store import Store
from flywheel.tables import read_table

Row = dict[str, Any]
Plane = NDArray[np.float32]
SAME_INSTANT_NS = 60_000_000
EDGES = "canny-1 of the frame (thresholds 80, 160)"
BOXES = "boxes-over-ground-1: tracks, calibration and a flat ground"
FAR_M = 120.0
NOT_MEASURED = 65535
SHADES = (2.0, 98.0)
# The segmentation classes we speak of, and ADE20K's colour for each. The sample fleet's log numbers them so; other logs do not say.
CLASSES: dict[str, tuple[int, int, int]] = {
    "sky": (6, 230, 230), "road": (140, 140, 140), "marking": (140, 140, 140), "sidewalk": (235, 255, 7), "ground": (120, 120, 70),
    "building": (180, 120, 120), "vegetation": (4, 200, 3), "vehicle": (0, 102, 200), "pedestrian": (150, 5, 61),
    "cyclist": (150, 5, 61), "pole": (255, 8, 41),
}  # fmt: skip
COLOURS = np.array(list(CLASSES.values()), np.uint8)


class Controls:
    """Makes the controls of a batch's frames, read drive by drive (only the last few drives are held)."""

    def __init__(self, store: Store, batch_id: str) -> None:
        self._store = store
        self._drive = lru_cache(maxsize=2)(lambda drive_id: _Drive(store, batch_id, drive_id))

    def of(
        self, rgb: Rgb, *, drive_id: str, camera: str, t_ns: int, wants: Sequence[ControlKind], estimators: Mapping[ControlKind, Estimator]
    ) -> tuple[Control, ...]:
        """One control a kind, at the size of `rgb`. BadData where neither the log nor an estimator gives one."""
        drive = self._drive(drive_id) if set(wants) - {"edges"} else None
        return tuple(self._one(kind, rgb, drive, camera, t_ns, estimators.get(kind)) for kind in wants)

    def frame(self, *, drive_id: str, camera: str, t_ns: int) -> Row:
        """The FRAMES row of a picture; BadData if the batch has none at that time."""
        found = self._drive(drive_id).picture(camera, t_ns)
        if found is None:
            raise BadData(f"no frame of camera {camera} at {t_ns} ns in drive {drive_id}")
        return found

    def pictures(self, drive_id: str, camera: str) -> list[Row]:
        """The FRAMES rows of one camera's pictures, by time."""
        return self._drive(drive_id).pictures(camera)

    def geometry(self, *, drive_id: str, camera: str, t_ns: int) -> tuple[Row, list[Row]] | None:
        """A picture's calibrated FRAMES row and the visible TRACKS rows of its instant; None where either is missing."""
        return self._drive(drive_id).geometry(camera, t_ns)

    def _one(self, kind: ControlKind, rgb: Rgb, drive: "_Drive | None", camera: str, t_ns: int, estimator: Estimator | None) -> Control:
        if kind == "edges" or drive is None:
            return Control("edges", edges_picture(rgb), EDGES)
        frame = drive.frame(kind, camera, t_ns)
        if frame is not None:
            plane = read_plane(self._store, frame["media_sha256"], frame["ext"], size=rgb.shape[:2])
            source = f"log: {kind} frame {frame['media_sha256']}"
            return Control(kind, depth_picture(_measured(plane)) if kind == "depth" else classes_picture(plane), source)
        if kind == "depth" and (known := drive.geometry(camera, t_ns)):
            return Control(kind, depth_picture(depth_of_boxes(*known, size=rgb.shape[:2])), f"log: {BOXES}")
        if estimator is not None:
            plane = estimator(rgb)
            return Control(kind, depth_picture(plane) if kind == "depth" else classes_picture(plane), f"estimator: {estimator.name}")
        raise BadData(
            f"no {kind} for camera {camera} at {t_ns} ns: the log has no such frame, and no estimator was named. "
            f"Give the engine {kind}_estimator=<folder or hub id>."
        )


class _Drive:
    """FRAMES and TRACKS of one drive, found by time."""

    def __init__(self, store: Store, batch_id: str, drive_id: str) -> None:
        self._frames: dict[tuple[str, str], list[Row]] = {}
        for row in read_table(store, "FRAMES", batch_id=batch_id, part=drive_id).to_pylist():
            self._frames.setdefault((row["kind"], row["camera"]), []).append(row)
        self._tracks = read_table(store, "TRACKS", batch_id=batch_id, part=drive_id)
        self._times = np.unique(self._tracks["t_ns"].to_numpy())

    def frame(self, kind: str, camera: str, t_ns: int) -> Row | None:
        rows = self._frames.get((kind, camera), [])
        found = nearest_instant(np.array([row["t_ns"] for row in rows], np.int64), t_ns, tolerance_ns=SAME_INSTANT_NS)
        return next((row for row in rows if row["t_ns"] == found and row["video_offset"] is None), None)

    def pictures(self, camera: str) -> list[Row]:
        return self._frames.get(("rgb", camera), [])

    def picture(self, camera: str, t_ns: int) -> Row | None:
        return next((row for row in self._frames.get(("rgb", camera), []) if row["t_ns"] == t_ns), None)

    def geometry(self, camera: str, t_ns: int) -> tuple[Row, list[Row]] | None:
        """The calibrated frame and the boxes of its instant; None without calibration or tracks near that time."""
        frame = self.picture(camera, t_ns)
        instant = nearest_instant(self._times, t_ns, tolerance_ns=SAME_INSTANT_NS)
        if frame is None or frame["fx_px"] is None or frame["cam_qw"] is None or instant is None:
            return None
        rows = self._tracks.filter(pc.equal(self._tracks["t_ns"], instant)).to_pylist()
        return frame, [row for row in rows if row["visible"] is not False]


def edges_picture(rgb: Rgb) -> Rgb:
    """White Canny edges on black."""
    cv2 = require("cv2", extra="generate")
    found = cv2.Canny(cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 1.0), 80, 160)
    return np.repeat(found[..., None], 3, axis=2)


def depth_picture(depth: Plane) -> Rgb:
    """Nearness as grey, white is near: 1 / depth stretched over its own 2nd to 98th percentile, so the unit does not count."""
    near = 1.0 / np.maximum(depth, 1e-3)
    low, high = np.percentile(near, SHADES)
    grey = np.rint(np.clip((near - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def classes_picture(classes: Plane) -> Rgb:
    """Class numbers as ADE20K's colours; BadData for a number that is not in our list."""
    if classes.min() < 0 or classes.max() >= len(COLOURS):
        raise BadData(f"segmentation has class {int(classes.max())}; the classes 0..{len(COLOURS) - 1} are {', '.join(CLASSES)}")
    return np.asarray(COLOURS[classes.astype(np.intp)])


def _measured(depth: Plane) -> Plane:
    """A depth frame without holes: 65535 is far, a pixel with no measurement (0) takes that of its nearest neighbour."""
    cv2 = require("cv2", extra="generate")
    hole = depth <= 0
    if hole.all():
        raise BadData("the log's depth frame holds no measurement")
    full = np.where(depth >= NOT_MEASURED, depth[~hole].max(), depth).astype(np.float32)
    if hole.any():
        _, label = cv2.distanceTransformWithLabels(hole.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        value = np.zeros(int(label.max()) + 1, np.float32)
        value[label[~hole]] = full[~hole]
        full = value[label]
    return np.asarray(full, np.float32)


def depth_of_boxes(frame: Row, boxes: Sequence[Row], *, size: tuple[int, ...]) -> Plane:
    """(H, W) metres along the optical axis of the nearest box or the flat ground each pixel's ray meets, at most `FAR_M`."""
    met = [ground_distance(frame, size=size), *(box_distance(row, frame, size=size) for row in boxes)]
    return np.asarray(np.minimum(np.min(met, axis=0), FAR_M), np.float32)
