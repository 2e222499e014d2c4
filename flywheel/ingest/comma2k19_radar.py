"""The factory radar of a comma2k19 segment to TRACKS: one row per point, tracked by the radar itself.

Rows are [forward m, left m, relative speed m/s, nan, nan, CAN address, new track], distances from the front bumper (the dataset's
README). An address is a slot: what it holds is one object until `new track` is set or the slot is silent for MAX_GAP_S (in the example
segment a slot never jumps without). The rows of one sweep are some milliseconds apart and get the time of its first. A radar point is a
place on the object, nearest side first, and tells no size: boxes get a nominal size and stand behind the point. A track that moved over
ground faster than MOVING_MPS, for most of its points, is taken for a car (on the dataset's motorway nothing else does); the others are
`other`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flywheel.errors import BadData
from flywheel.ingest.comma2k19_arrays import Channel
from flywheel.ingest.comma2k19_pose import BUMPER_M
from flywheel.ingest.kinematics import derivative
from flywheel.tables import SCHEMAS

Array = NDArray[np.float64]
Times = NDArray[np.int64]

COLUMNS = 7
MAX_GAP_S, SWEEP_S = 0.5, 0.02
MIN_ROWS = 5
# No distance, speed or address is larger; rows with NaN or more than that hold no point.
MAX_VALUE = 1e5
MOVING_MPS = 3.0
LATERAL_WINDOW_S = 0.5
# length, width, height in metres: a passenger car, and a reflector of no known shape.
SIZES = {"car": (4.5, 1.8, 1.5), "other": (1.0, 1.0, 1.0)}
# Where on a car the point lies is unknown to half its width and some of its length; the speed has the CAN speed's error.
POSITION_SIGMA_M, VELOCITY_SIGMA_MPS = 1.0, 0.3


def tracks_table(radar: Channel, t_ns: Times, *, speed: Channel, yaw: tuple[Array, Array] | None) -> pa.Table:
    """TRACKS without drive_id, sorted by time. speed: the ego's; yaw: (boot seconds, rad/s), for the lateral speed over ground.

    vx is the relative speed plus the ego's; vy the derivative of the offset (parabola over +-0.5 s) plus distance times yaw rate.
    """
    rows = np.flatnonzero((np.abs(radar.values[:, [0, 1, 2, 5]]) < MAX_VALUE).all(axis=1))
    if len(rows) and (np.diff(radar.t_s[rows]) < 0).any():
        raise BadData("CAN/radar: time goes back")
    t_ns = t_ns[sweeps(radar)]
    yaw_rate = np.interp(radar.t_s, *yaw) if yaw is not None else np.zeros(len(radar.t_s))
    ego = np.interp(radar.t_s, speed.t_s, speed.values[:, 0])
    parts = [_track(name, radar, t_ns, at, ego=ego[at], yaw_rate=yaw_rate[at]) for name, at in tracks(radar, rows) if len(at) >= MIN_ROWS]
    schema = pa.schema([field for field in SCHEMAS["TRACKS"] if field.name != "drive_id"])
    tables = [pa.table(part, schema=pa.schema([schema.field(name) for name in part])) for part in parts]
    return pa.concat_tables([schema.empty_table(), *tables], promote_options="default").sort_by(
        [("t_ns", "ascending"), ("track_id", "ascending")]
    )


def sweeps(radar: Channel) -> NDArray[np.int64]:
    """For each row the number of the row that began its sweep: a sweep ends with a pause, after SWEEP_S, or when a slot comes again."""
    begins, first, seen = np.zeros(len(radar.t_s), np.int64), 0, set[float]()
    for row, (t_s, slot) in enumerate(zip(radar.t_s.tolist(), radar.values[:, 5].tolist(), strict=True)):
        if slot in seen or t_s - radar.t_s[first] > SWEEP_S:
            first, seen = row, set()
        seen.add(slot)
        begins[row] = first
    return begins


def tracks(radar: Channel, rows: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """(track id, its row numbers) of every object; the id is the slot's address and the object's number in it."""
    address = radar.values[:, 5]
    for slot in np.unique(address[rows]):
        mine = rows[address[rows] == slot]
        mine = mine[np.r_[True, np.diff(radar.t_s[mine]) > 0]]
        starts = (radar.values[mine, 6] == 1) | np.r_[True, np.diff(radar.t_s[mine]) > MAX_GAP_S]
        for number, at in enumerate(np.split(mine, np.flatnonzero(starts)[1:])):
            yield f"radar-{int(slot):x}-{number}", at


def _track(name: str, radar: Channel, t_ns: Times, at: NDArray[np.int64], *, ego: Array, yaw_rate: Array) -> dict[str, Any]:
    ahead, left, closing = radar.values[at, 0], radar.values[at, 1], radar.values[at, 2]
    vx = closing + ego
    cls = "car" if np.median(vx) > MOVING_MPS else "other"
    length, width, height = SIZES[cls]
    x_m = BUMPER_M + ahead + length / 2
    vy = derivative(radar.t_s[at], left, half_window_s=LATERAL_WINDOW_S) + yaw_rate * (BUMPER_M + ahead)
    count = len(at)
    return {
        "t_ns": t_ns[at], "track_id": [name] * count, "cls": [cls] * count,
        "x_m": x_m, "y_m": left, "z_m": np.full(count, height / 2), "heading_rad": np.zeros(count),
        "length_m": np.full(count, length), "width_m": np.full(count, width), "height_m": np.full(count, height),
        "vx_mps": vx, "vy_mps": vy, "visible": [True] * count,
        "position_sigma_m": np.full(count, POSITION_SIGMA_M), "velocity_sigma_mps": np.full(count, VELOCITY_SIGMA_MPS),
    }  # fmt: skip
