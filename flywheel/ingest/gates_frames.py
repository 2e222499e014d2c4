"""A gate on FRAMES: a camera whose pictures repeat byte for byte, told from their hashes alone."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingest.gates_parts import Defect, Window

COLUMNS = ["t_ns", "camera", "kind", "media_sha256", "video_offset"]
MIN_REPEATS, MOVING_MPS = 3, 1.0
SpeedAt = Callable[[int, int], float | None]


def frozen_gate(window: Window, speed_between: SpeedAt) -> list[Defect]:
    """Runs of equal pictures while the ego moves; `speed_between` gives the mean speed from one time to another, None if unknown."""
    frames = window.table
    pictures = frames.filter(pc.and_(pc.equal(frames["kind"], "rgb"), pc.is_null(frames["video_offset"])))
    return [d for name in sorted(set(pictures["camera"].to_pylist())) for d in _camera(name, pictures, window.since_ns, speed_between)]


def _camera(name: str, pictures: pa.Table, since_ns: int, speed_between: SpeedAt) -> Iterator[Defect]:
    own = pictures.filter(pc.equal(pictures["camera"], name))
    times = own["t_ns"].to_numpy()
    codes = own["media_sha256"].combine_chunks().dictionary_encode().indices.to_numpy()
    ends = np.flatnonzero(np.r_[np.diff(codes) != 0, True])
    for begin, end in zip(np.r_[0, ends[:-1] + 1], ends, strict=True):
        if end - begin + 1 < MIN_REPEATS or times[end] <= since_ns:
            continue
        speed = speed_between(int(times[begin]), int(times[end]))
        if speed is None or speed > MOVING_MPS:
            how = "while the ego moves" if speed is not None else "(the ego's speed is not known)"
            what = f"{name}: the same picture, byte for byte, {how}"
            yield Defect("frozen", what, 1, float(times[end] - times[begin]) / 1e9, "s", int(times[begin]))
