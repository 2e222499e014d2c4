"""When each sensor spoke: rate, jitter, gaps, reversals, overlap with the drive, and the offset of its own clock, in bounded memory."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flywheel.ingest.drive import Beats

Times = NDArray[np.int64]
MAX_KEPT = 4096


@dataclass
class Beat:
    """One sensor's sums: enough for its row in SENSORS."""

    samples: int = 0
    t0_ns: int = 0
    t1_ns: int = 0
    reversals: int = 0
    steps_ns: list[Times] = field(default_factory=list)
    offsets_ns: list[Times] = field(default_factory=list)

    def see(self, beats: Beats) -> None:
        """Takes more samples, in the order they were recorded."""
        times = beats.t_ns
        if not len(times):
            return
        steps = np.diff(times if not self.samples else np.r_[self.t1_ns, times])
        self.reversals += int((steps < 0).sum())
        self.t0_ns = int(times[0]) if not self.samples else self.t0_ns
        self.t1_ns = int(times[-1])
        self.samples += len(times)
        self.steps_ns.append(steps)
        if beats.stamp_ns is not None:
            self.offsets_ns.append(times - beats.stamp_ns)


@dataclass
class Clocks:
    """All sensors of a drive."""

    beats: dict[str, Beat] = field(default_factory=dict)

    def see(self, beats: Beats) -> None:
        """Takes more samples of a sensor."""
        self.beats.setdefault(beats.sensor, Beat()).see(beats)

    def rows(self) -> list[dict[str, object]]:
        """SENSORS rows without drive_id."""
        spoke = {name: beat for name, beat in self.beats.items() if beat.samples}
        if not spoke:
            return []
        t0, t1 = min(b.t0_ns for b in spoke.values()), max(b.t1_ns for b in spoke.values())
        return [_row(name, beat, span_ns=max(t1 - t0, 1)) for name, beat in sorted(spoke.items())]


def _row(name: str, beat: Beat, *, span_ns: int) -> dict[str, object]:
    row: dict[str, object] = {
        "sensor": name, "samples": beat.samples, "t0_ns": beat.t0_ns, "t1_ns": beat.t1_ns, "reversals": beat.reversals, "gaps": 0,
        "overlap": (beat.t1_ns - beat.t0_ns) / span_ns,
    }  # fmt: skip
    steps = np.concatenate(beat.steps_ns)
    if len(steps):
        period = max(float(np.median(steps)), 1.0)
        gaps = steps > 2.5 * period
        row |= {
            "rate_hz": 1e9 / period, "jitter_ms": float(np.std(steps[~gaps])) / 1e6, "gaps": int(gaps.sum()),
            "longest_gap_s": float(steps.max()) / 1e9,
        }  # fmt: skip
    if beat.offsets_ns:
        offsets = np.concatenate(beat.offsets_ns)
        row |= {
            "offset_ms": float(np.median(offsets)) / 1e6,
            "offset_error_ms": float(np.subtract(*np.percentile(offsets, [75, 25]))) / 2e6,
        }
    return row
