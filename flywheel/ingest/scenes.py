"""What recorded scenes have in common: a clock that counts from nowhere, boxes of many objects at once, and their TRACKS rows."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.drive import Finding, warning
from flywheel.ingest.ego_path import EgoPath, wrap
from flywheel.ingest.quality import T_MAX_NS, T_MIN_NS, check_finite

Array = NDArray[np.float64]
Times = NDArray[np.int64]
Ints = NDArray[np.int64]

RELATIVE_DAY = "2000-01-01"
MAX_BOXES = 5_000_000
FAR_NS, LARGEST = 1 << 62, 1e9
# Where the rear axle lies behind the middle of a car, as a share of its length: 1.4 m in one of 4.8 m (overhang 1.0 m).
AXLE_SHARE = 0.29
# Length, width and height of an object that was recorded as a point; metres. Typical of its class, no more.
TYPICAL_SIZE_M = {
    "car": (4.6, 1.9, 1.6), "truck": (8.0, 2.5, 3.2), "bus": (12.0, 2.6, 3.2), "pedestrian": (0.6, 0.6, 1.75),
    "cyclist": (1.8, 0.7, 1.7), "other": (1.0, 1.0, 1.0),
}  # fmt: skip


class Clock(NamedTuple):
    """What a log's times count: its name for DRIVES, what to add to them, the day, and a warning where they count from nowhere."""

    name: str
    shift_ns: int
    day: str
    findings: tuple[Finding, ...]


def clock_of(times: Times, *, day: str | None = None) -> Clock:
    """The clock of times in ns. Years 2000 to 2099 are taken for epoch time; anything else is relative and begins at 2000-01-01T00:00Z.

    A log that knows its day, but not the hour, begins at 00:00Z of that day instead.
    """
    first, last = int(times.min()), int(times.max())
    if max(abs(first), abs(last)) >= FAR_NS:
        raise BadData(f"times from {first} to {last} ns are no times of a drive")
    if first >= T_MIN_NS and last < T_MAX_NS:
        return Clock("epoch", 0, str(np.datetime64(first, "ns").astype("datetime64[D]")), ())
    said = day or RELATIVE_DAY
    begin = int(np.datetime64(said, "D").astype("datetime64[ns]").astype(np.int64))
    text = f"the log's clock counts from an epoch of its own: its first sample ({first} ns) is set to {said}T00:00:00Z, spacing is kept"
    return Clock("relative", begin - first, said, (warning("clock", text),))


def nanoseconds(where: str, seconds: Array) -> Times:
    """int64 ns of times in seconds (to the microsecond, which a float64 holds); BadData if they are not finite or far too large."""
    check_finite(where, "time", times=np.arange(len(seconds)), values=seconds)
    if len(seconds) and np.abs(seconds).max() > 9e9:
        raise BadData(f"{where}: times up to {np.abs(seconds).max():g} s are no times of a drive")
    return np.asarray(np.round(seconds * 1e6).astype(np.int64) * 1000)


@dataclass(frozen=True)
class Boxes:
    """Boxes, one a row: index of the instant, object (its number in `ids`, `classes` and `subclasses`), centre, heading, size, velocity."""

    at: Ints
    track: Ints
    ids: tuple[str, ...]
    classes: tuple[str, ...]
    centre: Array
    heading: Array
    size: Array
    velocity: Array
    subclasses: tuple[str | None, ...]

    def table(self, where: str, times: Times) -> pa.Table:
        """TRACKS without drive_id at `times[at]`; BadData if a number is not finite, a size not positive or an object twice at one time."""
        for name in ("centre", "heading", "size", "velocity"):
            values = getattr(self, name).reshape(len(self.at), -1)
            check_finite(where, name, times=times[self.at], values=values.sum(axis=1))
        if len(self.at) and (self.size <= 0).any():
            worst = int(np.argmin(self.size.min(axis=1)))
            raise BadData(
                f"{where}: object {self.ids[self.track[worst]]} has size {self.size[worst].tolist()} m at {times[self.at[worst]]} ns"
            )
        order = np.lexsort((self.track, self.at))
        again = (np.diff(self.at[order]) == 0) & (np.diff(self.track[order]) == 0)
        if again.any():
            twice = order[int(np.argmax(again))]
            raise BadData(f"{where}: object {self.ids[self.track[twice]]} appears twice at {times[self.at[twice]]} ns")
        return pa.table(
            {
                "t_ns": pa.array(times[self.at], pa.int64()),
                "track_id": pa.array(np.array(self.ids, object)[self.track], pa.string()),
                "cls": pa.array(np.array(self.classes, object)[self.track], pa.string()),
                "subclass": pa.array(np.array(self.subclasses, object)[self.track], pa.string()),
                **_columns(("x_m", "y_m", "z_m"), self.centre), "heading_rad": wrap(self.heading),
                **_columns(("length_m", "width_m", "height_m"), self.size), **_columns(("vx_mps", "vy_mps"), self.velocity),
            }
        )  # fmt: skip


def _columns(names: tuple[str, ...], values: Array) -> dict[str, Array]:
    return {name: values[:, k] for k, name in enumerate(names)}


def seen_from(ego: EgoPath, boxes: Boxes) -> Boxes:
    """Boxes of the world frame in the ego's: `at` counts the ego's poses."""
    return Boxes(
        at=boxes.at, track=boxes.track, ids=boxes.ids, classes=boxes.classes, size=boxes.size,
        centre=ego.to_ego(boxes.centre, at=boxes.at), heading=ego.turn_heading(boxes.heading, at=boxes.at),
        velocity=ego.turn(boxes.velocity, at=boxes.at), subclasses=boxes.subclasses,
    )  # fmt: skip


def check_numbers(where: str, values: Array) -> None:
    """BadData naming the first value that is not finite, or larger than anything in a scene."""
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        raise BadData(f"{where} is {values.ravel()[wrong[0]]} in row {wrong[0] // max(values[0].size, 1)} ({len(wrong)} such values)")
    if values.size and np.abs(values).max() > LARGEST:
        raise BadData(f"{where}: a value of {np.abs(values).max():g} is out of any scene")


def axle_of(middle: Array, heading: Array, size: Array) -> Array:
    """(N, 3) ground points under the rear axle of a car known by its boxes' (N, 3) middles, headings and (N, 3) sizes."""
    back = AXLE_SHARE * size[:, 0]
    return np.asarray(middle - np.stack([back * np.cos(heading), back * np.sin(heading), size[:, 2] / 2], axis=1))


def on_ground(size: Array) -> Array:
    """(M,) heights of the centres of objects that stand on the ego's ground, for logs that know no heights."""
    return np.asarray(size[:, 2] / 2)


def typical_sizes(classes: tuple[str, ...], track: Ints) -> Array:
    """(M, 3) sizes by class, for objects recorded as points."""
    return np.array([TYPICAL_SIZE_M[cls] for cls in classes], np.float64).reshape(-1, 3)[track]
