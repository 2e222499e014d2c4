"""Detectors of the vehicle's own condition: sensor dropout (row 42); and the light of drives that do not say theirs."""

import numpy as np

from flywheel.errors import require
from flywheel.mine.catalogue import Scenario, scenario
from flywheel.mine.hits import Detector, Hit
from flywheel.mine.prepare import Drive
from flywheel.mine.segments import NS, Clock, Ints
from flywheel.store import Store
from flywheel.video import attempts

LOOKS = 5


def _silences(t_ns: Ints, drive: Drive, entry: Scenario) -> list[tuple[int, int]]:
    """(last sample before, first after) of every gap; the drive's own ends bound the first and the last."""
    clock, edges = Clock(t_ns, 0), np.concatenate([[min(drive.t0_ns, t_ns[0])], t_ns, [max(drive.t1_ns, t_ns[-1])]])
    gap = np.concatenate([edges[1:2] - edges[:1], clock.steps_ns, edges[-1:] - edges[-2:-1]])
    long = (gap > entry.settings["periods"] * clock.period_ns) & (gap >= entry.min_duration_s * NS)
    return [(int(edges[i]), int(edges[i + 1])) for i in np.flatnonzero(long)]


def _joined(gaps: list[tuple[int, int]], merge_s: float) -> list[tuple[int, int, int, int]]:
    """Gaps less than the merge time apart as one: (first, last, end of the longest, its length)."""
    found: list[tuple[int, int, int, int]] = []
    for t0, t1 in gaps:
        if found and t0 - found[-1][1] < merge_s * NS:
            before = found.pop()
            longest = max((before[3], before[2]), (t1 - t0, t1))
            found.append((before[0], t1, longest[1], longest[0]))
        else:
            found.append((t0, t1, t1, t1 - t0))
    return found


def _thinned(t_ns: Ints, entry: Scenario) -> list[tuple[int, int]]:
    """(last frame before, first after) of every step that misses frames, where a window from or to there misses too large a share."""
    period, window = Clock(t_ns, 0).period_ns, int(entry.settings["window_s"] * NS)
    if period == 0:
        return []
    missing = np.maximum(np.rint(np.diff(t_ns) / period) - 1, 0)
    lost = np.concatenate([[0.0], np.cumsum(missing)])
    holes = np.flatnonzero(missing)
    after = lost[np.searchsorted(t_ns, t_ns[holes] + window, side="right") - 1] - lost[holes]
    before = lost[holes + 1] - lost[np.searchsorted(t_ns, t_ns[holes + 1] - window)]
    many = np.maximum(after, before) > entry.settings["dropped"] * window / period
    return [(int(t_ns[k]), int(t_ns[k + 1])) for k in holes[many]]


def sensor_dropout(drive: Drive, entry: Scenario) -> list[Hit]:
    """Silences of each stream and stretches of many dropped frames; the level follows from the longest silence, the actor is the stream."""
    limits, found = entry.limits("gap"), []
    for name, t_ns in drive.streams.items():
        gaps = _silences(t_ns, drive, entry)
        if name.startswith("camera_"):
            gaps = sorted({*gaps, *_thinned(t_ns, entry)})
        for t0, t1, at, gap in _joined(gaps, entry.merge_s):
            level = max(1, sum(gap >= limit * NS for limit in limits))
            found.append(Hit(t0, t1, at, gap / NS, level, (name,)))
    return sorted(found, key=lambda hit: (hit.t0_ns, hit.actors))


def condition_by_luma(store: Store, drive: Drive) -> str | None:
    """`night_clear` if the median luma of a few frames is under the bound of `night_dusk`, else `day_clear`; None without frames."""
    frames = [row for row in drive.tables.frames.to_pylist() if row["kind"] == "rgb"]
    if not frames:
        return None
    cv2 = require("cv2", extra="ingest")
    chosen = [frames[i] for i in sorted({round(x) for x in np.linspace(0, len(frames) - 1, LOOKS)})]
    raw = [np.frombuffer(shown.data, np.uint8) for _, shown in attempts(store, chosen) if not isinstance(shown, str)]
    grey = [image for image in (cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) for data in raw) if image is not None]
    if not grey:
        return None
    dark = float(np.median([np.median(image) for image in grey])) < scenario("night_dusk").settings["luma"]
    return "night_clear" if dark else "day_clear"


DETECTORS: dict[str, Detector] = {
    "sensor_dropout": sensor_dropout,
}
